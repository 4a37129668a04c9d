//! The operator against a real API server. One program, so that one control plane serves all of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod drift;
mod faults;
mod idle;
mod leaders;
mod life;
mod verdicts;

/// Whether the long forms are wanted: every crash point, a thousand Pipelines. `cargo xtask plane` sets it.
fn full() -> bool {
    std::env::var_os("PENSTOCK_FULL").is_some()
}
