//! Putting records into a stream.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use bytes::Bytes;
use penstock_contract::{Sequence, ShardId};

use crate::error::call;
use crate::{Call, HashKey, StreamError};

/// The most records in one call (PutRecords API reference).
pub const MAX_ENTRIES_PER_PUT: usize = 500;
/// The most bytes in one call, data and partition keys (PutRecords API reference, since October 2025).
pub const MAX_PUT_BYTES: usize = 10 << 20;
/// The most characters of a partition key (PutRecords API reference).
pub const MAX_PARTITION_KEY_CHARS: usize = 256;

/// A record to put.
#[derive(Debug, Clone)]
pub struct PutEntry {
    /// Its bytes.
    pub data: Bytes,
    /// The partition key: 1 to [`MAX_PARTITION_KEY_CHARS`] characters.
    pub partition_key: Arc<str>,
    /// Chooses the shard in place of the key's own hash.
    pub explicit_hash_key: Option<HashKey>,
}

impl PutEntry {
    /// What the service counts: the data and the key.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// Where the stream put a record. It is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutAck {
    /// The shard.
    pub shard: ShardId,
    /// The sequence number that it got.
    pub sequence: Sequence,
}

/// Why the stream did not take one record of a call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream did not take a record: {code}: {message}")]
pub struct EntryError {
    /// The service's own code: `ProvisionedThroughputExceededException` or `InternalFailure`.
    pub code: String,
    /// The service's own message.
    pub message: String,
    /// Whether the shard's throughput was used up.
    pub throttled: bool,
}

/// Puts records; the outcomes stand in the order of the entries.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>: at most
/// [`MAX_ENTRIES_PER_PUT`] records and [`MAX_PUT_BYTES`] a call, 1 MB/s and 1000 records/s a shard. Some
/// entries may be taken and others not, also of one shard, and the order among the entries is not promised.
///
/// # Errors
/// When the whole call does not succeed. After [`crate::ErrorKind::Timeout`], [`crate::ErrorKind::Unreachable`]
/// and [`crate::ErrorKind::Internal`] the records may have been stored all the same.
pub fn put_records<'a>(
    client: &'a Client,
    stream: &'a str,
    entries: &'a [PutEntry],
) -> Call<'a, Vec<Result<PutAck, EntryError>>> {
    Box::pin(async move {
        let doing = || format!("putting {} records into stream {stream}", entries.len());
        let unusable = |message: String| StreamError::Answer { doing: doing(), message };
        let sent = entries.iter().map(to_sdk).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
        let answer = call(doing, client.put_records().stream_name(stream).set_records(Some(sent)).send()).await?;
        if answer.records.len() != entries.len() {
            return Err(unusable(format!("{} outcomes for {} records", answer.records.len(), entries.len())));
        }
        answer.records.into_iter().map(outcome).collect::<Result<_, _>>().map_err(unusable)
    })
}

fn to_sdk(entry: &PutEntry) -> Result<PutRecordsRequestEntry, String> {
    PutRecordsRequestEntry::builder()
        .data(Blob::new(entry.data.to_vec()))
        .partition_key(entry.partition_key.as_ref())
        .set_explicit_hash_key(entry.explicit_hash_key.map(|hash| hash.to_string()))
        .build()
        .map_err(|error| error.to_string())
}

fn outcome(entry: PutRecordsResultEntry) -> Result<Result<PutAck, EntryError>, String> {
    if let Some(code) = entry.error_code {
        let throttled = code.contains("ThroughputExceeded") || code.contains("Throttling");
        return Ok(Err(EntryError { code, message: entry.error_message.unwrap_or_default(), throttled }));
    }
    match (entry.shard_id, entry.sequence_number) {
        (Some(shard), Some(sequence)) => {
            let sequence = Sequence::parse(&sequence).map_err(|error| error.to_string())?;
            Ok(Ok(PutAck { shard: ShardId::new(shard), sequence }))
        }
        _ => Err("an outcome has neither a position nor an error".to_owned()),
    }
}
