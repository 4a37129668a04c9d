//! A stream that is deleted and created again under its name: all that is in the new one is stored, once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{World, assert_stored_once, eventually, ok};
use penstock_api::plan::StartAt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_have_ended_and_shards_that_are_being_read_give_way_to_those_of_the_new_stream() {
    let world = World::start(2).await;
    world.put(0..100).await;
    let sink = || world.sink().range_records(10).max_age(Duration::from_millis(20));
    let (a, b) = (world.run("a", sink()), world.run("b", sink()));
    world.split(&world.open_shards().await[0]).await;
    world.put(100..200).await;
    eventually("the old stream is stored", async || world.store.records() == 200).await;
    eventually("its first shard has ended", async || {
        world.leases().await.values().any(|row| row["checkpoint"].as_s().unwrap() == "SHARD_END")
    })
    .await;
    world.recreate(2).await;
    world.put(200..300).await;
    world.split(&world.open_shards().await[0]).await;
    world.put(300..400).await;
    eventually("the new stream is stored", async || world.store.records() == 400).await;
    // Either may end first; the other has to see to what the one leaves.
    a.drain().await;
    b.at_tip().await;
    assert_stored_once(&world.store, ok(0..400));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_created_again_while_nobody_looked_is_read_from_its_begin() {
    let world = World::start(1).await;
    world.put(0..50).await;
    world.split(&world.open_shards().await[0]).await;
    world.put(50..100).await;
    world.run_to_tip("w", world.sink()).await;
    world.recreate(1).await;
    world.put(100..150).await;
    let mut config = world.config("w");
    // It began long ago, so this is not its start.
    config.start_at = StartAt::Latest;
    world.run_with(config, world.sink()).at_tip().await;
    assert_stored_once(&world.store, ok(0..150));
    let (leases, shards) = (world.leases().await, world.shards().await);
    assert_eq!(leases.len(), shards.len(), "leases of the old shards are gone: {leases:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_of_the_old_stream_and_not_stored_yet_is_stored() {
    let world = World::start(1).await;
    world.put(0..30).await;
    let sink = world.sink().range_records(1_000);
    let faults = std::sync::Arc::clone(&sink.faults);
    let running = world.run("w", sink);
    eventually("the records are read", async || faults.pushed.load(Ordering::Relaxed) == 30).await;
    assert_eq!(world.store.records(), 0);
    world.recreate(1).await;
    world.put(30..60).await;
    eventually("the records of the new stream are read", async || faults.pushed.load(Ordering::Relaxed) == 60).await;
    running.drain().await;
    assert_stored_once(&world.store, ok(0..60));
    world.stop().await;
}
