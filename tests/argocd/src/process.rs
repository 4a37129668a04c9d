//! A program of Argo CD's that runs beside the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use penstock_control_plane::eventually;
use tokio::net::TcpStream;

/// How much of its log a failure shows.
const LAST_LINES: usize = 8;

/// It is killed when it is dropped, and ends by itself when this process does.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes into a file of the folder, which it takes with it when this process ends first.
    pub(crate) fn start(mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_owned();
        let log = folder.join(name).with_extension("log");
        let output = File::create(&log)?;
        command.env("PENSTOCK_ARGOCD_FOLDER", folder);
        // Held open by this process: its end is how the program learns of ours.
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    /// Waits until it answers at a port.
    pub(crate) async fn listens(&mut self, port: u16) -> anyhow::Result<()> {
        let what = format!("{} listens", self.log.display());
        let listens = eventually(&what, async || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Err(status));
            }
            TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Ok(()))
        });
        if let Err(status) = listens.await? {
            bail!("it ended with {status}: {}", self.said());
        }
        Ok(())
    }

    /// The last that it said.
    pub(crate) fn said(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
