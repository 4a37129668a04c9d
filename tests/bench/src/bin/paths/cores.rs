//! Who runs on which core: what is measured on the first, everything else on the second.

use std::process::Command;

use anyhow::{Context as _, ensure};

/// This process, and all that it starts without saying otherwise, runs on the second core from now on.
pub(crate) fn keep_to_the_second() -> anyhow::Result<()> {
    let own = std::process::id().to_string();
    let status =
        Command::new("taskset").args(["-a", "-c", "-p", "1", &own]).stdout(std::process::Stdio::null()).status();
    let status = status.context("`taskset` cannot be started: it belongs to util-linux")?;
    ensure!(status.success(), "this machine has no second core for the stand-in and the load generator");
    Ok(())
}

/// A command that runs on the first core. The process keeps its id: `taskset` becomes it.
pub(crate) fn on_the_first(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}
