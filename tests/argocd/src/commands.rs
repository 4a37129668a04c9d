//! What the commands of others say of an object in a file, without a cluster.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use penstock_manifests::root;

use crate::argo::{Tracking, settings_file};
use crate::programs::Programs;

/// What Argo CD says of its health: `argocd admin settings resource-overrides health`, with the settings that people are told
/// to make. `None` where this machine has no Argo CD, which is said.
///
/// # Errors
/// When it cannot say it.
pub fn argo_cd_says(tracking: Tracking, object: &Path) -> anyhow::Result<Option<String>> {
    let health = |command: &mut Command| {
        command.args(["admin", "settings", "resource-overrides", "health"]).arg(root().join(object));
        command.arg("--argocd-cm-path").arg(root().join(settings_file(tracking)));
    };
    said("argocd", health)
}

/// What Flux says of it: the status of kstatus, its library. `None` where this machine has none, which is said.
///
/// # Errors
/// When it cannot say it.
pub fn flux_says(object: &Path) -> anyhow::Result<Option<String>> {
    said("kstatus", |command| {
        command.arg(root().join(object));
    })
}

fn said(name: &str, ask: impl FnOnce(&mut Command)) -> anyhow::Result<Option<String>> {
    let Some(programs) = Programs::find()? else { return Ok(None) };
    let mut command = Command::new(programs.path(name));
    ask(&mut command);
    let output = command.output().with_context(|| format!("{name} cannot be started"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(Some(String::from_utf8(output.stdout)?))
}
