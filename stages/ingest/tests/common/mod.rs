//! A stage over a stand-in for the stream, and a plain HTTP client to talk to it.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "tests; each uses a part of this"
)]

pub mod http;
pub mod stand_in;

use std::collections::BTreeMap;

use penstock_api::plan::{HttpStage, PipelineRef};
use penstock_api::spec::Aggregation;
use penstock_ingest::{Ingest, IngestContext, Running};
use penstock_runtime::http::ApiKeys;
use penstock_runtime::{Aws, Health, Stop};
use serde_json::{Value, json};

pub use http::{Answer, request};
pub use stand_in::{Fault, StandIn};

pub const PATH: &str = "/orders";
pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
pub const CSV: (&str, &str) = ("content-type", "text/csv");

pub fn stage() -> HttpStage {
    let schema = json!({
        "type": "object",
        "required": ["InvoiceNo"],
        "properties": {"InvoiceNo": {"type": "string"}, "Quantity": {"type": "integer"}, "UnitPrice": {"type": "number"}},
    });
    HttpStage {
        stream: "events".to_owned(),
        path: PATH.to_owned(),
        api_keys_secret: None,
        schema: schema.as_object().cloned(),
        partition_key: "{InvoiceNo}".to_owned(),
        id_field: None,
        aggregation: Aggregation::Kpl,
        max_body_bytes: 16 << 20,
        max_decompressed_bytes: 64 << 20,
        max_rows: 20_000,
        max_row_bytes: (1 << 20) - 1024,
        max_connections: 1024,
        max_queued_bytes: 32 << 20,
        body_timeout_millis: 30_000,
    }
}

/// A stage that serves.
pub struct Served {
    pub running: Running,
    pub stop: Stop,
    pub health: Health,
    pub keys: ApiKeys,
}

impl Served {
    pub async fn start(stage: HttpStage, endpoint_url: &str) -> Self {
        let aws = Aws::local("eu-west-1", endpoint_url).await;
        let (stop, health, keys) = (Stop::new(), Health::new(), ApiKeys::default());
        let context = IngestContext {
            pipeline: PipelineRef { namespace: "default".to_owned(), name: "ecommerce".to_owned() },
            name: "orders".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            api_keys: keys.clone(),
            kinesis: aws_sdk_kinesis::Client::new(&aws.config),
            stop: stop.clone(),
            health: health.clone(),
        };
        let running = Ingest::start(stage, context).await.unwrap();
        Self { running, stop, health, keys }
    }

    pub async fn post(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        request(self.running.local_addr(), "POST", PATH, headers, body.as_ref()).await
    }

    pub async fn end(self) {
        self.stop.drain.cancel();
        self.running.finished().await.unwrap();
    }
}

/// A stage over a stand-in with two shards that fails nothing.
pub async fn start() -> (Served, StandIn) {
    let stream = StandIn::start(2).await;
    (Served::start(stage(), &stream.endpoint_url()).await, stream)
}

/// A row of an answer that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    pub shard: String,
    pub sequence: String,
    pub sub_sequence: u64,
}

/// The accepted rows of an answer by their place.
pub fn accepted(answer: &Answer) -> BTreeMap<usize, Accepted> {
    let rows = answer.json()["rows"].as_array().unwrap().clone();
    rows.into_iter()
        .enumerate()
        .filter(|(_, row)| row["status"] == "accepted")
        .map(|(place, row)| (place, serde_json::from_value(row).unwrap()))
        .collect()
}

pub fn codes(answer: &Answer) -> Vec<String> {
    let rows = answer.json()["rows"].as_array().unwrap().clone();
    rows.iter().map(|row| row["code"].as_str().unwrap_or("ok").to_owned()).collect()
}

pub fn row(invoice: &str, number: u64) -> Value {
    json!({"InvoiceNo": invoice, "Quantity": number})
}
