//! The source over real HTTP, with a stand-in for the stream or the embedded engine behind it.

#![allow(clippy::unwrap_used, reason = "tests")]

// Beside this folder, for the test of memory is a program of its own.
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod engines;
mod faults;
mod requests;
