//! The dead letters of a sink.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::Client;
use penstock_api::plan::{SinkStage, StageConfig};
use penstock_api::spec::Compression;
use penstock_contract::{Position, Sequence, ShardId};
use serde::Deserialize;

use super::report::{Finding, Verdict};
use crate::lake;

/// The records that went to dead letters, by shard.
pub(super) type Letters = BTreeMap<ShardId, BTreeSet<Position>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    shard: String,
    sequence: String,
    sub_sequence: u64,
}

/// Reads all of them.
pub(super) async fn read(
    client: &Client,
    config: &StageConfig,
    sink: &SinkStage,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Letters> {
    let bucket = &sink.dead_letters_bucket;
    let mut letters = Letters::new();
    for key in lake::list(client, bucket, &lake::dead_letters_prefix(config, sink)).await? {
        let mut number = 0_u64;
        lake::each_line(client, bucket, &key, Compression::None, |line| {
            number += 1;
            let what = match position(line) {
                None => "it is none that Penstock wrote",
                Some((shard, position)) if !letters.entry(shard.clone()).or_default().insert(position.clone()) => {
                    "it is there twice"
                }
                Some(_) => return,
            };
            findings.push(Finding {
                verdict: Verdict::Wrong,
                sink: config.name.clone(),
                shard: None,
                place: format!("{key}, line {number}"),
                what: what.to_owned(),
            });
        })
        .await?;
    }
    Ok(letters)
}

fn position(line: &[u8]) -> Option<(ShardId, Position)> {
    let Line { shard, sequence, sub_sequence } = serde_json::from_slice(line).ok()?;
    Some((ShardId::new(shard), Position::new(Sequence::parse(&sequence).ok()?, sub_sequence)))
}
