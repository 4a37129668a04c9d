//! Going on where somebody else stopped: a KCL application, a worker that pinned more than there is left, a
//! later version, and a stage that panicked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::gate::Refusal;
use crate::harness::{World, assert_exactly_once, eventually, ok};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_consumer::{ConsumerConfig, ConsumerError};

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kcl_applications_table_is_taken_over_in_the_middle_of_an_aggregate() {
    let world = World::start(1).await;
    let first = world.put_aggregate(ok(0..5)).await;
    world.put_aggregate(ok(5..10)).await;
    world.put(10..12).await;
    let shard = world.shards().await[0].shard_id().to_owned();
    world
        .write_lease(&[
            ("leaseKey", text(&shard)),
            ("leaseOwner", text("a KCL worker that is gone")),
            ("leaseCounter", number(7)),
            ("checkpoint", text(&first)),
            ("checkpointSubSequenceNumber", number(2)),
            ("ownerSwitchesSinceCheckpoint", number(0)),
            ("throughputKBps", AttributeValue::N("12.5".to_owned())),
            ("pendingCheckpoint", text(&first)),
            ("pendingCheckpointSubSequenceNumber", number(3)),
            ("pendingCheckpointState", AttributeValue::B(Blob::new("its own".as_bytes()))),
        ])
        .await;
    world.run_to_tip("w", world.sink()).await;
    let stored: Vec<_> = world.store.entries().into_iter().flat_map(|(_, entry)| entry.data).collect();
    assert_eq!(stored, ok(3..12).collect::<Vec<_>>());
    let start = world.store.entries()[0].0.start_exclusive.clone().unwrap();
    assert_eq!((start.sequence.as_str(), start.sub_sequence), (first.as_str(), 2));
    let lease = &world.leases().await[&shard];
    assert_eq!(lease["throughputKBps"].as_n().unwrap(), "12.5", "what is not ours stays as it is");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_never_cut_an_aggregate() {
    let world = World::start(1).await;
    for start in [0, 7, 14, 21] {
        world.put_aggregate(ok(start..start + 7)).await;
    }
    world.run_to_tip("w", world.sink().range_records(3)).await;
    assert_exactly_once(&world.store, ok(0..28));
    let ends: Vec<_> = world.store.entries().iter().map(|(range, _)| range.end_inclusive.sub_sequence).collect();
    assert_eq!(ends, [6; 4]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_pinned_range_is_applied_and_reading_goes_on() {
    let world = World::start(1).await;
    world.put(0..1).await;
    let last = world.put_aggregate(ok(1..5)).await;
    world.put(5..9).await;
    world.run_to_tip("w", world.sink()).await;
    let whole = world.store.entries()[0].0.clone();
    let shard = whole.shard.to_string();
    // As if the range had begun earlier with records that retention has deleted since.
    let recipe = world.rows().await.into_keys().find_map(|key| key.strip_prefix("penstock.recipe.").map(str::to_owned));
    let state = serde_json::json!({
        "penstock": 1,
        "first": { "sequence": last, "subSequence": 0 },
        "records": 30,
        "recipe": recipe.unwrap(),
    });
    let mut fresh = world;
    fresh.store = crate::harness::Store::default();
    fresh
        .write_lease(&[
            ("leaseKey", text(&shard)),
            ("leaseCounter", number(7)),
            ("checkpoint", text("TRIM_HORIZON")),
            ("checkpointSubSequenceNumber", number(0)),
            ("pendingCheckpoint", text(&last)),
            ("pendingCheckpointSubSequenceNumber", number(3)),
            ("pendingCheckpointState", AttributeValue::B(Blob::new(state.to_string()))),
        ])
        .await;
    fresh.run_to_tip("w", fresh.sink()).await;
    assert_exactly_once(&fresh.store, ok(1..9));
    fresh.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_a_later_version_pinned_is_not_touched() {
    let world = World::start(2).await;
    world.put(0..50).await;
    let shard = world.shards().await[0].shard_id().to_owned();
    world
        .write_lease(&[
            ("leaseKey", text(&shard)),
            ("leaseCounter", number(7)),
            ("checkpoint", text("TRIM_HORIZON")),
            ("pendingCheckpoint", text("5")),
            ("pendingCheckpointState", AttributeValue::B(Blob::new(r#"{"penstock":2}"#))),
        ])
        .await;
    let before = world.leases().await[&shard].clone();
    let running = world.run("w", world.sink().max_age(std::time::Duration::from_millis(10)));
    eventually("the other shard is read", async || world.store.records() > 0).await;
    running.drain().await;
    assert_eq!(world.leases().await[&shard], before);
    assert!(world.store.entries().iter().all(|(range, _)| range.shard.as_str() != shard));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_panics_ends_the_consumer_and_loses_nothing() {
    let world = World::start(1).await;
    world.put(0..100).await;
    let sink = world.sink().range_records(30);
    sink.faults.panic.store(true, Ordering::Relaxed);
    let outcome = world.run("w", sink).outcome().await;
    assert!(matches!(outcome, Err(ConsumerError::Panicked { shard: Some(_) })), "{outcome:?}");
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..100));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_does_its_work_once_though_another_worker_is_to_have_the_lease() {
    let world = World::start(2).await;
    world.put(0..100).await;
    let patience = Duration::from_millis(300);
    let age = Duration::from_millis(50);
    let slow = world.sink().range_records(10).max_age(age);
    let faults = Arc::clone(&slow.faults);
    faults.hang.store(true, Ordering::Relaxed);
    let first = world.run_with(ConsumerConfig { drain_limit: patience, ..world.config("first") }, slow);
    eventually("a range of each shard is pinned", async || pinned(&world).await == 2).await;
    let second = world.run("second", world.sink().range_records(10).max_age(age));
    eventually("the second worker is there", async || {
        world.rows().await.keys().any(|key| key == "penstock.worker.second")
    })
    .await;
    // A dozen of the first one's rounds: it finds out that it has one lease too many, and would lose patience, if it had any.
    let then = beats(&world, "first").await + 12;
    eventually("the first worker has looked around", async || beats(&world, "first").await >= then).await;
    faults.hang.store(false, Ordering::Relaxed);
    eventually("each has a lease", async || owners(&world).await == ["first", "second"]).await;
    eventually("all is stored", async || world.store.records() == 100).await;
    first.drain().await;
    second.drain().await;
    assert_exactly_once(&world.store, ok(0..100));
    assert_eq!(world.store.repetitions(), 0, "work that was done had to be done again");
    assert!(faults.pushed.load(Ordering::Relaxed) <= 100, "records were read again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_a_worker_that_crashed_are_taken_while_the_shards_cannot_be_listed() {
    let world = World::start(2).await;
    world.put(0..20).await;
    let stuck = world.sink();
    stuck.faults.hang.store(true, Ordering::Relaxed);
    let first = world.run("first", stuck);
    eventually("the first worker has all", async || owners(&world).await == ["first", "first"]).await;
    first.crash().await;
    let gate = world.gate().await;
    gate.refuse("ListShards", Refusal::Error(400, "AccessDeniedException"), u32::MAX);
    let second = world.run_through(&gate, world.config("second"), world.sink()).await;
    eventually("the second worker has all", async || owners(&world).await == ["second", "second"]).await;
    second.crash().await;
    world.run_to_tip("third", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..20));
    world.stop().await;
}

async fn pinned(world: &World) -> usize {
    world.leases().await.values().filter(|lease| lease.contains_key("pendingCheckpoint")).count()
}

/// How often the worker's heartbeat has moved. It moves once a round.
async fn beats(world: &World, worker: &str) -> u64 {
    let rows = world.rows().await;
    rows[&format!("penstock.worker.{worker}")]["heartbeat"].as_n().unwrap().parse().unwrap()
}

/// The owners of all leases, sorted.
async fn owners(world: &World) -> Vec<String> {
    let owner = |lease: &BTreeMap<String, AttributeValue>| lease.get("leaseOwner")?.as_s().ok().cloned();
    let mut owners: Vec<_> = world.leases().await.values().filter_map(owner).collect();
    owners.sort();
    owners
}
