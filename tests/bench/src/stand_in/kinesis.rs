//! The calls of Kinesis that carry records.

use std::fmt::Write as _;

use anyhow::Context as _;
use bytes::Bytes;
use memchr::memmem;
use penstock_stream::HashKey;
use serde::Deserialize;

use super::{Answer, Counts, Options};

/// The limits of `PutRecords`
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>).
const PUT_RECORDS: usize = 500;
const PUT_BYTES: usize = 10 << 20;
/// The limits of `GetRecords`
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>).
const GET_RECORDS: usize = 10_000;
const GET_BYTES: usize = 10 << 20;
const PARTITION_KEY: &[u8] = br#""PartitionKey":""#;
const EXPLICIT_HASH_KEY: &[u8] = br#""ExplicitHashKey":""#;
/// A reader is always this far behind, in milliseconds: there is always more.
const BEHIND: u64 = 60_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    shard_id: String,
    shard_iterator_type: String,
    starting_sequence_number: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: String,
    limit: Option<usize>,
}

/// Answers, or leaves it to the engines.
pub(crate) fn answer(
    options: &Options,
    counts: &Counts,
    operation: &str,
    body: &[u8],
) -> anyhow::Result<Option<Answer>> {
    Ok(match operation {
        "PutRecords" => Some(put_records(options.shards, counts, body)),
        "GetShardIterator" if !options.content.records.is_empty() => Some(get_shard_iterator(counts, body)?),
        "GetRecords" if !options.content.records.is_empty() => Some(get_records(options, counts, body)?),
        _ => None,
    })
}

