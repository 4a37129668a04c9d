//! Against the embedded engine: what the answers say is what a reader finds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{Accepted, NDJSON, Served, accepted, row, stage};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::StreamStatus;
use penstock_api::spec::Aggregation;
use penstock_embedded::{Engines, Limits, Options};
use penstock_runtime::Aws;
use penstock_stream::{
    MAX_RECORDS_PER_READ, ShardFilter, StartingAt, get_records, get_shard_iterator, list_shards, user_records,
};

const STREAM: &str = "events";

async fn engines(dir: &std::path::Path) -> (Engines, Client) {
    let options = Options {
        data_dir: dir.to_owned(),
        limits: Limits::SizesOnly,
        region: "eu-west-1".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
    };
    let engines = Engines::start(options).await.unwrap();
    let client = Client::new(&Aws::local("eu-west-1", &engines.endpoint_url()).await.config);
    client.create_stream().stream_name(STREAM).shard_count(3).send().await.unwrap();
    let active = async {
        loop {
            let summary = client.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
            if *summary.stream_description_summary().unwrap().stream_status() == StreamStatus::Active {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), active).await.unwrap();
    (engines, client)
}

/// Everything in the stream by its position, and how many stream records it is in.
async fn read_all(client: &Client) -> (BTreeMap<Accepted, String>, usize) {
    let mut all = BTreeMap::new();
    let mut stream_records = 0;
    for shard in list_shards(client, STREAM, &ShardFilter::FromTrimHorizon).await.unwrap() {
        let mut next = Some(get_shard_iterator(client, STREAM, &shard.id, &StartingAt::TrimHorizon).await.unwrap());
        while let Some(iterator) = next {
            let answer = get_records(client, &iterator, MAX_RECORDS_PER_READ).await.unwrap();
            let at_tip = answer.millis_behind_latest == Some(0);
            stream_records += answer.records.len();
            for record in
                answer.records.into_iter().flat_map(|record| user_records(&shard.id, &shard.hash_range, record))
            {
                let position = Accepted {
                    shard: shard.id.to_string(),
                    sequence: record.position.sequence.to_string(),
                    sub_sequence: record.position.sub_sequence,
                };
                all.insert(position, String::from_utf8(record.data.to_vec()).unwrap());
            }
            next = answer.next_iterator.filter(|_| !at_tip);
        }
    }
    (all, stream_records)
}

async fn what_was_told_is_what_is_there(aggregation: Aggregation) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (engines, client) = engines(dir.path()).await;
    let mut aggregated = stage();
    aggregated.aggregation = aggregation;
    let stage = Served::start(aggregated, &engines.endpoint_url()).await;
    let mut told = BTreeMap::new();
    for request in 0..5_u64 {
        let rows: Vec<String> = (0..500).map(|n| row(&format!("{}", n / 20 + request), n).to_string()).collect();
        let answer = stage.post(&[NDJSON], rows.join("\n")).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        told.extend(accepted(&answer).into_iter().map(|(place, position)| (position, rows[place].clone())));
    }
    let (there, stream_records) = read_all(&client).await;
    assert_eq!(told, there);
    stage.end().await;
    engines.stop().await;
    (there.len(), stream_records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregated_rows_are_where_the_answers_said() {
    let (rows, records) = what_was_told_is_what_is_there(Aggregation::Kpl).await;
    assert_eq!(rows, 2500);
    assert!(records < 100, "{records} stream records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_records_are_where_the_answers_said() {
    assert_eq!(what_was_told_is_what_is_there(Aggregation::None).await, (2500, 2500));
}
