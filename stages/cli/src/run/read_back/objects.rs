//! What a sink wrote to S3: its objects, and its dead letters.

use anyhow::Context;
use aws_sdk_s3::Client;
use penstock_api::plan::{ObjectStoreTarget, SinkStage, StageConfig};
use penstock_api::spec::Compression;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::{StoreCount, StoreKind, Tally};
use crate::run::report::Total;

pub(super) async fn count(
    client: &Client,
    config: &StageConfig,
    sink: &SinkStage,
    target: &ObjectStoreTarget,
    total: Option<&Total>,
) -> anyhow::Result<StoreCount> {
    let prefix = constant_part(&target.key);
    let marker = format!("{}.{}.{}.", config.pipeline.namespace, config.pipeline.name, config.name);
    let mut tally = Tally::new(sink.id_field.as_deref(), total);
    let keys = list(client, &target.bucket, prefix, &marker).await?;
    for key in &keys {
        add_lines(client, &target.bucket, key, target.compression, &mut tally).await?;
    }
    let store = format!("{}/{prefix}", target.bucket);
    Ok(tally.into_count(&config.name, StoreKind::Objects, store, Some(keys.len() as u64)))
}

pub(super) async fn count_dead_letters(
    client: &Client,
    config: &StageConfig,
    sink: &SinkStage,
) -> anyhow::Result<StoreCount> {
    let pipeline = &config.pipeline;
    let prefix = format!("{}{}/{}/{}/", sink.dead_letters_prefix, pipeline.namespace, pipeline.name, config.name);
    let mut tally = Tally::new(None, None);
    let keys = list(client, &sink.dead_letters_bucket, &prefix, "").await?;
    for key in &keys {
        add_lines(client, &sink.dead_letters_bucket, key, Compression::None, &mut tally).await?;
    }
    let store = format!("{}/{prefix}", sink.dead_letters_bucket);
    Ok(tally.into_count(&config.name, StoreKind::DeadLetters, store, Some(keys.len() as u64)))
}

/// What a template begins with, up to its first placeholder.
fn constant_part(template: &str) -> &str {
    template.find('{').map_or(template, |end| &template[..end])
}

async fn list(client: &Client, bucket: &str, prefix: &str, marker: &str) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.with_context(|| format!("the objects in {bucket:?} under {prefix:?} cannot be listed"))?;
        let found = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
        keys.extend(found.filter(|key| key.contains(marker)));
    }
    Ok(keys)
}

async fn add_lines(
    client: &Client,
    bucket: &str,
    key: &str,
    compression: Compression,
    tally: &mut Tally<'_>,
) -> anyhow::Result<()> {
    let cannot = || format!("the object {key:?} in {bucket:?} cannot be read");
    let object = client.get_object().bucket(bucket).key(key).send().await.with_context(cannot)?;
    let body = BufReader::new(object.body.into_async_read());
    let plain: Box<dyn AsyncRead + Send + Unpin> = match compression {
        Compression::None => Box::new(body),
        Compression::Gzip => Box::new(async_compression::tokio::bufread::GzipDecoder::new(body)),
        Compression::Zstd => Box::new(async_compression::tokio::bufread::ZstdDecoder::new(body)),
    };
    let mut lines = BufReader::new(plain);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).await.with_context(cannot)? == 0 {
            return Ok(());
        }
        tally.add_bytes(line.strip_suffix(b"\n").unwrap_or(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::constant_part;

    #[test]
    fn a_template_is_listed_by_what_it_begins_with() {
        assert_eq!(constant_part("raw/{$arrival:%Y/%m/%d}/"), "raw/");
        assert_eq!(constant_part("raw/"), "raw/");
        assert_eq!(constant_part("{Country}/"), "");
    }
}
