//! `PutRecord` and `PutRecords`: read without copying, decoded in one pass into the layout of the store.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::error::{ApiError, ErrorKind};
use super::super::model::hash::HashKey;
use super::super::store::Record;
use super::super::writer::{Entry, Placed, Placement, PutBatch};
use super::answers::Json;
use super::{of_length, required};
use crate::kinesis::model::stream::shard_id;

/// Records per request. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
const MAX_RECORDS: usize = 500;
/// Bytes per request: data and partition keys.
const MAX_REQUEST_BYTES: usize = 10 * 1024 * 1024;
/// Characters in a partition key.
const MAX_KEY_CHARS: usize = 256;

/// A text that borrows from the body where it has no escapes. (`Option<Cow<str>>` would always copy.)
#[derive(Debug)]
pub(in super::super) struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl Text<'_> {
    pub(in super::super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One record of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RequestRecord<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
}

/// `PutRecord`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct PutRecord<'a> {
    #[serde(borrow)]
    pub(in super::super) stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    pub(in super::super) stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in super::super) sequence_number_for_ordering: Option<Text<'a>>,
}

/// `PutRecords`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct PutRecords<'a> {
    #[serde(borrow)]
    pub(in super::super) stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    pub(in super::super) stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    records: Option<Records<'a>>,
}

/// The records of a request. Beyond the limit they are only counted, so that a request of a million tiny entries takes
/// no memory.
#[derive(Debug)]
struct Records<'a> {
    records: Vec<RequestRecord<'a>>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Records<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RecordsVisitor;
        impl<'de> Visitor<'de> for RecordsVisitor {
            type Value = Records<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut records = Vec::new();
                while records.len() < MAX_RECORDS {
                    match entries.next_element()? {
                        Some(record) => records.push(record),
                        None => return Ok(Records { count: records.len(), records }),
                    }
                }
                let mut count = records.len();
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Records { records, count })
            }
        }
        deserializer.deserialize_seq(RecordsVisitor)
    }
}

impl PutRecord<'_> {
    /// Lays the record out for the store.
    pub(in super::super) fn into_batch(self, stream: String, max_record_kib: u32) -> Result<PutBatch, ApiError> {
        let record = RequestRecord {
            data: self.data,
            partition_key: self.partition_key,
            explicit_hash_key: self.explicit_hash_key,
        };
        batch(stream, &[record], max_record_kib, |_, member| member.to_owned())
    }
}

impl PutRecords<'_> {
    /// Lays the records out for the store.
    pub(in super::super) fn into_batch(self, stream: String, max_record_kib: u32) -> Result<PutBatch, ApiError> {
        let Records { records, count } = required(self.records, "records")?;
        if count == 0 || count > MAX_RECORDS {
            let (word, bound) = if count == 0 { ("greater", 1) } else { ("less", MAX_RECORDS) };
            return Err(ApiError::validation(
                "records",
                format_args!("[{count} records]"),
                format_args!("Member must have length {word} than or equal to {bound}"),
            ));
        }
        batch(stream, &records, max_record_kib, |at, member| format!("records.{}.member.{member}", at + 1))
    }
}

fn batch(
    stream: String,
    records: &[RequestRecord<'_>],
    max_record_kib: u32,
    parameter: impl Fn(usize, &str) -> String,
) -> Result<PutBatch, ApiError> {
    let room = |record: &RequestRecord<'_>| {
        let text = |text: &Option<Text<'_>>| text.as_ref().map_or(0, |text| text.0.len());
        Record::HEADER + text(&record.partition_key) + text(&record.data) / 4 * 3 + 3
    };
    let mut arena = Vec::with_capacity(records.iter().map(room).sum());
    let mut entries = Vec::with_capacity(records.len());
    let mut total = 0;
    for (at, record) in records.iter().enumerate() {
        let parameter = |member: &str| parameter(at, member);
        let entry = append(&mut arena, record, &parameter)?;
        let size = entry.end - entry.start - Record::HEADER;
        if size > max_record_kib as usize * 1024 {
            return Err(ApiError::invalid_argument(format!(
                "The record at '{}' has {size} bytes with its partition key; the stream {stream} allows {} KiB. Use \
                 UpdateMaxRecordSize to raise the limit up to 10240 KiB.",
                parameter("data"),
                max_record_kib
            )));
        }
        total += size;
        entries.push(entry);
    }
    if total > MAX_REQUEST_BYTES {
        return Err(ApiError::invalid_argument(format!(
            "Records size exceeds 10 MB limit: the records and their partition keys have {total} bytes."
        )));
    }
    Ok(PutBatch { stream, arena, entries })
}

