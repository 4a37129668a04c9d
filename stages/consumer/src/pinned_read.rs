//! Reading exactly the records of a pinned range again.

use std::sync::Arc;

use penstock_contract::{Position, Record, ShardId, Sink};
use penstock_stream::{HashRange, StartingAt, StreamRecord, user_records};

use crate::pin::Pin;
use crate::reader::{Event, Reader};
use crate::shared::Shared;

/// So many answers at the tip without a record say that the end of the range will not come any more.
const EMPTY_AT_TIP: u32 = 3;

/// The reader panicked: the stage ends as by a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reading a shard panicked")]
pub(crate) struct ReadFailed;

/// A walk through a pinned range.
pub(crate) struct PinnedRead {
    reader: Reader,
    shard: ShardId,
    takes: HashRange,
    start_exclusive: Option<Position>,
    end: Position,
    records: std::vec::IntoIter<StreamRecord>,
    empty_at_tip: u32,
    over: bool,
}

impl PinnedRead {
    /// Begins at the first record of the range.
    pub(crate) fn start<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId, pin: &Pin) -> Self {
        let starting_at = StartingAt::At(pin.first.sequence.clone());
        Self {
            reader: Reader::again(Arc::clone(shared), shard.clone(), starting_at),
            shard: shard.clone(),
            takes: shared.hash_range(shard),
            start_exclusive: pin.start_exclusive.clone(),
            end: pin.end.clone(),
            records: Vec::new().into_iter(),
            empty_at_tip: 0,
            over: false,
        }
    }

    /// The user records of the next stream record in the range; `None` when there are no more, be it because
    /// the range is over or because retention has deleted its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, ReadFailed> {
        while !self.over {
            let Some(record) = self.records.next() else {
                self.read_on().await?;
                continue;
            };
            if record.sequence >= self.end.sequence {
                self.over = true;
            }
            let mut records = user_records(&self.shard, &self.takes, record);
            records.retain(|record| self.holds(&record.position));
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }

    fn holds(&self, position: &Position) -> bool {
        self.start_exclusive.as_ref().is_none_or(|start| position > start) && *position <= self.end
    }

    async fn read_on(&mut self) -> Result<(), ReadFailed> {
        match self.reader.next().await {
            Event::Answer(answer) => {
                self.empty_at_tip = if answer.at_tip { self.empty_at_tip + 1 } else { 0 };
                self.over = self.empty_at_tip >= EMPTY_AT_TIP;
                self.records = answer.records.into_iter();
                Ok(())
            }
            Event::End(_) | Event::Gone => {
                self.over = true;
                Ok(())
            }
            Event::Died => Err(ReadFailed),
        }
    }
}
