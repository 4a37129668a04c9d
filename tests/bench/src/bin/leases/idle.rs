//! What workers cost that have nothing to do: calls, and CPU time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_bench::used_by;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::world::{World, engines};

const STREAM: &str = "idle";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 1_000)]
    shards: usize,
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How long it is watched, after the leases have come to rest.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The workers only keep their leases, and read nothing: what leases alone cost.
    #[arg(long)]
    parked: bool,
    /// Records put each second, all over the shards.
    #[arg(long, default_value_t = 0)]
    records: usize,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let engines = engines(&folder).await?;
    let mut world = World::new(&engines.endpoint_url(), STREAM, args.shards).await?;
    if args.parked {
        never_done(&world).await?;
    }
    for _ in 0..args.workers {
        world.start(args.parked)?;
    }
    world.settle().await?;
    // The first reads of all shards, and the sync after them, are not what an idle worker does.
    sleep(Duration::from_secs(10)).await;
    let (calls, used, began) = (engines.calls(), used(&world)?, Instant::now());
    busy(&world, Duration::from_secs(args.seconds), args.records).await?;
    let (hours, after) = (began.elapsed().as_secs_f64() / 3_600.0, used_since(&world, &used)?);
    print(&args, hours, &difference(&calls, &engines.calls()), after);
    drop(world);
    engines.stop().await;
    Ok(())
}

/// A lease that cannot be read keeps workers from ending when all else is read to the tip.
async fn never_done(world: &World) -> anyhow::Result<()> {
    let item = world.clients.dynamodb.put_item().table_name(STREAM);
    item.item("leaseKey", AttributeValue::S("broken".to_owned())).send().await?;
    Ok(())
}

async fn busy(world: &World, time: Duration, records: usize) -> anyhow::Result<()> {
    let (began, mut tick) = (Instant::now(), interval(Duration::from_millis(100)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < time {
        tick.tick().await;
        if records > 0 {
            world.put((records / 10).clamp(1, 500)).await?;
        }
    }
    Ok(())
}

/// CPU seconds and peak memory of each worker.
fn used(world: &World) -> anyhow::Result<BTreeMap<u32, (f64, f64)>> {
    world.workers().map(|(_, pid)| Ok((pid, used_by(pid)?))).collect()
}

/// CPU seconds of all workers since then, and the greatest peak of one.
fn used_since(world: &World, before: &BTreeMap<u32, (f64, f64)>) -> anyhow::Result<(f64, f64)> {
    let now = used(world)?;
    let mut sum = (0.0, 0.0_f64);
    for (pid, (cpu, peak)) in now {
        let (cpu_before, _) = before.get(&pid).context("a worker that was not there")?;
        sum = (sum.0 + cpu - cpu_before, sum.1.max(peak));
    }
    Ok(sum)
}

/// The benchmark's own puts are not the workers'.
fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let since = |(name, count): (&String, &u64)| (name.clone(), count - before.get(name).copied().unwrap_or(0));
    after.iter().map(since).filter(|(name, count)| *count > 0 && name != "Kinesis.PutRecords").collect()
}

fn print(args: &Args, hours: f64, calls: &[(String, u64)], (cpu, peak): (f64, f64)) {
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let (leases, seconds) = (args.shards as f64, hours * 3_600.0);
    let reading = if args.parked { ", reading nothing" } else { "" };
    println!("{} leases, {} workers{reading}, {} records/s, {seconds:.0} s", args.shards, args.workers, args.records);
    println!("CPU of all workers: {:.2} % of a core; peak memory of one: {peak:.1} MiB", 100.0 * cpu / seconds);
    println!("{:<26} {:>9} {:>14}", "calls", "a second", "a lease-hour");
    for (name, count) in calls {
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let count = *count as f64;
        println!("{name:<26} {:>9.2} {:>14.3}", count / seconds, count / hours / leases);
    }
}
