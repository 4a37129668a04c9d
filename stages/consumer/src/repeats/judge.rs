//! Telling repeats from other records, in the order of the log.

use std::sync::Arc;

use penstock_contract::{Position, Record, ShardId, Sink};

use super::id::Fingerprint;
use super::log::Appearance;
use super::memory::{Memory, Reach};
use super::{RepeatWindow, SKEW, window};
use crate::pinned_read::ReadFailed;
use crate::range::Part;
use crate::shared::Shared;

/// The judge of one shard, for as long as one worker works on it.
pub(crate) struct Judge {
    /// `None`: no record is a repeat.
    window: Option<RepeatWindow>,
    /// `None` before the window was read.
    memory: Option<Memory>,
}

impl Judge {
    pub(crate) fn new(window: Option<RepeatWindow>) -> Self {
        Self { window, memory: None }
    }

    /// What is remembered goes on to be of use where the window is the same.
    pub(crate) fn with_window(self, window: Option<&RepeatWindow>) -> Self {
        if self.window.as_ref() == window { self } else { Self::new(window.cloned()) }
    }

    /// Judges the user records of the next stream record.
    ///
    /// Before the first of them the window is read, which takes as long as reading takes. May be dropped meanwhile.
    pub(crate) async fn judge<S: Sink>(
        &mut self,
        shared: &Arc<Shared<S>>,
        shard: &ShardId,
        records: Vec<Record>,
    ) -> Result<Option<Part>, ReadFailed> {
        let (Some(repeats), Some(first)) = (&self.window, records.first()) else {
            return Ok(Part::new(records, |_| false));
        };
        let memory = match &mut self.memory {
            Some(memory) => memory,
            none => {
                shared.loads.catches_up(shard);
                let memory = window::read(shared, repeats, shard, first).await?;
                shared.loads.begin(shard, shared.now());
                none.insert(memory)
            }
        };
        Ok(Part::new(records, |record| appearance(repeats, record).is_some_and(|appearance| memory.take(appearance))))
    }

    /// What was judged so far is in closed ranges.
    pub(crate) fn settle(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.settle();
        }
    }

    /// What was judged since the last range was closed is going to be read again.
    pub(crate) fn rewind(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.rewind();
        }
    }
}

/// The repeats of a range, as they were judged once.
#[derive(Debug)]
pub(crate) struct Known(Vec<Position>);

impl Known {
    /// From the positions in their order.
    pub(crate) fn new(repeats: Vec<Position>) -> Self {
        Self(repeats)
    }

    /// Judges the user records of a stream record in the range.
    pub(crate) fn judge(&self, records: Vec<Record>) -> Option<Part> {
        Part::new(records, |record| self.0.binary_search(&record.position).is_ok())
    }
}

pub(super) fn appearance(repeats: &RepeatWindow, record: &Record) -> Option<Appearance> {
    let fingerprint = Fingerprint::of(&record.data, &repeats.id_field)?;
    Some(Appearance { fingerprint, arrival: record.arrival })
}

pub(super) fn reach(repeats: &RepeatWindow) -> Reach {
    Reach {
        millis: i64::try_from(repeats.millis).unwrap_or(i64::MAX),
        records: repeats.records,
        skew_millis: i64::try_from(SKEW.as_millis()).unwrap_or(i64::MAX),
    }
}
