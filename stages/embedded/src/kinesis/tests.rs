//! Tests of the engine as a whole, with a clock that they move: what takes minutes and days on the service.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::clock::Clock;
use super::error::{ApiError, ErrorKind};
use super::protocol::format::Format;
use super::service::{Answer, Subscription};
use super::{Kinesis, Limits};

const HOUR: u64 = 3_600_000;

struct World {
    kinesis: Kinesis,
    now: Arc<AtomicU64>,
    dir: tempfile::TempDir,
}

async fn open(dir: &Path, now: &Arc<AtomicU64>, limits: Limits) -> Kinesis {
    let clock = Arc::clone(now);
    let clock = Clock::from_fn(move || clock.load(Ordering::SeqCst));
    Kinesis::open_with_clock(dir, "eu-west-1", limits, clock).await.unwrap()
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(1_700_000_000_000));
        let kinesis = open(dir.path(), &now, Limits::SizesOnly).await;
        Self { kinesis, now, dir }
    }

    async fn restart(self) -> Self {
        self.kinesis.stop().await;
        let kinesis = open(self.dir.path(), &self.now, Limits::SizesOnly).await;
        Self { kinesis, ..self }
    }

    fn pass(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    async fn call(&self, operation: &str, request: Value) -> Result<Value, ApiError> {
        let body = Bytes::from(request.to_string());
        match self.kinesis.service().unwrap().call(operation, body).await? {
            Answer::Json(json) | Answer::Records(json, _) => Ok(serde_json::from_slice(&json).unwrap()),
            Answer::Empty => Ok(Value::Null),
            Answer::Events(_) => panic!("no events here"),
        }
    }

    async fn ok(&self, operation: &str, request: Value) -> Value {
        self.call(operation, request).await.unwrap()
    }

    async fn refused(&self, operation: &str, request: Value) -> ErrorKind {
        self.call(operation, request).await.unwrap_err().kind
    }

    async fn stream(&self, name: &str, shards: u32) {
        self.ok("CreateStream", json!({ "StreamName": name, "ShardCount": shards })).await;
        self.pass(1_000);
    }

    async fn put(&self, text: &str) -> String {
        let record = json!({ "StreamName": "s", "PartitionKey": "k", "Data": STANDARD.encode(text) });
        self.ok("PutRecord", record).await["SequenceNumber"].as_str().unwrap().to_owned()
    }

    async fn iterator(&self, shard: u32, kind: &str, more: Value) -> String {
        let mut request = json!({
            "StreamName": "s", "ShardId": format!("shardId-{shard:012}"), "ShardIteratorType": kind,
        });
        request.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.ok("GetShardIterator", request).await["ShardIterator"].as_str().unwrap().to_owned()
    }

    async fn read(&self, iterator: &str) -> (Vec<String>, Value) {
        let answer = self.ok("GetRecords", json!({ "ShardIterator": iterator })).await;
        let texts = answer["Records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| String::from_utf8(STANDARD.decode(record["Data"].as_str().unwrap()).unwrap()).unwrap())
            .collect();
        (texts, answer)
    }

    async fn read_from(&self, shard: u32, kind: &str, more: Value) -> Vec<String> {
        let iterator = self.iterator(shard, kind, more).await;
        self.read(&iterator).await.0
    }

    /// Removes everything that has expired.
    async fn maintain(&self) {
        while self.kinesis.service().unwrap().maintain().await.unwrap() {}
    }

    async fn stored_records(&self) -> usize {
        self.kinesis.service().unwrap().stored_records()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iterators_and_tokens_expire_after_five_minutes() {
    let world = World::new().await;
    world.stream("s", 3).await;
    world.stream("t", 1).await;
    let iterator = world.iterator(0, "TRIM_HORIZON", json!({})).await;
    let shards = world.ok("ListShards", json!({ "StreamName": "s", "MaxResults": 1 })).await["NextToken"].clone();
    let streams = world.ok("ListStreams", json!({ "Limit": 1 })).await["NextToken"].clone();
    world.pass(300_000);
    world.read(&iterator).await;
    world.ok("ListShards", json!({ "NextToken": shards })).await;
    world.ok("ListStreams", json!({ "NextToken": streams })).await;
    world.pass(1);
    assert_eq!(world.refused("GetRecords", json!({ "ShardIterator": iterator })).await, ErrorKind::ExpiredIterator);
    assert_eq!(world.refused("ListShards", json!({ "NextToken": shards })).await, ErrorKind::ExpiredNextToken);
    assert_eq!(world.refused("ListStreams", json!({ "NextToken": streams })).await, ErrorKind::ExpiredNextToken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_expire_with_their_retention_and_leave_the_disk() {
    let world = World::new().await;
    world.stream("s", 1).await;
    let first = world.put("first").await;
    world.pass(HOUR);
    world.put("second").await;
    world.pass(23 * HOUR - 1);
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["first", "second"]);
    world.pass(2);
    // Expired records are not shown even before they are removed.
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["second"]);
    assert_eq!(world.stored_records().await, 2);
    world.maintain().await;
    assert_eq!(world.stored_records().await, 1);
    let from_trimmed = json!({ "StartingSequenceNumber": first });
    assert_eq!(world.read_from(0, "AT_SEQUENCE_NUMBER", from_trimmed.clone()).await, ["second"]);
    assert_eq!(world.read_from(0, "AFTER_SEQUENCE_NUMBER", from_trimmed).await, ["second"]);
    world.pass(HOUR);
    world.maintain().await;
    assert_eq!(world.stored_records().await, 0);
    // The numbers go on where they were, also after a restart with an empty log.
    let world = world.restart().await;
    let third = world.put("third").await;
    assert!(third > first);
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["third"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longer_retention_keeps_records_longer_and_has_its_bounds() {
    let world = World::new().await;
    world.stream("s", 1).await;
    world.put("first").await;
    let hours = |hours: u32| json!({ "StreamName": "s", "RetentionPeriodHours": hours });
    assert_eq!(world.refused("IncreaseStreamRetentionPeriod", hours(8761)).await, ErrorKind::InvalidArgument);
    assert_eq!(world.refused("DecreaseStreamRetentionPeriod", hours(23)).await, ErrorKind::InvalidArgument);
    world.ok("IncreaseStreamRetentionPeriod", hours(48)).await;
    assert_eq!(world.refused("DecreaseStreamRetentionPeriod", hours(24)).await, ErrorKind::ResourceInUse);
    world.pass(40 * HOUR);
    world.maintain().await;
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["first"]);
    assert_eq!(world.refused("IncreaseStreamRetentionPeriod", hours(24)).await, ErrorKind::InvalidArgument);
    world.ok("DecreaseStreamRetentionPeriod", hours(24)).await;
    world.maintain().await;
    assert_eq!(world.stored_records().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_begins_at_a_time() {
    let world = World::new().await;
    world.stream("s", 1).await;
    world.put("a").await;
    world.pass(1_000);
    let between = world.now() as f64 / 1000.0;
    world.put("b").await;
    world.pass(1_000);
    world.put("c").await;
    let at = |time: f64| json!({ "Timestamp": time });
    assert_eq!(world.read_from(0, "AT_TIMESTAMP", at(between)).await, ["b", "c"]);
    assert_eq!(world.read_from(0, "AT_TIMESTAMP", at(between + 0.001)).await, ["c"]);
    assert_eq!(world.read_from(0, "AT_TIMESTAMP", at(0.0)).await, ["a", "b", "c"]);
    let future = json!({
        "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP",
        "Timestamp": between + 3600.0,
    });
    assert_eq!(world.refused("GetShardIterator", future).await, ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_how_far_it_is_behind() {
    let world = World::new().await;
    world.stream("s", 1).await;
    for text in ["a", "b", "c"] {
        world.put(text).await;
        world.pass(1_000);
    }
    let iterator = world.iterator(0, "TRIM_HORIZON", json!({})).await;
    let answer = world.ok("GetRecords", json!({ "ShardIterator": iterator, "Limit": 1 })).await;
    assert_eq!(answer["MillisBehindLatest"], 3_000);
    let answer = world.ok("GetRecords", json!({ "ShardIterator": answer["NextShardIterator"] })).await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 2);
    assert_eq!(answer["MillisBehindLatest"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_created_again_goes_on_with_larger_numbers_and_none_of_the_old_records() {
    let world = World::new().await;
    world.stream("s", 1).await;
    let before = world.put("old").await;
    let iterator = world.iterator(0, "TRIM_HORIZON", json!({})).await;
    world.ok("DeleteStream", json!({ "StreamName": "s" })).await;
    let create = json!({ "StreamName": "s", "ShardCount": 1 });
    assert_eq!(world.refused("CreateStream", create.clone()).await, ErrorKind::ResourceInUse);
    let status = world.ok("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
    assert_eq!(status["StreamDescriptionSummary"]["StreamStatus"], "DELETING");
    world.pass(100);
    assert_eq!(world.refused("DescribeStream", json!({ "StreamName": "s" })).await, ErrorKind::ResourceNotFound);
    world.ok("CreateStream", create).await;
    let status = world.ok("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
    assert_eq!(status["StreamDescriptionSummary"]["StreamStatus"], "CREATING");
    let record = json!({ "StreamName": "s", "PartitionKey": "k", "Data": "" });
    assert_eq!(world.refused("PutRecord", record).await, ErrorKind::ResourceNotFound);
    world.pass(100);
    assert!(world.put("new").await > before);
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["new"]);
    assert_eq!(world.refused("GetRecords", json!({ "ShardIterator": iterator })).await, ErrorKind::ResourceNotFound);
    world.maintain().await;
    assert_eq!(world.stored_records().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_stream_leaves_nothing_on_the_disk() {
    let world = World::new().await;
    world.stream("s", 1).await;
    for _ in 0..5 {
        world.put("x").await;
    }
    world.ok("DeleteStream", json!({ "StreamName": "s" })).await;
    world.pass(100);
    let world = world.restart().await;
    world.maintain().await;
    assert_eq!(world.stored_records().await, 0);
    assert_eq!(world.ok("ListStreams", json!({})).await["StreamNames"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_records_have_expired_is_gone() {
    let world = World::new().await;
    world.stream("s", 1).await;
    world.put("old").await;
    let middle = (1_u128 << 127).to_string();
    world
        .ok(
            "SplitShard",
            json!({ "StreamName": "s", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": middle }),
        )
        .await;
    world.pass(1_000);
    let iterator = world.iterator(0, "TRIM_HORIZON", json!({})).await;
    let (texts, answer) = world.read(&iterator).await;
    assert_eq!(texts, ["old"]);
    assert_eq!(answer["NextShardIterator"], Value::Null);
    assert_eq!(answer["ChildShards"].as_array().unwrap().len(), 2);
    world.pass(24 * HOUR);
    let latest = json!({
        "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON",
    });
    assert_eq!(world.refused("GetShardIterator", latest).await, ErrorKind::ResourceNotFound);
    world.maintain().await;
    assert_eq!(world.ok("ListShards", json!({ "StreamName": "s" })).await["Shards"].as_array().unwrap().len(), 2);
    assert_eq!(world.stored_records().await, 0);
}

/// A subscription that is read to its end.
struct Reader(Subscription);

impl Reader {
    /// The kind of the next event and what it says; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.events.recv());
        let message = next.await.expect("an event, or the end, within twenty seconds")?;
        let frame = message.encode(Format::Json).unwrap();
        let headers = u32::from_be_bytes(frame[4..8].try_into().unwrap()) as usize;
        let kind = String::from_utf8_lossy(&frame[12..12 + headers]).into_owned();
        Some((kind, serde_json::from_slice(&frame[12 + headers..frame.len() - 4]).unwrap()))
    }

    /// Reads until a record has come; gives its text and where to go on.
    async fn record(&mut self) -> (String, String) {
        loop {
            let (kind, event) = self.next().await.expect("a record before the end");
            assert!(!kind.contains("exception"), "{kind} {event}");
            if let Some(record) = event["Records"].as_array().and_then(|records| records.first()) {
                let text = String::from_utf8(STANDARD.decode(record["Data"].as_str().unwrap()).unwrap()).unwrap();
                return (text, event["ContinuationSequenceNumber"].as_str().unwrap().to_owned());
            }
        }
    }

    /// Reads to the end, which no error and no further record comes before.
    async fn ends(mut self) {
        while let Some((kind, event)) = self.next().await {
            assert!(!kind.contains("exception"), "{kind} {event}");
            assert_eq!(event["Records"], json!([]), "a record came after the last one");
        }
    }
}

impl World {
    async fn consumer(&self) -> String {
        let register = json!({ "StreamARN": "arn:aws:kinesis:eu-west-1:000000000000:stream/s", "ConsumerName": "fan" });
        let consumer = self.ok("RegisterStreamConsumer", register).await["Consumer"]["ConsumerARN"].clone();
        self.pass(1_000);
        consumer.as_str().unwrap().to_owned()
    }

    async fn subscribe(&self, consumer: &str, position: Value) -> Result<Reader, ApiError> {
        let request = json!({
            "ConsumerARN": consumer, "ShardId": "shardId-000000000000", "StartingPosition": position,
        });
        let body = Bytes::from(request.to_string());
        match self.kinesis.service().unwrap().call("SubscribeToShard", body).await? {
            Answer::Events(subscription) => Ok(Reader(subscription)),
            _ => panic!("no events"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_after_five_minutes_without_an_error_and_the_next_one_goes_on() {
    let world = World::new().await;
    world.stream("s", 1).await;
    let consumer = world.consumer().await;
    world.put("one").await;
    let mut first = world.subscribe(&consumer, json!({ "Type": "TRIM_HORIZON" })).await.unwrap();
    assert_eq!(first.record().await.0, "one");
    world.pass(299_999);
    world.put("two").await;
    let (text, number) = first.record().await;
    assert_eq!(text, "two", "a millisecond before its end it still pushes");
    world.pass(1);
    first.ends().await;
    world.put("three").await;
    let go_on = json!({ "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number });
    let mut second = world.subscribe(&consumer, go_on).await.unwrap();
    assert_eq!(second.record().await.0, "three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_taken_over_after_five_seconds_and_not_before() {
    let world = World::new().await;
    world.stream("s", 1).await;
    let consumer = world.consumer().await;
    world.put("one").await;
    let mut first = world.subscribe(&consumer, json!({ "Type": "TRIM_HORIZON" })).await.unwrap();
    let (_, number) = first.record().await;
    let go_on = json!({ "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number });
    world.pass(4_999);
    let refusal = world.subscribe(&consumer, go_on.clone()).await.err().unwrap();
    assert_eq!(refusal.kind, ErrorKind::ResourceInUse);
    world.pass(1);
    let mut second = world.subscribe(&consumer, go_on.clone()).await.unwrap();
    first.ends().await;
    world.put("two").await;
    assert_eq!(second.record().await.0, "two");
    // The five seconds are counted from the call that took over.
    assert_eq!(world.subscribe(&consumer, go_on).await.err().unwrap().kind, ErrorKind::ResourceInUse);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_does_not_come_back_with_a_longer_retention() {
    let world = World::new().await;
    world.stream("s", 1).await;
    world.put("expired").await;
    world.pass(24 * HOUR + 1);
    world.put("kept").await;
    // The background work has hardly run yet, so the expired record is still on the disk.
    world.ok("IncreaseStreamRetentionPeriod", json!({ "StreamName": "s", "RetentionPeriodHours": 48 })).await;
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["kept"]);
    world.pass(47 * HOUR);
    assert_eq!(world.read_from(0, "TRIM_HORIZON", json!({})).await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_is_switched_twice_a_day() {
    let world = World::new().await;
    world.stream("s", 1).await;
    let switch = |mode: &str| {
        json!({
            "StreamARN": "arn:aws:kinesis:eu-west-1:000000000000:stream/s", "StreamModeDetails": { "StreamMode": mode },
        })
    };
    for mode in ["ON_DEMAND", "PROVISIONED"] {
        world.ok("UpdateStreamMode", switch(mode)).await;
        world.pass(1_000);
    }
    assert_eq!(world.refused("UpdateStreamMode", switch("ON_DEMAND")).await, ErrorKind::LimitExceeded);
    world.pass(24 * HOUR);
    world.ok("UpdateStreamMode", switch("ON_DEMAND")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_are_enforced_per_shard_and_told_per_record() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(1_700_000_000_000));
    let kinesis = open(dir.path(), &now, Limits::Enforced).await;
    let world = World { kinesis, now, dir };
    world.stream("s", 1).await;
    let records: Vec<Value> =
        (0..500).map(|_| json!({ "PartitionKey": "k", "Data": STANDARD.encode([7; 1000]) })).collect();
    let batch = json!({ "StreamName": "s", "Records": records });
    assert_eq!(world.ok("PutRecords", batch.clone()).await["FailedRecordCount"], 0);
    assert_eq!(world.ok("PutRecords", batch.clone()).await["FailedRecordCount"], 0);
    let answer = world.ok("PutRecords", batch).await;
    assert!(answer["FailedRecordCount"].as_u64().unwrap() > 400, "{}", answer["FailedRecordCount"]);
    let last = answer["Records"].as_array().unwrap().last().unwrap();
    assert_eq!(last["ErrorCode"], "ProvisionedThroughputExceededException");
    let iterator = world.iterator(0, "TRIM_HORIZON", json!({})).await;
    let read = json!({ "ShardIterator": iterator, "Limit": 1 });
    for _ in 0..5 {
        world.ok("GetRecords", read.clone()).await;
    }
    assert_eq!(world.refused("GetRecords", read.clone()).await, ErrorKind::ProvisionedThroughputExceeded);
    world.pass(1_000);
    world.ok("GetRecords", read).await;
    world.ok("DescribeLimits", json!({})).await;
    assert_eq!(world.refused("DescribeLimits", json!({})).await, ErrorKind::LimitExceeded);
}
