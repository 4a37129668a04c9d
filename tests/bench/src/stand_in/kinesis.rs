//! The calls of Kinesis that carry records.

use anyhow::Context as _;
use bytes::Bytes;
use memchr::memmem;
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
        "PutRecords" => Some(put_records(counts, body)),
        "GetShardIterator" if !options.content.records.is_empty() => Some(get_shard_iterator(counts, body)?),
        "GetRecords" if !options.content.records.is_empty() => Some(get_records(options, counts, body)?),
        _ => None,
    })
}

/// Counts and measures what is put, without keeping it.
fn put_records(counts: &Counts, body: &[u8]) -> Answer {
    let records = memmem::find_iter(body, br#""PartitionKey":"#).count();
    if records == 0 || records > PUT_RECORDS {
        return Answer::refused("ValidationException", "1 to 500 records");
    }
    // Base64 is a third longer than what it holds.
    if body.len() / 4 * 3 > PUT_BYTES {
        return Answer::refused("InvalidArgumentException", "more than 10 MiB");
    }
    counts.add("PutRecords", records as u64, body.len());
    const RECORD: &str = r#"{"SequenceNumber":"49000000000000000000000000000000000000000000000000000001","ShardId":"shardId-000000000000"}"#;
    let mut answer = String::with_capacity(64 + records * (RECORD.len() + 1));
    answer.push_str(r#"{"FailedRecordCount":0,"Records":["#);
    for number in 0..records {
        if number > 0 {
            answer.push(',');
        }
        answer.push_str(RECORD);
    }
    answer.push_str("]}");
    Answer::json(answer)
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
    fn puts_are_counted_and_held_to_the_limits() {
        let counts = Counts::default();
        let body = |records: usize| {
            let records = vec![serde_json::json!({ "Data": "eA==", "PartitionKey": "k" }); records];
            serde_json::json!({ "StreamName": "s", "Records": records }).to_string()
        };
        assert!(put_records(&counts, body(500).as_bytes()).status.is_success());
        assert!(!put_records(&counts, body(501).as_bytes()).status.is_success());
        assert_eq!(counts.all()["PutRecords"].records, 500);
    }
}
