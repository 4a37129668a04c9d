//! `penstock run` as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use penstock_conformance::free_ports;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

/// How long a server may take to answer, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Where and how a server runs. The ports stay the same over restarts, so that a client finds it again.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The `penstock` command.
    pub penstock: PathBuf,
    /// The Pipeline.
    pub pipeline: PathBuf,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The port of the engines.
    pub engine_port: u16,
    /// The port of the source.
    pub http_port: u16,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// How many files the server may have open unless it asks for more; that of this process by default.
    pub open_files: Option<u32>,
}

impl ServerOptions {
    /// On free ports.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn new(penstock: &Path, pipeline: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            penstock: penstock.to_owned(),
            pipeline: pipeline.to_owned(),
            data_dir: data_dir.to_owned(),
            engine_port: free_ports(1)?,
            // The source has one, and the API the next.
            http_port: free_ports(2)?,
            arguments: Vec::new(),
            open_files: None,
        })
    }

    /// The command, without what says when to end.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = match self.open_files {
            None => Command::new(&self.penstock),
            Some(files) => {
                let mut shell = Command::new("sh");
                // The shell becomes the server, so that the process keeps its id.
                shell.arg("-c").arg(format!("ulimit -S -n {files}; exec \"$0\" \"$@\"")).arg(&self.penstock);
                shell
            }
        };
        command
            .arg("run")
            .arg(&self.pipeline)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--engine-port", &self.engine_port.to_string()])
            .args(["--http-port", &self.http_port.to_string(), "--admin-port", "0", "--page-port", "0"])
            .args(&self.arguments);
        command
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// What the ready file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The endpoint of the engines.
    #[serde(rename = "awsEndpointURL")]
    pub aws_endpoint_url: String,
    /// The region.
    pub region: String,
    /// The sources.
    pub sources: Vec<Source>,
    /// The query APIs.
    #[serde(default)]
    pub apis: Vec<Source>,
    /// The streams.
    pub streams: Vec<String>,
    /// The page.
    #[serde(rename = "pageURL")]
    pub page_url: String,
    /// The base URL of each stage's `/readyz` and `/metrics`.
    pub admin: std::collections::BTreeMap<String, String>,
}

/// A source or an api in the ready file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Where to post or to ask.
    pub url: String,
    /// The file of an API key.
    pub api_key_file: Option<PathBuf>,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// What its ready file says.
    pub ready: Ready,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub fn start(options: &ServerOptions) -> anyhow::Result<Self> {
        let ready_file = options.data_dir.with_extension("ready.json");
        if ready_file.exists() {
            fs::remove_file(&ready_file)?;
        }
        let log = fs::File::options().append(true).create(true).open(options.data_dir.with_extension("log"))?;
        let mut child = options
            .command()
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the server cannot be started")?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(options.data_dir.with_extension("log")).unwrap_or_default();
                bail!("the server ended with {status} before it was ready: {}", last_lines(&log));
            }
            if let Ok(text) = fs::read_to_string(&ready_file) {
                let ready = serde_json::from_str(&text).context("the ready file cannot be read")?;
                return Ok(Self { child, ready });
            }
            if began.elapsed() > START {
                child.kill()?;
                bail!("the server was not ready after {START:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// Asks it to drain and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn drain(mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the process id is out of range")?;
        kill_process(pid, Signal::TERM)?;
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server did not end within {within:?} of SIGTERM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
