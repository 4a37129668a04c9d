//! `cargo xtask bench`, `kill`, `chaos` and `simulate`: what takes long by nature.

use std::process::ExitCode;

use crate::paths;
use crate::process::{cargo, command, run};

/// The main job at the size of a month and of a year: time, memory and CPU time of each process.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<ExitCode> {
    measured("main-job", arguments)
}

/// The main job while its processes are killed again and again.
pub(crate) fn kill(arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--package", "penstock"]))?;
    run(cargo(["run", "--release", "--locked", "--package", "penstock-faults", "--bin", "kill", "--"]).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// The consumer under thousands of schedules. Built with the whole workspace, as the tests are, so that nothing is
/// built twice.
pub(crate) fn simulate(arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--workspace", "--bin", "simulate"]))?;
    run(&mut command(paths::target().join("release").join("simulate"), arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// The main job under every fault there is. Built as [`simulate`] is.
pub(crate) fn chaos(arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--workspace", "--bin", "penstock", "--bin", "chaos"]))?;
    run(&mut command(paths::target().join("release").join("chaos"), arguments))?;
    Ok(ExitCode::SUCCESS)
}

fn measured(bench: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--package", "penstock"]))?;
    run(cargo(["run", "--release", "--locked", "--package", "penstock-bench", "--bin", bench, "--"]).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}