/// Counts and measures what is put, without keeping it.
fn put_records(shards: usize, counts: &Counts, body: &[u8]) -> Answer {
    let places: Vec<_> = memmem::find_iter(body, PARTITION_KEY).collect();
    let records = places.len();
    if records == 0 || records > PUT_RECORDS {
        return Answer::refused("ValidationException", "1 to 500 records");
    }
    // Base64 is a third longer than what it holds.
    if body.len() / 4 * 3 > PUT_BYTES {
        return Answer::refused("InvalidArgumentException", "more than 10 MiB");
    }
    counts.add("PutRecords", records as u64, body.len());
    let mut answer = String::with_capacity(64 + records * 128);
    answer.push_str(r#"{"FailedRecordCount":0,"Records":["#);
    for (number, place) in places.into_iter().enumerate() {
        let between = if number > 0 { "," } else { "" };
        let shard = shard_of(body, place, shards);
        // A string takes what is written to it.
        let _ = write!(
            answer,
            r#"{between}{{"SequenceNumber":"49000000000000000000000000000000000000000000000000000001","ShardId":"shardId-{shard:012}"}}"#
        );
    }
    answer.push_str("]}");
    Answer::json(answer)
}

/// The shard of the record whose partition key stands at this place. The SDKs write a record's members in the order of their names.
fn shard_of(body: &[u8], place: usize, shards: usize) -> u128 {
    let before = &body[..place];
    let explicit = before.strip_suffix(b"\",").and_then(|before| {
        let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (name, digits) = before.split_at(before.len() - digits);
        let digits = std::str::from_utf8(digits).ok().filter(|_| name.ends_with(EXPLICIT_HASH_KEY))?;
        digits.parse().ok().map(HashKey)
    });
    let HashKey(hash) = explicit.unwrap_or_else(|| {
        let key = &body[place + PARTITION_KEY.len()..];
        let key = &key[..memchr::memchr(b'"', key).unwrap_or(key.len())];
        HashKey::of_partition_key(&String::from_utf8_lossy(key))
    });
    // Shards share the hash keys evenly.
    let shards = shards.max(1) as u128;
    (hash / (u128::MAX / shards)).min(shards - 1)
}

fn get_shard_iterator(counts: &Counts, body: &[u8]) -> anyhow::Result<Answer> {
    let request: GetShardIterator = serde_json::from_slice(body)?;
    let shard: u64 = request.shard_id.rsplit('-').next().context("a shard's name ends with its number")?.parse()?;
    let asked = request.starting_sequence_number.as_deref().map(position_of).transpose()?.unwrap_or(0);
    let position = asked + u64::from(request.shard_iterator_type == "AFTER_SEQUENCE_NUMBER");
    counts.add("GetShardIterator", 0, body.len());
    Ok(Answer::json(format!(r#"{{"ShardIterator":"{shard}:{position}"}}"#)))
}

fn get_records(options: &Options, counts: &Counts, body: &[u8]) -> anyhow::Result<Answer> {
    let request: GetRecords = serde_json::from_slice(body)?;
    let (shard, position) = request.shard_iterator.split_once(':').context("an iterator of somebody else")?;
    let (shard, mut position): (u64, u64) = (shard.parse()?, position.parse()?);
    let limit = request.limit.unwrap_or(GET_RECORDS).min(GET_RECORDS);
    let content = &options.content.records;
    let mut answer = Vec::with_capacity(1 << 20);
    answer.extend_from_slice(br#"{"Records":["#);
    let (mut records, mut user_records) = (0, 0);
    while records < limit {
        // In the content's own order, which each shard begins elsewhere.
        let place = (usize::try_from(position)? + usize::try_from(shard)? * 7_919) % content.len();
        let record = &content[place];
        if answer.len() + record.json.len() > GET_BYTES {
            break;
        }
        if records > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(&record.json);
        answer.extend_from_slice(sequence(shard, position).as_bytes());
        answer.extend_from_slice(br#""}"#);
        (records, user_records, position) = (records + 1, user_records + record.user_records, position + 1);
    }
    let end = format!(r#"],"NextShardIterator":"{shard}:{position}","MillisBehindLatest":{BEHIND}}}"#);
    answer.extend_from_slice(end.as_bytes());
    counts.add("GetRecords", user_records, answer.len());
    Ok(Answer::json(Bytes::from(answer)))
}

/// As many digits as the service's have; they grow with the position.
fn sequence(shard: u64, position: u64) -> String {
    // A position of zero would be the shard's own beginning, which the engines know by another number.
    format!("79{shard:05}{:049}", position + 1)
}

fn position_of(sequence: &str) -> anyhow::Result<u64> {
    let digits = sequence.get(7..).context("a sequence number of somebody else")?;
    Ok(digits.parse::<u64>()?.saturating_sub(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_says_its_position() {
        assert_eq!(position_of(&sequence(3, 41)).unwrap(), 41);
        assert_eq!(sequence(3, 41).len(), 56);
        assert!(sequence(3, 9) < sequence(3, 10));
    }

    #[test]
    fn records_go_to_the_shard_of_their_hash_key() {
        let shard = |record: &str| shard_of(record.as_bytes(), record.find("\"PartitionKey").unwrap(), 4);
        // md5("a") begins with 0c, md5("b") with 92.
        assert_eq!(shard(r#"{"Data":"eA==","PartitionKey":"a"}"#), 0);
        assert_eq!(shard(r#"{"Data":"eA==","PartitionKey":"b"}"#), 2);
        let last = u128::MAX;
        assert_eq!(shard(&format!(r#"{{"Data":"eA==","ExplicitHashKey":"{last}","PartitionKey":"a"}}"#)), 3);
    }

    #[test]
    fn puts_are_counted_and_held_to_the_limits() {
        let counts = Counts::default();
        let body = |records: usize| {
            let records = vec![serde_json::json!({ "Data": "eA==", "PartitionKey": "k" }); records];
            serde_json::json!({ "StreamName": "s", "Records": records }).to_string()
        };
        assert!(put_records(4, &counts, body(500).as_bytes()).status.is_success());
        assert!(!put_records(4, &counts, body(501).as_bytes()).status.is_success());
        assert_eq!(counts.all()["PutRecords"].records, 500);
    }
}
