//! Names of objects.
//!
//! `<prefix><namespace>.<pipeline>.<sink>.<shard>.<first sequence number>.jsonl[.gz|.zst]`
//!
//! Namespaces and names hold no dots and no slashes, so two pipelines that share a bucket and a prefix never
//! share a key. Two ranges of a shard never share their first record.

use std::fmt::Write as _;

use penstock_api::plan::PipelineRef;
use penstock_api::spec::Compression;
use penstock_contract::{Position, Rejection, ShardId};

/// The longest key in bytes of UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects").
const MAX_KEY_BYTES: usize = 1024;

/// The last part of the keys of a range's objects; they differ in what goes before it.
pub(crate) fn file_name(
    pipeline: &PipelineRef,
    sink: &str,
    shard: &ShardId,
    first: &Position,
    compression: Compression,
) -> String {
    let mut name = format!("{}.{}.{sink}.", pipeline.namespace, pipeline.name);
    push_escaped(&mut name, shard.as_str());
    name.push('.');
    name.push_str(first.sequence.as_str());
    if first.sub_sequence > 0 {
        // Only after a checkpoint that another application left in the middle of an aggregate.
        let _ = write!(name, "-{}", first.sub_sequence);
    }
    name.push_str(extension(compression));
    name
}

/// The key of the object with the prefix.
///
/// # Errors
/// `key_too_long` when S3 would refuse it.
pub(crate) fn object_key(prefix: &str, file_name: &str) -> Result<String, Rejection> {
    let bytes = prefix.len() + file_name.len();
    if bytes > MAX_KEY_BYTES {
        let message = format!("the object's key would have {bytes} bytes, and S3 allows {MAX_KEY_BYTES}");
        return Err(Rejection::new("key_too_long", message));
    }
    let mut key = String::with_capacity(bytes);
    key.push_str(prefix);
    key.push_str(file_name);
    Ok(key)
}

/// Keeps letters, digits, `-` and `_`, and percent-encodes the rest: a shard is any buffer's own name for it.
fn push_escaped(name: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
}

fn extension(compression: Compression) -> &'static str {
    match compression {
        Compression::None => ".jsonl",
        Compression::Gzip => ".jsonl.gz",
        Compression::Zstd => ".jsonl.zst",
    }
}

/// The media type of the objects. It is not sent as `Content-Encoding`, which would make HTTP clients decompress
/// what readers of the lake expect compressed.
pub(crate) fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/x-ndjson",
        Compression::Gzip => "application/gzip",
        Compression::Zstd => "application/zstd",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_contract::Sequence;

    use super::*;

    fn name(shard: &str, sub_sequence: u64, compression: Compression) -> String {
        let pipeline = PipelineRef { namespace: "shop".to_owned(), name: "ecommerce".to_owned() };
        let first = Position::new(Sequence::parse("4967").unwrap(), sub_sequence);
        file_name(&pipeline, "raw", &ShardId::new(shard), &first, compression)
    }

    #[test]
    fn a_name_says_whose_it_is_and_where_it_begins() {
        let shard = "shardId-000000000001";
        assert_eq!(name(shard, 0, Compression::Zstd), "shop.ecommerce.raw.shardId-000000000001.4967.jsonl.zst");
        assert_eq!(name(shard, 7, Compression::None), "shop.ecommerce.raw.shardId-000000000001.4967-7.jsonl");
    }

    #[test]
    fn a_shard_cannot_add_parts_to_the_name() {
        assert_eq!(name("a.b/é", 0, Compression::Gzip), "shop.ecommerce.raw.a%2Eb%2F%C3%A9.4967.jsonl.gz");
    }

    #[test]
    fn a_key_that_s3_would_refuse_rejects_the_record() {
        assert_eq!(object_key(&"p".repeat(1000), &"n".repeat(24)).unwrap().len(), 1024);
        assert_eq!(object_key(&"p".repeat(1000), &"n".repeat(25)).unwrap_err().reason, "key_too_long");
    }
}
