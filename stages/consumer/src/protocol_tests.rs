//! The protocol without I/O: actors that take a lease from each other at any moment, crash between any two
//! steps, lose answers and go on as if they still owned it. Whatever happens, every record is in exactly one
//! applied range, and ranges join.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::lease::tests::SETTLED;
use crate::lease::{Checkpoint, Lease, Pending, WorkerId};
use crate::pin::Pin;
use penstock_contract::ShardId;

/// How many records the shard has.
const LOG: u64 = 40;

struct Actor {
    id: WorkerId,
    /// What it believes the row to be.
    tenure: Option<Lease>,
    /// A row that it saw some time ago and has not acted on yet.
    glimpsed: Option<Lease>,
    /// Whether it has applied the range that its lease has pinned.
    applied: bool,
}

struct World {
    row: Lease,
    /// End of each applied range by its start, as the sink saw them.
    applied: BTreeMap<u64, BTreeSet<u64>>,
    actors: Vec<Actor>,
    commits: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    actor: usize,
    choice: u8,
    crash: bool,
    lose_answer: bool,
}

fn any_step() -> impl Strategy<Value = Step> {
    (0_usize..4, any::<u8>(), prop::bool::weighted(0.1), prop::bool::weighted(0.2))
        .prop_map(|(actor, choice, crash, lose_answer)| Step { actor, choice, crash, lose_answer })
}

fn number(position: &penstock_contract::Position) -> u64 {
    position.sequence.as_str().parse().unwrap_or(u64::MAX)
}

fn checkpoint(lease: &Lease) -> u64 {
    lease.checkpoint.position().map_or(0, number)
}

fn pin(start: u64, choice: u8) -> Option<Pin> {
    let end = (start + 1 + u64::from(choice % 5)).min(LOG);
    (start < LOG).then(|| crate::pin::tests::pin((start > 0).then_some(start), end))
}

impl World {
    fn new() -> Self {
        // Two of them go by the same name, as one that was started again while the old one still runs.
        let actor = |name| Actor { id: WorkerId::new(name), tenure: None, glimpsed: None, applied: false };
        Self {
            row: Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon),
            applied: BTreeMap::new(),
            actors: ["a", "b", "c", "a"].into_iter().map(actor).collect(),
            commits: Vec::new(),
        }
    }

    /// A fenced write, answered or not: who gets no answer asks again, and is told by the row.
    fn write(&mut self, seen: &Lease, wanted: Lease, lose_answer: bool) -> Option<Lease> {
        let admitted = self.row.admits(seen);
        if admitted {
            self.row = wanted.clone();
        }
        if admitted && !lose_answer {
            return Some(wanted);
        }
        wanted.was_written_as(&self.row).then_some(wanted)
    }

    fn step(&mut self, step: Step) {
        if step.crash {
            let actor = &mut self.actors[step.actor];
            (actor.tenure, actor.glimpsed, actor.applied) = (None, None, false);
            return;
        }
        match self.actors[step.actor].tenure.clone() {
            None => self.take(step),
            Some(lease) => match lease.pending.clone() {
                Some(Pending::Pin(pin)) if self.actors[step.actor].applied => self.commit(step, &lease, &pin),
                Some(Pending::Pin(pin)) => self.apply(step, &pin),
                _ => self.pin(step, &lease),
            },
        }
    }

    /// Looks in one step and takes in another, so that what it acts on may be old.
    fn take(&mut self, step: Step) {
        let Some(seen) = self.actors[step.actor].glimpsed.take() else {
            self.actors[step.actor].glimpsed = Some(self.row.clone());
            return;
        };
        let id = self.actors[step.actor].id.clone();
        let tenure = self.write(&seen, seen.taken_by(&id), step.lose_answer);
        let actor = &mut self.actors[step.actor];
        (actor.tenure, actor.applied) = (tenure, false);
    }

    fn pin(&mut self, step: Step, lease: &Lease) {
        let Some(pin) = pin(checkpoint(lease), step.choice) else { return };
        let tenure = self.write(lease, lease.pinned(pin), step.lose_answer);
        let actor = &mut self.actors[step.actor];
        (actor.tenure, actor.applied) = (tenure, false);
    }

    fn apply(&mut self, step: Step, pin: &Pin) {
        let start = pin.start_exclusive.as_ref().map_or(0, number);
        self.applied.entry(start).or_default().insert(number(&pin.end));
        self.actors[step.actor].applied = true;
    }

    fn commit(&mut self, step: Step, lease: &Lease, committed: &Pin) {
        let end = number(&committed.end);
        let next = if step.choice.is_multiple_of(2) { pin(end, step.choice / 2) } else { None };
        let before = checkpoint(&self.row);
        let tenure = self.write(lease, lease.committed(committed, SETTLED, next), step.lose_answer);
        if checkpoint(&self.row) != before {
            self.commits.push((before, checkpoint(&self.row)));
        }
        let actor = &mut self.actors[step.actor];
        (actor.tenure, actor.applied) = (tenure, false);
    }

    /// One actor alone, without trouble, until the shard is committed.
    fn finish(&mut self) {
        for actor in 1..self.actors.len() {
            self.step(Step { actor, choice: 0, crash: true, lose_answer: false });
        }
        for choice in 0..250 {
            self.step(Step { actor: 0, choice, crash: false, lose_answer: false });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_exactly_one_applied_range(steps in prop::collection::vec(any_step(), 0..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
        prop_assert_eq!(checkpoint(&world.row), LOG, "the shard can always be finished");
        let mut reached = 0;
        for (start, ends) in &world.applied {
            prop_assert_eq!(*start, reached, "ranges join: {:?}", world.applied);
            prop_assert_eq!(ends.len(), 1, "a range has one end, whoever applies it: {:?}", world.applied);
            reached = ends.iter().next().copied().unwrap_or(reached);
        }
        prop_assert_eq!(reached, LOG);
        prop_assert!(world.commits.windows(2).all(|pair| pair[0].1 == pair[1].0), "{:?}", world.commits);
        prop_assert!(world.commits.iter().all(|(start, end)| world.applied[start].contains(end)));
    }
}
