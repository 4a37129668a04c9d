//! `cargo xtask test` and `cargo xtask lint`.

use std::process::{Command, ExitCode, Stdio};

use crate::generated;
use crate::manifests;
use crate::process::{self, cargo};
use crate::programs;

/// The tests use the release profile, as the demo does: a new machine compiles its packages once. With ARGS it is
/// `cargo test` itself; else all programs run, several at a time.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    if !arguments.is_empty() {
        process::run(cargo(["test", "--release", "--locked", "--workspace", "--no-fail-fast"]).args(arguments))?;
        return Ok(ExitCode::SUCCESS);
    }
    programs::run_all(|| Ok(()))?;
    doc_tests()?;
    Ok(ExitCode::SUCCESS)
}

/// All tests and, while the last of them wait, everything that `lint` looks at.
pub(crate) fn ci() -> anyhow::Result<ExitCode> {
    programs::run_all(|| lint().map(drop))?;
    doc_tests()?;
    Ok(ExitCode::SUCCESS)
}

fn doc_tests() -> anyhow::Result<()> {
    process::run(&mut cargo(["test", "--release", "--locked", "--workspace", "--doc"]))
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
    let mut clippy = cargo(["clippy", "--release", "--locked", "--workspace", "--all-targets"]);
    // Tests may run beside it.
    process::run(&mut process::with_less_priority(clippy.args(["--", "-D", "warnings"])))?;
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
