//! Pins, recipes, dead letters, beginnings and the lease table as others see them.

use std::sync::atomic::Ordering;

use crate::harness::{World, assert_exactly_once, eventually, ok};
use penstock_api::plan::StartAt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_range_is_applied_with_the_recipe_that_it_was_pinned_with() {
    let world = World::start(1).await;
    world.put(0..100).await;
    let sink = world.sink().range_records(30);
    sink.faults.hang.store(true, Ordering::Relaxed);
    let running = world.run("w", sink);
    eventually("a range is pinned", async || {
        world.leases().await.values().any(|row| row.contains_key("pendingCheckpointState"))
    })
    .await;
    running.crash().await;
    world.run_to_tip("w", world.sink().recipe("second").range_records(1000)).await;
    assert_exactly_once(&world.store, ok(0..100));
    let entries = world.store.entries();
    let seen: Vec<_> = entries.iter().map(|(_, entry)| (entry.recipe.as_str(), entry.data.len())).collect();
    assert_eq!(seen, [("first", 30), ("second", 70)]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_cannot_be_handled_are_written_once_in_the_order_of_the_stream() {
    let world = World::start(1).await;
    let data: Vec<_> = (0..90)
        .map(|n| match n % 30 {
            7 => format!("bad-{n}"),
            11 => format!("refused-{n}"),
            _ => format!("ok-{n}"),
        })
        .collect();
    world.put_all(&data).await;
    for _ in 0..3 {
        let sink = world.sink();
        sink.faults.applies.store(2, Ordering::Relaxed);
        let running = world.run("w", sink);
        eventually("something is stored", async || world.store.records() > 0).await;
        running.crash().await;
    }
    let summary = world.run_to_tip("w", world.sink()).await;
    assert!(summary.dead_lettered() <= 6);
    assert_exactly_once(&world.store, data.iter().filter(|data| data.starts_with("ok")).cloned());
    let (objects, lines) = world.dead_letters().await;
    assert!(objects <= world.store.entries().len());
    let found: Vec<_> = lines.iter().map(|line| line["data"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, ["bad-7", "refused-11", "bad-37", "refused-41", "bad-67", "refused-71"]);
    let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons, ["bad", "refused", "bad", "refused", "bad", "refused"]);
    assert_eq!(lines[0]["sink"], "tables");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_begins_with_what_comes_next_misses_nothing_from_then_on() {
    let world = World::start(2).await;
    world.put(0..50).await;
    let mut config = world.config("w");
    config.start_at = StartAt::Latest;
    // The service tells the time in whole seconds: what arrived in the same one counts as after the start.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    world.run_with(config.clone(), world.sink()).at_tip().await;
    assert_eq!(world.store.records(), 0);
    let leases = world.leases().await;
    assert!(leases.values().all(|row| row["checkpoint"].as_s().unwrap() == "AT_TIMESTAMP"), "{leases:?}");
    // Nobody reads while these come.
    world.put(50..100).await;
    world.run_with(config, world.sink()).at_tip().await;
    assert_exactly_once(&world.store, ok(50..100));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_begins_at_a_time_has_what_came_since() {
    let world = World::start(2).await;
    world.put(0..50).await;
    // Arrivals are in milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    world.put(50..100).await;
    let mut config = world.config("w");
    config.start_at = StartAt::Millis(since_1970.as_millis().try_into().unwrap());
    world.run_with(config, world.sink()).at_tip().await;
    assert_exactly_once(&world.store, ok(50..100));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_table_that_is_not_there_is_waited_for() {
    let world = World::without_lease_table(1).await;
    world.put(0..10).await;
    let running = world.run("w", world.sink());
    eventually("health says what is missing", async || {
        let waits = running.health.not_ready();
        waits.iter().any(|wait| wait.concern == "leases" && wait.because.contains("does not exist"))
    })
    .await;
    world.create_lease_table().await;
    eventually("the consumer is ready", async || running.health.is_ready()).await;
    running.at_tip().await;
    assert_exactly_once(&world.store, ok(0..10));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_table_is_one_that_kcl_tools_can_read() {
    let world = World::start(1).await;
    world.put(0..10).await;
    world.run_to_tip("w", world.sink()).await;
    let rows = world.rows().await;
    let with = |prefix: &str| rows.iter().filter(|(key, _)| key.starts_with(prefix)).collect::<Vec<_>>();
    let (lease, recipes) = (with("shardId-")[0].1, with("penstock.recipe."));
    assert_eq!(rows.len(), 2, "{:?}", rows.keys());
    let end = world.store.entries().last().unwrap().0.end_inclusive.clone();
    assert_eq!(lease["checkpoint"].as_s().unwrap(), end.sequence.as_str());
    assert_eq!(lease["checkpointSubSequenceNumber"].as_n().unwrap(), "0");
    assert_eq!(lease["ownerSwitchesSinceCheckpoint"].as_n().unwrap(), "0");
    assert_eq!(lease["startingHashKey"].as_s().unwrap(), "0");
    assert_eq!(lease["endingHashKey"].as_s().unwrap(), &u128::MAX.to_string());
    assert_eq!(lease["entityType"].as_s().unwrap(), "LEASE");
    assert!(lease["leaseCounter"].as_n().unwrap().parse::<u64>().unwrap() > 2);
    assert!(!lease.contains_key("pendingCheckpoint") && !lease.contains_key("pendingCheckpointState"));
    assert_eq!(recipes.len(), 1);
    assert_eq!(recipes[0].1["entityType"].as_s().unwrap(), "PENSTOCK_RECIPE");
    world.stop().await;
}
