//! The programs of a cluster that Debian does not have: built once and kept; and where kubectl and helm are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use penstock_kubernetes::{go_program, kubernetes};

use crate::folder::Folder;
use crate::processes::run;

/// Builds those that are not there yet.
///
/// # Errors
/// When one cannot be built.
pub(crate) fn build() -> anyhow::Result<()> {
    kubernetes()?;
    coredns()?;
    Ok(())
}

fn coredns() -> anyhow::Result<PathBuf> {
    go_program(&crate_folder().join("coredns"), "coredns", "")
}

/// Puts them into the cluster's folder, by the names under which its processes find them.
///
/// # Errors
/// When one cannot be built.
pub(crate) fn install(folder: &Folder) -> anyhow::Result<()> {
    let kubernetes = kubernetes()?;
    let of_kubernetes = [
        &kubernetes.etcd,
        &kubernetes.apiserver,
        &kubernetes.controller_manager,
        &kubernetes.scheduler,
        &kubernetes.kubelet,
        &kubernetes.proxy,
    ];
    let coredns = coredns()?;
    for program in of_kubernetes.into_iter().chain([&coredns]) {
        let name = program.file_name().context("a program has no name")?;
        link_or_copy(program, &folder.join("bin").join(name))?;
    }
    Ok(())
}

/// `kubectl` or `helm`: those of `cargo xtask tools`, which are fetched if they are not there.
///
/// # Errors
/// When they can be neither found nor fetched.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = penstock_conformance::cache()?.join("tools/kubernetes").join(name);
    if !path.is_file() {
        run(Command::new(xtask()?).arg("tools"))?;
    }
    Ok(path)
}

/// The project's own commands, as they were built beside this program.
pub(crate) fn xtask() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("this program does not know where it is")?;
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("xtask")).find(|path| path.is_file());
    match beside {
        Some(path) => Ok(path),
        None => bail!("there is no xtask beside {}: cargo build --workspace, in the same profile", this.display()),
    }
}

pub(crate) fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cache may be on another file system.
fn link_or_copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("{} cannot be made", to.display()))?;
    }
    Ok(())
}
