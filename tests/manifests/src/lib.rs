//! What people apply: the chart, the plain manifests, the examples, and Argo CD's health check.
//!
//! This reads and renders them; the tests beside it judge. It knows YAML and where helm is. Deliberately absent: a cluster
//! (`tests/control_plane`, `tests/cluster`), and the operator's code, which the tests read as text where they name a place in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use penstock_conformance::{cache, may_skip};
use serde::Deserialize as _;
use serde_json::Value;

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// A file of the repository.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = root().join(file);
    fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// All files under a folder of the repository, by their names in it.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(root())?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The documents of a YAML text.
///
/// # Errors
/// When one is no YAML.
pub fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let all = serde_yaml::Deserializer::from_str(text).map(Value::deserialize).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// The chart rendered by helm with these arguments, a text; `None` where there is no helm and this is not CI.
///
/// # Errors
/// When helm cannot render it, with what it says; in CI also when there is none.
pub fn rendered(arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let helm = match helm() {
        Ok(helm) => helm,
        Err(why) => {
            may_skip("rendering the chart", &why)?;
            eprintln!("skipped: the chart is not rendered: {why:#}");
            return Ok(None);
        }
    };
    let mut command = Command::new(helm);
    command.args(["template", "penstock", "charts/penstock", "--namespace", "penstock"]).args(arguments);
    let output = command.current_dir(root()).output().context("helm cannot be started")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(Some(String::from_utf8(output.stdout).context("helm has written something that is no text")?))
}

/// What `cargo xtask tools` has fetched, else helm of the PATH.
fn helm() -> anyhow::Result<PathBuf> {
    let ours = cache()?.join("tools/kubernetes/helm");
    if ours.is_file() {
        return Ok(ours);
    }
    let works = Command::new("helm").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match works {
        Ok(status) if status.success() => Ok("helm".into()),
        _ => bail!("there is no helm: run `cargo xtask tools`"),
    }
}
