//! One shard's row in the lease table, and the only ways in which it changes.
//!
//! Each transition is a pure function from the row that was seen to the row that is wanted. Every one of
//! them moves the lease counter, and the table takes it only when the row still is the one that was seen,
//! so whoever lost a lease cannot change it any more.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use penstock_contract::{ArrivalMillis, Position, Sequence, ShardId};
use penstock_stream::HashRange;

use crate::pin::Pin;
use crate::settle::Settled;
use crate::tally::Tally;

/// Who owns a lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// Takes a name; no two processes that read for the same sink may have the same at the same time.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a shard is processed. The order of the variants is the KCL's order of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checkpoint {
    /// Nothing yet; begins with what arrived at that time or later. A KCL application keeps the time in its
    /// configuration, so a row that one wrote has none.
    AtTimestamp(Option<ArrivalMillis>),
    /// Nothing yet; begins with the oldest record.
    TrimHorizon,
    /// Nothing yet; begins with the next record.
    Latest,
    /// Everything up to and with this position.
    At(Position),
    /// Everything, and the shard has ended.
    ShardEnd,
}

impl Checkpoint {
    /// The last processed position, when there is one.
    pub(crate) fn position(&self) -> Option<&Position> {
        match self {
            Self::At(position) => Some(position),
            _ => None,
        }
    }
}

/// What was prepared but not yet committed (the KCL's two-phase checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    /// A range that was pinned: it must be applied before anything else.
    Pin(Pin),
    /// Something that a KCL application prepared. Its checkpoint still holds; the preparation means nothing here.
    Foreign,
    /// A range that a later version of Penstock pinned: only that version knows how to apply it.
    Newer {
        /// The version of its description.
        version: u64,
    },
}

/// One shard's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) shard: ShardId,
    pub(crate) owner: Option<WorkerId>,
    /// Who takes it next, where its last owner handed it over.
    pub(crate) intended: Option<WorkerId>,
    /// Moves with every write to the row, and fences it.
    pub(crate) counter: u64,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) owner_switches_since_checkpoint: u64,
    pub(crate) parents: BTreeSet<ShardId>,
    pub(crate) children: BTreeSet<ShardId>,
    /// First and last hash key of the shard, in decimal.
    pub(crate) hash_range: Option<(String, String)>,
    /// Not before the shard's begin: one that begins later is another, with its name, in a later stream.
    pub(crate) known_sequence: Option<Sequence>,
    pub(crate) pending: Option<Pending>,
    /// What was committed so far; unknown where something else than Penstock began with the shard.
    pub(crate) tally: Option<Tally>,
}

impl Lease {
    /// A row for a shard that nobody has read yet.
    pub(crate) fn new(shard: ShardId, checkpoint: Checkpoint) -> Self {
        Self {
            shard,
            owner: None,
            intended: None,
            counter: 0,
            checkpoint,
            owner_switches_since_checkpoint: 0,
            parents: BTreeSet::new(),
            children: BTreeSet::new(),
            hash_range: None,
            known_sequence: None,
            pending: None,
            tally: None,
        }
    }

    /// The hash keys that the shard takes, where the row says so.
    pub(crate) fn hash_range(&self) -> Option<HashRange> {
        let (first, last) = self.hash_range.as_ref()?;
        Some(HashRange { start: first.parse().ok()?, end_inclusive: last.parse().ok()? })
    }

    /// Whether nothing of the shard was committed yet, nor pinned.
    pub(crate) fn is_unread(&self) -> bool {
        let is_at_a_sentinel = self.checkpoint.position().is_none() && !self.is_finished();
        is_at_a_sentinel && !matches!(self.pending, Some(Pending::Pin(_)))
    }

    /// The greatest sequence number of the shard that the row knows of.
    pub(crate) fn reached(&self) -> Option<&Sequence> {
        let pinned = match &self.pending {
            Some(Pending::Pin(pin)) => Some(&pin.end.sequence),
            _ => None,
        };
        let committed = self.checkpoint.position().map(|position| &position.sequence);
        [pinned, committed, self.known_sequence.as_ref()].into_iter().flatten().max()
    }

    /// Whether the shard is processed to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// The worker becomes the owner.
    pub(crate) fn taken_by(&self, worker: &WorkerId) -> Self {
        let switches = self.owner_switches_since_checkpoint.saturating_add(1);
        Self { owner: Some(worker.clone()), intended: None, owner_switches_since_checkpoint: switches, ..self.next() }
    }

    /// Nobody is the owner; if it is intended for somebody, only that worker takes it, for as long as that lives.
    pub(crate) fn released(&self, intended: Option<WorkerId>) -> Self {
        Self { owner: None, intended, ..self.next() }
    }

    /// A range is fixed: whoever owns the lease applies exactly it, next.
    pub(crate) fn pinned(&self, pin: Pin) -> Self {
        Self { pending: Some(Pending::Pin(pin)), ..self.next() }
    }

    /// The pinned range is applied, and came to this; where the next one is closed already, it is pinned with the same
    /// write.
    pub(crate) fn committed(&self, pin: &Pin, settled: Settled, next: Option<Pin>) -> Self {
        Self {
            checkpoint: Checkpoint::At(pin.end.clone()),
            owner_switches_since_checkpoint: 0,
            pending: next.map(Pending::Pin),
            tally: self.tally_after(pin, settled),
            ..self.next()
        }
    }

