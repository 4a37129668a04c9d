//! How long leases are with nobody after a crash, and how long a planned end takes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::world::{World, ended, engines};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kills in all.
    #[arg(long, default_value_t = 100)]
    times: usize,
    /// Tell workers to end (SIGTERM) instead of killing them.
    #[arg(long)]
    planned: bool,
    /// Streams beside each other, each with workers of its own.
    #[arg(long, default_value_t = 5)]
    streams: usize,
    /// Shards of each stream.
    #[arg(long, default_value_t = 12)]
    shards: usize,
    /// Workers of each stream.
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Decides when workers are hit, and which.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was seen on one stream.
#[derive(Default)]
struct Seen {
    /// Seconds until each lease was with another worker.
    leases: Vec<f64>,
    /// Seconds until all leases of the worker were.
    workers: Vec<f64>,
    put: u64,
    read: u64,
    stored: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let engines = engines(&folder).await?;
    fastrand::seed(args.seed);
    let mut streams = JoinSet::new();
    for number in 0..args.streams {
        let times = args.times / args.streams + usize::from(number < args.times % args.streams);
        let world = World::new(&engines.endpoint_url(), &format!("stream-{number}"), args.shards).await?;
        streams.spawn(one_stream(world, times, args.workers, args.planned));
    }
    let mut all = Seen::default();
    while let Some(seen) = streams.join_next().await {
        let seen = seen??;
        all.leases.extend(seen.leases);
        all.workers.extend(seen.workers);
        all.put += seen.put;
        all.read += seen.read;
        all.stored += seen.stored;
    }
    let what = if args.planned { "told to end" } else { "killed" };
    println!("{} workers {what}, seed {}; seconds until leases were with others", all.workers.len(), args.seed);
    println!("{:<26} {:>7} {:>7} {:>7} {:>7} {:>7}", "", "count", "p50", "p90", "p99", "max");
    print("each lease", &mut all.leases);
    print("all leases of a worker", &mut all.workers);
    if args.planned {
        println!("records put {}, read {}, stored {}", all.put, all.read, all.stored);
        ensure!(all.put == all.read && all.put == all.stored, "records were lost, or read twice");
    }
    engines.stop().await;
    Ok(())
}

async fn one_stream(mut world: World, times: usize, workers: usize, planned: bool) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    for _ in 0..workers {
        world.start(false)?;
    }
    for _ in 0..times {
        world.settle().await?;
        seen.put += busy(&world, Duration::from_millis(fastrand::u64(500..4_000))).await?;
        let victims: Vec<_> = world.workers().map(|(id, _)| id.clone()).collect();
        let victim = &victims[fastrand::usize(..victims.len())];
        let held = world.held_by(victim).await?;
        let began = Instant::now();
        let told = if planned { Some(world.tell(victim)?) } else { world.kill(victim).map(|()| None)? };
        let after = world.gone_from(victim, held, began).await?;
        seen.workers.extend(after.last());
        seen.leases.extend(after);
        if let Some(child) = told {
            add(&mut seen, ended(child).await?);
        }
        world.start(false)?;
    }
    if planned {
        world.settle().await?;
        // Long enough for the last records to be read and committed.
        sleep(Duration::from_secs(5)).await;
        let last: Vec<_> = world.workers().map(|(id, _)| id.clone()).collect();
        for id in last {
            add(&mut seen, ended(world.tell(&id)?).await?);
        }
    }
    Ok(seen)
}

fn add(seen: &mut Seen, (read, stored): (u64, u64)) {
    seen.read += read;
    seen.stored += stored;
}

/// Puts records for some time, so that workers are hit in the middle of ranges; says how many.
async fn busy(world: &World, time: Duration) -> anyhow::Result<u64> {
    let (began, mut tick, mut put) = (Instant::now(), interval(Duration::from_millis(100)), 0);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < time {
        tick.tick().await;
        world.put(50).await?;
        put += 50;
    }
    Ok(put)
}

fn print(what: &str, seconds: &mut [f64]) {
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small"
        )]
        let place = (seconds.len() as f64 * share).ceil() as usize;
        seconds.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    };
    let (count, p50, p90, p99, max) = (seconds.len(), at(0.5), at(0.9), at(0.99), at(1.0));
    println!("{what:<26} {count:>7} {p50:>7.2} {p90:>7.2} {p99:>7.2} {max:>7.2}");
}
