//! Objects in S3 that sinks wrote: finding them by what their keys begin with, and reading their lines.

use anyhow::Context;
use aws_sdk_s3::Client;
use penstock_api::plan::{SinkStage, StageConfig};
use penstock_api::spec::Compression;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What a template begins with, up to its first placeholder.
pub(crate) fn constant_part(template: &str) -> &str {
    template.find('{').map_or(template, |end| &template[..end])
}

/// What the keys of a sink's dead letters begin with.
pub(crate) fn dead_letters_prefix(config: &StageConfig, sink: &SinkStage) -> String {
    let pipeline = &config.pipeline;
    format!("{}{}/{}/{}/", sink.dead_letters_prefix, pipeline.namespace, pipeline.name, config.name)
}

/// The keys of a bucket under the prefix.
pub(crate) async fn list(client: &Client, bucket: &str, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.with_context(|| format!("the objects in {bucket:?} under {prefix:?} cannot be listed"))?;
        keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
    }
    Ok(keys)
}

/// Hands out the lines of an object, one after the other.
pub(crate) async fn each_line(
    client: &Client,
    bucket: &str,
    key: &str,
    compression: Compression,
    mut take: impl FnMut(&[u8]),
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
        take(line.strip_suffix(b"\n").unwrap_or(&line));
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
