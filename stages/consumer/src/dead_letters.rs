//! Records that could not be handled: one object in S3 for each range that has any.
//!
//! The key is a pure function of the range, and an object is written only when there is none, so a range
//! that is applied again leaves what it left before.

use std::collections::BTreeMap;
use std::ops;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use penstock_contract::{Position, Range, Record, Rejection, ShardId};
use penstock_process::dead_letter::{Origin, write_line};

use crate::config::ConsumerConfig;
use crate::trouble::{Concern, Reason, Troubles};

/// No call may take longer, whatever the client was configured with.
const CALL_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
/// Where dead letters are more than this, they go on in another object.
const OBJECT_BYTES: usize = 8 << 20;

/// Why an object was not written. All of them are worth trying again.
#[derive(Debug, thiserror::Error)]
#[error("writing dead letters to s3://{bucket}/{key} did not succeed")]
pub(crate) struct DeadLetterError {
    bucket: String,
    key: String,
    reason: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Reason for DeadLetterError {
    fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Lines of dead letters in the order of their positions, as they will be written.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    text: Vec<u8>,
    lines: Vec<Letter>,
}

#[derive(Debug)]
struct Letter {
    position: Position,
    reason: String,
    line: ops::Range<usize>,
}

impl Letters {
    /// Adds a line. Positions must grow.
    pub(crate) fn add(&mut self, origin: &Origin, shard: &ShardId, record: &Record, rejection: &Rejection) {
        let start = self.text.len();
        write_line(&mut self.text, origin, shard, record, rejection);
        let line = start..self.text.len();
        self.lines.push(Letter { position: record.position.clone(), reason: rejection.reason.to_string(), line });
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// The stable codes, one a line.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|letter| letter.reason.as_str())
    }

    /// Both together, in the order of their positions; of two lines for one record the first stays.
    pub(crate) fn merge(self, other: Self) -> Self {
        if other.is_empty() {
            return self;
        }
        let mut all: BTreeMap<&Position, (&str, &[u8])> = BTreeMap::new();
        for letters in [&other, &self] {
            let lines = letters.lines.iter();
            all.extend(
                lines.map(|letter| (&letter.position, (letter.reason.as_str(), &letters.text[letter.line.clone()]))),
            );
        }
        let mut merged = Self::default();
        for (position, (reason, line)) in all {
            let start = merged.text.len();
            merged.text.extend_from_slice(line);
            let line = start..merged.text.len();
            merged.lines.push(Letter { position: position.clone(), reason: reason.to_owned(), line });
        }
        merged
    }

    /// The objects' contents: whole lines, cut where an object is large enough.
    fn objects(&self) -> Vec<&[u8]> {
        let mut objects = Vec::new();
        let mut start = 0;
        for letter in &self.lines {
            if letter.line.end - start > OBJECT_BYTES && letter.line.start > start {
                objects.push(&self.text[start..letter.line.start]);
                start = letter.line.start;
            }
        }
        if start < self.text.len() {
            objects.push(&self.text[start..]);
        }
        objects
    }
}

/// Where the dead letters of one sink go.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetterStore {
    client: Client,
    bucket: String,
    /// With pipeline and sink, and a slash at its end.
    prefix: String,
    pub(crate) origin: Origin,
}

impl DeadLetterStore {
    pub(crate) fn new(client: Client, config: &ConsumerConfig) -> Self {
        let origin = Origin {
            namespace: config.pipeline.namespace.clone(),
            pipeline: config.pipeline.name.clone(),
            sink: config.sink.clone(),
        };
        let prefix = format!("{}{}/{}/{}/", config.dead_letters_prefix, origin.namespace, origin.pipeline, origin.sink);
        Self { client, bucket: config.dead_letters_bucket.clone(), prefix, origin }
    }

