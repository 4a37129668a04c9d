//! What is to be done to the leases, given the shards that the stream lists: pure functions.
//!
//! Mostly that is what [`crate::shard_sync`] says. But a stream may be deleted and created again under its name. Its
//! shards then bear the names of the old ones, and the leases, which know only names, would hide them: one that has
//! ended stays ended. Sequence numbers grow with time, also from one stream to the next, so a lease that has come less
//! far than to the begin of the shard that is listed is one of an earlier stream. It is written anew, and the new shard
//! read from its first record on, wherever the sink was told to begin: it began long ago.
//!
//! With a lease from which nothing had been read of the old shard, the new one may be read before anybody notices, be it
//! before its parents. So before the first range is pinned, its first record tells of which stream it is.
//!
//! Earlier versions did not look. What such a lease has come to is true, and what it says of the shard is not: its parents,
//! for which it would wait for ever where they are open shards now, and its hash keys. That is mended, and the rest stays.

use std::collections::BTreeSet;

use penstock_contract::{Position, ShardId};
use penstock_stream::Shard;

use crate::lease::{Lease, Pending};
use crate::observe::Rows;
use crate::shard_sync::{Start, lease, left_over, missing};

/// A change of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// It is missing.
    Create(Lease),
    /// Nobody needs it any more.
    Delete(&'a Lease),
    /// It is one of an earlier stream.
    Restart {
        /// As it was seen: the write is fenced by it.
        seen: &'a Lease,
        /// What is to be there.
        lease: Lease,
    },
    /// It has come into this stream, and says of its shard what is true of one in an earlier stream.
    Mend {
        /// As it was seen: the write is fenced by it.
        seen: &'a Lease,
        /// What is to be there.
        lease: Lease,
    },
}

/// What is to be done, in this order. A worker that stops on the way leaves a table from which the rest follows.
///
/// A lease of an earlier stream that belongs to a worker who lives is left to it: it notices by itself, stores what it
/// has read, and gives the lease back.
pub(crate) fn changes<'a>(
    listed: &[Shard],
    rows: &'a Rows,
    is_free: impl Fn(&Lease) -> bool,
    start: &Start,
) -> Vec<Change<'a>> {
    let earlier = of_an_earlier_stream(listed, rows);
    let mend = mended(listed, rows, &is_free);
    if earlier.is_empty() {
        let missing = missing(listed, rows, start).into_iter().map(Change::Create);
        return missing.chain(left_over(listed, rows).into_iter().map(Change::Delete)).chain(mend).collect();
    }
    let mut current = rows.clone();
    current.leases.retain(|shard, _| earlier.iter().all(|old| old.shard != *shard));
    let (restarted, created): (Vec<_>, Vec<_>) = roots(missing(listed, &current, &Start::TrimHorizon), &earlier)
        .into_iter()
        .partition(|lease| rows.leases.contains_key(&lease.shard));
    let is_restarted = |old: &Lease| restarted.iter().any(|lease| lease.shard == old.shard);
    let waiting = earlier.iter().copied().filter(|old| !is_restarted(old) && is_free(old));
    let ended = left_over(listed, &current).into_iter().filter_map(|lease| rows.leases.get(&lease.shard));
    let delete = waiting.chain(ended).map(Change::Delete).collect::<Vec<_>>();
    let restart = restarted.into_iter().filter_map(|lease| {
        let seen = rows.leases.get(&lease.shard).filter(|seen| is_free(seen))?;
        Some(Change::Restart { seen, lease: Lease { counter: seen.counter + 1, ..lease } })
    });
    // What is written in the place of an old lease comes last: as long as an old one is there, it is known that all that
    // is missing is missing because the stream is another.
    created.into_iter().map(Change::Create).chain(delete).chain(restart).chain(mend).collect()
}

/// What is to be mended of leases that nobody works on. The parents of a shard that has ended do not matter any more.
fn mended<'a>(listed: &[Shard], rows: &'a Rows, is_free: impl Fn(&Lease) -> bool) -> Vec<Change<'a>> {
    let mend = |shard: &Shard| {
        let seen = rows.leases.get(&shard.id).filter(|seen| is_free(seen) && !seen.is_finished())?;
        let describes_another = begins_before(seen, shard) || names_strangers(seen, shard, listed);
        let is_mine_to_write = !has_newer_pin(seen) && !is_earlier(seen, listed);
        (describes_another && is_mine_to_write).then(|| Change::Mend { seen, lease: described(seen, shard) })
    };
    listed.iter().filter_map(mend).collect()
}

