//! Engines as a process, a stream, and what tests do to it.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{BillingMode, PointInTimeRecoveryStatus};
use aws_sdk_kinesis::types::StreamStatus;
use penstock_conformance::{Kcl, KclOptions, LocalAws, LocalAwsOptions, Retrieval, RunningKcl};
use penstock_consumer::Clients;
use penstock_runtime::Aws;
use penstock_stream::{
    ErrorKind, HashKey, Shard, ShardFilter, StartingAt, get_records, get_shard_iterator, list_shards, user_records,
};

use crate::records::Reading;

pub(crate) const STREAM: &str = "events";
/// Longer than anything here takes on a busy machine; a KCL alone waits up to 30 seconds before it makes its leases.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);

/// Running engines, which keep the service's limits, with a stream.
pub(crate) struct World {
    pub(crate) clients: Clients,
    engines: LocalAws,
    kcl: Kcl,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(kcl: Kcl, shards: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engines = LocalAws::start(&LocalAwsOptions::new(&folder.path().join("data"))).unwrap();
        let aws = Aws::local("eu-west-1", engines.endpoint()).await;
        let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
        let clients = Clients {
            kinesis: aws_sdk_kinesis::Client::new(&aws.config),
            dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
            s3: aws_sdk_s3::Client::from_conf(s3),
        };
        clients.kinesis.create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        let world = Self { clients, engines, kcl, folder };
        world.stream_is_active().await;
        world
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.engines.endpoint()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn kcl_options(&self, application: &str, worker: &str, retrieval: Retrieval) -> KclOptions {
        KclOptions {
            application: application.to_owned(),
            worker: worker.to_owned(),
            stream: STREAM.to_owned(),
            endpoint: self.endpoint().to_owned(),
            retrieval,
            stop_after: None,
        }
    }

    pub(crate) fn start_kcl(&self, options: &KclOptions) -> RunningKcl {
        self.kcl.start(options, self.folder()).unwrap()
    }

    pub(crate) async fn produce_by_the_kpl(&self, label: &str) -> String {
        let (kcl, endpoint, label) = (self.kcl.clone(), self.endpoint().to_owned(), label.to_owned());
        let folder = self.folder().to_owned();
        let produce = tokio::task::spawn_blocking(move || kcl.produce(STREAM, &endpoint, &label, &folder));
        produce.await.unwrap().unwrap()
    }

    async fn stream_is_active(&self) {
        eventually("the stream is active", async || {
            let answer = self.clients.kinesis.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
            answer.stream_description_summary().unwrap().stream_status() == &StreamStatus::Active
        })
        .await;
    }

    pub(crate) async fn shards(&self) -> Vec<Shard> {
        list_shards(&self.clients.kinesis, STREAM, &ShardFilter::FromTrimHorizon).await.unwrap()
    }

    /// Those that take records, by their hash ranges.
    pub(crate) async fn open_shards(&self) -> Vec<Shard> {
        let mut open = list_shards(&self.clients.kinesis, STREAM, &ShardFilter::AtLatest).await.unwrap();
        open.sort_by_key(|shard| shard.hash_range.start);
        open
    }

    pub(crate) async fn split(&self, shard: &Shard) {
        let HashKey(start) = shard.hash_range.start;
        let HashKey(end) = shard.hash_range.end_inclusive;
        let middle = start + (end - start) / 2;
        let request = self.clients.kinesis.split_shard().stream_name(STREAM).shard_to_split(shard.id.as_str());
        request.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.stream_is_active().await;
    }

    pub(crate) async fn merge(&self, left: &Shard, right: &Shard) {
        let request = self.clients.kinesis.merge_shards().stream_name(STREAM).shard_to_merge(left.id.as_str());
        request.adjacent_shard_to_merge(right.id.as_str()).send().await.unwrap();
        self.stream_is_active().await;
    }

    /// The KCL made its table with all that it can ask of DynamoDB.
    pub(crate) async fn assert_table_has_what_the_kcl_asks_for(&self, name: &str) {
        let dynamodb = &self.clients.dynamodb;
        let table = dynamodb.describe_table().table_name(name).send().await.unwrap().table.unwrap();
        assert_eq!(table.deletion_protection_enabled(), Some(true));
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        assert_eq!(billing, Some(&BillingMode::PayPerRequest));
        let indexes = table.global_secondary_indexes().iter();
        assert_eq!(indexes.filter_map(|index| index.index_name()).collect::<Vec<_>>(), ["LeaseOwnerToLeaseKeyIndex"]);
        let tags = dynamodb.list_tags_of_resource().resource_arn(table.table_arn().unwrap()).send().await.unwrap();
        assert!(tags.tags().iter().any(|tag| (tag.key(), tag.value()) == ("application", name)));
        let backups = dynamodb.describe_continuous_backups().table_name(name).send().await.unwrap();
        let recovery = backups.continuous_backups_description().unwrap().point_in_time_recovery_description().unwrap();
        assert_eq!(recovery.point_in_time_recovery_status(), Some(&PointInTimeRecoveryStatus::Enabled));
    }

    /// The whole stream, read shard by shard as our consumer reads it.
    pub(crate) async fn read_by_ours(&self) -> Reading {
        let mut reading = Reading::default();
        for shard in self.shards().await {
            let start = StartingAt::TrimHorizon;
            let mut next = get_shard_iterator(&self.clients.kinesis, STREAM, &shard.id, &start).await.ok();
            while let Some(iterator) = next.take() {
                let mut answer = None;
                // The engines keep to the service's rates for a shard, which a large answer uses up for seconds.
                eventually("a read is answered", async || {
                    match get_records(&self.clients.kinesis, &iterator, 10_000).await {
                        Ok(read) => answer = Some(read),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Throttled, "{error}"),
                    }
                    answer.is_some()
                })
                .await;
                let answer = answer.unwrap();
                let at_tip = answer.millis_behind_latest == Some(0);
                for record in
                    answer.records.into_iter().flat_map(|record| user_records(&shard.id, &shard.hash_range, record))
                {
                    reading.add_ours(shard.id.as_str(), &record);
                }
                next = answer.next_iterator.filter(|_| !at_tip);
            }
        }
        reading
    }
}

/// Waits for a condition, with a deadline.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "this did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
