//! Records that were put again: they count once, whoever reads them, and whatever happens meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::harness::{Running, TestSink, World, eventually};
use penstock_consumer::{ConsumerConfig, RepeatWindow};

fn window() -> RepeatWindow {
    RepeatWindow { id_field: "_id".to_owned(), millis: 600_000, records: 100_000 }
}

fn config(world: &World, worker: &str) -> ConsumerConfig {
    ConsumerConfig { repeats: Some(window()), ..world.config(worker) }
}

fn run(world: &World, worker: &str, sink: TestSink) -> Running {
    world.run_with(config(world, worker), sink)
}

/// The records of these ids. The partition key is made of the data, so a repeat goes to the shard of the first.
fn rows(ids: Range<u64>) -> Vec<String> {
    ids.map(|id| format!(r#"{{"_id":"{id}"}}"#)).collect()
}

/// How often each record is stored.
fn stored(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for data in world.store.entries().into_iter().flat_map(|(_, entry)| entry.data) {
        *counts.entry(data).or_default() += 1;
    }
    counts
}

#[track_caller]
fn assert_each_once(world: &World, ids: Range<u64>) {
    let expected: BTreeMap<_, _> = rows(ids).into_iter().map(|row| (row, 1)).collect();
    let found = stored(world);
    let missing: Vec<_> = expected.keys().filter(|row| !found.contains_key(*row)).collect();
    let wrong: Vec<_> = found.iter().filter(|(row, count)| expected.get(*row) != Some(*count)).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing {missing:?}, not once {wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_again_is_stored_once() {
    // Of one shard, since an aggregate goes to the shard of its first member.
    let world = World::start(1).await;
    world.put_all(&rows(0..200)).await;
    world.put_all(&rows(100..300)).await;
    world.put_aggregate(rows(0..10)).await;
    let summary = run(&world, "w", world.sink()).at_tip().await;
    assert_each_once(&world, 0..300);
    assert_eq!(summary.repeats(), 110);
    assert_eq!(summary.records_read(), 410);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_over_knows_what_was_stored_before() {
    let world = World::start(1).await;
    world.put_all(&rows(0..120)).await;
    run(&world, "a", world.sink()).at_tip().await;
    world.put_all(&rows(60..180)).await;
    let summary = run(&world, "b", world.sink()).at_tip().await;
    assert_each_once(&world, 0..180);
    assert_eq!((summary.records_read(), summary.repeats(), summary.records_applied()), (120, 60, 60));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_nothing_but_repeats_moves_the_checkpoint_and_is_not_applied() {
    let world = World::start(1).await;
    world.put_all(&rows(0..50)).await;
    world.put_all(&rows(0..50)).await;
    let summary = run(&world, "a", world.sink().range_records(50)).at_tip().await;
    assert_eq!((summary.ranges(), summary.repeats(), world.store.entries().len()), (2, 50, 1));
    let again = run(&world, "b", world.sink()).at_tip().await;
    assert_eq!(again.records_read(), 0);
    assert_each_once(&world, 0..50);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_without_end_do_not_keep_a_range_open() {
    let world = World::start(1).await;
    world.put_aggregate(rows(0..10)).await;
    for _ in 0..4 {
        world.put_aggregate((0..800).flat_map(|_| rows(0..10))).await;
    }
    let summary = run(&world, "w", world.sink().range_records(1_000_000)).at_tip().await;
    assert_eq!((summary.records_read(), summary.repeats()), (32_010, 32_000));
    assert_eq!(summary.ranges(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_range_leaves_out_the_same_after_a_crash() {
    let world = World::start(1).await;
    world.put_all(&rows(0..40)).await;
    run(&world, "a", world.sink()).at_tip().await;
    world.put_all(&rows(20..60)).await;
    world.put_all(&rows(50..70)).await;
    // Its effect is made, and its answer is lost: the range stays pinned.
    let sink = world.sink().range_records(30);
    sink.faults.applies.store(1_000_001, Ordering::Relaxed);
    let crashing = run(&world, "b", sink);
    eventually("the range is applied", async || stored(&world).len() == 70).await;
    crashing.crash().await;
    let summary = run(&world, "c", world.sink()).at_tip().await;
    // The store has checked that the range had the same records again.
    assert_eq!(world.store.entries().len(), 2);
    assert_eq!((summary.records_read(), summary.repeats()), (60, 30));
    assert_each_once(&world, 0..70);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_range_keeps_the_window_that_it_was_pinned_with() {
    let world = World::start(1).await;
    world.put_all(&rows(0..40)).await;
    world.put_all(&rows(20..60)).await;
    let sink = world.sink().range_records(60);
    sink.faults.applies.store(1_000_001, Ordering::Relaxed);
    let crashing = run(&world, "a", sink);
    eventually("the range is applied", async || stored(&world).len() == 60).await;
    crashing.crash().await;
    // The Pipeline was edited meanwhile, so that duplicates are kept.
    world.put_all(&rows(50..60)).await;
    let summary = world.run("b", world.sink()).at_tip().await;
    assert_eq!((summary.repeats(), world.store.records()), (20, 70));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_are_read_again_do_not_take_their_own_records_for_repeats() {
    let world = World::start(1).await;
    world.put_all(&rows(0..200)).await;
    world.put_all(&rows(150..250)).await;
    let sink = world.sink().range_records(30);
    sink.faults.pushes.store(3, Ordering::Relaxed);
    sink.faults.spoils.store(4, Ordering::Relaxed);
    let faults = std::sync::Arc::clone(&sink.faults);
    let running = run(&world, "w", sink);
    eventually("something is stored", async || world.store.records() > 60).await;
    faults.pushes.store(2, Ordering::Relaxed);
    faults.spoils.store(1, Ordering::Relaxed);
    let summary = running.at_tip().await;
    assert_each_once(&world, 0..250);
    assert_eq!(summary.repeats(), 50);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_known_through_splits_and_merges() {
    let world = World::start(2).await;
    world.put_all(&rows(0..100)).await;
    let shards = world.open_shards().await;
    world.split(&shards[0]).await;
    world.put_all(&rows(50..150)).await;
    let mut open = world.open_shards().await;
    open.sort_by_key(|shard| shard.hash_key_range().unwrap().starting_hash_key().parse::<u128>().unwrap());
    world.merge(&open[1], &open[2]).await;
    world.put_all(&rows(0..200)).await;
    let summary = run(&world, "w", world.sink().range_records(20)).at_tip().await;
    assert_each_once(&world, 0..200);
    assert_eq!(summary.repeats(), 50 + 150);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_the_window_a_record_counts_again() {
    let world = World::start(1).await;
    world.put_all(&rows(0..30)).await;
    world.put_all(&rows(20..30)).await;
    world.put_all(&rows(0..5)).await;
    let repeats = Some(RepeatWindow { records: 20, ..window() });
    let summary = world.run_with(ConsumerConfig { repeats, ..world.config("w") }, world.sink()).at_tip().await;
    assert_eq!(summary.repeats(), 10);
    assert_eq!(stored(&world).values().filter(|count| **count == 2).count(), 5);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_ids_are_all_stored() {
    let world = World::start(1).await;
    let rows = ["no json", "{}", "{}", r#"{"_id":null}"#, r#"{"_id":null}"#, r#"{"id":"1"}"#, r#"{"id":"1"}"#];
    world.put_all(&rows.map(str::to_owned)).await;
    let summary = run(&world, "w", world.sink()).at_tip().await;
    assert_eq!((summary.repeats(), summary.records_applied()), (0, 7));
    world.stop().await;
}