/// What the lease says of its shard becomes what the stream says of it; how far it has come stays.
fn described(seen: &Lease, shard: &Shard) -> Lease {
    let Lease { parents, hash_range, known_sequence, .. } = lease(shard, seen.checkpoint.clone());
    Lease { parents, hash_range, known_sequence, ..seen.released(None) }
}

/// Those without a parent that is still to be read. Leases of the others are written when their parents end.
fn roots(leases: Vec<Lease>, earlier: &[&Lease]) -> Vec<Lease> {
    let unread: BTreeSet<ShardId> =
        leases.iter().chain(earlier.iter().copied()).map(|lease| lease.shard.clone()).collect();
    leases.into_iter().filter(|lease| lease.parents.is_disjoint(&unread)).collect()
}

/// Whether a lease has come less far than to the begin of the shard that has its name now or, where none has, of any
/// shard that is there.
///
/// A listing that is older than a row does not make it look so. A lease of this stream looks so only when retention has
/// deleted its shard, and everything that there was when it was read last. One that does not say how far it has come is
/// told by the parents that it names.
pub(crate) fn is_earlier(lease: &Lease, listed: &[Shard]) -> bool {
    let of_its_name = listed.iter().find(|shard| shard.id == lease.shard);
    let oldest = || listed.iter().map(|shard| &shard.starting_sequence).min();
    let Some(begin) = of_its_name.map(|shard| &shard.starting_sequence).or_else(oldest) else {
        return false;
    };
    let is_earlier = match lease.reached() {
        Some(reached) => reached < begin,
        None => of_its_name.is_some_and(|shard| names_strangers(lease, shard, listed)),
    };
    is_earlier && !has_newer_pin(lease)
}

/// Whether a lease is one of an earlier stream, and this record one of the shard that is listed. A record of the earlier
/// shard is stored, as all that was read of it.
pub(crate) fn is_behind(lease: &Lease, record: &Position, listed: &[Shard]) -> bool {
    let shard = listed.iter().find(|shard| shard.id == lease.shard);
    is_earlier(lease, listed) && shard.is_some_and(|shard| shard.starting_sequence <= record.sequence)
}

/// Only who understands a pin may take it away.
fn has_newer_pin(lease: &Lease) -> bool {
    matches!(lease.pending, Some(Pending::Newer { .. }))
}

/// Whether the lease was written for a shard that began before the one that has its name now.
fn begins_before(lease: &Lease, shard: &Shard) -> bool {
    lease.known_sequence.as_ref().is_some_and(|known| *known < shard.starting_sequence)
}

/// Whether the lease names a parent that is listed beside the shard, and that the listing does not call its parent.
/// Those of a shard never change; one that is not listed says nothing, since retention may have deleted it.
fn names_strangers(lease: &Lease, shard: &Shard, listed: &[Shard]) -> bool {
    let is_listed = |parent: &ShardId| listed.iter().any(|listed| listed.id == *parent);
    lease.parents.iter().any(|parent| is_listed(parent) && !shard.parents.contains(parent))
}

