//! `penstock send` as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context;

use crate::Source;

/// A running client that writes a journal. Killed when dropped.
#[derive(Debug)]
pub struct Client {
    child: Child,
}

impl Client {
    /// Starts a client that goes on from its journal where there is one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        penstock: &Path,
        file: &Path,
        source: &Source,
        journal: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let log: PathBuf = journal.with_extension("log");
        let log = std::fs::File::options().append(true).create(true).open(log)?;
        let mut command = Command::new(penstock);
        command.arg("send").arg(file).args(["--to", &source.url, "--resume", "--journal"]).arg(journal).args(arguments);
        if let Some(key) = &source.api_key_file {
            command.arg("--api-key-file").arg(key);
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn().context("the client cannot be started")?;
        Ok(Self { child })
    }

    /// How it ended, when it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
