//! What the consumer does when Kinesis refuses to answer: each error of `GetRecords` and `GetShardIterator` has its own
//! reaction, and after none of them a record is missing or stored twice.
//!
//! The errors: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html#API_GetRecords_Errors>.

use std::time::Duration;

use crate::harness::gate::{Gate, Refusal};
use crate::harness::{Running, World, assert_exactly_once, eventually, ok};
use futures::future::join_all;
use penstock_api::plan::StartAt;

/// More than the attempts that the SDK makes by itself, so that the consumer sees it.
const OFTEN: u32 = 4;

/// A consumer of one shard behind a gate, and what it has stored.
struct Reading {
    world: World,
    gate: Gate,
    running: Running,
}

impl Reading {
    /// The first ten records are stored.
    async fn start() -> Self {
        let world = World::start(1).await;
        world.put(0..10).await;
        Self::of(world, StartAt::TrimHorizon).await.stored(10).await
    }

    async fn of(world: World, start_at: StartAt) -> Self {
        let gate = world.gate().await;
        let mut config = world.config("w");
        config.start_at = start_at;
        let sink = world.sink().max_age(Duration::from_millis(20));
        let running = world.run_through(&gate, config, sink).await;
        Self { world, gate, running }
    }

    async fn stored(self, records: usize) -> Self {
        eventually("the records are stored", async || self.world.store.records() >= records).await;
        self
    }

    /// The first words of what keeps it from being ready.
    fn waits_for(&self) -> String {
        self.running.health.not_ready().first().map(|waits| waits.because.clone()).unwrap_or_default()
    }

    /// Ten more records are stored, too, and it is ready again.
    async fn goes_on(self) {
        self.world.put(10..20).await;
        let reading = self.stored(20).await;
        eventually("it is ready", async || reading.running.health.is_ready()).await;
        assert_eq!(reading.gate.left(), 0, "not every call was refused that should have been");
        reading.running.drain().await;
        assert_exactly_once(&reading.world.store, ok(0..20));
        reading.world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_by_itself_is_tried_again_soon() {
    let errors = [
        Refusal::Error(400, "ProvisionedThroughputExceededException"),
        Refusal::Error(400, "KMSThrottlingException"),
        Refusal::Error(400, "ThrottlingException"),
        Refusal::Error(400, "LimitExceededException"),
        Refusal::Error(400, "ResourceInUseException"),
        Refusal::Error(500, "InternalFailure"),
        Refusal::Error(503, "ServiceUnavailable"),
        Refusal::Reset,
    ];
    join_all(errors.map(|refusal| async move {
        let reading = Reading::start().await;
        reading.gate.refuse("GetRecords", refusal, OFTEN);
        // The first error takes the iterator away, so that the other call is made, too.
        reading.gate.refuse("GetRecords", Refusal::Error(400, "ExpiredIteratorException"), 1);
        reading.gate.refuse("GetShardIterator", refusal, OFTEN);
        reading.goes_on().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_has_to_mend_is_told_and_tried_again_until_it_is_mended() {
    let codes = [
        "AccessDeniedException",
        "UnrecognizedClientException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "KMSOptInRequired",
    ];
    join_all(codes.map(|code| async move {
        let reading = Reading::start().await;
        reading.gate.refuse("GetRecords", Refusal::Error(400, code), 2);
        eventually("it says what it waits for", async || reading.waits_for().contains(code)).await;
        assert!(!reading.running.health.is_ready());
        reading.goes_on().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iterator_that_expired_is_replaced_by_one_after_the_last_record_received() {
    for code in ["ExpiredIteratorException", "InvalidArgumentException"] {
        let reading = Reading::start().await;
        let last = reading.world.store.entries().last().unwrap().0.end_inclusive.sequence.to_string();
        let before = reading.gate.passed("GetShardIterator").len();
        reading.gate.refuse("GetRecords", Refusal::Error(400, code), 1);
        eventually("there is a new iterator", async || reading.gate.passed("GetShardIterator").len() > before).await;
        let asked = reading.gate.passed("GetShardIterator")[before].clone();
        assert_eq!(asked["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER", "{asked}");
        assert_eq!(asked["StartingSequenceNumber"], last, "{asked}");
        reading.goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_began_with_what_comes_next_misses_nothing_when_the_first_iterator_expires() {
    let world = World::start(1).await;
    let reading = Reading::of(world, StartAt::Latest).await;
    eventually("it has an iterator", async || !reading.gate.passed("GetRecords").is_empty()).await;
    reading.gate.refuse("GetRecords", Refusal::Error(400, "ExpiredIteratorException"), 1);
    eventually("it expires", async || reading.gate.left() == 0).await;
    reading.world.put(0..20).await;
    let reading = reading.stored(20).await;
    let asked = reading.gate.passed("GetShardIterator");
    assert!(asked.len() > 1 && asked.iter().all(|asked| asked["ShardIteratorType"] == "AT_TIMESTAMP"), "{asked:?}");
    assert_eq!(asked.first().unwrap()["Timestamp"], asked.last().unwrap()["Timestamp"]);
    reading.running.drain().await;
    assert_exactly_once(&reading.world.store, ok(0..20));
    reading.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_with_what_comes_next_goes_by_the_clock_of_the_service() {
    let world = World::start(1).await;
    let gate = world.gate().await;
    gate.set_date("Sat, 01 Jan 2000 00:00:00 GMT");
    let mut config = world.config("w");
    config.start_at = StartAt::Latest;
    let running = world.run_through(&gate, config, world.sink()).await;
    eventually("it has an iterator", async || !gate.passed("GetShardIterator").is_empty()).await;
    let asked = gate.passed("GetShardIterator")[0].clone();
    assert_eq!(
        (&asked["ShardIteratorType"], asked["Timestamp"].as_f64()),
        (&"AT_TIMESTAMP".into(), Some(946_684_800.0))
    );
    running.drain().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_not_found_and_is_listed_is_read_on() {
    let reading = Reading::start().await;
    reading.gate.refuse("GetRecords", Refusal::Error(400, "ResourceNotFoundException"), 1);
    reading.goes_on().await;
}
