//! The processes of a run, each behind a gate of its own.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;
use tokio::runtime::Handle;

use crate::proxy::{Counts, Gate, Schedule};
use crate::stage::{Stage, StageOptions};

const SIGTERM: i32 = Signal::TERM.as_raw();
/// How long a process may take to end after it was asked to drain, while its services still fail.
const DRAIN: Duration = Duration::from_secs(90);

/// A process that is started again whenever it was killed.
#[derive(Debug)]
pub(super) struct Process {
    options: StageOptions,
    name: String,
    generation: u32,
    gate: Gate,
    running: Option<Stage>,
    /// Frozen until then.
    thaws: Option<Instant>,
}

impl Process {
    /// Starts it behind a gate in front of the engines.
    pub(super) fn start(handle: &Handle, mut options: StageOptions, schedule: Schedule) -> anyhow::Result<Self> {
        let gate = handle.block_on(Gate::to_aws(&options.endpoint, schedule))?;
        options.endpoint = gate.endpoint().to_owned();
        let running = Some(Stage::start(&options)?);
        Ok(Self { name: options.worker.clone(), options, generation: 0, gate, running, thaws: None })
    }

    /// Kills it and starts it again; as a worker of another name when it is renamed.
    pub(super) fn kill(&mut self, renamed: bool) -> anyhow::Result<()> {
        self.running.take().map_or(Ok(()), Stage::kill)?;
        self.thaws = None;
        if renamed {
            self.generation += 1;
            self.options.worker = format!("{}-{}", self.name, self.generation);
        }
        self.running = Some(Stage::start(&self.options)?);
        Ok(())
    }

    /// Stops it in the middle of whatever it does.
    pub(super) fn freeze(&mut self, until: Instant) -> anyhow::Result<()> {
        self.thaws = Some(until);
        self.stage()?.freeze()
    }

    /// Lets it go on when its time has come, and sees to it that it still runs.
    pub(super) fn look(&mut self, now: Instant) -> anyhow::Result<()> {
        if self.thaws.is_some_and(|thaws| thaws <= now) {
            self.thaws = None;
            self.stage()?.thaw()?;
        }
        self.stage()?.must_run()
    }

    /// Asks it to drain.
    pub(super) fn ask_to_drain(&mut self) -> anyhow::Result<()> {
        if self.thaws.take().is_some() {
            self.stage()?.thaw()?;
        }
        self.stage()?.ask_to_drain()
    }

    /// Waits until it has drained.
    pub(super) fn drained(&mut self) -> anyhow::Result<()> {
        let status = self.running.take().context("the process was never started")?.ended(DRAIN)?;
        // One that was started a moment ago cannot catch signals yet; it has done nothing either.
        let is_too_young = status.signal() == Some(SIGTERM);
        anyhow::ensure!(
            status.success() || is_too_young,
            "{} was asked to drain and ended with {status}",
            self.options.worker
        );
        Ok(())
    }

    /// The faults that it met.
    pub(super) fn counts(&self) -> Counts {
        self.gate.counts()
    }

    fn stage(&mut self) -> anyhow::Result<&mut Stage> {
        self.running.as_mut().context("the process was never started")
    }
}
