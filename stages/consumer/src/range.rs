//! A range in the making, and one that is closed.

use penstock_contract::{Batch, Position, Record, ShardId, SinkError};
use penstock_process::dead_letter::Origin;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::dead_letters::Letters;
use crate::pin::{Pin, RecipeHash};

/// The range that is being filled. It counts against the ranges that may be in memory until it is dropped.
pub(crate) struct Open<B> {
    filling: Filling<B>,
    /// Then it is closed, whatever is in it.
    pub(crate) deadline: Instant,
    room: OwnedSemaphorePermit,
}

/// A batch with what the consumer must know about it.
pub(crate) struct Filling<B> {
    batch: B,
    letters: Letters,
    records: u64,
    /// First and last position that was pushed.
    span: Option<(Position, Position)>,
}

/// A range with its end: it can be pinned.
pub(crate) struct Closed<B> {
    pub(crate) batch: B,
    pub(crate) letters: Letters,
    pub(crate) pin: Pin,
    /// Makes room for another range when this one is committed.
    pub(crate) _room: OwnedSemaphorePermit,
}

impl<B: Batch> Filling<B> {
    pub(crate) fn new(batch: B) -> Self {
        Self { batch, letters: Letters::default(), records: 0, span: None }
    }

    /// Takes the user records of one stream record; says whether the sink wants the range closed.
    pub(crate) async fn push(
        &mut self,
        origin: &Origin,
        shard: &ShardId,
        records: &[Record],
    ) -> Result<bool, SinkError> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(false) };
        let mut pushed = self.batch.push(records).await?;
        pushed.rejected.sort_unstable_by_key(|(index, _)| *index);
        for (index, rejection) in &pushed.rejected {
            if let Some(record) = records.get(*index) {
                self.letters.add(origin, shard, record, rejection);
            }
        }
        self.records += records.len() as u64;
        match &mut self.span {
            Some((_, end)) => *end = last.position.clone(),
            None => self.span = Some((first.position.clone(), last.position.clone())),
        }
        Ok(pushed.full)
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The batch and its dead letters, once everything is pushed.
    pub(crate) fn into_parts(self) -> (B, Letters) {
        (self.batch, self.letters)
    }
}

impl<B: Batch> Open<B> {
    pub(crate) fn new(batch: B, deadline: Instant, room: OwnedSemaphorePermit) -> Self {
        Self { filling: Filling::new(batch), deadline, room }
    }

    pub(crate) async fn push(
        &mut self,
        origin: &Origin,
        shard: &ShardId,
        records: &[Record],
    ) -> Result<bool, SinkError> {
        self.filling.push(origin, shard, records).await
    }

    pub(crate) fn dead_letter_bytes(&self) -> usize {
        self.filling.letters.bytes()
    }

    /// Fixes the end. `None` when nothing was pushed.
    pub(crate) fn close(self, start_exclusive: Option<Position>, recipe: RecipeHash) -> Option<Closed<B>> {
        let Filling { batch, letters, records, span } = self.filling;
        let (first, end) = span?;
        Some(Closed { batch, letters, pin: Pin { start_exclusive, first, end, records, recipe }, _room: self.room })
    }
}
