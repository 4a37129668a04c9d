//! `penstock local-aws` as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::penstock;

/// How long it may take to answer, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// What stands before the endpoint in what it prints.
const ANNOUNCEMENT: &str = "answer at ";

/// How the engines are started.
#[derive(Debug, Clone)]
pub struct LocalAwsOptions {
    /// The data folder.
    pub data_dir: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, PathBuf)>,
}

impl LocalAwsOptions {
    /// As people start them, on a free port.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// The command.
    ///
    /// # Errors
    /// When there is no `penstock`.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(penstock()?);
        command
            .args(["local-aws", "--listen", "127.0.0.1:0", "--region", "eu-west-1", "--data-dir"])
            .arg(&self.data_dir)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        Ok(command)
    }
}

/// Running engines. Killed when dropped.
#[derive(Debug)]
pub struct LocalAws {
    child: Child,
    endpoint: String,
}

impl LocalAws {
    /// Starts the engines and waits until they say where they answer.
    ///
    /// # Errors
    /// When they end or do not answer in time.
    pub fn start(options: &LocalAwsOptions) -> anyhow::Result<Self> {
        let log = options.data_dir.with_extension("log");
        let errors = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child =
            options.command()?.stdout(Stdio::null()).stderr(errors).spawn().context("the engines cannot be started")?;
        let began = Instant::now();
        loop {
            let printed = fs::read_to_string(&log)?;
            if let Some(endpoint) = announced(&printed) {
                return Ok(Self { child, endpoint });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the engines ended with {status}: {printed}");
            }
            if began.elapsed() > START {
                child.kill()?;
                bail!("the engines did not answer after {START:?}: {printed}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The endpoint, as in `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills them with SIGKILL and waits until they are gone.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The endpoint in a line that has been printed to its end.
fn announced(printed: &str) -> Option<String> {
    let (_, rest) = printed.split_once(ANNOUNCEMENT)?;
    let (endpoint, _) = rest.split_once('\n')?;
    Some(endpoint.trim().to_owned())
}
