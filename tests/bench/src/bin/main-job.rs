//! The main job at the size of a month and of a year: `cargo xtask bench -- --help`.
#![allow(clippy::print_stdout, reason = "what was asked for")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use penstock_bench::{Usage, watch};
use penstock_faults::{ServerOptions, penstock, root, sample};
use serde_json::json;

/// Runs the main job (examples/ecommerce/pipeline.yaml) on embedded engines in one process, client included: send to drained.
#[derive(Debug, Parser)]
struct Args {
    /// Files to send, each in runs of its own; generated ones of a month and of a year when none is named.
    files: Vec<PathBuf>,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Also write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let penstock = penstock()?;
    let folder = tempfile::tempdir()?;
    let mut files = args.files.clone();
    if files.is_empty() {
        for (name, rows) in [("month", 42_481), ("year", 542_000)] {
            let file = folder.path().join(format!("{name}.csv"));
            sample(&penstock, rows, 1, &file)?;
            files.push(file);
        }
    }
    let mut figures = Vec::new();
    println!("{:<32} {:>9} {:>9} {:>10}", "file", "wall s", "CPU s", "peak MiB");
    for file in &files {
        for run in 0..args.runs {
            let usage = measure(&penstock, file, &folder.path().join(format!("data-{run}")))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            println!("{name:<32} {:>9.2} {:>9.2} {:>10.1}", usage.wall_seconds, usage.cpu_seconds, usage.peak_rss_mib);
            figures.push(json!({ "file": name, "run": run, "usage": usage }));
        }
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

fn measure(penstock: &Path, file: &Path, data_dir: &Path) -> anyhow::Result<Usage> {
    let options = ServerOptions::new(penstock, &root().join("examples/ecommerce/pipeline.yaml"), data_dir)?;
    let began = Instant::now();
    let child = options
        .command()
        .args(["--until-drained", "--no-read-back", "--send"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (status, usage) = watch(child, began)?;
    if !status.success() {
        bail!("penstock run ended with {status}");
    }
    std::fs::remove_dir_all(data_dir)?;
    Ok(usage)
}
