//! The operator against a real API server. One program, so that one control plane serves all of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod drift;
mod faults;
mod fresh;
mod leaders;
mod life;
mod rights;
mod skipped;
mod story;
mod verdicts;
mod walks;
mod watches;

/// Whether the long forms are wanted: every crash point, hundreds of specs. `cargo xtask plane` sets it.
fn full() -> bool {
    std::env::var_os("PENSTOCK_FULL").is_some()
}