fn append(
    arena: &mut Vec<u8>,
    record: &RequestRecord<'_>,
    parameter: &impl Fn(&str) -> String,
) -> Result<Entry, ApiError> {
    let key = required(record.partition_key.as_ref(), &parameter("partitionKey"))?.as_str();
    let data = required(record.data.as_ref(), &parameter("data"))?.as_str();
    of_length(key, &parameter("partitionKey"), 1, MAX_KEY_CHARS)?;
    let hash = match &record.explicit_hash_key {
        Some(text) => explicit_hash(text.as_str(), &parameter("explicitHashKey"))?,
        None => HashKey::of_partition_key(key),
    };
    let start = arena.len();
    arena.extend_from_slice(&[0; 8]);
    // 256 characters have at most 1,024 bytes.
    arena.extend_from_slice(&(key.len() as u16).to_le_bytes());
    arena.extend_from_slice(key.as_bytes());
    STANDARD.decode_vec(data, arena).map_err(|error| {
        ApiError::new(ErrorKind::Serialization, format!("'{}' is not Base64: {error}", parameter("data")))
    })?;
    Ok(Entry { start, end: arena.len(), hash })
}

fn explicit_hash(text: &str, parameter: &str) -> Result<HashKey, ApiError> {
    if !HashKey::is_well_formed(text) {
        let pattern = HashKey::PATTERN;
        let constraint = format_args!("Member must satisfy regular expression pattern: {pattern}");
        return Err(ApiError::validation(parameter, text, constraint));
    }
    HashKey::parse(text).ok_or_else(|| {
        ApiError::invalid_argument(format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
        ))
    })
}

/// The answer to `PutRecord`.
pub(in super::super) fn answer_one(stream: &str, placement: &Placement) -> Result<Vec<u8>, ApiError> {
    match placement.placed.first() {
        Some(Placed::At(sequence)) => {
            let mut json = Json::object();
            json.text("ShardId", &shard_id(sequence.shard));
            json.sequence("SequenceNumber", *sequence);
            if placement.encrypted {
                json.text("EncryptionType", "KMS");
            }
            Ok(json.finish())
        }
        Some(Placed::Throttled { shard }) => Err(ApiError::throttled(throttled(stream, *shard))),
        None => Err(ApiError::internal("No shard takes this hash key.")),
    }
}

/// The answer to `PutRecords`: one result per record, in order.
pub(in super::super) fn answer_many(stream: &str, placement: &Placement) -> Vec<u8> {
    let failed = placement.placed.iter().filter(|placed| matches!(placed, Placed::Throttled { .. })).count();
    let mut json = Json::with_capacity(64 + placement.placed.len() * 130);
    json.number("FailedRecordCount", failed as u64);
    if placement.encrypted {
        json.text("EncryptionType", "KMS");
    }
    json.list("Records", &placement.placed, |json, placed| match placed {
        Placed::At(sequence) => {
            json.sequence("SequenceNumber", *sequence);
            json.text("ShardId", &shard_id(sequence.shard));
        }
        Placed::Throttled { shard } => {
            json.text("ErrorCode", ErrorKind::ProvisionedThroughputExceeded.name());
            json.text("ErrorMessage", &throttled(stream, *shard));
        }
    });
    json.finish()
}

fn throttled(stream: &str, shard: u32) -> String {
    format!("Rate exceeded for shard {} in stream {stream} under account {}.", shard_id(shard), crate::kinesis::ACCOUNT)
}
