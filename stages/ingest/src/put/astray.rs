//! Aggregates that went to another shard than they were made for, since the stream was resharded: whether such an
//! aggregate counts depends on the hash keys that the shard takes ([`penstock_stream::user_records`]), so it waits
//! until the shards are listed again.

use penstock_contract::ShardId;
use penstock_stream::{PutAck, Shard};
use tokio::time::Instant;

use super::pending::Row;

/// An aggregate that is stored, but not where it was meant to be. Its lane waits for it.
#[derive(Debug)]
pub(super) struct Astray {
    /// The shard that it was made for.
    pub(super) made_for: ShardId,
    /// Where it is.
    pub(super) ack: PutAck,
    pub(super) rows: Vec<Row>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its shard takes all its rows, so they are stored.
    Counts,
    /// Its shard does not take all its rows, so readers pass it over, and all must be put again.
    Void,
}

impl Astray {
    /// Whether all the rows belong where the aggregate is; `None` while its shard is not in the list.
    pub(super) fn verdict(&self, listed: &[Shard]) -> Option<Verdict> {
        let shard = listed.iter().find(|shard| shard.id == self.ack.shard)?;
        let all_belong = self.rows.iter().all(|row| shard.hash_range.holds(row.hash));
        Some(if all_belong { Verdict::Counts } else { Verdict::Void })
    }

    /// When the first of its rows must be answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.rows.iter().map(|row| row.request.deadline).min()
    }
}
