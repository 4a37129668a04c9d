//! Writing and reading records, through the official SDK.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Local, code, create_stream, until_active};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Record, ShardIteratorType};
use penstock_embedded::Limits;

fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build().unwrap()
}

async fn iterator(client: &Client, stream: &str, shard: usize, kind: ShardIteratorType) -> String {
    let shard = format!("shardId-{shard:012}");
    let request = client.get_shard_iterator().stream_name(stream).shard_id(shard).shard_iterator_type(kind);
    request.send().await.unwrap().shard_iterator().unwrap().to_owned()
}

/// Reads a shard from its beginning until nothing is left.
async fn read_all(client: &Client, stream: &str, shard: usize) -> Vec<Record> {
    let mut next = Some(iterator(client, stream, shard, ShardIteratorType::TrimHorizon).await);
    let mut records = Vec::new();
    while let Some(token) = next {
        let answer = client.get_records().shard_iterator(token).send().await.unwrap();
        records.extend(answer.records().iter().cloned());
        next = answer.next_shard_iterator().filter(|_| answer.millis_behind_latest() != Some(0)).map(str::to_owned);
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_come_back_in_order_with_their_numbers_keys_and_times() {
    let local = Local::start(Limits::Enforced).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    let before = std::time::SystemTime::now();
    let texts: Vec<String> = (0..10).map(|n| format!("record \"{n}\" é\u{1}")).collect();
    let entries = texts.iter().map(|text| entry("ключ\"\n", text.as_bytes())).collect();
    let answer = client.put_records().stream_name("s").set_records(Some(entries)).send().await.unwrap();
    assert_eq!(answer.failed_record_count(), Some(0));
    let read = read_all(&client, "s", 0).await;
    for ((text, put), record) in texts.iter().zip(answer.records()).zip(&read) {
        assert_eq!(record.data().as_ref(), text.as_bytes());
        assert_eq!(record.partition_key(), Some("ключ\"\n"));
        assert_eq!(put.sequence_number(), Some(record.sequence_number()));
        assert_eq!(put.shard_id(), Some("shardId-000000000000"));
        assert!(record.sequence_number().len() == 56 && record.sequence_number().starts_with("49"));
        let arrived = record.approximate_arrival_timestamp().unwrap().as_secs_f64();
        let before = before.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(arrived >= before - 0.002 && arrived < before + 10.0);
    }
    assert!(read.windows(2).all(|pair| pair[0].sequence_number() < pair[1].sequence_number()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_iterator_begins_where_it_says() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    let entries = ["a", "b", "c"].map(|text| entry("k", text)).to_vec();
    let answer = client.put_records().stream_name("s").set_records(Some(entries)).send().await.unwrap();
    let second = answer.records()[1].sequence_number().unwrap();
    let read = async |kind: ShardIteratorType, sequence: Option<&str>| {
        let iterator = client
            .get_shard_iterator()
            .stream_name("s")
            .shard_id("shardId-000000000000")
            .shard_iterator_type(kind)
            .set_starting_sequence_number(sequence.map(str::to_owned))
            .send()
            .await
            .unwrap();
        let answer = client.get_records().shard_iterator(iterator.shard_iterator().unwrap()).send().await.unwrap();
        answer.records().iter().map(|r| String::from_utf8(r.data().as_ref().to_vec()).unwrap()).collect::<String>()
    };
    assert_eq!(read(ShardIteratorType::TrimHorizon, None).await, "abc");
    assert_eq!(read(ShardIteratorType::AtSequenceNumber, Some(second)).await, "bc");
    assert_eq!(read(ShardIteratorType::AfterSequenceNumber, Some(second)).await, "c");
    assert_eq!(read(ShardIteratorType::Latest, None).await, "");
    let latest = iterator(&client, "s", 0, ShardIteratorType::Latest).await;
    client.put_record().stream_name("s").partition_key("k").data(Blob::new("d")).send().await.unwrap();
    let answer = client.get_records().shard_iterator(latest).send().await.unwrap();
    assert_eq!(answer.records().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_the_services_exceptions() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    let put =
        |key: &str, data: Vec<u8>| client.put_record().stream_name("s").partition_key(key).data(Blob::new(data)).send();
    assert_eq!(code(&put("", vec![]).await.unwrap_err()), "ValidationException");
    assert_eq!(code(&put(&"ü".repeat(257), vec![]).await.unwrap_err()), "ValidationException");
    put(&"ü".repeat(256), vec![]).await.unwrap();
    assert_eq!(code(&put("k", vec![0; 1024 * 1024]).await.unwrap_err()), "InvalidArgumentException");
    put("k", vec![0; 1024 * 1024 - 1]).await.unwrap();
    let batch = |entries| client.put_records().stream_name("s").set_records(Some(entries)).send();
    assert_eq!(code(&batch(vec![entry("k", "x"); 501]).await.unwrap_err()), "ValidationException");
    assert_eq!(code(&batch(vec![]).await.unwrap_err()), "ValidationException");
    let large = vec![entry("k", vec![0; 1024 * 1024 - 1]); 11];
    assert_eq!(code(&batch(large).await.unwrap_err()), "InvalidArgumentException");
    batch(vec![entry("k", vec![0; 1024 * 1024 - 1]); 10]).await.unwrap();
    let missing = client.put_record().stream_name("missing").partition_key("k").data(Blob::new("")).send().await;
    let missing = missing.unwrap_err();
    assert_eq!(code(&missing), "ResourceNotFoundException");
    assert!(missing.into_service_error().to_string().contains("missing"));
    let two_to_the_128th = "340282366920938463463374607431768211456";
    for (hash, refusal) in [("-1", "ValidationException"), (two_to_the_128th, "InvalidArgumentException")] {
        let put = client.put_record().stream_name("s").partition_key("k").explicit_hash_key(hash).data(Blob::new(""));
        assert_eq!(code(&put.send().await.unwrap_err()), refusal, "{hash}");
    }
    let forged = client.get_records().shard_iterator("AAAA").send().await.unwrap_err();
    assert_eq!(code(&forged), "InvalidArgumentException");
    let token = iterator(&client, "s", 0, ShardIteratorType::TrimHorizon).await;
    let limit = client.get_records().shard_iterator(token).limit(10_001).send().await.unwrap_err();
    assert_eq!(code(&limit), "ValidationException");
    let foreign = client
        .get_shard_iterator()
        .stream_name("s")
        .shard_id("shardId-000000000000")
        .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
        .starting_sequence_number("49590338271490256608559692538361571095921575989136588898")
        .send()
        .await;
    assert_eq!(code(&foreign.unwrap_err()), "InvalidArgumentException");
    let shard = client.get_shard_iterator().stream_name("s").shard_id("shardId-000000000007");
    let shard = shard.shard_iterator_type(ShardIteratorType::Latest).send().await.unwrap_err();
    assert_eq!(code(&shard), "ResourceNotFoundException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn larger_records_are_taken_once_the_stream_allows_them() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    let arn = client.describe_stream_summary().stream_name("s").send().await.unwrap();
    let arn = arn.stream_description_summary().unwrap().stream_arn().to_owned();
    client.update_max_record_size().stream_arn(&arn).max_record_size_in_kib(10_240).send().await.unwrap();
    until_active(&client, "s").await;
    let large = vec![9; 10 * 1024 * 1024 - 1];
    // The ARN stands in place of the name.
    client.put_record().stream_arn(&arn).partition_key("k").data(Blob::new(large.clone())).send().await.unwrap();
    let read = read_all(&client, "s", 0).await;
    assert_eq!(read[0].data().as_ref(), large);
    let too_large = client.update_max_record_size().stream_arn(&arn).max_record_size_in_kib(10_241).send().await;
    assert_eq!(code(&too_large.unwrap_err()), "ValidationException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_at_most_ten_mebibytes_and_goes_on_where_it_ended() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    for _ in 0..3 {
        let entries = vec![entry("k", vec![1; 1_000_000]); 10];
        client.put_records().stream_name("s").set_records(Some(entries)).send().await.unwrap();
    }
    let token = iterator(&client, "s", 0, ShardIteratorType::TrimHorizon).await;
    let answer = client.get_records().shard_iterator(token).send().await.unwrap();
    assert_eq!(answer.records().len(), 2, "two mebibytes where rates are not enforced");
    assert!(answer.next_shard_iterator().is_some());
    assert_eq!(read_all(&client, "s", 0).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_to_the_shard_of_their_hash_key() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 4).await;
    let shards = client.list_shards().stream_name("s").send().await.unwrap();
    for shard in shards.shards() {
        let range = shard.hash_key_range().unwrap();
        for key in [range.starting_hash_key(), range.ending_hash_key()] {
            let put = client.put_record().stream_name("s").partition_key("k").explicit_hash_key(key);
            let put = put.data(Blob::new("")).send().await.unwrap();
            assert_eq!(put.shard_id(), shard.shard_id());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_record_once_and_in_order_while_many_write() {
    const WRITERS: usize = 8;
    const BATCHES: usize = 25;
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 2).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|shard| {
            let (client, done) = (client.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut next = iterator(&client, "s", shard, ShardIteratorType::TrimHorizon).await;
                let mut seen = Vec::new();
                loop {
                    // Asked before the read, so that nothing written before `done` is missed.
                    let last = done.load(Ordering::SeqCst);
                    let answer = client.get_records().shard_iterator(next).limit(100).send().await.unwrap();
                    seen.extend(answer.records().iter().map(|r| (r.sequence_number().to_owned(), r.data().clone())));
                    next = answer.next_shard_iterator().unwrap().to_owned();
                    if last && answer.millis_behind_latest() == Some(0) {
                        return seen;
                    }
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for batch in 0..BATCHES {
                    let entries =
                        (0..20).map(|n| entry(&format!("{writer}-{n}"), format!("{writer}/{batch}/{n}"))).collect();
                    let put = client.put_records().stream_name("s").set_records(Some(entries)).send().await.unwrap();
                    assert_eq!(put.failed_record_count(), Some(0));
                    for (n, record) in put.records().iter().enumerate() {
                        acknowledged
                            .push((record.sequence_number().unwrap().to_owned(), format!("{writer}/{batch}/{n}")));
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = BTreeMap::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    done.store(true, Ordering::SeqCst);
    let mut seen = BTreeMap::new();
    for reader in readers {
        let records = reader.await.unwrap();
        assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0), "out of order");
        for (sequence, data) in records {
            let text = String::from_utf8(data.into_inner()).unwrap();
            assert!(seen.insert(sequence, text).is_none(), "read twice");
        }
    }
    assert_eq!(seen.len(), WRITERS * BATCHES * 20);
    assert_eq!(seen, acknowledged);
}

/// What the Java SDK speaks; the KCL in `tests/conformance` speaks it at length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_in_cbor_is_answered_and_refused_in_cbor() {
    let local = Local::start(Limits::SizesOnly).await;
    let ask = async |operation: &str, body: &[u8]| {
        let headers = [("x-amz-target", operation), ("content-type", "application/x-amz-cbor-1.1")];
        crate::common::post(&local.url(), &headers, body.to_vec()).await
    };
    let (status, body) = ask("Kinesis_20131202.ListStreams", b"\xa0").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\u{6b}StreamNames") && !body.contains('{'), "{body}");
    let (status, body) = ask("Kinesis_20131202.ListShards", b"\xa1\x6aStreamName\x61s").await;
    assert_eq!(status, 400);
    assert!(body.contains("\u{66}__type") && body.contains("ResourceNotFoundException"), "{body}");
    let (status, body) = ask("Kinesis_20131202.PutRecord", b"\xa1\x64Data\x63AAA").await;
    assert_eq!(status, 400);
    assert!(body.contains("SerializationException") && body.contains("data is a byte string"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_countless_entries_or_bytes_is_refused_and_the_engine_goes_on() {
    let local = Local::start(Limits::SizesOnly).await;
    create_stream(&local.kinesis(), "s", 1).await;
    let headers = [("x-amz-target", "Kinesis_20131202.PutRecords"), ("content-type", "application/x-amz-json-1.1")];
    let tiny = format!(r#"{{"StreamName":"s","Records":[{}{{}}]}}"#, "{},".repeat(3_000_000));
    let (status, body) = crate::common::post(&local.url(), &headers, tiny.into_bytes()).await;
    assert_eq!(status, 400);
    assert!(body.contains("ValidationException") && body.contains("3000001"), "{body}");
    let (status, body) = crate::common::post(&local.url(), &headers, vec![b' '; 17 * 1024 * 1024]).await;
    assert_eq!(status, 413, "{body}");
    let (status, body) = crate::common::post(&local.url(), &headers, b"{\"StreamName\": \"s\", ".to_vec()).await;
    assert_eq!(status, 400);
    assert!(body.contains("SerializationException"), "{body}");
    local.kinesis().put_record().stream_name("s").partition_key("k").data(Blob::new("")).send().await.unwrap();
}
