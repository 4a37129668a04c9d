//! `cargo xtask bench`, `leases`, `kill`, `chaos` and `simulate`: what takes long by nature.

use std::process::ExitCode;

use crate::paths;
use crate::process::{cargo, command, run};

/// The main job at the size of a month and of a year: time, memory and CPU time of each process. With `paths`, each
/// path of a pipeline alone, against a stand-in for AWS; with `visible`, the time until a row can be read; with `loops`,
/// what runs for every row, by criterion.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<ExitCode> {
    match arguments.split_first() {
        Some((what, rest)) if what == "paths" || what == "visible" => built_with_all(what, rest),
        Some((what, rest)) if what == "loops" => loops(rest),
        _ => measured("main-job", arguments),
    }
}

/// They are a workspace of their own, beside the other one's target folder.
fn loops(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let manifest = paths::root().join("tests/bench/criterion/Cargo.toml");
    let mut bench = cargo(["bench", "--locked", "--manifest-path"]);
    bench.arg(manifest).arg("--target-dir").arg(paths::target().join("criterion"));
    run(bench.arg("--").args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// The main job while its processes are killed again and again.
pub(crate) fn kill(arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--package", "penstock"]))?;
    run(cargo(["run", "--release", "--locked", "--package", "penstock-faults", "--bin", "kill", "--"]).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// The consumer under thousands of schedules.
pub(crate) fn simulate(arguments: &[String]) -> anyhow::Result<ExitCode> {
    built_with_all("simulate", arguments)
}

/// The main job under every fault there is.
pub(crate) fn chaos(arguments: &[String]) -> anyhow::Result<ExitCode> {
    built_with_all("chaos", arguments)
}

/// Leases: how quickly they change hands, and what they cost.
pub(crate) fn leases(arguments: &[String]) -> anyhow::Result<ExitCode> {
    built_with_all("leases", arguments)
}

/// A program that is built with the whole workspace, as the tests are, so that nothing is built twice.
fn built_with_all(program: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--workspace", "--bins"]))?;
    run(&mut command(paths::target().join("release").join(program), arguments))?;
    Ok(ExitCode::SUCCESS)
}

fn measured(bench: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--package", "penstock"]))?;
    run(cargo(["run", "--release", "--locked", "--package", "penstock-bench", "--bin", bench, "--"]).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}
