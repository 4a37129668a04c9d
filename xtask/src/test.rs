//! `cargo xtask test` and `cargo xtask lint`.

use std::process::{Command, ExitCode, Stdio};

use crate::generated;
use crate::manifests;
use crate::process::{self, cargo};

/// The tests use the release profile, as the demo does: a new machine compiles its packages once. All test
/// programs run, also after one has failed: a run is too long to tell one failure at a time.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    process::run(cargo(["test", "--release", "--locked", "--workspace", "--no-fail-fast"]).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// Test programs that `cargo test` runs in a short form, in full. ARGS go to each, such as the name of a test.
pub(crate) fn in_full(programs: &[&str], arguments: &[String]) -> anyhow::Result<ExitCode> {
    // One of them runs the operator's program itself.
    process::run(&mut cargo(["build", "--release", "--locked", "--workspace", "--bin", "penstock-operator"]))?;
    let mut tests = cargo(["test", "--release", "--locked", "--workspace"]);
    for program in programs {
        tests.args(["--test", program]);
    }
    process::run(tests.arg("--").args(arguments).env("PENSTOCK_FULL", "1"))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn lint() -> anyhow::Result<ExitCode> {
    process::run(&mut cargo(["fmt", "--all", "--check"]))?;
    generated::crds(true)?;
    manifests::manifests(true)?;
    process::run(&mut cargo([
        "clippy",
        "--release",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    deny()?;
    Ok(ExitCode::SUCCESS)
}

/// Licences and advisories of all packages. cargo-deny is a tool of its own: where it is not installed,
/// this says so, and in CI it is an error.
fn deny() -> anyhow::Result<()> {
    if is_installed("cargo-deny") {
        return process::run(&mut cargo(["deny", "--locked", "check", "licenses", "bans", "sources"]));
    }
    if std::env::var_os("CI").is_some() {
        anyhow::bail!("cargo-deny is not installed: cargo install --locked cargo-deny");
    }
    eprintln!(
        "skipped: licences are not checked, since cargo-deny is not installed (cargo install --locked cargo-deny)"
    );
    Ok(())
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
