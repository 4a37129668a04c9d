//! Against the embedded engines, over the real SDK.
#![allow(clippy::unwrap_used, reason = "tests")]

mod account;
mod changes;
mod creation;
mod faults;
mod removal;
