//! Whether the ranges of a shard join, and come to what its lease says. Pure.
//!
//! The lease table is read before and after the objects, since the Pipeline may go on meanwhile: what was committed
//! before must be there, and what is there must be committed or pinned afterwards.

use std::collections::{BTreeMap, BTreeSet};

use penstock_consumer::{CheckpointView, LeaseView};
use penstock_contract::Position;

use super::report::Verdict;

/// A range of which something is stored.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) first: Position,
    /// Start and end, where the metadata say.
    pub(super) span: Option<(Option<Position>, Position)>,
    /// Records in all of its objects; `None` where an object does not say.
    pub(super) records: Option<u64>,
    pub(super) keys: Vec<String>,
    /// The fingerprint of what made them.
    pub(super) recipe: String,
}

/// An interval of the log of which nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) start: Option<Position>,
    pub(super) end: Position,
}

/// What was found out about one shard.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Verdict, place and what is to say about it.
    pub(super) findings: Vec<(Verdict, String, String)>,
    /// Committed intervals without objects. None of their records was stored, or an object is missing.
    pub(super) gaps: Vec<Gap>,
}

impl Gap {
    pub(super) fn contains(&self, position: &Position) -> bool {
        self.start.as_ref().is_none_or(|start| position > start) && *position <= self.end
    }

    pub(super) fn shown(&self) -> String {
        interval(self.start.as_ref(), &self.end)
    }
}

impl Chain {
    fn say(&mut self, verdict: Verdict, place: impl Into<String>, what: impl Into<String>) {
        self.findings.push((verdict, place.into(), what.into()));
    }

    /// Of a shard with objects. `found` is in the order of the log.
    pub(super) fn of_objects(before: Option<&LeaseView>, after: Option<&LeaseView>, found: &[Found]) -> Self {
        let mut chain = Self::default();
        let (Some(before), Some(after)) = (before.or(after), after) else {
            chain.without_lease(found);
            return chain;
        };
        if let Some(moved) = moved(after) {
            chain.say(Verdict::Wrong, "the checkpoint", moved);
        }
        let due = committed(before);
        let reached = chain.join(found, due.as_ref());
        if let Some(due) = &due
            && reached.as_ref().is_none_or(|reached| reached < due)
        {
            chain.gaps.push(Gap { start: reached, end: due.clone() });
        }
        chain.beyond(after, found);
        chain.count(before, found);
        chain
    }

    /// Of a shard whose sink writes no objects: what the lease says by itself.
    pub(super) fn of_lease(lease: Option<&LeaseView>) -> Self {
        let mut chain = Self::default();
        let Some(lease) = lease else { return chain };
        if let Some(moved) = moved(lease) {
            chain.say(Verdict::Wrong, "the checkpoint", moved);
        }
        if let Some(tally) = &lease.tally
            && tally.stored + tally.dead_letters + tally.repeats > tally.records
        {
            let what = format!(
                "{} records came to {} stored, {} dead letters and {} repeats",
                tally.records, tally.stored, tally.dead_letters, tally.repeats
            );
            chain.say(Verdict::Wrong, "the lease", what);
        }
        chain
    }

    /// Follows the ranges up to the position; says how far they go.
    fn join(&mut self, found: &[Found], due: Option<&Position>) -> Option<Position> {
        let mut reached: Option<Position> = None;
        let mut last: Option<&Found> = None;
        for (index, range) in found.iter().enumerate() {
            let following = found.get(index + 1);
            let (start, end) = match &range.span {
                Some((start, end)) => (start.clone(), end.clone()),
                // It ends where the next one begins, or at the checkpoint.
                None => (reached.clone(), assumed_end(range, following, due)),
            };
            if range.first > end || start.as_ref().is_some_and(|start| *start >= range.first) {
                let what = format!("its metadata say that it is of {}", interval(start.as_ref(), &end));
                self.say(
                    Verdict::Wrong,
                    place(range),
                    format!("its name says that it begins at {}, and {what}", range.first),
                );
            }
            let overlaps = reached.as_ref().is_some_and(|reached| start.as_ref().is_none_or(|start| start < reached));
            if overlaps && let Some(last) = last {
                let what =
                    format!("its range {} overlaps with that of {}", interval(start.as_ref(), &end), place(last));
                self.say(Verdict::Wrong, place(range), what);
            } else if start > reached
                && let Some(start) = start
                && due.is_some_and(|due| start <= *due)
            {
                self.gaps.push(Gap { start: reached.clone(), end: start });
            }
            if due.is_none_or(|due| end <= *due) {
                reached = reached.max(Some(end));
            }
            last = Some(range);
        }
        reached
    }

