//! Engines, a stream, a lease table, and a sink that remembers what it was told to apply.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod gate;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, StreamStatus};
use penstock_api::plan::PipelineRef;
use penstock_api::plan::StartAt;
use penstock_consumer::{Clients, ConsumerConfig, ConsumerError, Summary, WorkerId};
use penstock_contract::ShardId;
use penstock_embedded::{Engines, Limits, Options};
use penstock_runtime::{Aws, Health, Stop};
use penstock_stream::aggregate::Aggregator;
use tokio::task::JoinHandle;

pub(crate) use sink::{Store, TestSink};

pub(crate) const STREAM: &str = "events";
pub(crate) const TABLE: &str = "leases";
pub(crate) const BUCKET: &str = "letters";
const REGION: &str = "eu-west-1";
/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Running engines with a stream.
pub(crate) struct World {
    pub(crate) clients: Clients,
    pub(crate) store: Store,
    engines: Engines,
    _folder: tempfile::TempDir,
}

impl World {
    /// With a stream, a bucket and a lease table.
    pub(crate) async fn start(shards: i32) -> Self {
        let world = Self::without_lease_table(shards).await;
        world.create_lease_table().await;
        world
    }

    pub(crate) async fn without_lease_table(shards: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::start(Options {
            data_dir: folder.path().to_owned(),
            limits: Limits::SizesOnly,
            region: REGION.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
        })
        .await
        .unwrap();
        let clients = clients(&engines.endpoint_url()).await;
        clients.kinesis.create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        clients.s3.create_bucket().bucket(BUCKET).send().await.unwrap();
        let world = Self { clients, store: Store::default(), engines, _folder: folder };
        world.stream_is_active().await;
        world
    }

    pub(crate) async fn create_lease_table(&self) {
        let key = "leaseKey";
        self.clients
            .dynamodb
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(key)
                    .attribute_type(ScalarAttributeType::S)
                    .build()
                    .unwrap(),
            )
            .key_schema(KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().unwrap())
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn stream_is_active(&self) {
        eventually("the stream is active", async || {
            let answer = self.clients.kinesis.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
            answer.stream_description_summary().unwrap().stream_status() == &StreamStatus::Active
        })
        .await;
    }

    pub(crate) async fn stream_arn(&self) -> String {
        let answer = self.clients.kinesis.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
        answer.stream_description_summary().unwrap().stream_arn().to_owned()
    }

    /// Deletes the stream and creates it again, with so many shards.
    pub(crate) async fn recreate(&self, shards: i32) {
        let kinesis = &self.clients.kinesis;
        kinesis.delete_stream().stream_name(STREAM).enforce_consumer_deletion(true).send().await.unwrap();
        eventually("the stream is gone", async || {
            let described = kinesis.describe_stream_summary().stream_name(STREAM).send().await;
            described.is_err_and(|error| error.into_service_error().is_resource_not_found_exception())
        })
        .await;
        kinesis.create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        self.stream_is_active().await;
    }

    pub(crate) fn config(&self, worker: &str) -> ConsumerConfig {
        ConsumerConfig {
            pipeline: PipelineRef { namespace: "shop".to_owned(), name: "ecommerce".to_owned() },
            sink: "tables".to_owned(),
            stream: STREAM.to_owned(),
            lease_table: TABLE.to_owned(),
            worker_id: WorkerId::new(worker),
            start_at: StartAt::TrimHorizon,
            fan_out: None,
            repeats: None,
            dead_letters_bucket: BUCKET.to_owned(),
            dead_letters_prefix: "dead/".to_owned(),
            failover: Duration::from_millis(1500),
            least_imbalance: 64 << 10,
            shard_sync: Duration::from_secs(1),
            drain_limit: Duration::from_secs(20),
            read_bytes: 1 << 20,
            prefetch_bytes: 2 << 20,
            worker_prefetch_bytes: 32 << 20,
            dead_letter_bytes: 4 << 20,
        }
    }

    pub(crate) fn sink(&self) -> TestSink {
        TestSink::new(self.store.clone())
    }

    pub(crate) fn run(&self, worker: &str, sink: TestSink) -> Running {
        self.run_with(self.config(worker), sink)
    }

