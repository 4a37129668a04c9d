#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use penstock_contract::{ArrivalMillis, Position, Range, Record, Sequence, ShardId};
use penstock_runtime::Aws;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;
use crate::apply::{MAX_CALLS, Service, no_progress, run};
use crate::batch::Writes;
use crate::config::{Config, tests::stage_of};
use crate::metrics::Meters;

/// A service that throttles the first call of each operation, and takes the others.
async fn throttling_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let answer = move |headers: HeaderMap| async move {
        let is_first = seen.lock().unwrap().insert(headers["x-amz-target"].clone());
        let code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        let (status, body) = if is_first {
            (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "as the test wants it" }))
        } else {
            (StatusCode::OK, json!({}))
        };
        (status, [("content-type", "application/x-amz-json-1.0")], body.to_string())
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn one_of_each() -> Config {
    let mut stage = stage_of(json!([
        {"name": "own", "partition": {"field": "pk", "type": "S"}, "sort": {"template": "{$id}", "attribute": "sk", "type": "S"}, "write": "put"},
        {"name": "latest", "partition": {"field": "pk", "type": "S"}, "write": "put"},
        {"name": "sums", "partition": {"field": "pk", "type": "S"}, "write": {"aggregate": {"set": {}, "add": {"n": 1}}}}
    ]));
    stage.process = None;
    Config::new(&stage).unwrap()
}

#[tokio::test]
async fn a_throttled_call_counts_although_the_sdk_tries_it_again_by_itself() {
    let config = one_of_each();
    let mut writes = Writes::new(&config);
    let end_inclusive = Position::new(Sequence::parse("1").unwrap(), 0);
    let (shard, data) = (ShardId::new("s"), Bytes::from(json!({"pk": "a"}).to_string()));
    let record =
        Record { position: end_inclusive.clone(), partition_key: Arc::from("k"), arrival: ArrivalMillis(0), data };
    writes.push(&config, &shard, &record).unwrap();
    let counts: Vec<_> = (0..3).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let meters: Vec<_> = counts
        .iter()
        .map(|count| Meters { throttled: Counter::from_arc(Arc::clone(count)), ..Meters::new(None, "t") })
        .collect();
    let client = aws_sdk_dynamodb::Client::new(&Aws::local("eu-west-1", &throttling_service().await).await.config);
    let service = Service { client: &client, slots: &Semaphore::new(MAX_CALLS), meters: &meters };
    let range = Range { shard, start_exclusive: None, end_inclusive };
    run(&service, &config, &writes, &range, &mut no_progress(&writes)).await.unwrap();
    let counted: Vec<_> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    assert_eq!(counted, [1, 1, 1], "by BatchWriteItem, PutItem and UpdateItem");
}
