//! One worker process: the real consumer on a runtime and a clock of its own.
//!
//! The runtime's time is paused: it jumps to the next timer whenever nothing is left to do. The world lets each
//! process run until its clock has reached a moment or it has sent a call, so between two moments of the world
//! nothing is missed and nobody waits. A crash drops the runtime with everything in it. A pause leaves it alone
//! while the others go on; its clock then jumps, and whatever was due meanwhile is due at once.

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesis::config::IdentityCache;
use aws_smithy_runtime::client::retries::RetryPartition;
use penstock_consumer::{Clients, ConsumerConfig, ConsumerError, Summary};
use penstock_runtime::{Aws, Health, Stop};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep_until};

use crate::Millis;
use crate::net::{Line, Sent};
use crate::sink::SimSink;

/// What becomes of a process by itself.
pub(crate) type Ended = Result<Result<Summary, ConsumerError>, tokio::task::JoinError>;

/// A running consumer.
pub(crate) struct Process {
    runtime: Runtime,
    origin: Instant,
    line: Line,
    task: JoinHandle<Result<Summary, ConsumerError>>,
    pub(crate) stop: Stop,
    /// When it was started, by the world's clock.
    pub(crate) born: Millis,
    /// How far it has come, by the world's clock.
    pub(crate) clock: Millis,
}

impl Process {
    /// Starts a consumer; `sink` is what it writes to, given the way there.
    pub(crate) fn start(
        now: Millis,
        config: ConsumerConfig,
        sink: impl FnOnce(Line) -> SimSink,
    ) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let (stop, guard) = (Stop::new(), runtime.enter());
        let origin = Instant::now();
        let line = Line::new(origin);
        let (clients, sink) = (clients(&line), sink(line.clone()));
        let task = runtime.spawn(penstock_consumer::run(config, clients, sink, stop.clone(), Health::new()));
        drop(guard);
        Ok(Self { runtime, origin, line, task, stop, born: now, clock: now })
    }

    /// Runs until the moment, or until it has sent something.
    pub(crate) fn run_until(&mut self, until: Millis) -> Vec<Sent> {
        let deadline = self.origin + Duration::from_millis(until - self.born);
        let (line, origin) = (&self.line, self.origin);
        let elapsed = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = line.stirred.notified() => {}
                () = sleep_until(deadline) => {}
            }
            origin.elapsed()
        });
        self.clock = self.born + u64::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX);
        let mut sent = self.line.take();
        for call in &mut sent {
            call.at += self.born;
        }
        sent
    }

    /// The clock jumps to the moment: nothing ran meanwhile.
    pub(crate) fn wake_up(&mut self, now: Millis) {
        let missed = Duration::from_millis(now.saturating_sub(self.clock));
        self.runtime.block_on(advance(missed));
        self.clock = now;
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        if !self.task.is_finished() {
            return None;
        }
        Some(self.runtime.block_on(&mut self.task))
    }
}

/// The product's own way to AWS, time limits and attempts included, on our connector. What the SDK shares within
/// an operating system process (the budget of retries, credentials) each of ours has for itself.
fn clients(line: &Line) -> Clients {
    let config = base().to_builder().http_client(line.clone()).identity_cache(IdentityCache::no_cache()).build();
    let budget = || RetryPartition::custom("process").build();
    let kinesis = aws_sdk_kinesis::config::Builder::from(&config).retry_partition(budget()).build();
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).retry_partition(budget()).build();
    let s3 = aws_sdk_s3::config::Builder::from(&config).retry_partition(budget()).force_path_style(true).build();
    Clients {
        kinesis: aws_sdk_kinesis::Client::from_conf(kinesis),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

fn base() -> &'static SdkConfig {
    static BASE: OnceLock<SdkConfig> = OnceLock::new();
    BASE.get_or_init(|| {
        // A thread of its own, because whoever asks may be in a runtime already.
        let load = || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(Aws::local("eu-west-1", "http://services")).config
        };
        std::thread::spawn(load).join().expect("the configuration can be loaded")
    })
}
