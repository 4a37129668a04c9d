//! Which leases are missing and which are left over, given the shards that the stream lists: pure functions.
//!
//! Usually a shard's lease is written when its parent ends. This is for the rest: the first start on a stream,
//! a first start that was interrupted, and rows that somebody deleted.

use std::collections::{BTreeMap, BTreeSet};

use penstock_api::plan::StartAt;
use penstock_contract::{ArrivalMillis, ShardId};
use penstock_stream::Shard;

use crate::lease::{Checkpoint, Lease};
use crate::observe::Rows;

/// Where reading of the stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the oldest record of each shard.
    TrimHorizon,
    /// With what arrived at the time or later.
    At {
        /// The same for all workers, however late they come.
        time: ArrivalMillis,
        /// The shards that were open then, or later. Some may have ended since, and what they took until then counts.
        shards: BTreeSet<ShardId>,
    },
}

/// Leases to write, parents before children: whoever sees a child's row can find those of its parents.
pub(crate) fn missing(listed: &[Shard], rows: &Rows, start: &Start) -> Vec<Lease> {
    let family = Family::new(listed, rows);
    let mut leases: Vec<_> = listed
        .iter()
        .filter(|shard| !rows.knows(&shard.id))
        .filter_map(|shard| Some(lease(shard, family.checkpoint(shard, start)?)))
        .collect();
    leases.sort_by_cached_key(|lease| (family.depth(&lease.shard), lease.shard.clone()));
    leases
}

/// Leases of shards that are processed to their end and that the stream does not list any more.
pub(crate) fn left_over<'a>(listed: &[Shard], rows: &'a Rows) -> Vec<&'a Lease> {
    // A stream always has shards: an empty listing says nothing about what is gone.
    let Some(newest) = listed.iter().map(|shard| &shard.starting_sequence).max() else { return Vec::new() };
    let listed: BTreeSet<_> = listed.iter().map(|shard| &shard.id).collect();
    // What follows a shard begins after it. A listing that shows nothing of that is older than the shard.
    let is_older = |lease: &Lease| lease.reached().is_some_and(|reached| reached >= newest);
    let is_gone = |lease: &&Lease| lease.is_finished() && !listed.contains(&lease.shard) && !is_older(lease);
    rows.leases.values().filter(is_gone).collect()
}

/// A lease as the stream describes the shard.
pub(crate) fn lease(shard: &Shard, checkpoint: Checkpoint) -> Lease {
    let range = &shard.hash_range;
    Lease {
        parents: shard.parents.iter().cloned().collect(),
        hash_range: Some((range.start.to_string(), range.end_inclusive.to_string())),
        known_sequence: Some(shard.starting_sequence.clone()),
        ..Lease::new(shard.id.clone(), checkpoint)
    }
}

/// The time to write down as that at which reading begins; `None` while it is still to come.
pub(crate) fn begins_at(start: StartAt, rows: &Rows, now: ArrivalMillis) -> Option<ArrivalMillis> {
    match start {
        StartAt::Millis(time) => (time <= now.0).then_some(ArrivalMillis(time)),
        StartAt::Latest | StartAt::TrimHorizon => Some(began_at(rows, now)),
    }
}

/// What leases say that were written before the time was, or now.
fn began_at(rows: &Rows, now: ArrivalMillis) -> ArrivalMillis {
    let written = rows.leases.values().filter_map(|lease| match lease.checkpoint {
        Checkpoint::AtTimestamp(at) => at,
        _ => None,
    });
    written.min().unwrap_or(now).min(now)
}

/// The lineage of the listed shards.
struct Family<'a> {
    parents: BTreeMap<&'a ShardId, Vec<&'a ShardId>>,
    /// Shards with a lease, and all their ancestors.
    with_known_descendant: BTreeSet<&'a ShardId>,
    rows: &'a Rows,
}

impl<'a> Family<'a> {
    fn new(listed: &'a [Shard], rows: &'a Rows) -> Self {
        let mut parents: BTreeMap<&ShardId, Vec<&ShardId>> = BTreeMap::new();
        parents.extend(rows.leases.values().map(|lease| (&lease.shard, lease.parents.iter().collect())));
        parents.extend(listed.iter().map(|shard| (&shard.id, shard.parents.iter().collect())));
        let mut with_known_descendant = BTreeSet::new();
        let mut next: Vec<_> = rows.leases.keys().chain(rows.broken.keys()).collect();
        while let Some(shard) = next.pop() {
            if with_known_descendant.insert(shard) {
                next.extend(parents.get(shard).into_iter().flatten());
            }
        }
        Self { parents, with_known_descendant, rows }
    }

