//! The engines through the official SDKs, and under `kill -9`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod dynamodb;
mod kill;
mod kinesis_records;
mod kinesis_shards;
mod one_endpoint;
mod s3;
