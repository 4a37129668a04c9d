//! The main job as processes that can be killed: the server (`penstock run`) and the client (`penstock send`).
//!
//! It knows the command line, the ready file and signals; it links none of the stages, so that what is
//! tested is what people start.

pub mod chaos;
mod client;
pub mod proxy;
mod server;
mod stage;
mod verify;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
pub use penstock_conformance::penstock;

pub use client::Client;
pub use server::{Ready, Server, ServerOptions, Source};
pub use stage::{Stage, StageOptions, rendered};
pub use verify::{Verdict, audit, verify};

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// Generates shop data.
///
/// # Errors
/// When the command fails.
pub fn sample(penstock: &Path, rows: u64, seed: u64, out: &Path) -> anyhow::Result<()> {
    let status = Command::new(penstock)
        .args(["sample", "--rows", &rows.to_string(), "--seed", &seed.to_string(), "--out"])
        .arg(out)
        .stderr(std::process::Stdio::null())
        .status()
        .context("penstock cannot be started")?;
    if !status.success() {
        bail!("penstock sample ended with {status}");
    }
    Ok(())
}
