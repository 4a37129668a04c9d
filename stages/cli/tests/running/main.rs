//! Commands that look at a Pipeline that runs, or has run, as people start them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod audit;
mod shop;
mod status;
