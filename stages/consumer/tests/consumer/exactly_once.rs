//! Each record of the stream is in exactly one range, ranges join, and a range keeps its records: through
//! crashes, failures of the sink, several workers and resharding.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{World, assert_exactly_once, eventually, ok};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_the_stream_is_stored_once() {
    let world = World::start(3).await;
    world.put(0..1000).await;
    let summary = world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..1000));
    assert_eq!((summary.records_read(), summary.records_applied(), summary.dead_lettered()), (1000, 1000, 0));
    assert_eq!(summary.ranges() as usize, world.store.entries().len());
    world.put(1000..1200).await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..1200));
    let rows = world.rows().await;
    assert!(rows.keys().all(|key| !key.starts_with("penstock.worker.")), "the heartbeat is gone: {:?}", rows.keys());
    assert!(rows.values().all(|row| !row.contains_key("leaseOwner")), "all leases are given back");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_closed_by_age_and_on_draining() {
    let world = World::start(1).await;
    let sink = world.sink().range_records(1_000_000).max_age(Duration::from_millis(50));
    let running = world.run("w", sink);
    world.put(0..20).await;
    eventually("the records are stored", async || world.store.records() == 20).await;
    running.drain().await;

    let running = world.run("w", world.sink().range_records(1_000_000));
    world.put(20..30).await;
    // The lag is not in the store before the range is closed, so draining has to close it.
    eventually("the records are read", async || running.health.is_ready()).await;
    let position_before = world.leases().await;
    running.drain().await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..30));
    assert_ne!(world.leases().await, position_before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_at_any_moment_neither_lose_nor_repeat_anything() {
    let world = World::start(2).await;
    world.put(0..2000).await;
    for crash in 0..25_u32 {
        let sink = world.sink().range_records(20);
        // Answers of the sink that get lost make ranges wait between pin and commit.
        sink.faults.applies.store(4, Ordering::Relaxed);
        let running = world.run("w", sink);
        for _ in 0..fastrand::u32(0..400) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(crash % 7) * 10)).await;
        running.crash().await;
    }
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..2000));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_and_applications_that_fail_are_tried_again() {
    let world = World::start(2).await;
    world.put(0..400).await;
    let sink = world.sink();
    sink.faults.pushes.store(3, Ordering::Relaxed);
    sink.faults.applies.store(3, Ordering::Relaxed);
    world.run_to_tip("w", sink).await;
    assert_exactly_once(&world.store, ok(0..400));
    assert!(world.store.repetitions() >= 1, "an application whose answer was lost came again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_spoiled_is_dropped_and_its_range_is_read_again() {
    let world = World::start(2).await;
    world.put(0..400).await;
    let sink = world.sink();
    sink.faults.spoils.store(3, Ordering::Relaxed);
    let faults = std::sync::Arc::clone(&sink.faults);
    world.run_to_tip("w", sink).await;
    assert_exactly_once(&world.store, ok(0..400));
    assert_eq!(faults.spoils.load(Ordering::Relaxed), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_shards_and_one_takes_over_from_the_other() {
    let world = World::start(4).await;
    world.put(0..400).await;
    let a = world.run("a", world.sink());
    let b = world.run("b", world.sink());
    eventually("both own two leases", async || {
        let leases = world.leases().await;
        let owned = |worker: &str| {
            let owner = |row: &std::collections::BTreeMap<_, aws_sdk_dynamodb::types::AttributeValue>| {
                row.get("leaseOwner").and_then(|owner| owner.as_s().ok().cloned())
            };
            leases.values().filter(|row| owner(row).as_deref() == Some(worker)).count()
        };
        owned("a") == 2 && owned("b") == 2
    })
    .await;
    world.put(400..800).await;
    b.crash().await;
    world.put(800..1000).await;
    a.at_tip().await;
    assert_exactly_once(&world.store, ok(0..1000));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_still_runs_after_another_took_its_lease_does_no_harm() {
    let world = World::start(1).await;
    world.put(0..60).await;
    // It hangs while it applies; its heartbeat goes on, so only another of its own name may take its lease.
    let sink = world.sink();
    sink.faults.hang.store(true, Ordering::Relaxed);
    let faults = std::sync::Arc::clone(&sink.faults);
    let old = world.run("w", sink);
    eventually("a range is pinned", async || {
        world.leases().await.values().any(|row| row.contains_key("pendingCheckpoint"))
    })
    .await;
    let new = world.run("w", world.sink().recipe("second").max_age(Duration::from_millis(10)));
    eventually("the new one stores everything", async || world.store.records() == 60).await;
    faults.hang.store(false, Ordering::Relaxed);
    eventually("the old one applies its range, too", async || world.store.repetitions() == 1).await;
    assert_eq!(old.drain().await.ranges(), 0, "the old one could not commit");
    new.drain().await;
    world.put(60..90).await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..90));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_are_read_after_all_their_parents() {
    let world = World::start(2).await;
    world.put(0..300).await;
    let running = world.run("w", world.sink().range_records(40));
    let shards = world.open_shards().await;
    world.split(&shards[0]).await;
    world.put(300..600).await;
    let mut open = world.open_shards().await;
    open.sort_by_key(|shard| shard.hash_key_range().unwrap().starting_hash_key().parse::<u128>().unwrap());
    world.merge(&open[1], &open[2]).await;
    world.put(600..900).await;
    let summary = running.at_tip().await;
    assert_exactly_once(&world.store, ok(0..900));
    assert_parents_first(&world).await;
    assert_eq!(summary.shards.values().filter(|shard| shard.ended).count(), 3);
    let ended = world.leases().await;
    let ended = ended.values().filter(|row| row["checkpoint"].as_s().unwrap() == "SHARD_END");
    assert_eq!(ended.filter(|row| row.contains_key("childShardIds")).count(), 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_ended_before_the_first_start_are_read_too() {
    let world = World::start(1).await;
    world.put(0..100).await;
    world.split(&world.open_shards().await[0]).await;
    world.put(100..200).await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..200));
    assert_parents_first(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_for_a_shard_that_was_split_counts_for_nothing_where_a_member_does_not_belong() {
    let world = World::start(1).await;
    let parent = world.open_shards().await.remove(0);
    world.put_aggregate_made_for(&parent, ok(0..20)).await;
    world.split(&parent).await;
    world.put_aggregate_made_for(&parent, ok(20..40)).await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..20));
    // As its producer does, which sees where it went.
    world.put(20..40).await;
    world.run_to_tip("w", world.sink()).await;
    assert_exactly_once(&world.store, ok(0..40));
    world.stop().await;
}

async fn assert_parents_first(world: &World) {
    let entries = world.store.entries();
    for child in world.shards().await {
        let first = entries.iter().position(|(range, _)| range.shard.as_str() == child.shard_id());
        for parent in [child.parent_shard_id(), child.adjacent_parent_shard_id()].into_iter().flatten() {
            let last = entries.iter().rposition(|(range, _)| range.shard.as_str() == parent);
            if let (Some(last), Some(first)) = (last, first) {
                assert!(last < first, "{} was read before {parent} had ended", child.shard_id());
            }
        }
    }
}
