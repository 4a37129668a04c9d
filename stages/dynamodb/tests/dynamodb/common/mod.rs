//! A real DynamoDB engine on loopback, behind a proxy that can do what networks and services do.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use penstock_api::plan::SinkStage;
use penstock_contract::{ArrivalMillis, Batch as _, Position, Range, Record, Sequence, ShardId, Sink as _};
use penstock_dynamodb::DynamoDbSink;
use penstock_runtime::Aws;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the proxy does with a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Passes it on.
    Forward,
    /// Passes it on and loses the answer.
    LoseAnswer,
    /// Answers by itself.
    Answer(u16, Value),
    /// Of a BatchWriteItem, passes on so many items and returns the others as unprocessed.
    Unprocess(usize),
}

/// Decides by the number of the call (from 0) and its operation.
pub type Plan = dyn Fn(usize, &str) -> Act + Send + Sync;

/// An engine and the proxy before it.
pub struct Server {
    pub client: Client,
    direct: Client,
    arrived: Arc<AtomicUsize>,
    calls: watch::Sender<usize>,
    plan: Arc<Mutex<Arc<Plan>>>,
}

#[derive(Clone)]
struct Proxy {
    engine: String,
    http: hyper_util::client::legacy::Client<HttpConnector, Body>,
    arrived: Arc<AtomicUsize>,
    calls: watch::Sender<usize>,
    plan: Arc<Mutex<Arc<Plan>>>,
}

impl Server {
    pub async fn start() -> Self {
        let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let engine_url = format!("http://{}", engine.local_addr().unwrap());
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(engine, database, std::future::pending()));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy_url = format!("http://{}", listener.local_addr().unwrap());
        let calls = watch::Sender::new(0);
        let arrived = Arc::new(AtomicUsize::new(0));
        let plan: Arc<Mutex<Arc<Plan>>> = Arc::new(Mutex::new(Arc::new(|_, _: &str| Act::Forward)));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        let proxy = Proxy {
            engine: engine_url.clone(),
            http,
            arrived: Arc::clone(&arrived),
            calls: calls.clone(),
            plan: Arc::clone(&plan),
        };
        let app = axum::Router::new().fallback(pass).with_state(proxy);
        tokio::spawn(async move { axum::serve(listener, app).await });

        Self { client: client(&proxy_url).await, direct: client(&engine_url).await, arrived, calls, plan }
    }

    /// What the proxy does from now on; calls are counted from 0 again.
    pub fn behave(&self, plan: impl Fn(usize, &str) -> Act + Send + Sync + 'static) {
        self.calls.send_replace(0);
        self.arrived.store(0, Ordering::SeqCst);
        *self.plan.lock().unwrap() = Arc::new(plan);
    }

    /// How many calls there were since the last [`Self::behave`].
    pub fn calls(&self) -> usize {
        *self.calls.borrow()
    }

    /// Waits until so many calls were answered or passed on.
    pub async fn wait_for_calls(&self, count: usize) {
        let mut calls = self.calls.subscribe();
        let reached = calls.wait_for(|calls| *calls >= count);
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap().unwrap();
    }

    /// Creates a table with string keys, and an index on `index` where one is given.
    pub async fn create_table(&self, name: &str, partition: &str, sort: Option<&str>, index: Option<&str>) {
        let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
        let mut create = self.direct.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        for attribute in [Some(partition), sort, index].into_iter().flatten() {
            let kind = ScalarAttributeType::S;
            let definition = AttributeDefinition::builder().attribute_name(attribute).attribute_type(kind);
            create = create.attribute_definitions(definition.build().unwrap());
        }
        create = create.key_schema(key(partition, KeyType::Hash));
        if let Some(sort) = sort {
            create = create.key_schema(key(sort, KeyType::Range));
        }
        if let Some(index) = index {
            let projection = Projection::builder().projection_type(ProjectionType::All).build();
            let index = GlobalSecondaryIndex::builder()
                .index_name("by_index")
                .key_schema(key(index, KeyType::Hash))
                .projection(projection);
            create = create.global_secondary_indexes(index.build().unwrap());
        }
        create.send().await.unwrap();
    }

    /// Everything in a table but the sink's own attributes, as JSON, in no order.
    pub async fn items(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut pages = self.direct.scan().table_name(table).consistent_read(true).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let fields = item.unwrap().into_iter().filter(|(name, _)| !name.starts_with("_penstock"));
            items.push(fields.map(|(name, value)| (name, plain(&value))).collect::<BTreeMap<_, _>>());
        }
        items.into_iter().map(|item| json!(item)).collect()
    }

    /// Writes an item by hand.
    pub async fn put(&self, table: &str, item: &[(&str, AttributeValue)]) {
        let item = item.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.direct.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }

    pub fn sink(&self, stage: &SinkStage) -> DynamoDbSink {
        DynamoDbSink::new(stage, self.client.clone()).unwrap()
    }
}

