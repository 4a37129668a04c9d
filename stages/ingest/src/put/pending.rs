//! A request whose rows are on their way into the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use penstock_contract::{Sequence, ShardId};
use penstock_stream::HashKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::budget::Hold;

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The stream has it.
    Stored { shard: ShardId, sequence: Sequence, sub_sequence: u32 },
    /// The stream did not say so in time. It may be there all the same.
    Failed(Trouble),
}

/// Why the stream did not take a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The shard's throughput is used up.
    Throttled,
    /// The stream fails, cannot be reached or may not be written.
    Unavailable,
    /// The stream says that what was put is not valid; another attempt would end the same way.
    Invalid,
}

/// The rows of a request that are on their way.
#[derive(Debug)]
pub(crate) struct Pending {
    /// When the stream must have taken them.
    pub(crate) deadline: Instant,
    outcomes: Mutex<Vec<Option<Outcome>>>,
    left: AtomicUsize,
    done: Notify,
    /// The memory of the request's body, in which the rows' bytes lie.
    _hold: Hold,
}

/// A row on its way.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) data: Bytes,
    pub(crate) key: Arc<str>,
    pub(crate) hash: HashKey,
    /// Its request, and its place among that request's good rows.
    pub(crate) request: Arc<Pending>,
    pub(crate) place: u32,
}

/// What a row takes in the queue beside its bytes.
const ROW_OVERHEAD: usize = 128;

impl Row {
    /// What the row counts in the queue. The queue's semaphore takes 32 bits; a row is far below.
    pub(crate) fn cost(&self) -> u32 {
        u32::try_from(self.data.len() + self.key.len() + ROW_OVERHEAD).unwrap_or(u32::MAX)
    }

    /// What the service counts.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.key.len()
    }
}

impl Pending {
    pub(crate) fn new(rows: usize, deadline: Instant, hold: Hold) -> Self {
        Self {
            deadline,
            outcomes: Mutex::new(vec![None; rows]),
            left: AtomicUsize::new(rows),
            done: Notify::new(),
            _hold: hold,
        }
    }

    /// Takes the outcomes of some rows, each by its place.
    pub(crate) fn settle(&self, outcomes: impl IntoIterator<Item = (u32, Outcome)>) {
        let mut settled = 0;
        let mut all = self.outcomes.lock();
        for (place, outcome) in outcomes {
            if let Some(slot) = all.get_mut(place as usize)
                && slot.is_none()
            {
                *slot = Some(outcome);
                settled += 1;
            }
        }
        drop(all);
        if self.left.fetch_sub(settled, Ordering::AcqRel) == settled {
            self.done.notify_one();
        }
    }

    /// Waits until every row has an outcome. For one caller.
    pub(crate) async fn all_settled(&self) {
        while self.left.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }

    /// The outcomes by place. A row that nobody decided about counts as [`Trouble::Unavailable`].
    pub(crate) fn take_outcomes(&self) -> Vec<Outcome> {
        let outcomes = std::mem::take(&mut *self.outcomes.lock());
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Failed(Trouble::Unavailable))).collect()
    }
}

/// Settles rows that belong to any number of requests, in order, with few locks.
pub(crate) fn settle_rows(rows: &[Row], outcome: impl Fn(usize) -> Outcome) {
    let mut start = 0;
    for same in rows.chunk_by(|a, b| Arc::ptr_eq(&a.request, &b.request)) {
        let outcomes = same.iter().enumerate().map(|(offset, row)| (row.place, outcome(start + offset)));
        same[0].request.settle(outcomes);
        start += same.len();
    }
}