    /// Where reading of a shard without a lease begins; `None` when it must not be read, or not yet.
    fn checkpoint(&self, shard: &Shard, start: &Start) -> Option<Checkpoint> {
        if self.with_known_descendant.contains(&shard.id) {
            // Reading of the stream began after this shard.
            return None;
        }
        let mut known = shard.parents.iter().filter(|parent| self.rows.knows(parent)).peekable();
        if known.peek().is_some() {
            // Its lease is written when the parent ends. When they all have, it was lost.
            let ended = |parent: &ShardId| self.rows.leases.get(parent).is_some_and(Lease::is_finished);
            return known.all(ended).then_some(Checkpoint::TrimHorizon);
        }
        if self.has_known_ancestor(&shard.id) {
            return None;
        }
        match start {
            Start::TrimHorizon => Some(Checkpoint::TrimHorizon),
            // A time, not the sentinel LATEST: a lease that rests for an hour must not skip that hour.
            Start::At { time, shards } => shards.contains(&shard.id).then_some(Checkpoint::AtTimestamp(Some(*time))),
        }
    }

    fn has_known_ancestor(&self, shard: &ShardId) -> bool {
        let mut seen = BTreeSet::new();
        let mut next: Vec<_> = self.parents.get(shard).into_iter().flatten().copied().collect();
        while let Some(ancestor) = next.pop() {
            if self.rows.knows(ancestor) {
                return true;
            }
            if seen.insert(ancestor) {
                next.extend(self.parents.get(ancestor).into_iter().flatten());
            }
        }
        false
    }

