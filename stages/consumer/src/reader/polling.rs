//! Asking for records, with iterators, at the shard's pace.

use std::time::Duration;

use penstock_contract::{ShardId, Sink};
use penstock_stream::{ShardIterator, StartingAt, StreamError, get_records, get_shard_iterator};

use super::Brought;
use crate::pace::Pace;
use crate::shared::Shared;

/// Reads that ask.
#[derive(Debug)]
pub(super) struct Polling {
    iterator: Option<ShardIterator>,
    pace: Pace,
}

impl Polling {
    pub(super) fn new() -> Self {
        Self { iterator: None, pace: Pace::default() }
    }

    /// What comes next, about so many bytes; begins at the place, or goes on.
    pub(super) async fn next<S: Sink>(
        &mut self,
        shared: &Shared<S>,
        shard: &ShardId,
        place: &StartingAt,
        bytes: usize,
    ) -> Result<Brought, StreamError> {
        let from = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let iterator = get_shard_iterator(&shared.kinesis, &shared.config.stream, shard, place).await?;
                self.iterator.insert(iterator)
            }
        };
        let answer = get_records(&shared.kinesis, from, self.pace.limit(bytes)).await?;
        let is_last = answer.next_iterator.is_none();
        self.iterator = answer.next_iterator;
        Ok(Brought {
            records: answer.records,
            is_last,
            child_shards: answer.child_shards,
            millis_behind_latest: answer.millis_behind_latest,
        })
    }

    /// Reading begins at a place again.
    pub(super) fn renew(&mut self) {
        self.iterator = None;
    }

    /// How long to wait before the next read.
    pub(super) fn pause(&mut self, records: usize, bytes: usize, at_tip: bool) -> Duration {
        self.pace.answered(records, bytes, at_tip)
    }

    /// How long to wait after the service throttled.
    pub(super) fn throttled(&mut self) -> Duration {
        self.pace.throttled(fastrand::f64())
    }
}
