//! The S3 engine, through the official SDK.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Local, code};
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, Delete, EncodingType,
    MetadataDirective, ObjectIdentifier,
};
use penstock_embedded::Limits;

async fn lake() -> (Local, Client) {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.s3();
    client.create_bucket().bucket("lake").send().await.unwrap();
    (local, client)
}

async fn put(client: &Client, key: &str, body: &[u8]) {
    client.put_object().bucket("lake").key(key).body(body.to_vec().into()).send().await.unwrap();
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let object = client.get_object().bucket("lake").key(key).send().await.unwrap();
    object.body.collect().await.unwrap().into_bytes().to_vec()
}

fn md5(bytes: &[u8]) -> String {
    use md5::{Digest as _, Md5};
    hex::encode(Md5::digest(bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_created_listed_and_deleted_when_empty() {
    let (local, client) = lake().await;
    let again = client.create_bucket().bucket("lake").send().await.unwrap_err();
    assert_eq!(code(&again), "BucketAlreadyOwnedByYou");
    client.head_bucket().bucket("lake").send().await.unwrap();
    assert!(client.head_bucket().bucket("other").send().await.unwrap_err().into_service_error().is_not_found());
    let location = client.get_bucket_location().bucket("lake").send().await.unwrap();
    assert_eq!(location.location_constraint().unwrap().as_str(), "eu-west-1");
    assert_eq!(client.list_buckets().send().await.unwrap().buckets()[0].name(), Some("lake"));
    put(&client, "k", b"x").await;
    assert_eq!(code(&client.delete_bucket().bucket("lake").send().await.unwrap_err()), "BucketNotEmpty");
    client.delete_object().bucket("lake").key("k").send().await.unwrap();
    client.delete_object().bucket("lake").key("k").send().await.unwrap();
    client.delete_bucket().bucket("lake").send().await.unwrap();
    let gone = client.put_object().bucket("lake").key("k").send().await.unwrap_err();
    assert_eq!(code(&gone), "NoSuchBucket");
    assert_eq!(files(&local), 0);
}

fn files(local: &Local) -> usize {
    fn walk(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
    }
    walk(&local.dir.path().join("s3").join("objects"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_keeps_its_bytes_and_its_description() {
    let (_local, client) = lake().await;
    let body: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let written = client
        .put_object()
        .bucket("lake")
        .key("a/b c+d/é.jsonl.zst")
        .content_type("application/x-ndjson")
        .content_encoding("zstd")
        .metadata("shard", "shardId-000000000000")
        .body(body.clone().into())
        .send()
        .await
        .unwrap();
    assert_eq!(written.e_tag(), Some(format!("\"{}\"", md5(&body)).as_str()));
    let object = client.get_object().bucket("lake").key("a/b c+d/é.jsonl.zst");
    let object = object.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(object.content_type(), Some("application/x-ndjson"));
    assert_eq!(object.content_encoding(), Some("zstd"), "aws-chunked is not part of the object");
    assert_eq!(object.metadata().unwrap()["shard"], "shardId-000000000000");
    assert_eq!(object.content_length(), Some(8_000_000));
    assert!(object.checksum_crc32().is_some(), "the SDK's default checksum");
    assert_eq!(object.body.collect().await.unwrap().into_bytes(), body);
    let head = client.head_object().bucket("lake").key("a/b c+d/é.jsonl.zst").send().await.unwrap();
    assert_eq!(head.content_length(), Some(8_000_000));
    let missing = client.get_object().bucket("lake").key("missing").send().await.unwrap_err();
    assert_eq!(code(&missing), "NoSuchKey");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_and_conditions_of_reads() {
    let (_local, client) = lake().await;
    put(&client, "k", b"0123456789").await;
    let range = async |range: &str| {
        let answer = client.get_object().bucket("lake").key("k").range(range).send().await;
        match answer {
            Ok(answer) => {
                let shown = answer.content_range().unwrap().to_owned();
                let bytes = answer.body.collect().await.unwrap().into_bytes();
                Ok((shown, String::from_utf8(bytes.to_vec()).unwrap()))
            }
            Err(error) => Err(code(&error)),
        }
    };
    assert_eq!(range("bytes=2-4").await, Ok(("bytes 2-4/10".into(), "234".into())));
    assert_eq!(range("bytes=7-").await, Ok(("bytes 7-9/10".into(), "789".into())));
    assert_eq!(range("bytes=-2").await, Ok(("bytes 8-9/10".into(), "89".into())));
    assert_eq!(range("bytes=5-99").await, Ok(("bytes 5-9/10".into(), "56789".into())));
    assert_eq!(range("bytes=10-").await, Err("InvalidRange".into()));
    let etag = format!("\"{}\"", md5(b"0123456789"));
    let request = || client.get_object().bucket("lake").key("k");
    request().if_match(&etag).send().await.unwrap();
    assert_eq!(code(&request().if_match("\"x\"").send().await.unwrap_err()), "PreconditionFailed");
    let unchanged = request().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
    request().if_none_match("\"x\"").send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_conditional_writers_exactly_one_wins() {
    let (local, client) = lake().await;
    for round in 0..5 {
        let key = Arc::new(format!("round-{round}"));
        let writers: Vec<_> = (0..32)
            .map(|writer: u8| {
                let (client, key) = (client.clone(), Arc::clone(&key));
                tokio::spawn(async move {
                    let body = vec![writer; 1000 + usize::from(writer)];
                    let put = client.put_object().bucket("lake").key(&*key).if_none_match("*").body(body.into());
                    match put.send().await {
                        Ok(_) => Some(writer),
                        Err(error) => {
                            assert_eq!(code(&error), "PreconditionFailed");
                            None
                        }
                    }
                })
            })
            .collect();
        let mut winners = Vec::new();
        for writer in writers {
            winners.extend(writer.await.unwrap());
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(get(&client, &key).await, vec![winners[0]; 1000 + usize::from(winners[0])]);
    }
    assert_eq!(files(&local), 5, "the losers leave nothing");
    let other = client.put_object().bucket("lake").key("round-0").if_match("\"x\"").send().await.unwrap_err();
    assert_eq!(code(&other), "PreconditionFailed");
    let absent = client.put_object().bucket("lake").key("none").if_match("\"x\"").send().await.unwrap_err();
    assert_eq!(code(&absent), "NoSuchKey");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_what_was_announced_leaves_nothing() {
    let (local, client) = lake().await;
    let put = || client.put_object().bucket("lake").key("k").body(ByteStream::from_static(b"hello"));
    let md5 = put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await.unwrap_err();
    assert_eq!(code(&md5), "BadDigest");
    let invalid = put().content_md5("???").send().await.unwrap_err();
    assert_eq!(code(&invalid), "InvalidDigest");
    let crc = put().checksum_crc32("AAAAAA==").send().await.unwrap_err();
    assert_eq!(code(&crc), "BadDigest");
    let sha = put().checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").send().await.unwrap_err();
    assert_eq!(code(&sha), "BadDigest");
    let headers = [("x-amz-content-sha256", &*"0".repeat(64))];
    let (status, body) =
        crate::common::send("PUT", &format!("{}/lake/k", local.url()), &headers, b"hello".to_vec()).await;
    assert_eq!(status, 400);
    assert!(body.contains("XAmzContentSHA256Mismatch"), "{body}");
    let chunked = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-encoding", "aws-chunked"),
    ];
    let url = format!("{}/lake/k", local.url());
    let wrong = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_vec();
    let (status, body) = crate::common::send("PUT", &url, &chunked, wrong).await;
    assert_eq!(status, 400);
    assert!(body.contains("BadDigest"), "{body}");
    let (status, body) = crate::common::send("PUT", &url, &chunked, b"5\r\nhel".to_vec()).await;
    assert_eq!(status, 400);
    assert!(body.contains("IncompleteBody"), "{body}");
    let gone = client.get_object().bucket("lake").key("k").send().await.unwrap_err();
    assert_eq!(code(&gone), "NoSuchKey");
    assert_eq!(files(&local), 0);
    let right = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n".to_vec();
    let (status, body) = crate::common::send("PUT", &url, &chunked, right).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(get(&client, "k").await, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_may_be_long_and_strange() {
    let (_local, client) = lake().await;
    let keys = [
        "x".repeat(1024),
        format!("{}/{}", "é".repeat(250), "y".repeat(500)),
        "a//b".into(),
        "../../etc".into(),
        "with space + plus & amp = eq ? q # hash".into(),
        "trailing/".into(),
        ".".into(),
    ];
    for key in &keys {
        put(&client, key, key.as_bytes()).await;
    }
    for key in &keys {
        assert_eq!(get(&client, key).await, key.as_bytes(), "{key}");
    }
    let mut listed: Vec<String> = client
        .list_objects_v2()
        .bucket("lake")
        .send()
        .await
        .unwrap()
        .contents()
        .iter()
        .map(|object| object.key().unwrap().to_owned())
        .collect();
    let mut expected = keys.to_vec();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    let long = client.put_object().bucket("lake").key("x".repeat(1025)).send().await.unwrap_err();
    assert_eq!(code(&long), "KeyTooLongError");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_prefixes_delimiters_and_pages() {
    let (_local, client) = lake().await;
    for key in ["a", "raw/1", "raw/2", "raw/3/x", "raw/3/y", "raw/4", "z z"] {
        put(&client, key, b"x").await;
    }
    let list = client.list_objects_v2().bucket("lake").prefix("raw/").delimiter("/").send().await.unwrap();
    let keys: Vec<_> = list.contents().iter().map(|object| object.key().unwrap()).collect();
    assert_eq!(keys, ["raw/1", "raw/2", "raw/4"]);
    assert_eq!(list.common_prefixes()[0].prefix(), Some("raw/3/"));
    assert_eq!(list.key_count(), Some(4));
    for size in 1..9 {
        let mut pages = client.list_objects_v2().bucket("lake").into_paginator().page_size(size).send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
        }
        assert_eq!(keys, ["a", "raw/1", "raw/2", "raw/3/x", "raw/3/y", "raw/4", "z z"]);
    }
    let after = client.list_objects_v2().bucket("lake").start_after("raw/3/x").send().await.unwrap();
    assert_eq!(after.contents().len(), 3);
    let encoded = client.list_objects_v2().bucket("lake").encoding_type(EncodingType::Url).prefix("z z");
    assert_eq!(encoded.send().await.unwrap().contents()[0].key(), Some("z%20z"));
    let first = client.list_objects().bucket("lake").delimiter("/").max_keys(2).send().await.unwrap();
    assert_eq!(first.next_marker(), Some("raw/"));
    let second = client.list_objects().bucket("lake").delimiter("/").marker("raw/").send().await.unwrap();
    assert_eq!(second.contents()[0].key(), Some("z z"));
    assert!(second.common_prefixes().is_empty());
    let none = client.list_objects_v2().bucket("none").send().await.unwrap_err();
    assert_eq!(code(&none), "NoSuchBucket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_copied_and_deleted_by_the_thousand() {
    let (local, client) = lake().await;
    let put = client.put_object().bucket("lake").key("from").metadata("a", "1").content_type("text/plain");
    put.body(ByteStream::from_static(b"bytes")).send().await.unwrap();
    client.copy_object().bucket("lake").key("to").copy_source("lake/from").send().await.unwrap();
    let copied = client.head_object().bucket("lake").key("to").send().await.unwrap();
    assert_eq!((copied.content_type(), copied.metadata().unwrap()["a"].as_str()), (Some("text/plain"), "1"));
    let itself = client.copy_object().bucket("lake").key("to").copy_source("lake/to").send().await.unwrap_err();
    assert_eq!(code(&itself), "InvalidRequest");
    let replace = client.copy_object().bucket("lake").key("to").copy_source("lake/to");
    replace.metadata_directive(MetadataDirective::Replace).metadata("b", "2").send().await.unwrap();
    let replaced = client.head_object().bucket("lake").key("to").send().await.unwrap();
    assert_eq!(replaced.metadata().unwrap(), &HashMap::from([("b".to_owned(), "2".to_owned())]));
    assert_eq!(get(&client, "to").await, b"bytes");
    let id = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = Delete::builder().objects(id("from")).objects(id("to")).objects(id("none")).build().unwrap();
    let deleted = client.delete_objects().bucket("lake").delete(delete).send().await.unwrap();
    assert_eq!(deleted.deleted().len(), 3);
    assert_eq!(files(&local), 0);
}

struct Parts<'a> {
    client: &'a Client,
    key: &'a str,
    id: String,
    parts: Vec<CompletedPart>,
}

impl<'a> Parts<'a> {
    async fn create(client: &'a Client, key: &'a str, kind: Option<ChecksumType>) -> Self {
        let create = client.create_multipart_upload().bucket("lake").key(key).metadata("m", "v");
        let create = create.checksum_algorithm(ChecksumAlgorithm::Crc32).set_checksum_type(kind);
        let id = create.send().await.unwrap().upload_id().unwrap().to_owned();
        Self { client, key, id, parts: Vec::new() }
    }

    async fn part(&mut self, number: i32, body: Vec<u8>) {
        let part = self.client.upload_part().bucket("lake").key(self.key).upload_id(&self.id).part_number(number);
        let part = part.checksum_algorithm(ChecksumAlgorithm::Crc32).body(body.into()).send().await.unwrap();
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag().map(str::to_owned))
            .set_checksum_crc32(part.checksum_crc32().map(str::to_owned));
        self.parts.push(part.build());
    }

    fn complete(
        &self,
    ) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let complete = self.client.complete_multipart_upload().bucket("lake").key(self.key);
        complete.upload_id(&self.id).multipart_upload(parts)
    }
}

const PART: usize = 5 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_parts_becomes_one_object() {
    let (local, client) = lake().await;
    let mut upload = Parts::create(&client, "big", None).await;
    upload.part(1, vec![9; PART]).await;
    upload.parts.clear();
    upload.part(1, vec![1; PART]).await;
    upload.part(2, vec![2; PART + 1]).await;
    upload.part(7, vec![3; 10]).await;
    let listed = client.list_parts().bucket("lake").key("big").upload_id(&upload.id).send().await.unwrap();
    assert_eq!(listed.parts().iter().map(|part| part.part_number().unwrap()).collect::<Vec<_>>(), [1, 2, 7]);
    let uploads = client.list_multipart_uploads().bucket("lake").send().await.unwrap();
    assert_eq!(uploads.uploads()[0].upload_id(), Some(upload.id.as_str()));
    let complete = upload.complete().send().await.unwrap();
    assert!(complete.e_tag().unwrap().ends_with("-3\""));
    assert!(complete.checksum_crc32().unwrap().ends_with("-3"));
    let bytes = get(&client, "big").await;
    let expected: Vec<u8> = [vec![1; PART], vec![2; PART + 1], vec![3; 10]].concat();
    assert!(bytes == expected);
    let across = client.get_object().bucket("lake").key("big");
    let across = across.range(format!("bytes={}-{}", PART - 2, PART + 1)).send().await.unwrap();
    assert_eq!(across.body.collect().await.unwrap().into_bytes().as_ref(), [1, 1, 2, 2]);
    let part = client.get_object().bucket("lake").key("big").part_number(3).send().await.unwrap();
    assert_eq!(part.parts_count(), Some(3));
    assert_eq!(part.body.collect().await.unwrap().into_bytes().as_ref(), [3; 10]);
    assert_eq!(client.head_object().bucket("lake").key("big").send().await.unwrap().metadata().unwrap()["m"], "v");
    assert_eq!(code(&upload.complete().send().await.unwrap_err()), "NoSuchUpload");
    assert_eq!(files(&local), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_wrong_is_refused_and_can_be_given_up() {
    let (local, client) = lake().await;
    let mut upload = Parts::create(&client, "k", None).await;
    upload.part(1, vec![1; 100]).await;
    upload.part(2, vec![2; 100]).await;
    assert_eq!(code(&upload.complete().send().await.unwrap_err()), "EntityTooSmall");
    upload.parts.reverse();
    assert_eq!(code(&upload.complete().send().await.unwrap_err()), "InvalidPartOrder");
    upload.parts = vec![CompletedPart::builder().part_number(1).e_tag("\"00\"").build()];
    assert_eq!(code(&upload.complete().send().await.unwrap_err()), "InvalidPart");
    client.abort_multipart_upload().bucket("lake").key("k").upload_id(&upload.id).send().await.unwrap();
    let again = client.abort_multipart_upload().bucket("lake").key("k").upload_id(&upload.id).send().await;
    assert_eq!(code(&again.unwrap_err()), "NoSuchUpload");
    assert_eq!(files(&local), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_uploads_of_one_key_the_second_is_refused_and_can_be_given_up() {
    let (local, client) = lake().await;
    let mut first = Parts::create(&client, "k", Some(ChecksumType::FullObject)).await;
    let mut second = Parts::create(&client, "k", None).await;
    first.part(1, b"123456789".to_vec()).await;
    second.part(1, vec![2; 20]).await;
    let complete = first.complete().if_none_match("*").send().await.unwrap();
    assert_eq!(complete.checksum_crc32(), Some("y/Q5Jg=="), "the checksum of the whole object");
    assert_eq!(code(&second.complete().if_none_match("*").send().await.unwrap_err()), "PreconditionFailed");
    assert_eq!(get(&client, "k").await, b"123456789");
    client.abort_multipart_upload().bucket("lake").key("k").upload_id(&second.id).send().await.unwrap();
    assert_eq!(files(&local), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_goes_on_while_its_object_is_replaced_and_deleted() {
    let (local, client) = lake().await;
    let old = vec![1; 20_000_000];
    put(&client, "k", &old).await;
    let mut reading = client.get_object().bucket("lake").key("k").send().await.unwrap().body;
    let mut read = reading.next().await.unwrap().unwrap().len();
    put(&client, "k", b"new").await;
    assert_eq!(get(&client, "k").await, b"new");
    client.delete_object().bucket("lake").key("k").send().await.unwrap();
    while let Some(piece) = reading.next().await {
        let piece = piece.unwrap();
        assert!(piece.iter().all(|byte| *byte == 1));
        read += piece.len();
    }
    assert_eq!(read, old.len());
    crate::common::until("the removal of the old file", || async { files(&local) == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presigned_urls_work_without_headers() {
    let (_local, client) = lake().await;
    put(&client, "k", b"hello").await;
    let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = client.get_object().bucket("lake").key("k").presigned(config).await.unwrap();
    let (status, body) = crate::common::send("GET", url.uri(), &[], Vec::new()).await;
    assert_eq!((status, body.as_str()), (200, "hello"));
    let past = std::time::SystemTime::now() - Duration::from_secs(3600);
    let config = PresigningConfig::builder().start_time(past).expires_in(Duration::from_secs(60)).build().unwrap();
    let url = client.get_object().bucket("lake").key("k").presigned(config).await.unwrap();
    let (status, body) = crate::common::send("GET", url.uri(), &[], Vec::new()).await;
    assert_eq!(status, 403);
    assert!(body.contains("expired"), "{body}");
}
