//! Pipelines under Argo CD itself. One program, so that each Argo CD finds its programs built.
#![allow(clippy::unwrap_used, reason = "tests")]

mod chart;
mod health;
mod pipelines;
mod states;

use std::time::Duration;

/// How long a Pipeline that works must stay in sync. `cargo xtask argocd` asks for the long form.
fn stay() -> Duration {
    let is_full = std::env::var_os("PENSTOCK_FULL").is_some();
    Duration::from_secs(if is_full { 5 * 60 } else { 30 })
}
