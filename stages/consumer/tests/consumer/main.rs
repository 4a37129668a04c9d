//! The consumer against the embedded engines, with a sink that remembers what it was told to apply.

#![allow(clippy::unwrap_used, reason = "tests")]

mod behaviour;
mod exactly_once;
mod fan_out;
mod harness;
mod read_ahead;
mod recreated;
mod repeats;
mod service_errors;
mod takeover;
