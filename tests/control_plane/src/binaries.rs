//! The binary of etcd and kube-apiserver: built once for each version of its sources, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

/// What decides the binary.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];
/// The version that the API server says it has, as `go.mod` has it.
const VERSION: &str = "v1.37.2";

/// The two programs: one file by two names.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) etcd: PathBuf,
    pub(crate) apiserver: PathBuf,
}

/// The programs, built if they are not there. The first build takes minutes; who comes meanwhile waits for it.
///
/// # Errors
/// When there is no Go, or it cannot build them.
pub(crate) fn binaries() -> anyhow::Result<Binaries> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let folder = cache()?.join(key(&sources)?);
    let binaries = Binaries { etcd: folder.join("etcd"), apiserver: folder.join("kube-apiserver") };
    if binaries.etcd.exists() {
        return Ok(binaries);
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("the lock of the control plane's build cannot be taken")?;
    if binaries.etcd.exists() {
        return Ok(binaries);
    }
    build(&sources, &binaries.apiserver)?;
    // Last of all: it tells that everything is there.
    fs::hard_link(&binaries.apiserver, &binaries.etcd).context("etcd cannot be named")?;
    Ok(binaries)
}

fn build(sources: &Path, to: &Path) -> anyhow::Result<()> {
    let unfinished = to.with_extension("unfinished");
    let version = "k8s.io/component-base/version";
    let flags = format!("-s -w -X {version}.gitVersion={VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=37");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-mod=readonly", "-ldflags", &flags, "-o"]).arg(&unfinished).arg(".");
    go.current_dir(sources).env("CGO_ENABLED", "0");
    let output = go.output().context("`go` cannot be started: install Go 1.26 or newer")?;
    if !output.status.success() {
        bail!("the control plane cannot be built: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::rename(&unfinished, to).context("the control plane cannot be put in its place")
}

/// Names what is built from a Go module of ours.
///
/// # Errors
/// When one of its files cannot be read.
pub fn key(sources: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for name in SOURCES {
        let path = sources.join(name);
        hash.update(fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

fn cache() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("penstock/control-plane"))
}
