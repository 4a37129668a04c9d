//! `cargo xtask cluster`: a real cluster on this machine, which `tests/cluster` starts and ends. This builds and calls it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::image;
use crate::paths;
use crate::process::{cargo, command, run, status};
use crate::tools;

/// With the features that the tests have, so that nothing is compiled twice.
const PROGRAMS: [&str; 4] = ["penstock", "penstock-operator", "penstock-cluster", "xtask"];

pub(crate) fn cluster(arguments: &[String]) -> anyhow::Result<ExitCode> {
    match arguments.iter().find(|argument| !argument.starts_with('-')).map(String::as_str) {
        Some("up") => up(arguments),
        Some("test") => test(),
        _ => forward(arguments, &[]),
    }
}

/// Brings what the cluster needs, with the image of this working copy in it.
fn up(arguments: &[String]) -> anyhow::Result<ExitCode> {
    tools::fetch()?;
    build()?;
    let archive = paths::target().join("penstock-image.tar");
    image::image(&[
        "--binaries".to_owned(),
        paths::target().join("release").display().to_string(),
        "--output".to_owned(),
        archive.display().to_string(),
    ])?;
    forward(arguments, &["--image".into(), archive.into()])
}

/// What `cargo test` does in a short form, in full.
fn test() -> anyhow::Result<ExitCode> {
    let mut tests = cargo(["test", "--release", "--locked", "--workspace", "--test", "cluster", "--", "--nocapture"]);
    run(tests.env("PENSTOCK_FULL", "1"))?;
    Ok(ExitCode::SUCCESS)
}

fn forward(arguments: &[String], more: &[OsString]) -> anyhow::Result<ExitCode> {
    let program = program();
    if !program.is_file() {
        build()?;
    }
    // Files are named as seen from where the user is.
    let mut cluster = command(program, arguments);
    let ended = status(cluster.args(more).current_dir(std::env::current_dir()?))?;
    Ok(ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn build() -> anyhow::Result<()> {
    let mut build = cargo(["build", "--release", "--locked", "--workspace"]);
    for program in PROGRAMS {
        build.args(["--bin", program]);
    }
    run(&mut build)
}

fn program() -> PathBuf {
    paths::target().join("release").join("penstock-cluster")
}
