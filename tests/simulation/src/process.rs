//! One worker process: the real consumer on a runtime and a clock of its own.
//!
//! The runtime's time is paused: it jumps to the next timer whenever nothing is left to do. The world lets each
//! process run until its clock has reached a moment or it has sent a call, so between two moments of the world
//! nothing is missed and nobody waits. A crash drops the runtime with everything in it. A pause leaves it alone
//! while the others go on; its clock then jumps, and whatever was due meanwhile is due at once.
//!
//! A process's clock may go faster or slower than the world's, and the time of day that its machine tells may be wrong.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_sdk_kinesis::config::IdentityCache;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime::client::retries::RetryPartition;
use fastrand::Rng;
use penstock_consumer::{Clients, ConsumerConfig, ConsumerError, Summary};
use penstock_runtime::{Aws, Health, Stop};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep_until};

use crate::Millis;
use crate::kinesis::EPOCH;
use crate::net::{Line, Sent};
use crate::sink::SimSink;

/// How the clocks of a process go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Of its monotonic clock, while a hundred milliseconds pass in the world.
    percent: Millis,
    /// By how much the machine's time of day is ahead, in milliseconds.
    pub(crate) wall_error: i64,
}

impl Clock {
    /// As the world's.
    pub(crate) fn right() -> Self {
        Self { percent: 100, wall_error: 0 }
    }

    /// Up to a tenth too fast or too slow, and hours off.
    pub(crate) fn wrong(luck: &mut Rng) -> Self {
        const HOURS: i64 = 3_600_000;
        Self { percent: luck.u64(90..=110), wall_error: luck.i64(-12 * HOURS..12 * HOURS) }
    }

    /// How much has passed by this clock when so much has in the world.
    fn own(self, world: Millis) -> Millis {
        world * self.percent / 100
    }

    /// When so much has passed by this clock: the first moment of which that is true.
    fn world(self, own: Millis) -> Millis {
        (own * 100).div_ceil(self.percent)
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clock at {} %, time of day {} s off", self.percent, self.wall_error / 1000)
    }
}

/// The time of day as a machine tells it.
#[derive(Debug)]
struct TimeOfDay {
    /// When the process was started, by this clock.
    born: SystemTime,
    origin: Instant,
}

impl TimeSource for TimeOfDay {
    fn now(&self) -> SystemTime {
        self.born + self.origin.elapsed()
    }
}

/// What becomes of a process by itself.
pub(crate) type Ended = Result<Result<Summary, ConsumerError>, tokio::task::JoinError>;

/// A running consumer.
pub(crate) struct Process {
    runtime: Runtime,
    origin: Instant,
    line: Line,
    task: JoinHandle<Result<Summary, ConsumerError>>,
    pub(crate) rate: Clock,
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
        rate: Clock,
        config: ConsumerConfig,
        sink: impl FnOnce(Line) -> SimSink,
    ) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let (stop, guard) = (Stop::new(), runtime.enter());
        let origin = Instant::now();
        let line = Line::new(origin);
        let born = EPOCH.saturating_add(now).saturating_add_signed(rate.wall_error);
        let time_of_day = TimeOfDay { born: UNIX_EPOCH + Duration::from_millis(born), origin };
        let (clients, sink) = (clients(&line, time_of_day), sink(line.clone()));
        let task = runtime.spawn(penstock_consumer::run(config, clients, sink, stop.clone(), Health::new()));
        drop(guard);
        Ok(Self { runtime, origin, line, task, rate, stop, born: now, clock: now })
    }

    /// Runs until the moment, or until it has sent something.
    pub(crate) fn run_until(&mut self, until: Millis) -> Vec<Sent> {
        let deadline = self.origin + Duration::from_millis(self.rate.own(until - self.born));
        let (line, origin) = (&self.line, self.origin);
        let (elapsed, mut sent) = loop {
            let elapsed = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = line.stirred.notified() => {}
                    () = sleep_until(deadline) => {}
                }
                origin.elapsed()
            });
            let sent = line.take();
            // Who sends two calls at once stirs once more than it should.
            if !sent.is_empty() || origin + elapsed >= deadline {
                break (elapsed, sent);
            }
        };
        let before = self.clock;
        let world = |own| (self.born + self.rate.world(own)).clamp(before, until);
        for call in &mut sent {
            call.at = world(call.at);
        }
        // Whoever has sent nothing has come as far as it was let.
        self.clock = if sent.is_empty() { until } else { world(millis(elapsed)) };
        sent
    }

    /// The clock jumps to the moment: nothing ran meanwhile.
    pub(crate) fn wake_up(&mut self, now: Millis) {
        let (own, origin) = (self.rate.own(now - self.born), self.origin);
        self.runtime.block_on(async {
            advance(Duration::from_millis(own.saturating_sub(millis(origin.elapsed())))).await;
        });
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
fn clients(line: &Line, time_of_day: TimeOfDay) -> Clients {
    let config = base().to_builder().http_client(line.clone()).identity_cache(IdentityCache::no_cache());
    let config = config.time_source(time_of_day).build();
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

fn millis(elapsed: Duration) -> Millis {
    u64::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX)
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
