//! Processes of this machine, as `/proc` shows them, and running commands.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one that has its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) id: u32,
    /// In ticks since the machine's start.
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn now(id: u32) -> Option<Self> {
        let (_, started) = parent_and_start(id)?;
        Some(Self { id, started })
    }

    /// The first child of the process with this number.
    pub(crate) fn child_of(parent: u32) -> Option<Self> {
        let ids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter_map(|id| Some((id, parent_and_start(id)?)))
            .find(|(_, (its_parent, _))| *its_parent == parent)
            .map(|(id, (_, started))| Self { id, started })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::now(self.id) == Some(self)
    }

    /// Kills it, unless it has ended.
    pub(crate) fn kill(self) -> anyhow::Result<()> {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw).context("the process id is out of range")?;
        if self.is_alive() {
            kill_process(id, Signal::KILL).with_context(|| format!("process {} cannot be killed", self.id))?;
        }
        Ok(())
    }
}

/// Of a process that has not ended. The name, in brackets, may hold anything.
fn parent_and_start(id: u32) -> Option<(u32, u64)> {
    let stat = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    (!ended).then_some(())?;
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Runs the command to its end; gives what it printed.
///
/// # Errors
/// When it cannot be started or does not end well, with what it said.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("{} cannot be started", shown(command)))?;
    if !status.success() {
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        bail!("`{}` ended with {status}: {} {}", shown(command), err.trim(), out.trim());
    }
    String::from_utf8(stdout).with_context(|| format!("`{}` printed something that is no text", shown(command)))
}

/// Without what brings it into a cluster.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
