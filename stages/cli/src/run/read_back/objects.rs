//! What a sink wrote to S3: its objects, and its dead letters.

use aws_sdk_s3::Client;
use penstock_api::plan::{ObjectStoreTarget, SinkStage, StageConfig};
use penstock_api::spec::Compression;

use super::{StoreCount, StoreKind, Tally};
use crate::lake;
use crate::run::report::Total;

pub(super) async fn count(
    client: &Client,
    config: &StageConfig,
    sink: &SinkStage,
    target: &ObjectStoreTarget,
    total: Option<&Total>,
) -> anyhow::Result<StoreCount> {
    let prefix = lake::constant_part(&target.key);
    let marker = format!("{}.{}.{}.", config.pipeline.namespace, config.pipeline.name, config.name);
    let mut tally = Tally::new(sink.id_field.as_deref(), total);
    let mut keys = lake::list(client, &target.bucket, prefix).await?;
    keys.retain(|key| key.contains(&marker));
    for key in &keys {
        lake::each_line(client, &target.bucket, key, target.compression, |line| tally.add_bytes(line)).await?;
    }
    let store = format!("{}/{prefix}", target.bucket);
    Ok(tally.into_count(&config.name, StoreKind::Objects, store, Some(keys.len() as u64)))
}

pub(super) async fn count_dead_letters(
    client: &Client,
    config: &StageConfig,
    sink: &SinkStage,
) -> anyhow::Result<StoreCount> {
    let bucket = &sink.dead_letters_bucket;
    let prefix = lake::dead_letters_prefix(config, sink);
    let mut tally = Tally::new(None, None);
    let keys = lake::list(client, bucket, &prefix).await?;
    for key in &keys {
        lake::each_line(client, bucket, key, Compression::None, |line| tally.add_bytes(line)).await?;
    }
    let store = format!("{bucket}/{prefix}");
    Ok(tally.into_count(&config.name, StoreKind::DeadLetters, store, Some(keys.len() as u64)))
}
