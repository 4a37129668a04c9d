//! The operator against a real API server. One program, so that one control plane serves all of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod consumers;
mod crashes;
mod drift;
mod events;
mod faults;
mod fields;
mod fresh;
mod leaders;
mod life;
mod page;
mod rights;
mod secrets;
mod skipped;
mod story;
mod telemetry;
mod verdicts;
mod walks;
mod watches;