fn of_an_earlier_stream<'a>(listed: &[Shard], rows: &'a Rows) -> Vec<&'a Lease> {
    rows.leases.values().filter(|lease| is_earlier(lease, listed)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lease::Checkpoint;
    use crate::lease::tests::at;
    use crate::pin::tests::pin;
    use crate::row::Row;
    use penstock_contract::ArrivalMillis;
    use penstock_stream::{HashKey, HashRange};

    /// A shard of the new stream, which begins at 100.
    fn shard(id: &str, parents: &[&str], open: bool) -> Shard {
        Shard {
            id: ShardId::new(id),
            parents: parents.iter().map(|parent| ShardId::new(*parent)).collect(),
            hash_range: HashRange { start: HashKey::MIN, end_inclusive: HashKey::MAX },
            starting_sequence: at(100, 0).sequence,
            ending_sequence: (!open).then(|| at(900, 0).sequence),
        }
    }

    fn lease(id: &str, known: Option<u64>, checkpoint: Checkpoint) -> Lease {
        let known_sequence = known.map(|known| at(known, 0).sequence);
        Lease { known_sequence, counter: 7, ..Lease::new(ShardId::new(id), checkpoint) }
    }

    fn told(listed: &[Shard], leases: Vec<Lease>, is_free: bool) -> Vec<String> {
        let rows: Rows = leases.into_iter().map(Row::Lease).collect();
        let start = Start::At { time: ArrivalMillis(50), shards: BTreeSet::new() };
        let changes = changes(listed, &rows, |_| is_free, &start);
        let told = changes.into_iter().map(|change| match change {
            Change::Create(lease) => format!("create {} {:?}", lease.shard, lease.checkpoint),
            Change::Delete(lease) => format!("delete {}", lease.shard),
            Change::Restart { seen, lease } => {
                assert_eq!((lease.counter, &lease.owner, &lease.pending), (seen.counter + 1, &None, &None));
                format!("restart {} {:?}", lease.shard, lease.checkpoint)
            }
            Change::Mend { seen, lease } => {
                assert_eq!((lease.counter, &lease.owner), (seen.counter + 1, &None));
                assert_eq!((&lease.checkpoint, &lease.pending), (&seen.checkpoint, &seen.pending));
                let parents: Vec<_> = lease.parents.iter().map(ShardId::as_str).collect();
                format!("mend {} {parents:?} {}", lease.shard, lease.known_sequence.as_ref().unwrap())
            }
        });
        told.collect()
    }

    #[test]
    fn a_lease_of_an_earlier_stream_is_told_by_how_far_it_has_come() {
        let earlier = |lease: Lease| {
            let rows: Rows = [Row::Lease(lease)].into_iter().collect();
            !of_an_earlier_stream(&[shard("a", &[], true)], &rows).is_empty()
        };
        let pinned = |lease: Lease, end| Lease { pending: Some(Pending::Pin(pin(Some(end - 1), end))), ..lease };
        assert!(earlier(lease("a", None, Checkpoint::At(at(99, 0)))));
        assert!(earlier(lease("a", Some(7), Checkpoint::ShardEnd)));
        assert!(earlier(lease("a", Some(7), Checkpoint::TrimHorizon)));
        assert!(earlier(pinned(lease("a", Some(7), Checkpoint::At(at(9, 0))), 12)));
        assert!(earlier(lease("another", None, Checkpoint::At(at(99, 0)))), "nothing is as old as it");
        assert!(!earlier(lease("a", None, Checkpoint::ShardEnd)), "nobody knows of which stream");
        assert!(!earlier(lease("a", Some(7), Checkpoint::At(at(100, 0)))), "it has come into this stream");
        assert!(!earlier(pinned(lease("a", Some(7), Checkpoint::At(at(9, 0))), 101)), "it is in this stream");
        assert!(!earlier(lease("a", Some(100), Checkpoint::TrimHorizon)));
        assert!(!earlier(lease("a", Some(200), Checkpoint::ShardEnd)), "the listing is older than the row");
        let newer = Lease { pending: Some(Pending::Newer { version: 2 }), ..lease("a", Some(7), Checkpoint::ShardEnd) };
        assert!(!earlier(newer));
    }

    #[test]
    fn the_first_record_that_is_read_tells_whether_the_lease_is_of_its_stream() {
        let listed = [shard("a", &[], true)];
        let old = || lease("a", Some(7), Checkpoint::TrimHorizon);
        assert!(is_behind(&old(), &at(100, 0), &listed));
        assert!(!is_behind(&old(), &at(9, 0), &listed), "a record of the old shard is stored");
        assert!(!is_behind(&lease("a", Some(100), Checkpoint::TrimHorizon), &at(101, 0), &listed));
        assert!(!is_behind(&lease("b", Some(7), Checkpoint::TrimHorizon), &at(101, 0), &listed), "it has no shard");
    }

    #[test]
    fn leases_of_an_earlier_stream_are_written_anew_after_all_that_is_missing() {
        // `a` was split into `b` and `c`; `d` is open. In the old stream there was a `b`, too, and an `x`.
        let listed =
            [shard("b", &["a"], true), shard("c", &["a"], true), shard("a", &[], false), shard("d", &[], true)];
        let end = || Checkpoint::ShardEnd;
        let old = vec![lease("a", Some(1), end()), lease("b", Some(2), end()), lease("x", Some(2), end())];
        let expected = ["create d TrimHorizon", "delete b", "delete x", "restart a TrimHorizon"];
        assert_eq!(told(&listed, old.clone(), true), expected);
        assert_eq!(told(&listed, old, false), ["create d TrimHorizon"], "the rest is left to who owns it");
        // The same, after a worker stopped on the way.
        let halfway = vec![lease("a", Some(1), end()), lease("d", Some(100), Checkpoint::TrimHorizon)];
        assert_eq!(told(&listed, halfway, true), ["restart a TrimHorizon"]);
        // A child whose old lease was still there when its parent ended.
        let late = vec![
            lease("a", Some(100), end()),
            lease("b", Some(2), end()),
            lease("c", Some(100), Checkpoint::TrimHorizon),
            lease("d", Some(100), Checkpoint::TrimHorizon),
        ];
        assert_eq!(told(&listed, late, true), ["restart b TrimHorizon"]);
    }

    #[test]
    fn a_child_waits_for_the_lease_of_each_parent_to_be_written_anew() {
        // `a` and `b` were merged into `c`; `a` has ended, and somebody still holds the old lease of `b`.
        let listed = [shard("a", &[], false), shard("b", &[], false), shard("c", &["a", "b"], true)];
        let rows = vec![lease("a", Some(100), Checkpoint::ShardEnd), lease("b", Some(2), Checkpoint::At(at(5, 0)))];
        assert_eq!(told(&listed, rows.clone(), false), [""; 0]);
        assert_eq!(told(&listed, rows, true), ["restart b TrimHorizon"]);
    }

    fn child_of(parent: &str, lease: Lease) -> Lease {
        Lease { parents: [ShardId::new(parent)].into(), ..lease }
    }

    #[test]
    fn a_lease_that_was_read_in_this_stream_before_anybody_noticed_gets_the_parents_that_its_shard_has_now() {
        // `b` was a child of `a`, of which nothing had been read; now both are open.
        let listed = [shard("a", &[], true), shard("b", &[], true)];
        let a = || lease("a", Some(100), Checkpoint::TrimHorizon);
        let with = |b: Lease| told(&listed, vec![a(), b], true);
        let committed = || child_of("a", lease("b", Some(2), Checkpoint::At(at(150, 0))));
        assert_eq!(with(committed()), ["mend b [] 100"]);
        assert_eq!(told(&listed, vec![a(), committed()], false), [""; 0], "it is left to who reads it");
        let pinned =
            Lease { pending: Some(Pending::Pin(pin(None, 120))), checkpoint: Checkpoint::TrimHorizon, ..committed() };
        assert_eq!(with(pinned), ["mend b [] 100"]);
        let mended = lease("b", Some(100), Checkpoint::At(at(150, 0)));
        assert_eq!(with(mended), [""; 0], "once");
        let newer = Lease { pending: Some(Pending::Newer { version: 2 }), ..committed() };
        assert_eq!(with(newer), [""; 0]);
        assert_eq!(
            with(Lease { checkpoint: Checkpoint::ShardEnd, known_sequence: Some(at(150, 0).sequence), ..committed() }),
            [""; 0]
        );
        // Hash keys are the old ones, too, whatever the parents are.
        assert_eq!(with(lease("b", Some(2), Checkpoint::At(at(150, 0)))), ["mend b [] 100"]);
    }

    #[test]
    fn a_lease_that_does_not_say_how_far_it_has_come_is_told_by_its_parents() {
        let a = || lease("a", Some(100), Checkpoint::TrimHorizon);
        let with =
            |listed: &[Shard], checkpoint| told(listed, vec![a(), child_of("a", lease("b", None, checkpoint))], true);
        let other = [shard("a", &[], true), shard("b", &[], true)];
        assert_eq!(with(&other, Checkpoint::TrimHorizon), ["restart b TrimHorizon"]);
        assert_eq!(with(&other, Checkpoint::ShardEnd), ["restart b TrimHorizon"]);
        assert_eq!(with(&other, Checkpoint::At(at(150, 0))), ["mend b [] 100"]);
        let same = [shard("a", &[], false), shard("b", &["a"], true)];
        assert_eq!(with(&same, Checkpoint::TrimHorizon), [""; 0]);
        assert_eq!(with(&same, Checkpoint::At(at(150, 0))), [""; 0]);
        let later = [shard("b", &[], true), shard("d", &[], true)];
        let without_a = told(&later, vec![child_of("a", lease("b", None, Checkpoint::At(at(150, 0))))], true);
        assert_eq!(without_a, [""; 0], "what is not listed says nothing");
    }

    #[test]
    fn a_stream_that_has_none_of_the_old_shards_is_read_from_its_begin() {
        let old = vec![lease("b", Some(2), Checkpoint::At(at(5, 0))), lease("c", None, Checkpoint::At(at(6, 0)))];
        assert_eq!(told(&[shard("a", &[], true)], old, true), ["create a TrimHorizon", "delete b", "delete c"]);
    }
}
