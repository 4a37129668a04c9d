//! The DynamoDB sink against the engine, and against a service that fails.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod once;
mod service;