    /// Writes the range's dead letters; tries until it succeeds.
    pub(crate) async fn write(&self, range: &Range, letters: &Letters, troubles: &Troubles) {
        for (part, object) in letters.objects().into_iter().enumerate() {
            let key = key(&self.prefix, range, part);
            let body = Bytes::copy_from_slice(object);
            let subject = range.shard.as_str();
            troubles.insist(Concern::DeadLetters, subject, || self.put(&key, body.clone())).await;
        }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>: with `If-None-Match: *`, 412 says
    /// that there is an object already, 409 that another write is under way.
    async fn put(&self, key: &str, body: Bytes) -> Result<(), DeadLetterError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type("application/x-ndjson")
            .body(ByteStream::from(body));
        let error =
            |reason, source| DeadLetterError { bucket: self.bucket.clone(), key: key.to_owned(), reason, source };
        match tokio::time::timeout(CALL_LIMIT, request.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(SdkError::ServiceError(refused))) if refused.raw().status().as_u16() == 412 => Ok(()),
            Ok(Err(refused)) => Err(error(reason(refused.code()), Box::new(refused))),
            Err(elapsed) => Err(error("timeout", Box::new(elapsed))),
        }
    }
}

fn reason(code: Option<&str>) -> &'static str {
    match code {
        Some("NoSuchBucket") => "bucket_missing",
        Some("AccessDenied") => "access_denied",
        Some("SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded") => "throttled",
        Some("ConditionalRequestConflict") => "conflict",
        _ => "s3_failed",
    }
}

/// `<shard>/<start>-<end>.jsonl`, positions written so that keys sort as positions do.
fn key(prefix: &str, range: &Range, part: usize) -> String {
    let start = range.start_exclusive.as_ref().map_or_else(|| "0".to_owned(), Position::sortable);
    let end = range.end_inclusive.sortable();
    let part = if part == 0 { String::new() } else { format!(".{part}") };
    format!("{prefix}{}/{start}-{end}{part}.jsonl", range.shard)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lease::tests::at;
    use penstock_contract::ArrivalMillis;

    fn letters(records: &[(u64, usize)]) -> Letters {
        let origin = Origin { namespace: "n".into(), pipeline: "p".into(), sink: "s".into() };
        let mut letters = Letters::default();
        for (sequence, size) in records {
            let record = Record {
                position: at(*sequence, 0),
                partition_key: "k".into(),
                arrival: ArrivalMillis(0),
                data: Bytes::from(vec![b'a'; *size]),
            };
            letters.add(&origin, &ShardId::new("shard"), &record, &Rejection::new("bad", "it is bad"));
        }
        letters
    }

    fn sequences(text: &[u8]) -> Vec<String> {
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].clone();
        let lines = std::str::from_utf8(text).unwrap().lines();
        lines.map(|text| line(text).as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn lines_from_both_sides_of_applying_stand_in_the_order_of_the_stream() {
        let merged = letters(&[(1, 1), (4, 1), (9, 1)]).merge(letters(&[(2, 1), (4, 1), (10, 1)]));
        assert_eq!(sequences(&merged.text), ["1", "2", "4", "9", "10"]);
        assert_eq!(merged.len(), 5);
        assert_eq!(sequences(merged.objects().concat().as_slice()), ["1", "2", "4", "9", "10"]);
    }

    #[test]
    fn many_dead_letters_are_cut_between_lines() {
        let many = letters(&[(1, 3 << 20), (2, 4 << 20), (3, 2 << 20), (4, 9 << 20), (5, 1)]);
        let objects: Vec<_> = many.objects().into_iter().map(sequences).collect();
        assert_eq!(objects, [vec!["1", "2"], vec!["3"], vec!["4"], vec!["5"]]);
        assert!(letters(&[]).objects().is_empty());
    }

    #[test]
    fn the_key_is_a_function_of_the_range_alone() {
        let range = |start: Option<u64>| Range {
            shard: ShardId::new("shardId-000000000001"),
            start_exclusive: start.map(|start| at(start, 0)),
            end_inclusive: at(12, 3),
        };
        assert_eq!(
            key("dead/", &range(Some(9)), 0),
            "dead/shardId-000000000001/0019.0000000000-00212.0000000003.jsonl"
        );
        assert_eq!(key("dead/", &range(None), 2), "dead/shardId-000000000001/0-00212.0000000003.2.jsonl");
    }
}