    pub(crate) fn run_with(&self, config: ConsumerConfig, sink: TestSink) -> Running {
        let (stop, health) = (Stop::new(), Health::new());
        let run = penstock_consumer::run(config, self.clients.clone(), sink, stop.clone(), health.clone());
        Running { stop, health, task: tokio::spawn(run) }
    }

    /// A gate in front of the engines.
    pub(crate) async fn gate(&self) -> gate::Gate {
        gate::Gate::open(self.engines.endpoint_url()).await
    }

    /// Runs a worker whose calls go through a gate.
    pub(crate) async fn run_through(&self, gate: &gate::Gate, config: ConsumerConfig, sink: TestSink) -> Running {
        let (stop, health) = (Stop::new(), Health::new());
        let clients = clients(gate.endpoint()).await;
        let run = penstock_consumer::run(config, clients, sink, stop.clone(), health.clone());
        Running { stop, health, task: tokio::spawn(run) }
    }

    /// Runs one worker until everything in the stream is stored.
    pub(crate) async fn run_to_tip(&self, worker: &str, sink: TestSink) -> Summary {
        self.run(worker, sink).at_tip().await
    }

    /// Puts one record for each number in the range; its data says which one it is.
    pub(crate) async fn put(&self, numbers: std::ops::Range<u64>) {
        let names: Vec<_> = numbers.map(|number| format!("ok-{number}")).collect();
        self.put_all(&names).await;
    }

    pub(crate) async fn put_all(&self, data: &[String]) {
        for chunk in data.chunks(500) {
            let entries = chunk.iter().map(|data| {
                let key = data.get(..256).unwrap_or(data);
                PutRecordsRequestEntry::builder().data(Blob::new(data.as_bytes())).partition_key(key).build().unwrap()
            });
            let request = self.clients.kinesis.put_records().stream_name(STREAM);
            let answer = request.set_records(Some(entries.collect())).send().await.unwrap();
            assert_eq!(answer.failed_record_count(), Some(0));
        }
    }

    /// Puts one aggregate; says its sequence number.
    pub(crate) async fn put_aggregate(&self, data: impl IntoIterator<Item = String>) -> String {
        self.put_with(Aggregator::new(1 << 20), data).await
    }

    /// Puts one aggregate that was made for the shard, wherever it goes.
    pub(crate) async fn put_aggregate_made_for(&self, shard: &Shard, data: impl IntoIterator<Item = String>) {
        self.put_with(Aggregator::made_for(1 << 20, &ShardId::new(shard.shard_id())), data).await;
    }

    async fn put_with(&self, mut aggregator: Aggregator, data: impl IntoIterator<Item = String>) -> String {
        for data in data {
            aggregator.push(&data.clone().into(), None, data.into()).unwrap();
        }
        let entry = aggregator.finish().unwrap().entry;
        let request = self.clients.kinesis.put_record().stream_name(STREAM).partition_key(&*entry.partition_key);
        let answer = request.data(Blob::new(entry.data.to_vec())).send().await.unwrap();
        answer.sequence_number().to_owned()
    }

    /// Writes a lease row as somebody else would.
    pub(crate) async fn write_lease(&self, attributes: &[(&str, AttributeValue)]) {
        let item = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.clients.dynamodb.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }

    pub(crate) async fn shards(&self) -> Vec<Shard> {
        self.clients.kinesis.list_shards().stream_name(STREAM).send().await.unwrap().shards().to_vec()
    }

    pub(crate) async fn open_shards(&self) -> Vec<Shard> {
        let open = |shard: &Shard| shard.sequence_number_range().unwrap().ending_sequence_number().is_none();
        self.shards().await.into_iter().filter(open).collect()
    }

    pub(crate) async fn split(&self, shard: &Shard) {
        let range = shard.hash_key_range().unwrap();
        let number = |text: &str| text.parse::<u128>().unwrap();
        let (start, end) = (number(range.starting_hash_key()), number(range.ending_hash_key()));
        let middle = start + (end - start) / 2;
        let request = self.clients.kinesis.split_shard().stream_name(STREAM);
        request.shard_to_split(shard.shard_id()).new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.stream_is_active().await;
    }

