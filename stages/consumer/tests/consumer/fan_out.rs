//! Reading as a registered consumer: the same records, once, through all that ends subscriptions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{Running, TestSink, World, assert_exactly_once, assert_stored_once, eventually, ok};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::{Consumer, ConsumerStatus, ShardIteratorType, StartingPosition};
use penstock_consumer::{ConsumerConfig, FanOut};

const CONSUMER: &str = "shop.ecommerce.tables";

fn config(world: &World, worker: &str) -> ConsumerConfig {
    ConsumerConfig { fan_out: Some(FanOut::new(CONSUMER.to_owned())), ..world.config(worker) }
}

/// A sink that stores soon.
fn sink(world: &World) -> TestSink {
    world.sink().max_age(Duration::from_millis(20))
}

fn run(world: &World, worker: &str) -> Running {
    world.run_with(config(world, worker), sink(world))
}

async fn stored(world: &World, records: usize) {
    eventually("the records are stored", async || world.store.records() == records).await;
}

async fn consumers(world: &World) -> Vec<Consumer> {
    let arn = world.stream_arn().await;
    let answer = world.clients.kinesis.list_stream_consumers().stream_arn(arn).send().await.unwrap();
    answer.consumers().to_vec()
}

/// Subscribes as somebody else, as soon as that is possible.
async fn subscribe(world: &World, consumer: &str, shard: &str) -> SubscribeToShardOutput {
    let insist = async {
        loop {
            let from = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build().unwrap();
            let request = world.clients.kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id(shard);
            match request.starting_position(from).send().await {
                Ok(subscribed) => return subscribed,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), insist).await.expect("somebody else can subscribe")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_registers_itself_and_is_pushed_every_record_once() {
    let world = World::start(3).await;
    world.put(0..300).await;
    let running = run(&world, "w");
    stored(&world, 300).await;
    world.put(300..500).await;
    stored(&world, 500).await;
    let there = consumers(&world).await;
    assert_eq!(there.iter().map(Consumer::consumer_name).collect::<Vec<_>>(), [CONSUMER]);
    assert_eq!(there[0].consumer_status(), &ConsumerStatus::Active);
    running.drain().await;
    assert_exactly_once(&world.store, ok(0..500));
    assert_eq!(consumers(&world).await.len(), 1, "other processes may read as it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_alone_takes_its_registration_away_at_the_end_and_no_other() {
    let world = World::start(1).await;
    world.put(0..10).await;
    let alone = |world: &World| {
        let mut config = config(world, "w");
        config.fan_out.as_mut().unwrap().deregister = true;
        config
    };
    let running = world.run_with(alone(&world), sink(&world));
    stored(&world, 10).await;
    running.drain().await;
    assert_eq!(consumers(&world).await, []);
    let arn = world.stream_arn().await;
    world.clients.kinesis.register_stream_consumer().stream_arn(arn).consumer_name(CONSUMER).send().await.unwrap();
    let running = world.run_with(alone(&world), sink(&world));
    world.put(10..20).await;
    stored(&world, 20).await;
    running.drain().await;
    assert_eq!(consumers(&world).await.len(), 1, "it was there before");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_through_a_reshard_comes_in_order_of_the_lineage() {
    let world = World::start(2).await;
    let running = run(&world, "w");
    world.put(0..200).await;
    let shards = world.open_shards().await;
    world.split(&shards[0]).await;
    world.put(200..400).await;
    let mut open = world.open_shards().await;
    open.sort_by_key(|shard| shard.hash_key_range().unwrap().starting_hash_key().parse::<u128>().unwrap());
    world.merge(&open[1], &open[2]).await;
    world.put(400..600).await;
    stored(&world, 600).await;
    // The rest of the ends may still be on their way.
    let summary = running.at_tip().await;
    assert_exactly_once(&world.store, ok(0..600));
    assert_eq!(summary.shards.values().filter(|shard| shard.ended).count(), 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_renewed_misses_nothing() {
    let world = World::start(1).await;
    let mut config = config(&world, "w");
    // Soon after it may be: the engine refuses a second one for five seconds.
    config.fan_out.as_mut().unwrap().renew_after = Duration::from_millis(5_200);
    let running = world.run_with(config, sink(&world));
    let begin = tokio::time::Instant::now();
    let mut put = 0;
    // Two renewals, with records coming all the time.
    while begin.elapsed() < Duration::from_secs(12) {
        world.put(put..put + 5).await;
        put += 5;
        stored(&world, usize::try_from(put).unwrap()).await;
    }
    running.drain().await;
    assert_exactly_once(&world.store, ok(0..put));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_somebody_else_has_is_taken_over_and_taken_back() {
    let world = World::start(1).await;
    world.put(0..20).await;
    let arn = world.stream_arn().await;
    let kinesis = &world.clients.kinesis;
    let registered = kinesis.register_stream_consumer().stream_arn(&arn).consumer_name(CONSUMER).send().await.unwrap();
    let consumer = registered.consumer().unwrap().consumer_arn().to_owned();
    let shard = world.shards().await[0].shard_id().to_owned();
    let mut other = subscribe(&world, &consumer, &shard).await;
    // As a worker that has lost its lease and does not know it yet.
    let running = run(&world, "w");
    stored(&world, 20).await;
    let over = async { while let Ok(Some(_)) = other.event_stream.recv().await {} };
    tokio::time::timeout(Duration::from_secs(60), over).await.expect("the other subscription is over");
    let _other = subscribe(&world, &consumer, &shard).await;
    world.put(20..40).await;
    stored(&world, 40).await;
    running.drain().await;
    assert_exactly_once(&world.store, ok(0..40));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_goes_from_worker_to_worker_and_crashes_cost_nothing() {
    let world = World::start(2).await;
    world.put(0..200).await;
    let a = run(&world, "a");
    stored(&world, 200).await;
    a.crash().await;
    world.put(200..300).await;
    let b = run(&world, "b");
    world.put(300..400).await;
    stored(&world, 400).await;
    let c = run(&world, "c");
    eventually("both have a lease", async || {
        let owners = world.leases().await.into_values().filter_map(|row| row.get("leaseOwner")?.as_s().ok().cloned());
        owners.collect::<std::collections::BTreeSet<_>>().len() == 2
    })
    .await;
    world.put(400..500).await;
    stored(&world, 500).await;
    b.drain().await;
    world.put(500..600).await;
    stored(&world, 600).await;
    c.drain().await;
    assert_exactly_once(&world.store, ok(0..600));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_changes_from_polling_to_fan_out_and_back_on_the_same_leases() {
    let world = World::start(2).await;
    world.put(0..100).await;
    world.run_to_tip("w", world.sink()).await;
    let running = run(&world, "w");
    world.put(100..200).await;
    stored(&world, 200).await;
    // Ranges that are pinned are read again by asking, while the shard's subscription belongs to nobody or somebody.
    running.crash().await;
    let pushed = sink(&world).range_records(10);
    pushed.faults.hang.store(true, Ordering::Relaxed);
    let running = world.run_with(config(&world, "w"), pushed);
    world.put(200..300).await;
    eventually("a range is pinned", async || {
        world.leases().await.values().any(|row| row.contains_key("pendingCheckpoint"))
    })
    .await;
    running.crash().await;
    let running = run(&world, "w");
    world.put(300..400).await;
    stored(&world, 400).await;
    running.drain().await;
    world.put(400..500).await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..500));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_slow_pushes_back_and_keeps_its_lease() {
    let world = World::start(1).await;
    let mut config = config(&world, "w");
    config.prefetch_bytes = 4 << 10;
    // Ranges are closed when they are full, however slow the machine is.
    let slow = world.sink().range_records(100);
    slow.faults.hang.store(true, Ordering::Relaxed);
    let faults = std::sync::Arc::clone(&slow.faults);
    // Some 5 MB: more than is read ahead, and than waits in the connection.
    let filler = "x".repeat(5_000);
    let data: Vec<_> = (0..1_000).map(|n| format!("ok-{n}-{filler}")).collect();
    for chunk in data.chunks(100) {
        world.put_all(chunk).await;
    }
    let running = world.run_with(config, slow);
    eventually("ranges wait", async || faults.pushed.load(Ordering::Relaxed) >= 200).await;
    let before = world.leases().await;
    // Longer than the failover: an owner that did not live would lose its lease by now.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.leases().await, before);
    assert!(faults.pushed.load(Ordering::Relaxed) <= 300, "it reads on although nothing is stored");
    faults.hang.store(false, Ordering::Relaxed);
    stored(&world, 1_000).await;
    running.drain().await;
    assert_exactly_once(&world.store, data);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_somebody_takes_away_is_made_again() {
    let world = World::start(1).await;
    let running = run(&world, "w");
    world.put(0..10).await;
    stored(&world, 10).await;
    // With the stream it goes, too.
    world.recreate(1).await;
    world.put(10..20).await;
    stored(&world, 20).await;
    assert_eq!(consumers(&world).await.len(), 1);
    running.drain().await;
    assert_stored_once(&world.store, ok(0..20));
    world.stop().await;
}
