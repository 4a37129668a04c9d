//! The programs of Kubernetes, and etcd: built from Go once for each version of their sources, and kept.
//!
//! Their sources are in `../go`. `tests/control_plane` uses two of them, `tests/cluster` all. This knows Go and the folder where
//! things are kept; starting them is for who uses them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

/// What decides a program.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];
/// The version that Kubernetes says it has, as `go.mod` has it.
const VERSION: &str = "v1.37.2";

/// The programs: one file by several names.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// The key-value store.
    pub etcd: PathBuf,
    /// The API server.
    pub apiserver: PathBuf,
    /// What makes pods of Deployments, and clears away.
    pub controller_manager: PathBuf,
    /// What finds a node for a pod.
    pub scheduler: PathBuf,
    /// What runs the pods of a node.
    pub kubelet: PathBuf,
    /// What makes Services reachable on a node.
    pub proxy: PathBuf,
}

/// The programs, built if they are not there. The first build takes minutes; who comes meanwhile waits for it.
///
/// # Errors
/// When there is no Go, or it cannot build them.
pub fn kubernetes() -> anyhow::Result<Kubernetes> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../go");
    let version = "k8s.io/component-base/version";
    let flags = format!("-X {version}.gitVersion={VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=37");
    let program = go_program(&sources, "control-plane", &flags)?;
    let named = |name: &str| -> anyhow::Result<PathBuf> {
        let path = program.with_file_name(name);
        match fs::hard_link(&program, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("{} cannot be made", path.display()))
            }
            _ => Ok(path),
        }
    };
    Ok(Kubernetes {
        etcd: named("etcd")?,
        apiserver: named("kube-apiserver")?,
        controller_manager: named("kube-controller-manager")?,
        scheduler: named("kube-scheduler")?,
        kubelet: named("kubelet")?,
        proxy: named("kube-proxy")?,
    })
}

/// The program of a Go module, built if it is not there, in the folder `name` of what is kept on this machine.
///
/// # Errors
/// When there is no Go, or it cannot build it.
pub fn go_program(sources: &Path, name: &str, linker_flags: &str) -> anyhow::Result<PathBuf> {
    let folder = penstock_conformance::cache()?.join(name).join(key(sources)?);
    let program = folder.join(name);
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().with_context(|| format!("the lock of the build of {name} cannot be taken"))?;
    if !program.exists() {
        build(sources, linker_flags, &program)?;
    }
    Ok(program)
}

fn build(sources: &Path, linker_flags: &str, to: &Path) -> anyhow::Result<()> {
    let unfinished = to.with_extension("unfinished");
    let flags = format!("-s -w {linker_flags}");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-mod=readonly", "-ldflags", &flags, "-o"]).arg(&unfinished).arg(".");
    go.current_dir(sources).env("CGO_ENABLED", "0");
    let output = go.output().context("`go` cannot be started: install Go 1.26 or newer")?;
    if !output.status.success() {
        bail!("{} cannot be built: {}", to.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::rename(&unfinished, to).with_context(|| format!("{} cannot be put in its place", to.display()))
}

/// What a program that is built from these sources is kept by.
///
/// # Errors
/// When they cannot be read.
pub fn key(sources: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for name in SOURCES {
        let path = sources.join(name);
        hash.update(fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}
