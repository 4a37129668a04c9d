//! `cargo xtask demo`: the main job, from a fresh clone to the table of what is where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::paths;
use crate::process::{self, cargo, command, status};

/// Rows of the file that is generated when none is named: about a month of the shop.
const ROWS: &str = "40000";
const PIPELINE: &str = "examples/ecommerce/pipeline.yaml";

fn chosen_file(arguments: &[String]) -> anyhow::Result<PathBuf> {
    match arguments {
        [] => generated(),
        [file] => Ok(std::env::current_dir()?.join(file)),
        _ => bail!("expected one file: cargo xtask demo -- FILE.csv"),
    }
}

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    eprintln!("building penstock (some 600 packages the first time)");
    build()?;
    let folder = paths::root().join(".penstock/demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("{} of an earlier demo cannot be removed", folder.display()))?;
    }
    let file = chosen_file(arguments)?;
    let data_dir = relative(&folder);
    eprintln!("\nrunning {PIPELINE} on embedded engines in {}\n", data_dir.display());
    let ended = status(
        command(paths::penstock(), ["run", PIPELINE, "--until-drained", "--total", "Amount=Quantity*UnitPrice"])
            .args(["--engine-port", "0", "--http-port", "0", "--admin-port", "0", "--page-port", "0"])
            .arg("--data-dir")
            .arg(&data_dir)
            .arg("--send")
            .arg(&file),
    )?;
    eprintln!("\nTo look into the stores, start it again on the same folder:");
    eprintln!("  {} run {PIPELINE} --data-dir {}", relative(&paths::penstock()).display(), data_dir.display());
    Ok(ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn build() -> anyhow::Result<()> {
    process::run(&mut cargo(["build", "--release", "--locked", "--package", "penstock"]))
}

fn generated() -> anyhow::Result<PathBuf> {
    let file = paths::target().join("sample.csv");
    eprintln!("no file is named: generating {ROWS} rows of a shop into {}", file.display());
    process::run(command(paths::penstock(), ["sample", "--rows", ROWS, "--seed", "1", "--out"]).arg(&file))?;
    Ok(file)
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix(paths::root()).unwrap_or(path).to_owned()
}