    /// Nothing may be stored after the checkpoint but what is pinned.
    fn beyond(&mut self, lease: &LeaseView, found: &[Found]) {
        let due = committed(lease);
        let pinned = lease.pinned.as_ref().map(|pin| &pin.range);
        for range in found {
            let (start, end) = match &range.span {
                Some((start, end)) => (start.as_ref(), end),
                None => (None, &range.first),
            };
            let is_pinned = pinned.is_some_and(|pin| match &range.span {
                Some((start, end)) => (&pin.start_exclusive, &pin.end_inclusive) == (start, end),
                None => pin.contains(&range.first),
            });
            let is_committed = due.as_ref().is_some_and(|due| end <= due);
            if !is_committed && !is_pinned && !ended_unknown(lease) {
                let checkpoint = due.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let what = format!(
                    "its range {} lies after the checkpoint ({checkpoint}) and is not the pinned one: the checkpoint was \
                     moved back, or something else wrote the object. Its records will be stored once more",
                    interval(start, end)
                );
                self.say(Verdict::Wrong, place(range), what);
            }
        }
    }

    /// What is stored comes to what was committed; where it does not, an object is missing or too many.
    fn count(&mut self, lease: &LeaseView, found: &[Found]) {
        let Some(tally) = &lease.tally else {
            for gap in &self.gaps {
                self.findings.push((
                    Verdict::Unknown,
                    gap.shown(),
                    "no object holds any of it, and the lease does not say how much was stored: either all of its \
                     records were left out, or an object is missing. --deep tells"
                        .to_owned(),
                ));
            }
            return;
        };
        // The tally's own checkpoint, also where something moved that of the lease.
        let end = &tally.at;
        let counted = found.iter().filter(|range| range.span.as_ref().map_or(&range.first, |(_, end)| end) <= end);
        let (mut ranges, mut records) = (0, Some(0_u64));
        for range in counted {
            ranges += 1;
            records = records.zip(range.records).map(|(sum, more)| sum + more);
        }
        if ranges > tally.ranges {
            let what = format!("objects of {ranges} ranges, and {} were committed", tally.ranges);
            self.say(Verdict::Wrong, "all objects", what);
        }
        match records {
            None => self.say(Verdict::Unknown, "all objects", "some do not say how many records they hold"),
            Some(records) if records < tally.stored => {
                let missing = tally.stored - records;
                if self.gaps.is_empty() {
                    let what = format!("{missing} of {} stored records are in none", tally.stored);
                    self.say(Verdict::Wrong, "all objects", what);
                }
                for gap in self.gaps.clone() {
                    let what = format!(
                        "no object holds any of it; in all, {missing} of {} stored records are missing: an object was deleted",
                        tally.stored
                    );
                    self.say(Verdict::Wrong, gap.shown(), what);
                }
            }
            Some(records) if records > tally.stored => {
                let what = format!("they hold {records} records, and {} were stored", tally.stored);
                self.say(Verdict::Wrong, "all objects", what);
            }
            Some(_) => {}
        }
    }

    /// Of a shard that was processed to its end and that the stream has deleted: its lease went with it. The ranges still
    /// have to join.
    pub(super) fn of_past(found: &[Found], letters: &BTreeSet<Position>) -> Self {
        let mut chain = Self::default();
        let last = chain.join_all(found);
        let joined = last.map_or_else(
            || "no object holds any of it".to_owned(),
            |last| format!("its ranges were followed up to {last}"),
        );
        chain.say(
            Verdict::Fine,
            "the lease",
            format!(
                "it went with the shard, which the stream has deleted after it was processed to its end: {joined}, and nothing says \
                 any more how many records there were beyond them"
            ),
        );
        for gap in std::mem::take(&mut chain.gaps) {
            let is_told = letters.iter().any(|letter| gap.contains(letter));
            let (verdict, what) = if is_told {
                (Verdict::Fine, "no object holds any of it: records of it are among the dead letters")
            } else {
                let what = "no object holds any of it: either all of its records were repeats, or an object was deleted. Nothing \
                            tells any more";
                (Verdict::Unknown, what)
            };
            chain.say(verdict, gap.shown(), what);
        }
        chain
    }

