//! The shards of a stream as the service lists them.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardFilterType};
use penstock_contract::{ArrivalMillis, Sequence, ShardId};

use crate::error::call;
use crate::{Call, HashKey, StreamError};

/// The most shards in one answer (ListShards API reference).
const MAX_SHARDS_PER_PAGE: i32 = 10_000;
/// No stream has so many shards that a listing needs more answers than this.
const MAX_PAGES: usize = 100;

/// A shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// The shards that it was made from: none, one (a split) or two (a merge).
    pub parents: Vec<ShardId>,
    /// The hash keys that it takes.
    pub hash_range: HashRange,
    /// Before its first record.
    pub starting_sequence: Sequence,
    /// After its last record; `None` while the shard is open.
    pub ending_sequence: Option<Sequence>,
}

impl Shard {
    /// Whether it still takes records.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ending_sequence.is_none()
    }
}

/// The hash keys from `start` to `end_inclusive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRange {
    /// The first.
    pub start: HashKey,
    /// The last.
    pub end_inclusive: HashKey,
}

impl HashRange {
    /// Every hash key.
    pub const ALL: Self = Self { start: HashKey::MIN, end_inclusive: HashKey::MAX };

    /// Whether the key is among them.
    #[must_use]
    pub fn holds(&self, key: HashKey) -> bool {
        (self.start..=self.end_inclusive).contains(&key)
    }
}

/// Which shards to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardFilter {
    /// All that still hold readable records, and the open ones: the service's default.
    FromTrimHorizon,
    /// Those that were open at the oldest readable record.
    AtTrimHorizon,
    /// Those that are open now.
    AtLatest,
    /// Those that were open at the time.
    AtTimestamp(ArrivalMillis),
    /// Those that were open at the time, or later.
    FromTimestamp(ArrivalMillis),
    /// Those whose name is greater.
    AfterShardId(ShardId),
}

/// Lists shards, all pages. The order of the answer means nothing: follow parents.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>: 1000 calls per second and
/// stream, 10,000 shards an answer; a token lives 300 seconds and goes without stream name and filter.
///
/// # Errors
/// When a page cannot be had.
pub fn list_shards<'a>(client: &'a Client, stream: &'a str, filter: &'a ShardFilter) -> Call<'a, Vec<Shard>> {
    Box::pin(async move {
        let doing = || format!("listing the shards of stream {stream}");
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let request = client.list_shards();
            let request = match token.take() {
                Some(token) => request.next_token(token).max_results(MAX_SHARDS_PER_PAGE),
                None => request
                    .stream_name(stream)
                    .max_results(MAX_SHARDS_PER_PAGE)
                    .shard_filter(filter.to_sdk().map_err(|message| StreamError::Answer { doing: doing(), message })?),
            };
            let answer = call(doing, request.send()).await?;
            for shard in answer.shards() {
                shards.push(from_sdk(shard).map_err(|message| StreamError::Answer { doing: doing(), message })?);
            }
            match answer.next_token {
                Some(next) if !next.is_empty() => token = Some(next),
                _ => return Ok(shards),
            }
        }
        Err(StreamError::Answer { doing: doing(), message: format!("there was still more after {MAX_PAGES} pages") })
    })
}

impl ShardFilter {
    fn to_sdk(&self) -> Result<types::ShardFilter, String> {
        let builder = types::ShardFilter::builder();
        let builder = match self {
            Self::FromTrimHorizon => builder.r#type(ShardFilterType::FromTrimHorizon),
            Self::AtTrimHorizon => builder.r#type(ShardFilterType::AtTrimHorizon),
            Self::AtLatest => builder.r#type(ShardFilterType::AtLatest),
            Self::AtTimestamp(at) => {
                builder.r#type(ShardFilterType::AtTimestamp).timestamp(DateTime::from_millis(at.0))
            }
            Self::FromTimestamp(at) => {
                builder.r#type(ShardFilterType::FromTimestamp).timestamp(DateTime::from_millis(at.0))
            }
            Self::AfterShardId(id) => builder.r#type(ShardFilterType::AfterShardId).shard_id(id.as_str()),
        };
        builder.build().map_err(|error| error.to_string())
    }
}

fn from_sdk(shard: &types::Shard) -> Result<Shard, String> {
    let id = ShardId::new(shard.shard_id());
    let missing = |what| format!("shard {id} comes without its {what}");
    let hashes = shard.hash_key_range().ok_or_else(|| missing("range of hash keys"))?;
    let sequences = shard.sequence_number_range().ok_or_else(|| missing("range of sequence numbers"))?;
    let hash = |text: &str| text.parse::<HashKey>().map_err(|_| format!("shard {id} has the hash key {text:?}"));
    let sequence = |text: &str| Sequence::parse(text).map_err(|error| format!("shard {id}: {error}"));
    Ok(Shard {
        parents: [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
            .into_iter()
            .flatten()
            .map(ShardId::new)
            .collect(),
        hash_range: HashRange {
            start: hash(hashes.starting_hash_key())?,
            end_inclusive: hash(hashes.ending_hash_key())?,
        },
        starting_sequence: sequence(sequences.starting_sequence_number())?,
        ending_sequence: sequences.ending_sequence_number().map(sequence).transpose()?,
        id,
    })
}
