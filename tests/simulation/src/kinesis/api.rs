//! The calls that a consumer makes, as JSON in and out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{EPOCH, Entry, Kinesis, Shard};
use crate::Millis;
use crate::mutation::Mutation;
use crate::net::Answer;

/// Reads of one shard in one second.
const READS_A_SECOND: usize = 5;

/// What may differ from one answer to the next, as the world wants it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mood {
    /// A listing shows the stream as it was so long ago.
    pub(crate) stale_by: Millis,
    /// An answer below the tip holds nothing.
    pub(crate) empty: bool,
    /// An answer holds at most so many records.
    pub(crate) at_most: Option<usize>,
    /// The end of a shard comes without its children, against the rules.
    pub(crate) childless_end: bool,
}

/// Why a call is refused.
pub(super) struct Refusal(pub(super) &'static str, pub(super) String);

/// Where reading is to begin.
pub(super) struct StartingPlace<'a> {
    pub(super) kind: &'a str,
    pub(super) sequence: Option<&'a str>,
    pub(super) time: &'a Value,
    /// A sequence number is one of a record that there is or was.
    pub(super) is_of_a_record: bool,
}

impl From<Refusal> for Answer {
    fn from(Refusal(code, message): Refusal) -> Self {
        Self::Http { status: 400, body: json!({ "__type": code, "message": message }).to_string() }
    }
}

