//! The one place that knows what became of each row: it writes the rejects, then the journal, in that order, so that
//! a row which the journal calls settled is never missing among the rejects.

use tokio::sync::mpsc;

use super::Ordinal;
use super::journal::{Journal, Settled};
use super::rejects::{Reject, Rejects};
use crate::error::SendError;

/// So many entries at most share one write to the disk.
const GROUP: usize = 256;

/// What became of some rows.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Rows that the endpoint took.
    pub(crate) accepted: Vec<Ordinal>,
    /// Rows that it refused.
    pub(crate) refused: Vec<(Ordinal, Reject)>,
    /// Rows that were not sent because they are bad.
    pub(crate) bad: Vec<(Ordinal, Reject)>,
}

/// Rejects and journal.
pub(crate) struct Ledger {
    pub(crate) rejects: Rejects,
    pub(crate) journal: Option<Journal>,
}

impl Ledger {
    /// Writes entries until nobody is left to send any. Blocks: run it on a thread of its own.
    pub(crate) fn keep(mut self, mut entries: mpsc::Receiver<Entry>) -> Result<Self, SendError> {
        let mut group = Vec::with_capacity(GROUP);
        while entries.blocking_recv_many(&mut group, GROUP) > 0 {
            for entry in group.drain(..) {
                self.take(&entry);
            }
            self.commit()?;
        }
        Ok(self)
    }

    fn take(&mut self, entry: &Entry) {
        for (_, reject) in entry.refused.iter().chain(&entry.bad) {
            self.rejects.push(reject);
        }
        let Some(journal) = &mut self.journal else { return };
        let rejected = entry.refused.iter().chain(&entry.bad).map(|(ordinal, _)| ordinal);
        for ordinal in entry.accepted.iter().chain(rejected) {
            journal.stage(*ordinal);
        }
        journal.count(Settled {
            accepted: entry.accepted.len() as u64,
            refused: entry.refused.len() as u64,
            bad: entry.bad.len() as u64,
        });
    }

    fn commit(&mut self) -> Result<(), SendError> {
        self.rejects.flush(self.journal.is_some())?;
        match &mut self.journal {
            Some(journal) => journal.commit(self.rejects.length()),
            None => Ok(()),
        }
    }
}
