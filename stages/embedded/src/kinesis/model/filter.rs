//! Which shards `ListShards` names. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ShardFilter.html>

use super::Millis;
use super::stream::{Shard, Stream};

/// The service's filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum ShardFilter {
    /// Shards after this one, by index.
    AfterShardId(u32),
    /// Shards that were open at the trim horizon.
    AtTrimHorizon,
    /// All that hold records, and the open ones.
    FromTrimHorizon,
    /// Open shards.
    AtLatest,
    /// Shards that were open at a time.
    AtTimestamp(Millis),
    /// Shards that were open at a time or later.
    FromTimestamp(Millis),
}

/// The shards that a filter names, in the order of their indexes.
pub(crate) fn list(stream: &Stream, filter: ShardFilter, now: Millis) -> Vec<&Shard> {
    // A stream that is younger than its retention begins with its creation.
    let horizon = stream.trim_horizon(now).max(stream.created_at);
    let matches = |shard: &&Shard| match filter {
        ShardFilter::AfterShardId(index) => shard.index > index,
        ShardFilter::AtTrimHorizon => shard.was_open_at(horizon),
        ShardFilter::FromTrimHorizon => true,
        ShardFilter::AtLatest => shard.is_open(),
        ShardFilter::AtTimestamp(time) => shard.was_open_at(time.max(horizon)),
        ShardFilter::FromTimestamp(time) => shard.closed.is_none_or(|closed| closed.at > time.max(horizon)),
    };
    stream.visible_shards(now).filter(matches).collect()
}