    /// Goes on with the tally of this row if that is of its checkpoint, and begins one where nothing was committed yet.
    fn tally_after(&self, pin: &Pin, settled: Settled) -> Option<Tally> {
        let before = self.tally.as_ref().filter(|tally| Some(&tally.at) == self.checkpoint.position());
        let goes_on = before.is_some() || self.checkpoint.position().is_none();
        goes_on.then(|| Tally::after(before, pin, settled))
    }

    /// Reading begins at a time instead of wherever the newest record will be when somebody opens the shard.
    pub(crate) fn starting_at(&self, at: ArrivalMillis) -> Self {
        Self { checkpoint: Checkpoint::AtTimestamp(Some(at)), ..self.next() }
    }

    /// The shard is processed to its end, and these follow it. Where nothing says yet which shard of this name it is,
    /// `begin` does.
    pub(crate) fn ended(&self, children: impl IntoIterator<Item = ShardId>, begin: Option<Sequence>) -> Self {
        Self {
            owner: None,
            checkpoint: Checkpoint::ShardEnd,
            owner_switches_since_checkpoint: 0,
            children: children.into_iter().collect(),
            known_sequence: self.reached().cloned().or(begin),
            pending: None,
            ..self.next()
        }
    }

    /// Whether a write that was fenced by `seen` may replace this row. The table's condition says the same.
    #[cfg(test)]
    pub(crate) fn admits(&self, seen: &Lease) -> bool {
        self.counter == seen.counter && self.owner == seen.owner
    }

    /// Whether a row that was read is the outcome of writing `self`: tells a lost answer from a lost lease.
    pub(crate) fn was_written_as(&self, read: &Lease) -> bool {
        self.owner == read.owner
            && self.counter == read.counter
            && self.checkpoint == read.checkpoint
            && self.owner_switches_since_checkpoint == read.owner_switches_since_checkpoint
            && self.pending == read.pending
    }

    fn next(&self) -> Self {
        Self { counter: self.counter + 1, ..self.clone() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::pin::tests::pin;
    use penstock_contract::Sequence;

    pub(crate) const SETTLED: Settled = Settled { applied: 5, dead_lettered: 0, repeats: 0 };

    pub(crate) fn at(sequence: u64, sub_sequence: u64) -> Position {
        Position::new(Sequence::parse(&sequence.to_string()).unwrap(), sub_sequence)
    }

    #[test]
    fn checkpoints_order_as_the_kcl_orders_them() {
        let ordered = [
            Checkpoint::AtTimestamp(None),
            Checkpoint::TrimHorizon,
            Checkpoint::Latest,
            Checkpoint::At(at(9, 4)),
            Checkpoint::At(at(10, 0)),
            Checkpoint::At(at(10, 1)),
            Checkpoint::ShardEnd,
        ];
        assert!(ordered.is_sorted());
    }

    #[test]
    fn the_tally_goes_on_with_the_checkpoint_and_is_dropped_when_something_else_moved_it() {
        let fresh = Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon);
        let first = fresh.committed(&pin(None, 5), SETTLED, None);
        let second = first.committed(&pin(Some(5), 9), SETTLED, None);
        assert_eq!(second.tally.as_ref().map(ToString::to_string).as_deref(), Some("2/9/10/0/0@9:0"));
        let moved = Lease { checkpoint: Checkpoint::At(at(7, 0)), ..second };
        assert_eq!(moved.committed(&pin(Some(7), 8), SETTLED, None).tally, None);
        let foreign = Lease::new(ShardId::new("s"), Checkpoint::At(at(7, 0)));
        assert_eq!(foreign.committed(&pin(Some(7), 8), SETTLED, None).tally, None);
    }

    #[test]
    fn every_transition_moves_the_counter() {
        let lease = Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon);
        let (me, range) = (WorkerId::new("me"), pin(None, 5));
        let after = [
            lease.taken_by(&me),
            lease.released(None),
            lease.released(Some(me.clone())),
            lease.pinned(range.clone()),
            lease.committed(&range, SETTLED, None),
            lease.committed(&range, SETTLED, Some(pin(Some(5), 7))),
            lease.starting_at(ArrivalMillis(7)),
            lease.ended([], None),
        ];
        assert!(after.iter().all(|next| next.counter == lease.counter + 1));
        assert!(after.iter().all(|next| !next.admits(&lease)));
    }

    #[test]
    fn a_commit_moves_the_checkpoint_and_takes_the_pin_away() {
        let range = pin(None, 5);
        let pinned = Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon).taken_by(&WorkerId::new("me"));
        let pinned = pinned.pinned(range.clone());
        let committed = pinned.committed(&range, SETTLED, None);
        assert_eq!(committed.checkpoint, Checkpoint::At(at(5, 0)));
        assert_eq!((committed.pending, committed.owner_switches_since_checkpoint), (None, 0));
        let next = pin(Some(5), 9);
        assert_eq!(pinned.committed(&range, SETTLED, Some(next.clone())).pending, Some(Pending::Pin(next)));
    }

    #[test]
    fn another_incarnation_of_the_same_worker_is_told_apart_from_a_lost_answer() {
        let me = WorkerId::new("me");
        let mine = Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon).taken_by(&me);
        let wanted = mine.pinned(pin(None, 5));
        assert!(wanted.was_written_as(&mine.pinned(pin(None, 5))));
        let taken_again = mine.taken_by(&me);
        assert_eq!((&taken_again.owner, taken_again.counter), (&wanted.owner, wanted.counter));
        assert!(!wanted.was_written_as(&taken_again));
    }
}