impl Kinesis {
    /// Answers; `Err` is a call that no consumer may make.
    pub(crate) fn answer(&mut self, now: Millis, operation: &str, body: &[u8], mood: Mood) -> Result<Answer, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if now < self.exists_from {
            return Ok(Refusal("ResourceNotFoundException", "Stream events under account 0 not found.".into()).into());
        }
        let answer = match operation {
            "ListShards" => self.list_shards(now, &body, mood)?,
            "GetShardIterator" => self.get_shard_iterator(now, &body)?,
            "GetRecords" => self.get_records(now, &body, mood)?,
            "DescribeStreamSummary" => Ok(self.describe_stream_summary()),
            "DescribeStreamConsumer" => self.describe_stream_consumer(now, &body)?,
            "RegisterStreamConsumer" => self.register_stream_consumer(now, &body)?,
            "SubscribeToShard" => return self.subscribe_to_shard(now, &body),
            other => return Err(format!("Kinesis does not know {other} here")),
        };
        Ok(answer.map_or_else(Answer::from, |body| Answer::Http { status: 200, body: body.to_string() }))
    }

    fn list_shards(&self, now: Millis, body: &Value, mood: Mood) -> Result<Result<Value, Refusal>, String> {
        let (after, since) = listing(body).ok_or_else(|| format!("a listing of {body}"))?;
        let most = body["MaxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(self.page);
        let most = most.min(self.page);
        let then = now.saturating_sub(mood.stale_by);
        let visible = |(id, shard): &(&String, &Shard)| {
            **id > after
                && (shard.born <= then || shard.parents.is_empty())
                && shard.closed.is_none_or(|closed| closed.at > then || EPOCH + closed.at >= since)
        };
        let mut page: Vec<_> = self.shards.iter().filter(visible).take(most + 1).collect();
        let more = page.len() > most;
        page.truncate(most);
        let last = page.last().map(|(id, _)| (*id).clone());
        let mut shards: Vec<_> = page.into_iter().map(|(id, shard)| listed(id, shard, then)).collect();
        if let Some(mutation) = self.mutation {
            shards.iter_mut().for_each(|shard| mutation.listed(since > 0, shard));
        }
        let mut answer = json!({ "Shards": shards });
        if let Some(last) = last.filter(|_| more) {
            answer["NextToken"] = format!("{last}/{since}").into();
        }
        Ok(Ok(answer))
    }

    fn get_shard_iterator(&self, now: Millis, body: &Value) -> Result<Result<Value, Refusal>, String> {
        let id = body["ShardId"].as_str().ok_or("an iterator for no shard")?;
        let Some(shard) = self.shards.get(id) else { return Ok(Err(no_shard(id))) };
        let place = StartingPlace {
            kind: body["ShardIteratorType"].as_str().ok_or("an iterator of no type")?,
            sequence: body["StartingSequenceNumber"].as_str(),
            time: &body["Timestamp"],
            is_of_a_record: true,
        };
        let index = self.index(shard, &place)?;
        Ok(index.map(|index| json!({ "ShardIterator": self.token(now, id, index) })))
    }

    /// The place in the shard's log from where reading goes on.
    pub(super) fn index(&self, shard: &Shard, place: &StartingPlace<'_>) -> Result<Result<usize, Refusal>, String> {
        let foreign = || {
            let text =
                "StartingSequenceNumber used in GetShardIterator is invalid because it did not come from this stream.";
            Refusal("InvalidArgumentException", text.into())
        };
        Ok(Ok(match place.kind {
            "TRIM_HORIZON" => shard.trimmed,
            "LATEST" => shard.log.len(),
            "AT_TIMESTAMP" if self.mutation == Some(Mutation::NoWindow) => shard.log.len(),
            "AT_TIMESTAMP" => {
                let at = time(place.time).ok_or("a read at no time")?;
                shard.log.partition_point(|entry| EPOCH + entry.arrival < at)
            }
            "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER" => {
                let sequence = place.sequence.and_then(|text| text.parse::<u128>().ok());
                let sequence = sequence.ok_or("a read at no sequence number")?;
                let last = shard.closed.map(|closed| closed.sequence).or_else(|| shard.log.last().map(|e| e.sequence));
                let is_too_far = place.is_of_a_record && last.is_none_or(|last| sequence > last);
                if sequence < shard.first_sequence || is_too_far {
                    return Ok(Err(foreign()));
                }
                let at = shard.log.partition_point(|entry| entry.sequence < sequence);
                let is_there = shard.log.get(at).is_some_and(|entry| entry.sequence == sequence);
                if place.kind == "AFTER_SEQUENCE_NUMBER" && is_there { at + 1 } else { at }
            }
            other => return Err(format!("a read from a place of the type {other:?}")),
        }))
    }

    fn get_records(&mut self, now: Millis, body: &Value, mood: Mood) -> Result<Result<Value, Refusal>, String> {
        let text = body["ShardIterator"].as_str().ok_or("a read without an iterator")?;
        let (issued, id, index, stream) = read_token(text).ok_or("a read with an iterator that nobody made")?;
        if now > issued + self.iterator_life {
            self.expired_iterators += 1;
            return Ok(Err(Refusal("ExpiredIteratorException", "Iterator expired.".into())));
        }
        if stream != self.begins.len() {
            return Ok(Err(no_shard(&id)));
        }
        let Some(shard) = self.shards.get_mut(&id) else { return Ok(Err(no_shard(&id))) };
        while shard.reads.front().is_some_and(|read| read + 1000 <= now) {
            shard.reads.pop_front();
        }
        if shard.reads.len() >= READS_A_SECOND {
            self.exceeded += 1;
            return Ok(Err(Refusal("ProvisionedThroughputExceededException", format!("Rate exceeded for shard {id}"))));
        }
        shard.reads.push_back(now);
        let limit =
            body["Limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).ok_or("a read without limit")?;
        let limit = mood.at_most.map_or(limit, |most| most.min(limit));
        let from = index.max(shard.trimmed);
        let to = if mood.empty { from } else { from.saturating_add(limit).min(shard.log.len()) };
        let records: Vec<_> = shard.log[from..to].iter().map(record).collect();
        let behind = shard.log.get(to).map_or(0, |next| now.saturating_sub(next.arrival).max(1));
        let mut answer = json!({ "Records": records, "MillisBehindLatest": behind });
        if to < shard.log.len() || shard.is_open() {
            answer["NextShardIterator"] = format!("{now}/{id}/{to}/{stream}").into();
        } else if !mood.childless_end {
            answer["ChildShards"] = children(&self.shards, &id).into();
        }
        Ok(Ok(answer))
    }

    fn token(&self, now: Millis, id: &str, index: usize) -> String {
        format!("{now}/{id}/{index}/{}", self.begins.len())
    }
}

pub(super) fn children(shards: &BTreeMap<String, Shard>, id: &str) -> Vec<Value> {
    let children = shards.iter().filter(|(_, shard)| shard.parents.iter().any(|parent| parent == id));
    let describe = |(id, shard): (&String, &Shard)| json!({ "ShardId": id, "ParentShards": shard.parents, "HashKeyRange": hash_range(shard) });
    children.map(describe).collect()
}

/// After which shard a listing goes on, and since when its shards must have been open.
fn listing(body: &Value) -> Option<(String, Millis)> {
    if let Some(token) = body["NextToken"].as_str() {
        let (after, since) = token.split_once('/')?;
        return Some((after.to_owned(), since.parse().ok()?));
    }
    let since = match body["ShardFilter"]["Type"].as_str() {
        Some("FROM_TRIM_HORIZON") => 0,
        Some("FROM_TIMESTAMP") => time(&body["ShardFilter"]["Timestamp"])?,
        // Somebody asks for the time.
        None if body["MaxResults"] == 1 => 0,
        _ => return None,
    };
    Some((String::new(), since))
}

/// Milliseconds since the Unix epoch.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time of this century")]
fn time(seconds: &Value) -> Option<Millis> {
    Some((seconds.as_f64()? * 1000.0).round() as Millis)
}

pub(super) fn no_shard(id: &str) -> Refusal {
    Refusal("ResourceNotFoundException", format!("Shard {id} in stream events under account 0 does not exist"))
}

fn hash_range(shard: &Shard) -> Value {
    json!({ "StartingHashKey": shard.first_hash.to_string(), "EndingHashKey": shard.last_hash.to_string() })
}

fn listed(id: &str, shard: &Shard, then: Millis) -> Value {
    let mut sequences = json!({ "StartingSequenceNumber": shard.first_sequence.to_string() });
    if let Some(closed) = shard.closed.filter(|closed| closed.at <= then) {
        sequences["EndingSequenceNumber"] = closed.sequence.to_string().into();
    }
    let mut listed = json!({ "ShardId": id, "HashKeyRange": hash_range(shard), "SequenceNumberRange": sequences });
    for (name, parent) in ["ParentShardId", "AdjacentParentShardId"].into_iter().zip(&shard.parents) {
        listed[name] = parent.as_str().into();
    }
    listed
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of this century fit")]
pub(super) fn record(entry: &Entry) -> Value {
    json!({
        "SequenceNumber": entry.sequence.to_string(),
        "ApproximateArrivalTimestamp": (EPOCH + entry.arrival) as f64 / 1000.0,
        "PartitionKey": entry.key,
        "Data": STANDARD.encode(&entry.data),
    })
}

/// When it was made, its shard, its place there, and which of the streams of this name it is of.
fn read_token(text: &str) -> Option<(Millis, String, usize, usize)> {
    let mut parts = text.split('/');
    let mut part = || parts.next();
    Some((part()?.parse().ok()?, part()?.to_owned(), part()?.parse().ok()?, part()?.parse().ok()?))
}
