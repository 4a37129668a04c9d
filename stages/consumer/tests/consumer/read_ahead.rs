//! What a worker reads ahead: bounded over all its shards together, also while its sink takes nothing; and whatever holds
//! one shard up, the others go on.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::gate::Gate;
use crate::harness::{World, assert_exactly_once, eventually};
use aws_sdk_kinesis::types::Shard;
use penstock_contract::ShardId;
use penstock_stream::HashKey;

const SHARDS: usize = 32;
/// The bytes of a record.
const RECORD: usize = 10_000;
const RECORDS: usize = 1_600;
/// What one read may bring, and all shards together.
const READ: usize = 100_000;
const TOGETHER: usize = 800_000;

fn large_records(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("ok-{number}-{}", "x".repeat(RECORD))).collect()
}

/// Whether a record of this data is in the shard.
fn is_in(shard: &Shard, data: &str) -> bool {
    let range = shard.hash_key_range().unwrap();
    let edge = |text: &str| text.parse::<u128>().unwrap();
    let hash = HashKey::of_partition_key(&data[..256]).0;
    (edge(range.starting_hash_key())..=edge(range.ending_hash_key())).contains(&hash)
}

/// What readers got once they do not get more: nothing comes for longer than any wait between two reads.
async fn all_that_is_read(gate: &Gate) -> usize {
    let before = Cell::new(0);
    eventually("reading comes to rest", async || {
        let read = gate.answered_bytes();
        let is_at_rest = read > 0 && read == before.replace(read);
        if !is_at_rest {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        is_at_rest
    })
    .await;
    // Records are written in base64.
    before.get() * 3 / 4
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_sink_hangs_all_shards_together_read_no_more_than_they_may_and_no_lease_is_lost() {
    let world = World::start(i32::try_from(SHARDS).unwrap()).await;
    let data = large_records(RECORDS);
    world.put_all(&data).await;
    let gate = world.gate().await;
    let mut config = world.config("w");
    (config.read_bytes, config.prefetch_bytes, config.worker_prefetch_bytes) = (READ, 100 << 20, TOGETHER);
    let failover = config.failover;
    let sink = world.sink().range_records(1);
    let faults = Arc::clone(&sink.faults);
    faults.hang.store(true, Ordering::Relaxed);
    let began = tokio::time::Instant::now();
    let running = world.run_through(&gate, config, sink).await;
    let read = all_that_is_read(&gate).await;
    // Each shard has one small read, two ranges of a record that the sink is busy with, and one that waits for a range.
    let most = TOGETHER + SHARDS * (READ / 8 + 3 * RECORD);
    assert!(read < most + most / 10, "{read} bytes were read, {most} may be");
    assert!(read < RECORDS * RECORD / 4, "{read} bytes are no small part of all");
    tokio::time::sleep_until(began + 3 * failover).await;
    for (shard, lease) in world.leases().await {
        assert_eq!(lease["ownerSwitchesSinceCheckpoint"].as_n().unwrap(), "1", "{shard} changed hands");
    }
    faults.hang.store(false, Ordering::Relaxed);
    eventually("all is stored", async || world.store.records() == RECORDS).await;
    running.drain().await;
    assert_exactly_once(&world.store, data);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_held_up_and_has_all_the_room_does_not_keep_the_others_from_reading() {
    let world = World::start(4).await;
    let data = large_records(200);
    world.put_all(&data).await;
    let held = world.shards().await.swap_remove(0);
    let of_held = data.iter().filter(|data| is_in(&held, data)).count();
    assert!(of_held * RECORD > 2 * READ && of_held < data.len() / 2, "{of_held} records are in the shard");
    let mut config = world.config("w");
    (config.read_bytes, config.worker_prefetch_bytes) = (READ, READ);
    let sink = world.sink().range_records(1);
    let faults = Arc::clone(&sink.faults);
    *faults.held.lock() = Some(ShardId::new(held.shard_id()));
    let running = world.run_with(config, sink);
    eventually("the others are stored", async || world.store.records() == data.len() - of_held).await;
    *faults.held.lock() = None;
    eventually("all is stored", async || world.store.records() == data.len()).await;
    running.drain().await;
    assert_exactly_once(&world.store, data);
    world.stop().await;
}
