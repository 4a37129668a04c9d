//! Every manifest in examples/ is read, and every Pipeline among them is one that the API server takes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use penstock_api::check;
use penstock_manifests::{documents, files, read, rendered};

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}

fn is_values(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("values"))
}

/// Cases of a test, and no manifests.
fn is_test_data(path: &Path) -> bool {
    path.ends_with("health_test.yaml")
}

#[test]
fn every_manifest_of_the_examples_is_an_object() {
    let mut seen = 0;
    for file in files("examples").unwrap().into_iter().filter(|file| is_yaml(file)) {
        if is_values(&file) || is_test_data(&file) {
            continue;
        }
        for document in documents(&read(&file).unwrap()).unwrap() {
            for field in ["/apiVersion", "/kind"] {
                assert!(document.pointer(field).is_some_and(|value| value.is_string()), "{}: {field}", file.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} manifests were found");
}

#[test]
fn every_pipeline_of_the_examples_is_valid() {
    let mut seen = 0;
    for file in files("examples").unwrap().into_iter().filter(|file| is_yaml(file)) {
        let text = read(&file).unwrap();
        if !text.contains("kind: Pipeline\n") {
            continue;
        }
        let checked = check::check(&text);
        assert!(checked.is_valid(), "{}: {:#?}", file.display(), checked.findings);
        seen += 1;
    }
    assert!(seen > 5, "only {seen} Pipelines were found");
}

#[test]
fn the_chart_takes_the_values_of_the_examples() {
    for file in files("examples").unwrap().into_iter().filter(|file| is_yaml(file) && is_values(file)) {
        rendered(&["--values", file.to_str().unwrap()]).unwrap();
    }
}

#[test]
fn the_policies_name_the_calls_of_the_code_and_no_others() {
    let operator = actions("operator-policy.json");
    for (folder, call, action) in OPERATOR_CALLS {
        assert!(text_of(folder).contains(call), "{folder} has no {call} any more");
        assert!(operator.contains(&(*action).to_owned()), "operator-policy.json lacks {action}");
    }
    let stages = actions("stage-policy.json");
    for (folder, call, action) in STAGE_CALLS {
        assert!(text_of(folder).contains(call), "{folder} has no {call} any more");
        assert!(stages.contains(&(*action).to_owned()), "stage-policy.json lacks {action}");
    }
    let needed = |calls: &[(&str, &str, &str)], action: &String| calls.iter().any(|(_, _, needed)| needed == action);
    assert!(operator.iter().all(|action| needed(OPERATOR_CALLS, action)), "{operator:?}");
    assert!(stages.iter().all(|action| needed(STAGE_CALLS, action)), "{stages:?}");
}

/// The folder, the call in it, and the action that IAM knows it by.
const OPERATOR_CALLS: &[(&str, &str, &str)] = &[
    ("operator/provision/src", ".create_stream()", "kinesis:CreateStream"),
    ("operator/provision/src", ".describe_stream_summary()", "kinesis:DescribeStreamSummary"),
    ("operator/provision/src", ".list_tags_for_stream()", "kinesis:ListTagsForStream"),
    ("operator/provision/src", ".add_tags_to_stream()", "kinesis:AddTagsToStream"),
    ("operator/provision/src", ".update_stream_mode()", "kinesis:UpdateStreamMode"),
    ("operator/provision/src", ".update_shard_count()", "kinesis:UpdateShardCount"),
    ("operator/provision/src", ".increase_stream_retention_period()", "kinesis:IncreaseStreamRetentionPeriod"),
    ("operator/provision/src", ".decrease_stream_retention_period()", "kinesis:DecreaseStreamRetentionPeriod"),
    ("operator/provision/src", ".update_max_record_size()", "kinesis:UpdateMaxRecordSize"),
    ("operator/provision/src", ".start_stream_encryption()", "kinesis:StartStreamEncryption"),
    ("operator/provision/src", ".stop_stream_encryption()", "kinesis:StopStreamEncryption"),
    ("operator/provision/src", ".delete_stream()", "kinesis:DeleteStream"),
    ("operator/provision/src", ".list_shards()", "kinesis:ListShards"),
    ("operator/provision/src", ".get_shard_iterator()", "kinesis:GetShardIterator"),
    ("operator/provision/src", ".get_records()", "kinesis:GetRecords"),
    ("operator/provision/src", ".scan()", "dynamodb:Scan"),
    ("operator/provision/src", ".create_table()", "dynamodb:CreateTable"),
    ("operator/provision/src", ".update_table()", "dynamodb:UpdateTable"),
    ("operator/provision/src", ".describe_continuous_backups()", "dynamodb:DescribeContinuousBackups"),
    ("operator/provision/src", ".update_continuous_backups()", "dynamodb:UpdateContinuousBackups"),
    ("operator/provision/src", ".describe_table()", "dynamodb:DescribeTable"),
    ("operator/provision/src", ".list_tags_of_resource()", "dynamodb:ListTagsOfResource"),
    ("operator/provision/src", ".tag_resource()", "dynamodb:TagResource"),
    ("operator/provision/src", ".describe_time_to_live()", "dynamodb:DescribeTimeToLive"),
    ("operator/provision/src", ".update_time_to_live()", "dynamodb:UpdateTimeToLive"),
    ("operator/provision/src", ".delete_table()", "dynamodb:DeleteTable"),
    ("operator/provision/src", ".head_bucket()", "s3:ListBucket"),
];

const STAGE_CALLS: &[(&str, &str, &str)] = &[
    ("stages/stream/src", ".put_records()", "kinesis:PutRecords"),
    ("stages/stream/src", ".list_shards()", "kinesis:ListShards"),
    ("stages/stream/src", ".get_shard_iterator()", "kinesis:GetShardIterator"),
    ("stages/stream/src", ".get_records()", "kinesis:GetRecords"),
    ("stages/consumer/src", ".get_item()", "dynamodb:GetItem"),
    ("stages/consumer/src", ".put_item()", "dynamodb:PutItem"),
    ("stages/consumer/src", ".update_item()", "dynamodb:UpdateItem"),
    ("stages/consumer/src", ".delete_item()", "dynamodb:DeleteItem"),
    ("stages/consumer/src", ".scan()", "dynamodb:Scan"),
    ("stages/dynamodb/src", ".batch_write_item()", "dynamodb:BatchWriteItem"),
    ("stages/raw_storage/src", ".put_object()", "s3:PutObject"),
    ("stages/raw_storage/src", ".abort_multipart_upload()", "s3:AbortMultipartUpload"),
    ("stages/raw_storage/src", ".head_object()", "s3:GetObject"),
    // Without it an object that is missing is answered as one that is denied.
    ("stages/raw_storage/src", ".head_object()", "s3:ListBucket"),
];

fn actions(policy: &str) -> Vec<String> {
    let policy = documents(&read(format!("examples/eks/{policy}")).unwrap()).unwrap().remove(0);
    let statements = policy["Statement"].as_array().unwrap();
    let of = |statement: &serde_json::Value| statement["Action"].as_array().unwrap().clone();
    statements.iter().flat_map(of).map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn text_of(folder: &str) -> String {
    files(folder).unwrap().iter().map(|file| read(file).unwrap()).collect()
}
