//! Reading a shard by polling.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, Record, ShardIteratorType};
use bytes::Bytes;
use penstock_contract::{ArrivalMillis, Sequence, ShardId};

use crate::aggregate::digests_match;
use crate::error::call;
use crate::{Call, StreamError};

/// The most stream records that one call answers (GetRecords API reference).
pub const MAX_RECORDS_PER_READ: i32 = 10_000;

/// Where in a shard reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingAt {
    /// At the oldest record that is still there.
    TrimHorizon,
    /// After the newest record.
    Latest,
    /// At the first record that arrived at this time or later.
    AtTimestamp(ArrivalMillis),
    /// At this stream record, it included.
    At(Sequence),
    /// After this stream record.
    After(Sequence),
}

/// A place in a shard from which to read next. Lives five minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardIterator(String);

/// One record of the stream: a user's record, or an aggregate of them.
#[derive(Debug, Clone)]
pub struct StreamRecord {
    /// Its sequence number.
    pub sequence: Sequence,
    /// The partition key; empty when the record was put without one.
    pub partition_key: Arc<str>,
    /// When the stream took it.
    pub arrival: ArrivalMillis,
    /// Its bytes.
    pub data: Bytes,
    /// Whether it begins like an aggregate and ends with the digest of one.
    pub(crate) may_be_aggregate: bool,
}

/// A shard that follows one that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildShard {
    /// Its name.
    pub id: ShardId,
    /// The shards that it was made from.
    pub parents: Vec<ShardId>,
}

/// What one read brought. No records does not mean that there are none: read on.
#[derive(Debug, Clone)]
pub struct ReadAnswer {
    /// The records, in order.
    pub records: Vec<StreamRecord>,
    /// Where to read next.
    pub next_iterator: Option<ShardIterator>,
    /// The shards that follow, when this one has ended.
    pub child_shards: Vec<ChildShard>,
    /// How far the answer is behind the newest record, in milliseconds; 0 at the tip.
    pub millis_behind_latest: Option<i64>,
}

impl ReadAnswer {
    /// Whether this was the last of a shard that has ended: there is nothing to read next, **and** children
    /// are named. Any other answer without a next iterator is to be read again from the last record.
    #[must_use]
    pub fn is_end_of_shard(&self) -> bool {
        self.next_iterator.is_none() && !self.child_shards.is_empty()
    }
}

/// Asks for a place to read from.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>: five calls per second
/// and shard.
///
/// # Errors
/// When the call does not succeed.
pub fn get_shard_iterator<'a>(
    client: &'a Client,
    stream: &'a str,
    shard: &'a ShardId,
    starting_at: &'a StartingAt,
) -> Call<'a, ShardIterator> {
    Box::pin(async move {
        let doing = || format!("getting an iterator for shard {shard} of stream {stream}");
        let request = client.get_shard_iterator().stream_name(stream).shard_id(shard.as_str());
        let request = match starting_at {
            StartingAt::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            StartingAt::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            StartingAt::AtTimestamp(at) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(at.0))
            }
            StartingAt::At(sequence) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
            StartingAt::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
        };
        let answer = call(doing, request.send()).await?;
        iterator(answer.shard_iterator)
            .ok_or_else(|| StreamError::Answer { doing: doing(), message: "it holds no iterator".to_owned() })
    })
}

/// Reads at most `limit` stream records (1 to [`MAX_RECORDS_PER_READ`]).
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>: five calls per second and
/// shard, 2 MB/s per shard shared by all readers, an answer of at most 10 MiB, after which the shard may
/// answer with throttling for up to five seconds.
///
/// # Errors
/// When the call does not succeed; [`crate::ErrorKind::ExpiredIterator`] after five minutes.
pub fn get_records<'a>(client: &'a Client, iterator_: &'a ShardIterator, limit: i32) -> Call<'a, ReadAnswer> {
    Box::pin(async move {
        let doing = || "reading records".to_owned();
        let request = client.get_records().shard_iterator(&iterator_.0).limit(limit.clamp(1, MAX_RECORDS_PER_READ));
        let answer = call(doing, request.send()).await?;
        let records = stream_records(answer.records);
        Ok(ReadAnswer {
            records: records.map_err(|message| StreamError::Answer { doing: doing(), message })?,
            next_iterator: iterator(answer.next_shard_iterator),
            child_shards: answer.child_shards.unwrap_or_default().iter().map(child_shard).collect(),
            millis_behind_latest: answer.millis_behind_latest,
        })
    })
}

/// An empty iterator is none: the SDK fills some missing texts with an empty one.
fn iterator(text: Option<String>) -> Option<ShardIterator> {
    text.filter(|text| !text.is_empty()).map(ShardIterator)
}

pub(crate) fn child_shard(child: &types::ChildShard) -> ChildShard {
    ChildShard {
        id: ShardId::new(child.shard_id()),
        parents: child.parent_shards().iter().map(|parent| ShardId::new(parent.as_str())).collect(),
    }
}

impl StreamRecord {
    /// One record. Those of an answer come from it, which is cheaper.
    #[must_use]
    pub fn new(sequence: Sequence, partition_key: Arc<str>, arrival: ArrivalMillis, data: Bytes) -> Self {
        let may_be_aggregate = digests_match([&data].into_iter()).contains(&true);
        Self { sequence, partition_key, arrival, data, may_be_aggregate }
    }
}

/// The records of an answer.
pub(crate) fn stream_records(records: Vec<Record>) -> Result<Vec<StreamRecord>, String> {
    let mut records: Vec<_> = records.into_iter().map(stream_record).collect::<Result<_, _>>()?;
    let matches = digests_match(records.iter().map(|record| &record.data));
    for (record, matches) in records.iter_mut().zip(matches) {
        record.may_be_aggregate = matches;
    }
    Ok(records)
}

fn stream_record(record: Record) -> Result<StreamRecord, String> {
    let sequence = Sequence::parse(&record.sequence_number).map_err(|error| error.to_string())?;
    let arrival = record
        .approximate_arrival_timestamp
        .and_then(|at| millis(&at))
        .ok_or_else(|| format!("record {sequence} comes without a usable time of arrival"))?;
    Ok(StreamRecord {
        sequence,
        partition_key: record.partition_key.unwrap_or_default().into(),
        arrival: ArrivalMillis(arrival),
        data: record.data.into_inner().into(),
        may_be_aggregate: false,
    })
}

/// The nearest millisecond. The service sends milliseconds, as a fraction of seconds in floating point, which often lies a
/// little below what is meant.
fn millis(at: &DateTime) -> Option<i64> {
    let nanos = i64::from(at.subsec_nanos());
    at.secs().checked_mul(1000)?.checked_add((nanos + 500_000) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_the_millisecond_that_the_service_meant() {
        for meant in [1_795_758_064_963_i64, 1_795_758_064_964, 1_795_758_064_999, 1_795_758_065_000] {
            #[allow(clippy::cast_precision_loss, reason = "as the service sends it")]
            let sent = DateTime::from_secs_f64(meant as f64 / 1000.0);
            assert_eq!(millis(&sent), Some(meant));
        }
    }
}
