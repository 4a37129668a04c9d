//! Files that are made from code.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::paths;
use crate::process::{cargo, run};

const DEFINITION: &str = "crds/pipelines.penstock.dev.yaml";
/// A chart can read only what is in its own folder.
const CHART_COPY: &str = "charts/penstock/files/crds/pipelines.penstock.dev.yaml";

/// Writes `crds/` and the chart's copy from the Pipeline types; with `check` only tells whether it is up to date.
///
/// It runs as a test of the crate that has the types, so that this command need not be built with them.
pub(crate) fn crds(check: bool) -> anyhow::Result<ExitCode> {
    let mut test = cargo(["test", "--release", "--locked", "--quiet", "--workspace"]);
    test.args(["--test", "generated"]).current_dir(paths::root());
    if !check {
        test.env("PENSTOCK_WRITE_GENERATED", "1");
    }
    run(&mut test)?;
    file(CHART_COPY, &fs::read_to_string(paths::root().join(DEFINITION))?, check, "cargo xtask crds")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one generated file, or tells that it is not what it should be.
pub(crate) fn file(name: &str, text: &str, check: bool, cure: &str) -> anyhow::Result<()> {
    let path = paths::root().join(name);
    let there = fs::read_to_string(&path).unwrap_or_default();
    if there == text {
        return Ok(());
    }
    if check {
        bail!("{name} is not up to date: run `{cure}`");
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    fs::write(&path, text).with_context(|| format!("{name} cannot be written"))
}
