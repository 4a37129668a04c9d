//! The actions of `penstock iam-policy` are those of the calls in the code: none is missing, none is for nothing. What the
//! policies let through and what is asked for when a Pipeline runs is compared in `tests/faults`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use penstock_api::iam::actions;
use penstock_manifests::{files, read};

/// Every operation of the three services, as the SDK's clients call it.
const OPERATIONS: &str = include_str!("aws_operations.txt");

/// What the operator calls, and `penstock run` before its stages start.
const OPERATOR: &[&str] = &["operator/provision/src", "operator/src/aws"];
/// What a source calls.
const SOURCE: &[&str] = &["stages/ingest/src", "stages/stream/src/write.rs", "stages/stream/src/shards.rs"];
/// What every sink calls.
const SINK: &[&str] = &["stages/consumer/src", "stages/stream/src/read.rs", "stages/stream/src/shards.rs"];

/// Called only where `create_buckets` of `penstock_provision` says so: in engines, where nothing is denied.
const IN_ENGINES_ONLY: &str = "s3:CreateBucket";

/// The actions that the calls in these files and folders need.
fn needed(places: &[&str]) -> BTreeSet<String> {
    let text: String = places.iter().map(|place| text_of(place)).collect();
    let operations: Vec<_> = OPERATIONS.lines().map(|line| line.split_once(' ').unwrap()).collect();
    // Where two services have an operation of one name, the client is called by the service's.
    let is_shared = |name: &str| operations.iter().filter(|(_, operation)| *operation == name).count() > 1;
    let called = |(service, operation): &&(&str, &str)| {
        let client = if is_shared(operation) { service } else { "" };
        text.contains(&format!("{client}.{operation}()"))
    };
    let needed = operations.iter().filter(called).flat_map(|(service, operation)| of(service, operation));
    needed.filter(|action| action != IN_ENGINES_ONLY).collect()
}

fn text_of(place: &str) -> String {
    if place.ends_with(".rs") {
        return read(place).unwrap();
    }
    let all = files(place).unwrap();
    assert!(!all.is_empty(), "{place} is empty");
    all.iter().map(|file| read(file).unwrap()).collect()
}

/// The actions that IAM asks for when an operation is called as we call it.
fn of(service: &str, operation: &str) -> Vec<String> {
    let own = |name: &str| format!("{service}:{name}");
    match (service, operation) {
        ("s3", "head_bucket") => vec![own("ListBucket")],
        // Without the second an object that is missing is answered as one that is denied.
        ("s3", "head_object") => vec![own("GetObject"), own("ListBucket")],
        ("s3", "create_multipart_upload" | "upload_part" | "complete_multipart_upload") => vec![own("PutObject")],
        // With tags, as both are created.
        ("kinesis", "create_stream") => vec![own("CreateStream"), own("AddTagsToStream")],
        ("dynamodb", "create_table") => vec![own("CreateTable"), own("TagResource")],
        (_, operation) => vec![own(&camel(operation))],
    }
}

fn camel(snake: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    snake.split('_').map(word).collect()
}

fn granted(lists: &[&[&str]]) -> BTreeSet<String> {
    lists.iter().flat_map(|list| list.iter()).map(|action| (*action).to_owned()).collect()
}

#[test]
fn the_operator_is_granted_the_actions_of_its_calls() {
    let lists = [
        actions::KEEP_STREAM,
        actions::KEEP_TABLE,
        actions::KEEP_TTL,
        actions::KEEP_RECOVERY,
        actions::LOOK_AT_BUCKET,
        actions::DRAIN_STREAM,
        actions::DRAIN_LEASES,
        actions::DELETE_STREAM,
        actions::DELETE_TABLE,
        actions::DEREGISTER_CONSUMER,
    ];
    assert_eq!(granted(&lists), needed(OPERATOR));
}

#[test]
fn a_source_is_granted_the_actions_of_its_calls() {
    assert_eq!(granted(&[actions::WRITE_STREAM]), needed(SOURCE));
}

#[test]
fn a_sink_is_granted_the_actions_of_its_calls() {
    let of_every_sink = [actions::READ_STREAM, actions::LEASES, actions::WRITE_DEAD_LETTERS];
    assert_eq!(granted(&of_every_sink), needed(SINK));
    assert_eq!(granted(&[actions::WRITE_OBJECTS, actions::TELL_MISSING]), needed(&["stages/raw_storage/src"]));
    assert_eq!(granted(&[actions::PUT_ITEMS, actions::ADD_TO_ITEMS]), needed(&["stages/dynamodb/src"]));
}

#[test]
fn a_call_that_nobody_listed_would_be_seen() {
    assert!(needed(&["stages/cli/src/lake.rs"]).contains("s3:ListObjectsV2"));
}
