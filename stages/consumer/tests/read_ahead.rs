//! What a worker reads ahead: bounded over all its shards together, also while its sink takes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::{World, assert_exactly_once, eventually};

const SHARDS: i32 = 8;
/// The bytes of a record.
const RECORD: usize = 40_000;
const RECORDS: usize = 200;
/// What one read may bring, and all shards together.
const READ: usize = 100_000;
const TOGETHER: usize = 400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_shards_together_read_ahead_no_more_than_they_may_while_the_sink_hangs() {
    let world = World::start(SHARDS).await;
    let data: Vec<_> = (0..RECORDS).map(|number| format!("ok-{number}-{}", "x".repeat(RECORD))).collect();
    world.put_all(&data).await;
    let gate = world.gate().await;
    let mut config = world.config("w");
    (config.read_bytes, config.prefetch_bytes, config.worker_prefetch_bytes) = (READ, 100 << 20, TOGETHER);
    let sink = world.sink().range_records(1);
    let faults = std::sync::Arc::clone(&sink.faults);
    faults.hang.store(true, Ordering::Relaxed);
    let running = world.run_through(&gate, config, sink).await;
    eventually("it reads", async || gate.answered_bytes() > 0).await;
    let mut before = 0;
    // Until nothing more comes for a while: what is read by then is all that is read.
    while std::mem::replace(&mut before, gate.answered_bytes()) != gate.answered_bytes() || before == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let read = gate.answered_bytes() * 3 / 4;
    // Each shard has two ranges of a record that the sink is busy with, and one record that waits for a range.
    let busy = 3 * RECORD * usize::try_from(SHARDS).unwrap();
    assert!(read < TOGETHER + busy + 2 * READ, "{read} bytes were read");
    assert!(read < RECORDS * RECORD / 2, "{read} bytes are most of all");
    faults.hang.store(false, Ordering::Relaxed);
    eventually("all is stored", async || world.store.records() == RECORDS).await;
    running.drain().await;
    assert_exactly_once(&world.store, data);
    world.stop().await;
}