    /// How many generations of listed shards are above it.
    fn depth(&self, shard: &ShardId) -> usize {
        let mut generation: BTreeSet<&ShardId> = self.parents.get(shard).into_iter().flatten().copied().collect();
        let mut depth = 0;
        // No lineage is deeper than there are shards; the bound is for a listing that makes no sense.
        while !generation.is_empty() && depth <= self.parents.len() {
            depth += 1;
            generation = generation.iter().filter_map(|shard| self.parents.get(shard)).flatten().copied().collect();
        }
        depth
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::row::Row;
    use penstock_contract::Sequence;
    use penstock_stream::{HashKey, HashRange};

    fn shard(id: &str, parents: &[&str], open: bool) -> Shard {
        Shard {
            id: ShardId::new(id),
            parents: parents.iter().map(|parent| ShardId::new(*parent)).collect(),
            hash_range: HashRange { start: HashKey::MIN, end_inclusive: HashKey::MAX },
            starting_sequence: Sequence::parse(if parents.is_empty() { "1" } else { "2" }).unwrap(),
            ending_sequence: (!open).then(|| Sequence::parse("9").unwrap()),
        }
    }

    /// `a` was split into `b` and `c`, which were merged into `d`; `e` has always been there.
    fn listing() -> Vec<Shard> {
        vec![
            shard("d", &["b", "c"], true),
            shard("c", &["a"], false),
            shard("b", &["a"], false),
            shard("a", &[], false),
            shard("e", &[], true),
        ]
    }

    fn rows(leases: &[(&str, Checkpoint)]) -> Rows {
        let listing = listing();
        let find = |id: &str| listing.iter().find(|shard| shard.id.as_str() == id).cloned().unwrap();
        leases.iter().map(|(id, checkpoint)| Row::Lease(lease(&find(id), checkpoint.clone()))).collect()
    }

    /// With what comes from 50 on, when these were open or came later.
    fn at_50(shards: &[&str]) -> Start {
        let shards = shards.iter().map(|shard| ShardId::new(*shard)).collect();
        Start::At { time: ArrivalMillis(50), shards }
    }

    fn written(rows: &Rows, start: &Start) -> Vec<(String, Checkpoint)> {
        let leases = missing(&listing(), rows, start);
        leases.into_iter().map(|lease| (lease.shard.to_string(), lease.checkpoint)).collect()
    }

    fn names(rows: &Rows, start: &Start) -> String {
        written(rows, start).into_iter().map(|(shard, _)| shard).collect()
    }

    #[test]
    fn a_new_stream_is_read_from_its_oldest_shards_on_and_parents_are_written_first() {
        assert_eq!(names(&Rows::default(), &Start::TrimHorizon), "aebcd");
        assert!(written(&Rows::default(), &Start::TrimHorizon).iter().all(|(_, at)| *at == Checkpoint::TrimHorizon));
    }

    #[test]
    fn a_start_with_what_comes_next_takes_the_open_shards_from_now_on() {
        let now = Checkpoint::AtTimestamp(Some(ArrivalMillis(50)));
        let expected = [("d".to_owned(), now.clone()), ("e".to_owned(), now)];
        let mut found = written(&Rows::default(), &at_50(&["d", "e"]));
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_interrupted_first_start_is_finished() {
        // Parents are written first, so these are all the places where it can have stopped.
        assert_eq!(names(&rows(&[("a", Checkpoint::TrimHorizon)]), &Start::TrimHorizon), "e");
        let began = Checkpoint::AtTimestamp(Some(ArrivalMillis(50)));
        let found = written(&rows(&[("e", began.clone())]), &at_50(&["b", "c", "d", "e"]));
        let expected = ["b", "c", "d"].map(|shard| (shard.to_owned(), began.clone()));
        assert_eq!(found, expected, "shards that have ended since it began, and before their children");
    }

    #[test]
    fn what_leases_of_an_earlier_version_say_is_when_reading_began() {
        let began = |at| Checkpoint::AtTimestamp(Some(ArrivalMillis(at)));
        assert_eq!(began_at(&rows(&[("d", began(20)), ("e", began(30))]), ArrivalMillis(50)), ArrivalMillis(20));
        assert_eq!(began_at(&rows(&[("d", Checkpoint::TrimHorizon)]), ArrivalMillis(50)), ArrivalMillis(50));
    }

    #[test]
    fn a_time_that_is_still_to_come_is_waited_for() {
        let begins = |at| begins_at(StartAt::Millis(at), &rows(&[]), ArrivalMillis(50));
        assert_eq!((begins(49), begins(50)), (Some(ArrivalMillis(49)), Some(ArrivalMillis(50))));
        assert_eq!(begins(51), None);
    }

    #[test]
    fn children_wait_for_their_parents_end_and_lost_rows_are_healed() {
        let (open, end) = (Checkpoint::TrimHorizon, Checkpoint::ShardEnd);
        let with = |leases: &[(&str, Checkpoint)]| names(&rows(leases), &Start::TrimHorizon);
        assert_eq!(with(&[("e", open.clone()), ("a", open.clone())]), "");
        assert_eq!(with(&[("e", open.clone()), ("a", end.clone())]), "bc");
        assert_eq!(with(&[("e", open.clone()), ("a", end.clone()), ("b", end.clone()), ("c", open.clone())]), "");
        assert_eq!(with(&[("e", open), ("a", end.clone()), ("b", end.clone()), ("c", end)]), "d");
    }

    #[test]
    fn shards_before_the_one_where_reading_began_are_left_alone() {
        let with_d = rows(&[("d", Checkpoint::TrimHorizon), ("e", Checkpoint::TrimHorizon)]);
        assert_eq!(names(&with_d, &Start::TrimHorizon), "");
    }

    #[test]
    fn a_row_goes_when_its_shard_has_ended_and_is_gone_from_the_stream() {
        let rows = rows(&[("a", Checkpoint::ShardEnd), ("b", Checkpoint::ShardEnd), ("c", Checkpoint::TrimHorizon)]);
        let without_a: Vec<_> = listing().into_iter().filter(|shard| shard.id.as_str() != "a").collect();
        let gone: Vec<_> = left_over(&without_a, &rows).into_iter().map(|lease| lease.shard.as_str()).collect();
        assert_eq!(gone, ["a"]);
        assert!(left_over(&[], &rows).is_empty());
        let before_the_split = [shard("a", &[], true), shard("e", &[], true)];
        assert!(left_over(&before_the_split, &rows).is_empty(), "that listing is older than the leases");
    }
}
