//! `penstock stage` as a process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What a stage's process is started with.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// The `penstock` command.
    pub penstock: PathBuf,
    /// The stage's configuration, as `penstock render` prints it.
    pub config: Value,
    /// What it takes for AWS.
    pub endpoint: String,
    /// Its name among the workers of its sink.
    pub worker: String,
    /// Where a source listens.
    pub listen: String,
    /// The folder with a folder for each Secret.
    pub secrets: PathBuf,
    /// The folder for its configuration file and its log.
    pub folder: PathBuf,
}

/// A running stage. Killed when dropped.
#[derive(Debug)]
pub struct Stage {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Stage {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(options: &StageOptions) -> anyhow::Result<Self> {
        let mut config = options.config.clone();
        config["aws"]["endpointURL"] = options.endpoint.as_str().into();
        let file = options.folder.join(format!("{}.json", options.worker));
        fs::write(&file, config.to_string()).with_context(|| format!("{} cannot be written", file.display()))?;
        let log = options.folder.join(format!("{}.log", options.worker));
        let lines = File::options().append(true).create(true).open(&log)?;
        let child = Command::new(&options.penstock)
            .args(["stage", "--admin", "127.0.0.1:0", "--worker-id", &options.worker, "--listen", &options.listen])
            .arg("--config")
            .arg(&file)
            .arg("--secrets-dir")
            .arg(&options.secrets)
            .envs([("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")])
            .env("PENSTOCK_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(lines)
            .spawn()
            .context("the stage cannot be started")?;
        Ok(Self { name: options.worker.clone(), child, log })
    }

    /// Fails when it has ended, which no stage does by itself.
    ///
    /// # Errors
    /// With how it ended.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended with {status}; see {}", self.name, self.log.display()),
            None => Ok(()),
        }
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

    /// Stops it in the middle of whatever it does, as a machine that swaps or a hypervisor that moves it would.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to drain, as Kubernetes does.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn ask_to_drain(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn ended(mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} did not end within {within:?} of SIGTERM; see {}", self.name, self.log.display())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the process id is out of range")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The stages of a Pipeline with their configurations, as `penstock render` prints them.
///
/// # Errors
/// When the command fails.
pub fn rendered(penstock: &Path, pipeline: &Path) -> anyhow::Result<Vec<Value>> {
    let output =
        Command::new(penstock).arg("render").arg(pipeline).args(["--output", "json"]).output().context("penstock")?;
    if !output.status.success() {
        bail!("penstock render failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let rendered: Value = serde_json::from_slice(&output.stdout)?;
    Ok(rendered["stages"].as_array().cloned().unwrap_or_default())
}
