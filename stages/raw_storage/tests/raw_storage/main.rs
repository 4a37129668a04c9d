//! The S3 sink: its promise, its bytes, its memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod determinism;
mod engine;
mod memory;
mod promise;
mod support;