    /// Follows the ranges to the end of the last; says where that is.
    fn join_all(&mut self, found: &[Found]) -> Option<Position> {
        let last = found.iter().filter_map(|range| range.span.as_ref()).map(|(_, end)| end).max().cloned();
        self.join(found, last.as_ref());
        last
    }

    /// Of a shard that the stream has, or may have, and that has no lease.
    fn without_lease(&mut self, found: &[Found]) {
        self.join_all(found);
        self.say(
            Verdict::Unknown,
            "the lease",
            "there is none, so nothing says how much was stored: something deleted it, or the shard is of an earlier stream",
        );
        for gap in std::mem::take(&mut self.gaps) {
            self.say(Verdict::Unknown, gap.shown(), "no object holds any of it");
        }
    }
}

/// No child may have begun before its parents ended.
pub(super) fn early_children(leases: &BTreeMap<penstock_contract::ShardId, LeaseView>) -> Vec<(String, String)> {
    let begun = leases.values().filter(|lease| committed(lease).is_some() || lease.pinned.is_some());
    begun
        .flat_map(|child| {
            let unfinished = child.parents.iter().filter(|parent| {
                leases.get(*parent).is_some_and(|parent| parent.checkpoint != CheckpointView::ShardEnd)
            });
            unfinished.map(|parent| {
                let what = format!("it is read, and its parent {parent} has not been read to its end");
                (child.shard.to_string(), what)
            })
        })
        .collect()
}

/// The last committed position, where the lease says it.
pub(super) fn committed(lease: &LeaseView) -> Option<Position> {
    match &lease.checkpoint {
        CheckpointView::At(position) => Some(position.clone()),
        CheckpointView::ShardEnd => lease.tally.as_ref().map(|tally| tally.at.clone()),
        CheckpointView::AtTimestamp(_) | CheckpointView::TrimHorizon | CheckpointView::Latest => None,
    }
}

/// How the tally differs from the checkpoint, if it does: both are written at once.
pub(super) fn moved(lease: &LeaseView) -> Option<String> {
    let (CheckpointView::At(checkpoint), Some(tally)) = (&lease.checkpoint, &lease.tally) else {
        return match (&lease.checkpoint, &lease.tally) {
            (CheckpointView::TrimHorizon | CheckpointView::Latest | CheckpointView::AtTimestamp(_), Some(tally)) => {
                Some(format!("something set it back to the beginning: {} was committed", tally.at))
            }
            _ => None,
        };
    };
    let direction = match checkpoint.cmp(&tally.at) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => "back: what lies between is stored once more",
        std::cmp::Ordering::Greater => "forward: what lies between is never stored",
    };
    Some(format!("it is {checkpoint}, and {} was committed; something moved it {direction}", tally.at))
}

/// Of a shard that has ended without a tally, nothing says where its last range ended.
fn ended_unknown(lease: &LeaseView) -> bool {
    lease.checkpoint == CheckpointView::ShardEnd && lease.tally.is_none()
}

fn assumed_end(range: &Found, following: Option<&Found>, due: Option<&Position>) -> Position {
    let next_start = following.and_then(|next| next.span.as_ref()).and_then(|(start, _)| start.clone());
    next_start.or_else(|| due.cloned()).filter(|end| *end >= range.first).unwrap_or_else(|| range.first.clone())
}

fn place(range: &Found) -> String {
    match range.keys.as_slice() {
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => range.first.to_string(),
    }
}

