//! The objects of an S3 sink: listed, and each looked at by its metadata.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use aws_sdk_s3::Client;
use penstock_api::plan::{ObjectStoreTarget, StageConfig};
use penstock_contract::ShardId;
use penstock_raw_storage::{ObjectName, ObjectStamp};
use tokio::task::JoinSet;

use super::chain::Found;
use super::report::{Finding, Verdict};
use crate::lake;

/// Calls at one time.
const IN_FLIGHT: usize = 16;

/// The ranges of which something is stored, by shard and in the order of the log.
pub(super) type Stored = BTreeMap<ShardId, Vec<Found>>;

/// Looks at every object of the sink.
pub(super) async fn stored(
    client: &Client,
    config: &StageConfig,
    target: &ObjectStoreTarget,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Stored> {
    let keys = lake::list(client, &target.bucket, lake::constant_part(&target.key)).await?;
    let named =
        keys.into_iter().filter_map(|key| Some((ObjectName::of_key(&key, &config.pipeline, &config.name)?, key)));
    let named: Vec<_> = named.collect();
    let stamps = stamps(client, &target.bucket, named.iter().map(|(_, key)| key.clone()).collect()).await?;
    let mut ranges: BTreeMap<ObjectName, Found> = BTreeMap::new();
    for (name, key) in named {
        let mut say = |what: String| {
            findings.push(Finding {
                verdict: Verdict::Wrong,
                sink: config.name.clone(),
                shard: Some(name.shard.to_string()),
                place: key.clone(),
                what,
            });
        };
        let stamp = match stamps.get(&key) {
            // Deleted since it was listed; who misses its records says so.
            None => continue,
            Some(Err(problem)) => {
                say(format!("Penstock did not write it: {problem}"));
                continue;
            }
            Some(Ok(stamp)) => stamp,
        };
        if !stamp.is_of(&name) {
            say(format!(
                "its metadata say that it is of shard {} and begins at {}: it was copied here from another name",
                stamp.shard, stamp.first
            ));
            continue;
        }
        let records = match stamp.records {
            Some(records) => records,
            None => lines(client, target, &key).await?,
        };
        let found = ranges.entry(name.clone()).or_insert_with(|| Found {
            first: name.first.clone(),
            span: stamp.range.clone(),
            records: Some(0),
            keys: Vec::new(),
            recipe: stamp.recipe.clone(),
        });
        if found.span.is_some() && stamp.range.is_some() && found.span != stamp.range {
            say("its metadata name another range than those of other objects of its range".to_owned());
        }
        // Of several objects of a range, one that grew as an upload does not say the end, and another may.
        found.span = found.span.take().or_else(|| stamp.range.clone());
        found.records = found.records.map(|sum| sum + records);
        found.keys.push(key);
    }
    let mut stored = Stored::new();
    for (name, found) in ranges {
        stored.entry(name.shard).or_default().push(found);
    }
    Ok(stored)
}

async fn lines(client: &Client, target: &ObjectStoreTarget, key: &str) -> anyhow::Result<u64> {
    let mut lines = 0;
    lake::each_line(client, &target.bucket, key, target.compression, |_| lines += 1).await?;
    Ok(lines)
}

/// The metadata of each object that is still there.
async fn stamps(
    client: &Client,
    bucket: &str,
    keys: Vec<String>,
) -> anyhow::Result<HashMap<String, Result<ObjectStamp, String>>> {
    let mut stamps = HashMap::new();
    let mut calls = JoinSet::new();
    let mut keys = keys.into_iter();
    loop {
        while calls.len() < IN_FLIGHT
            && let Some(key) = keys.next()
        {
            let request = client.head_object().bucket(bucket).key(&key);
            calls.spawn(async move { (key, request.send().await) });
        }
        let Some(ended) = calls.join_next().await else { return Ok(stamps) };
        let (key, answer) = ended.context("looking at an object ended in a panic")?;
        match answer {
            Ok(answer) => drop(stamps.insert(key, ObjectStamp::read(&answer.metadata.unwrap_or_default()))),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("the object {key:?} in {bucket:?} cannot be looked at"));
            }
        }
    }
}
