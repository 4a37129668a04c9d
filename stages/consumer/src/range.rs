//! A range in the making, and one that is closed.

use penstock_contract::{Batch, Position, Record, ShardId, SinkError};
use penstock_process::dead_letter::Origin;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::dead_letters::Letters;
use crate::metrics::Waiting;
use crate::pin::{Pin, RecipeHash};
use crate::repeats::RepeatWindow;

/// A range that left out so many records is closed: their positions are kept until it is applied, and its sink, which sees
/// nothing of them, would not ask for it.
const MAX_REPEATS: usize = 20_000;

/// The range that is being filled. It counts against the ranges that may be in memory until it is dropped.
pub(crate) struct Open<B> {
    filling: Filling<B>,
    /// Then it is closed, whatever is in it.
    pub(crate) deadline: Instant,
    room: OwnedSemaphorePermit,
    waiting: Waiting,
}

/// A batch with what the consumer must know about it.
pub(crate) struct Filling<B> {
    batch: B,
    letters: Letters,
    records: u64,
    repeats: Vec<Position>,
    /// First and last position, repeats included.
    span: Option<(Position, Position)>,
}

/// What is in a batch.
pub(crate) struct Filled<B> {
    pub(crate) batch: B,
    pub(crate) letters: Letters,
    /// How many user records the range has, repeats included.
    pub(crate) records: u64,
    /// Those that were left out of the batch.
    pub(crate) repeats: Vec<Position>,
}

/// The user records of one stream record, after the repeats among them were told.
pub(crate) struct Part {
    first: Position,
    last: Position,
    count: u64,
    kept: Vec<Record>,
    repeats: Vec<Position>,
}

/// A range with its end: it can be pinned.
pub(crate) struct Closed<B> {
    pub(crate) filled: Filled<B>,
    pub(crate) pin: Pin,
    /// Makes room for another range when this one is stored.
    pub(crate) room: OwnedSemaphorePermit,
    /// Until it is stored.
    pub(crate) waiting: Waiting,
}

impl<B> Filled<B> {
    /// How many records are in the batch or in its dead letters.
    pub(crate) fn kept(&self) -> u64 {
        self.records.saturating_sub(self.repeats.len() as u64)
    }
}

impl Part {
    /// Asks of each record, in order, whether it is a repeat. `None` when there are no records.
    pub(crate) fn new(records: Vec<Record>, mut is_repeat: impl FnMut(&Record) -> bool) -> Option<Self> {
        let (first, last) = (records.first()?.position.clone(), records.last()?.position.clone());
        let count = records.len() as u64;
        let mut repeats = Vec::new();
        let mut kept = records;
        kept.retain(|record| {
            let is_repeat = is_repeat(record);
            if is_repeat {
                repeats.push(record.position.clone());
            }
            !is_repeat
        });
        Some(Self { first, last, count, kept, repeats })
    }

    pub(crate) fn first(&self) -> &Position {
        &self.first
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl<B: Batch> Filling<B> {
    pub(crate) fn new(batch: B) -> Self {
        Self { batch, letters: Letters::default(), records: 0, repeats: Vec::new(), span: None }
    }

    /// Takes the user records of one stream record; says whether the range should be closed.
    pub(crate) async fn push(&mut self, origin: &Origin, shard: &ShardId, part: Part) -> Result<bool, SinkError> {
        let mut full = false;
        if !part.kept.is_empty() {
            let mut pushed = self.batch.push(&part.kept).await?;
            pushed.rejected.sort_unstable_by_key(|(index, _)| *index);
            for (index, rejection) in &pushed.rejected {
                if let Some(record) = part.kept.get(*index) {
                    self.letters.add(origin, shard, record, rejection);
                }
            }
            full = pushed.full;
        }
        self.records += part.count;
        self.repeats.extend(part.repeats);
        full = full || self.repeats.len() >= MAX_REPEATS;
        match &mut self.span {
            Some((_, end)) => *end = part.last,
            None => self.span = Some((part.first, part.last)),
        }
        Ok(full)
    }

    /// What is in it, once everything is pushed.
    pub(crate) fn into_filled(self) -> Filled<B> {
        Filled { batch: self.batch, letters: self.letters, records: self.records, repeats: self.repeats }
    }
}

impl<B: Batch> Open<B> {
    pub(crate) fn new(batch: B, deadline: Instant, room: OwnedSemaphorePermit, waiting: Waiting) -> Self {
        Self { filling: Filling::new(batch), deadline, room, waiting }
    }

    pub(crate) async fn push(&mut self, origin: &Origin, shard: &ShardId, part: Part) -> Result<bool, SinkError> {
        self.filling.push(origin, shard, part).await
    }

    pub(crate) fn dead_letter_bytes(&self) -> usize {
        self.filling.letters.bytes()
    }

    /// Fixes the end. `None` when nothing was pushed.
    pub(crate) fn close(
        self,
        start_exclusive: Option<Position>,
        recipe: RecipeHash,
        repeats: Option<RepeatWindow>,
    ) -> Option<Closed<B>> {
        let (first, end) = self.filling.span.clone()?;
        let filled = self.filling.into_filled();
        let pin = Pin { start_exclusive, first, end, records: filled.records, recipe, repeats };
        Some(Closed { filled, pin, room: self.room, waiting: self.waiting })
    }
}