/// A client without the SDK's own retries, whose waits would make the tests long.
pub async fn client(url: &str) -> Client {
    let config = Aws::local("eu-west-1", url).await.config;
    let config = aws_sdk_dynamodb::config::Builder::from(&config).retry_config(RetryConfig::disabled()).build();
    Client::from_conf(config)
}

/// Items as texts in an order of their own, for comparison.
pub fn texts(items: &[Value]) -> Vec<String> {
    let text = |item: &Value| {
        let fields: BTreeMap<_, _> = item.as_object().unwrap().iter().collect();
        json!(fields).to_string()
    };
    let mut texts: Vec<_> = items.iter().map(text).collect();
    texts.sort();
    texts
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!(text),
        // Numbers as text, so that not a digit is lost in the comparison.
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(value) => json!(value),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(values) => values.iter().map(plain).collect(),
        AttributeValue::M(fields) => {
            json!(fields.iter().map(|(name, value)| (name, plain(value))).collect::<BTreeMap<_, _>>())
        }
        other => json!(format!("{other:?}")),
    }
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let target = parts.headers["x-amz-target"].to_str().unwrap().to_owned();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let plan = Arc::clone(&proxy.plan.lock().unwrap());
    let act = plan(proxy.arrived.fetch_add(1, Ordering::SeqCst), operation);
    let response = match act {
        Act::Forward => proxy.forward(&parts.headers, body).await,
        Act::LoseAnswer => {
            proxy.forward(&parts.headers, body).await;
            (StatusCode::INTERNAL_SERVER_ERROR, "").into_response()
        }
        Act::Answer(status, answer) => json_response(status, &answer),
        Act::Unprocess(count) => proxy.forward_some(&parts.headers, &body, count).await,
    };
    proxy.calls.send_modify(|calls| *calls += 1);
    response
}

impl Proxy {
    async fn forward(&self, headers: &HeaderMap, body: Bytes) -> Response {
        let mut request = axum::http::Request::post(&self.engine);
        for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let answer = self.http.request(request.body(Body::from(body)).unwrap()).await.unwrap();
        answer.map(Body::new)
    }

    async fn forward_some(&self, headers: &HeaderMap, body: &Bytes, count: usize) -> Response {
        let mut request: Value = serde_json::from_slice(body).unwrap();
        let mut left = request["RequestItems"].clone();
        for (table, items) in request["RequestItems"].as_object_mut().unwrap() {
            let items = items.as_array_mut().unwrap();
            let rest = items.split_off(count.min(items.len()));
            left[table] = json!(rest);
        }
        left.as_object_mut().unwrap().retain(|_, items| items.as_array().is_some_and(|items| !items.is_empty()));
        if count > 0 {
            let answer = self.forward(headers, Bytes::from(request.to_string())).await;
            assert_eq!(answer.status(), 200);
        }
        json_response(200, &json!({ "UnprocessedItems": left }))
    }
}

fn json_response(status: u16, body: &Value) -> Response {
    let headers = [("content-type", "application/x-amz-json-1.0")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

/// The service's answer to a call that it refuses.
pub fn error(status: u16, code: &str) -> Act {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    Act::Answer(status, json!({ "__type": kind, "message": "as the test wants it" }))
}

/// A stage with these tables.
pub fn stage(tables: Value) -> SinkStage {
    serde_json::from_value(json!({
        "stream": "events",
        "leaseTable": "default.shop.tables.leases",
        "startAt": "TrimHorizon",
        "idField": "_id",
        "target": { "dynamoDb": { "tables": tables } },
        "deadLettersBucket": "lake",
        "deadLettersPrefix": "dead-letters/"
    }))
    .unwrap()
}

pub fn position(sequence: u64) -> Position {
    Position::new(Sequence::parse(&sequence.to_string()).unwrap(), 0)
}

pub fn record(sequence: u64, row: &Value) -> Record {
    Record {
        position: position(sequence),
        partition_key: Arc::from("key"),
        arrival: ArrivalMillis(1_291_191_960_007),
        data: Bytes::from(row.to_string()),
    }
}

pub fn range(shard: &str, records: &[Record]) -> Range {
    let end_inclusive = records.last().unwrap().position.clone();
    Range { shard: ShardId::new(shard), start_exclusive: None, end_inclusive }
}

/// Opens a batch, pushes the records and applies it, as the consumer does.
pub async fn apply(
    sink: &DynamoDbSink,
    shard: &str,
    records: &[Record],
) -> Result<penstock_contract::Applied, penstock_contract::SinkError> {
    let mut batch = sink.open(&ShardId::new(shard), &records[0].position);
    let pushed = batch.push(records).await.unwrap();
    assert_eq!(pushed.rejected, Vec::new());
    batch.apply(&range(shard, records)).await
}