pub(super) fn interval(start: Option<&Position>, end: &Position) -> String {
    format!("({}, {end}]", start.map_or_else(|| "start".to_owned(), ToString::to_string))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_consumer::{PinnedView, TallyView};
    use penstock_contract::{Range, Sequence, ShardId};

    use super::*;

    fn at(sequence: u64) -> Position {
        Position::new(Sequence::parse(&sequence.to_string()).unwrap(), 0)
    }

    /// A range of which every record is stored.
    fn found(start: Option<u64>, end: u64) -> Found {
        let first = start.map_or(1, |start| start + 1);
        Found {
            first: at(first),
            span: Some((start.map(at), at(end))),
            records: Some(end + 1 - first),
            keys: vec![format!("object {first}")],
            recipe: "r".to_owned(),
        }
    }

    /// The object does not say where its range ends.
    fn grown(first: u64, records: u64) -> Found {
        Found { span: None, records: Some(records), ..found(Some(first - 1), first) }
    }

    fn lease(checkpoint: u64, ranges: u64, stored: u64) -> LeaseView {
        LeaseView {
            shard: ShardId::new("s"),
            owner: None,
            counter: 1,
            checkpoint: CheckpointView::At(at(checkpoint)),
            owner_switches_since_checkpoint: 0,
            parents: Vec::new(),
            children: Vec::new(),
            pinned: None,
            foreign_pin: false,
            tally: Some(TallyView {
                ranges,
                records: checkpoint,
                stored,
                dead_letters: 0,
                repeats: 0,
                at: at(checkpoint),
            }),
        }
    }

    fn pinned(mut lease: LeaseView, start: u64, end: u64) -> LeaseView {
        let range = Range { shard: lease.shard.clone(), start_exclusive: Some(at(start)), end_inclusive: at(end) };
        lease.pinned = Some(PinnedView { range, first: at(start + 1), records: end - start });
        lease
    }

    fn of(lease: &LeaseView, found: &[Found]) -> Vec<(Verdict, String)> {
        let chain = Chain::of_objects(Some(lease), Some(lease), found);
        chain.findings.into_iter().map(|(verdict, place, what)| (verdict, format!("{place}: {what}"))).collect()
    }

    fn is_fine(lease: &LeaseView, ranges: &[Found]) {
        assert_eq!(of(lease, ranges), Vec::new());
    }

    fn is_wrong(lease: &LeaseView, ranges: &[Found], what: &str) {
        let said = of(lease, ranges);
        assert!(
            said.iter().any(|(verdict, text)| *verdict == Verdict::Wrong && text.contains(what)),
            "{what}: {said:#?}"
        );
    }

    #[test]
    fn ranges_that_join_and_come_to_what_was_committed_are_fine() {
        is_fine(&lease(9, 2, 9), &[found(None, 5), found(Some(5), 9)]);
        is_fine(&lease(9, 3, 7), &[found(None, 5), found(Some(7), 9)]);
        is_fine(&lease(9, 2, 5), &[found(None, 5)]);
        is_fine(&lease(9, 2, 9), &[grown(1, 5), found(Some(5), 9)]);
        is_fine(&lease(9, 2, 9), &[found(None, 5), grown(6, 4)]);
        is_fine(&pinned(lease(5, 1, 5), 5, 9), &[found(None, 5), found(Some(5), 9)]);
        is_fine(&pinned(lease(5, 1, 5), 5, 9), &[found(None, 5)]);
    }

    #[test]
    fn a_range_that_is_missing_is_missed_wherever_it_was() {
        is_wrong(&lease(9, 2, 9), &[found(Some(5), 9)], "(start, 5:0]: no object holds any of it");
        is_wrong(&lease(9, 3, 9), &[found(None, 5), found(Some(7), 9)], "(5:0, 7:0]: no object holds any of it");
        is_wrong(&lease(9, 2, 9), &[found(None, 5)], "(5:0, 9:0]: no object holds any of it");
        is_wrong(&lease(9, 1, 9), &[], "(start, 9:0]: no object holds any of it");
    }

    #[test]
    fn what_is_too_much_is_found() {
        is_wrong(&lease(9, 2, 9), &[found(None, 5), found(Some(4), 9)], "overlaps with that of object 1");
        is_wrong(&lease(5, 1, 5), &[found(None, 5), found(Some(5), 9)], "lies after the checkpoint (5:0)");
        is_wrong(&pinned(lease(5, 1, 5), 5, 8), &[found(None, 5), found(Some(5), 9)], "is not the pinned one");
        let twice = Found { records: Some(10), ..found(None, 5) };
        is_wrong(&lease(5, 1, 5), &[twice], "they hold 10 records, and 5 were stored");
    }

    #[test]
    fn a_checkpoint_that_something_else_moved_is_told_from_the_tally() {
        let moved = |checkpoint| LeaseView { checkpoint, ..lease(9, 2, 9) };
        let ranges = [found(None, 5), found(Some(5), 9)];
        is_wrong(&moved(CheckpointView::At(at(5))), &ranges, "moved it back");
        is_wrong(&moved(CheckpointView::At(at(12))), &ranges, "moved it forward");
        is_wrong(&moved(CheckpointView::TrimHorizon), &ranges, "set it back to the beginning");
    }

    #[test]
    fn what_goes_on_meanwhile_is_not_wrong() {
        let (before, after) = (lease(5, 1, 5), lease(9, 2, 9));
        let chain = Chain::of_objects(Some(&before), Some(&after), &[found(None, 5), found(Some(5), 9)]);
        assert_eq!(chain.findings, Vec::new());
        let chain = Chain::of_objects(Some(&before), Some(&after), &[found(None, 5)]);
        assert_eq!(chain.findings, Vec::new(), "the second range came after the listing");
    }

    #[test]
    fn without_a_tally_a_gap_is_not_known_to_be_wrong() {
        let lease = LeaseView { tally: None, ..lease(9, 0, 0) };
        let said = of(&lease, &[found(None, 5)]);
        assert!(matches!(said.as_slice(), [(Verdict::Unknown, text)] if text.contains("--deep tells")), "{said:?}");
    }

    #[test]
    fn a_shard_that_is_past_is_fine_where_its_ranges_join_and_a_gap_in_it_is_told() {
        let past = |ranges: &[Found], letters: &[u64]| {
            let chain = Chain::of_past(ranges, &letters.iter().copied().map(at).collect());
            let all = chain.findings.into_iter();
            all.map(|(verdict, place, what)| (verdict, format!("{place}: {what}"))).collect::<Vec<_>>()
        };
        let worst = |said: &[(Verdict, String)]| said.iter().map(|(verdict, _)| *verdict).max();
        let joins = past(&[found(None, 5), found(Some(5), 9)], &[]);
        assert_eq!(worst(&joins), Some(Verdict::Fine));
        assert!(joins[0].1.contains("followed up to 9:0"), "{joins:?}");
        assert_eq!(worst(&past(&[], &[3])), Some(Verdict::Fine));
        let gap = [found(None, 5), found(Some(7), 9)];
        assert_eq!(worst(&past(&gap, &[6])), Some(Verdict::Fine), "dead letters say what became of it");
        let said = past(&gap, &[]);
        assert!(
            said.iter().any(|(verdict, text)| *verdict == Verdict::Unknown && text.contains("(5:0, 7:0]")),
            "{said:?}"
        );
        assert_eq!(worst(&past(&[found(None, 5), found(Some(4), 9)], &[])), Some(Verdict::Wrong), "an overlap");
        let without = Chain::of_objects(None, None, &[found(None, 5)]);
        assert_eq!(without.findings.iter().map(|(verdict, ..)| *verdict).max(), Some(Verdict::Unknown));
    }

    #[test]
    fn a_child_that_began_before_its_parent_ended_is_found() {
        let child = LeaseView { shard: ShardId::new("child"), parents: vec![ShardId::new("s")], ..lease(9, 1, 9) };
        let ended = LeaseView { checkpoint: CheckpointView::ShardEnd, ..lease(5, 1, 5) };
        let all =
            |parent: LeaseView| BTreeMap::from([(ShardId::new("s"), parent), (ShardId::new("child"), child.clone())]);
        assert_eq!(early_children(&all(ended)), Vec::new());
        assert_eq!(early_children(&all(lease(5, 1, 5))).len(), 1);
    }
}
