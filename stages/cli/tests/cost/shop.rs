//! The shop on engines that count, in this process, with `penstock run` as a process beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use penstock_contract::ShardId;
use penstock_embedded::{Engines, Limits, Options};
use penstock_runtime::Aws;
use penstock_stream::aggregate::{Deaggregated, deaggregate};
use penstock_stream::{ShardFilter, StartingAt, get_records, get_shard_iterator, list_shards};
use serde_json::Value;

use crate::feed::{self, Target};

const REGION: &str = "eu-west-1";
const STREAM: &str = "default.ecommerce.events";
const PATIENCE: Duration = Duration::from_secs(120);
/// What AWS counts as one when records are put.
const PUT_UNIT: usize = 25 * 1024;

/// A running shop.
pub(crate) struct Shop {
    folder: tempfile::TempDir,
    pub(crate) engines: Engines,
    kinesis: aws_sdk_kinesis::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    run: Child,
    ready: Value,
}

/// What the stream took in a time.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) records: f64,
    pub(crate) units: f64,
    pub(crate) rows: f64,
    pub(crate) row_bytes: f64,
    invoices: BTreeSet<String>,
    of_customers: BTreeSet<String>,
}

fn penstock() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.stdin(Stdio::null()).env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    command
}

impl Shop {
    /// Opens the shop of the examples, with objects that are closed after a second.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            data_dir: folder.path().join("engines"),
            limits: Limits::SizesOnly,
            region: REGION.to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
        };
        let engines = Engines::start(options).await.unwrap();
        let aws = Aws::local(REGION, &engines.endpoint_url()).await;
        let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(s3).create_bucket().bucket("acme-lake").send().await.unwrap();

        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ecommerce/pipeline.yaml");
        let pipeline = fs::read_to_string(example).unwrap();
        let endpoint = format!("region: {REGION}\n    endpointURL: {}", engines.endpoint_url());
        let pipeline = replaced(&replaced(&pipeline, "region: eu-west-1", &endpoint), "age: 5m", "age: 1s");
        fs::write(folder.path().join("pipeline.yaml"), pipeline).unwrap();

        let ready_file = folder.path().join("ready.json");
        let mut command = penstock();
        command.arg("run").arg(folder.path().join("pipeline.yaml")).arg("--aws");
        command.args(["--http-port", "0", "--admin-port", "0", "--page-port", "0", "--data-dir"]);
        command.arg(folder.path().join("data")).arg("--ready-file").arg(&ready_file);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !ready_file.exists() {
            assert!(run.try_wait().unwrap().is_none(), "`penstock run` ended");
            assert!(began.elapsed() < PATIENCE, "`penstock run` is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ready = serde_json::from_str(&fs::read_to_string(ready_file).unwrap()).unwrap();
        let (kinesis, dynamodb) =
            (aws_sdk_kinesis::Client::new(&aws.config), aws_sdk_dynamodb::Client::new(&aws.config));
        Self { folder, engines, kinesis, dynamodb, run, ready }
    }

    pub(crate) fn pipeline(&self) -> PathBuf {
        self.folder.path().join("pipeline.yaml")
    }

    /// So many rows as the client would send them.
    pub(crate) fn rows(&self, count: usize) -> Vec<String> {
        let file = self.folder.path().join("shop.csv");
        let made = penstock().args(["sample", "--rows", &count.to_string(), "--out"]).arg(&file).output().unwrap();
        assert!(made.status.success());
        let mut command = penstock();
        command.arg("send").arg(file).args(["--dry-run", "--to", self.source("url")]);
        let sent = command.args(["--api-key-file", self.source("apiKeyFile")]).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        String::from_utf8(sent.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn source(&self, name: &str) -> &str {
        self.ready["sources"][0][name].as_str().unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        let (address, path) = self.source("url").strip_prefix("http://").unwrap().split_once('/').unwrap();
        let key = fs::read_to_string(self.source("apiKeyFile")).unwrap().trim().to_owned();
        Target { address: address.to_owned(), path: format!("/{path}"), key }
    }

    /// Items that were written to each table until now, as the sink counts them.
    pub(crate) fn items(&self) -> BTreeMap<String, f64> {
        let admin = self.ready["admin"]["tables"].as_str().unwrap().strip_prefix("http://").unwrap();
        let text = feed::get(admin, "/metrics");
        let written = text.lines().filter(|line| line.starts_with("penstock_sink_items_written_total{"));
        let mut items = BTreeMap::new();
        for line in written {
            let (labels, count) = line.rsplit_once(' ').unwrap();
            let table = labels.split_once("table=\"").unwrap().1.split_once('"').unwrap().0;
            *items.entry(table.to_owned()).or_insert(0.0) += count.parse::<f64>().unwrap();
        }
        items
    }

    /// What the stream took from one moment to another, in milliseconds since the epoch.
    pub(crate) async fn taken(&self, from: i64, until: i64) -> Taken {
        let mut taken = Taken::default();
        for shard in list_shards(&self.kinesis, STREAM, &ShardFilter::FromTrimHorizon).await.unwrap() {
            self.taken_by(&shard.id, from, until, &mut taken).await;
        }
        taken.row_bytes /= taken.rows;
        taken
    }

    async fn taken_by(&self, shard: &ShardId, from: i64, until: i64, taken: &mut Taken) {
        let mut iterator =
            Some(get_shard_iterator(&self.kinesis, STREAM, shard, &StartingAt::TrimHorizon).await.unwrap());
        while let Some(at) = iterator {
            let answer = get_records(&self.kinesis, &at, 10_000).await.unwrap();
            let at_tip = answer.records.is_empty() && answer.millis_behind_latest == Some(0);
            for record in answer.records.iter().filter(|record| (from..until).contains(&record.arrival.0)) {
                taken.records += 1.0;
                taken.units += (record.data.len() + record.partition_key.len()).div_ceil(PUT_UNIT) as f64;
                match deaggregate(&record.data) {
                    Deaggregated::Aggregate(members) => members.for_each(|member| taken.row(&member.data)),
                    Deaggregated::Raw => taken.row(&record.data),
                }
            }
            iterator = answer.next_iterator.filter(|_| !at_tip);
        }
    }

    /// The largest item of a table, in bytes, by the sizes of names and values.
    pub(crate) async fn largest_item(&self, table: &str) -> usize {
        let mut pages = self.dynamodb.scan().table_name(table).into_paginator().send();
        let mut largest = 0;
        while let Some(page) = pages.next().await {
            for item in page.unwrap().items() {
                largest = largest.max(item.iter().map(|(name, value)| name.len() + size(value)).sum());
            }
        }
        largest
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.run.kill());
        drop(self.run.wait());
    }
}

impl Taken {
    fn row(&mut self, row: &[u8]) {
        self.rows += 1.0;
        self.row_bytes += row.len() as f64;
        let row: Value = serde_json::from_slice(row).unwrap();
        let invoice = row["InvoiceNo"].as_str().unwrap();
        self.invoices.insert(invoice.to_owned());
        if row.get("CustomerID").is_some() {
            self.of_customers.insert(invoice.to_owned());
        }
    }

    /// The share of the invoices that have a customer, and so an item of sums.
    pub(crate) fn with_customer(&self) -> f64 {
        self.of_customers.len() as f64 / self.invoices.len() as f64
    }
}

/// A text with something else in it, which must have been there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

/// Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats": numbers a byte for two digits, and one more.
fn size(value: &aws_sdk_dynamodb::types::AttributeValue) -> usize {
    use aws_sdk_dynamodb::types::AttributeValue;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        other => panic!("{other:?}"),
    }
}