    pub(crate) async fn merge(&self, left: &Shard, right: &Shard) {
        let request = self.clients.kinesis.merge_shards().stream_name(STREAM);
        let request = request.shard_to_merge(left.shard_id()).adjacent_shard_to_merge(right.shard_id());
        request.send().await.unwrap();
        self.stream_is_active().await;
    }

    /// All rows of the lease table by key.
    pub(crate) async fn rows(&self) -> BTreeMap<String, BTreeMap<String, AttributeValue>> {
        let answer = self.clients.dynamodb.scan().table_name(TABLE).consistent_read(true).send().await.unwrap();
        let rows = answer.items().iter().map(|item| item.clone().into_iter().collect::<BTreeMap<_, _>>());
        rows.map(|row| (row["leaseKey"].as_s().unwrap().clone(), row)).collect()
    }

    pub(crate) async fn leases(&self) -> BTreeMap<String, BTreeMap<String, AttributeValue>> {
        self.rows().await.into_iter().filter(|(key, _)| key.starts_with("shardId-")).collect()
    }

    /// The lines of all dead letters, and the number of objects that hold them.
    pub(crate) async fn dead_letters(&self) -> (usize, Vec<serde_json::Value>) {
        let listed = self.clients.s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        let mut lines = Vec::new();
        for object in listed.contents() {
            let request = self.clients.s3.get_object().bucket(BUCKET).key(object.key().unwrap());
            let body = request.send().await.unwrap().body.collect().await.unwrap().into_bytes();
            let text = std::str::from_utf8(&body).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()));
        }
        (listed.contents().len(), lines)
    }

    pub(crate) async fn stop(self) {
        self.engines.stop().await;
    }
}

async fn clients(endpoint: &str) -> Clients {
    let aws = Aws::local(REGION, endpoint).await;
    let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
    Clients {
        kinesis: aws_sdk_kinesis::Client::new(&aws.config),
        dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

/// A consumer at work.
pub(crate) struct Running {
    pub(crate) stop: Stop,
    pub(crate) health: Health,
    task: JoinHandle<Result<Summary, ConsumerError>>,
}

impl Running {
    pub(crate) async fn at_tip(self) -> Summary {
        self.stop.at_tip.cancel();
        self.ended().await
    }

    pub(crate) async fn drain(self) -> Summary {
        self.stop.drain.cancel();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Summary {
        self.outcome().await.unwrap()
    }

    pub(crate) async fn outcome(self) -> Result<Summary, ConsumerError> {
        tokio::time::timeout(DEADLINE, self.task).await.expect("the consumer ends").unwrap()
    }

    /// As `kill -9` does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Waits for a condition, with a deadline.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "this did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ranges of each shard join, and each of the expected records is in exactly one of them.
pub(crate) fn assert_exactly_once(store: &Store, expected: impl IntoIterator<Item = String>) {
    let entries = store.entries();
    let mut end_of: BTreeMap<ShardId, _> = BTreeMap::new();
    for (range, _) in &entries {
        let reached = end_of.insert(range.shard.clone(), range.end_inclusive.clone());
        assert_eq!(range.start_exclusive, reached, "ranges of {} join", range.shard);
    }
    assert_stored_once(store, expected);
}

/// Each of the expected records is in exactly one range.
pub(crate) fn assert_stored_once(store: &Store, expected: impl IntoIterator<Item = String>) {
    let entries = store.entries();
    let stored: Vec<_> = entries.iter().flat_map(|(_, entry)| entry.data.iter().cloned()).collect();
    let distinct: BTreeSet<_> = stored.iter().cloned().collect();
    let expected: BTreeSet<_> = expected.into_iter().collect();
    let (missing, strange) = (expected.difference(&distinct), distinct.difference(&expected));
    assert_eq!((missing.collect::<Vec<_>>(), strange.collect::<Vec<_>>()), (Vec::new(), Vec::new()));
    assert_eq!(stored.len(), distinct.len(), "a record is in two ranges");
}

/// The data that [`World::put`] makes of numbers.
pub(crate) fn ok(numbers: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("ok-{number}"))
}
