//! Schedules of workers that take, hold, give back and die, on a table in memory and with a clock of their own.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::lease::Checkpoint;
use crate::observe::{Moment, Observer};
use crate::row::Row;

const FAILOVER: Duration = Duration::from_secs(10);

/// The table, and workers that look at it.
#[derive(Default)]
struct World {
    leases: BTreeMap<ShardId, Lease>,
    heartbeats: BTreeMap<WorkerId, u64>,
    workers: BTreeMap<WorkerId, Worker>,
    /// What there is to do for each lease that is not idle.
    weights: BTreeMap<ShardId, u64>,
    now: u64,
    /// Who owned each lease last, and how often one went to somebody else.
    last_owner: BTreeMap<ShardId, WorkerId>,
    moves: usize,
}

#[derive(Default)]
struct Worker {
    observer: Observer,
    /// The shards that it works on, and since when.
    running: BTreeMap<ShardId, u64>,
    /// Shards that finish their open range before they are given back, when that is done, and who is to have them.
    leaving: BTreeMap<ShardId, (u64, Option<WorkerId>)>,
    draining: bool,
    died_at: Option<u64>,
}

impl World {
    fn with_shards(count: usize) -> Self {
        let lease = |n| Lease::new(ShardId::new(format!("shard-{n:02}")), Checkpoint::TrimHorizon);
        let leases = (0..count).map(lease).map(|lease| (lease.shard.clone(), lease)).collect();
        Self { leases, ..Self::default() }
    }

    fn rows(&self) -> Rows {
        let recipe = RecipeHash::from_text("r");
        let row = |(id, heartbeat): (&WorkerId, &u64)| {
            let worker = self.workers.get(id);
            let measured = worker.map(|worker| self.measured(worker));
            let load = worker.zip(measured).and_then(|(worker, measured)| {
                (measured.len() == worker.running.len()).then(|| Load::of(measured.values().copied()))
            });
            let draining = worker.is_some_and(|worker| worker.draining);
            Row::Worker(WorkerRow { id: id.clone(), heartbeat: *heartbeat, draining, recipe: recipe.clone(), load })
        };
        self.leases.values().cloned().map(Row::Lease).chain(self.heartbeats.iter().map(row)).collect()
    }

    /// What a worker knows of the weights of its leases.
    fn measured(&self, worker: &Worker) -> BTreeMap<ShardId, u64> {
        let is_measured = |(_, since): &(&ShardId, &u64)| self.now - **since >= 6 * FAILOVER.as_secs();
        let weight = |shard: &ShardId| self.weights.get(shard).copied().unwrap_or(0);
        worker.running.iter().filter(is_measured).map(|(shard, _)| (shard.clone(), weight(shard))).collect()
    }

    fn join(&mut self, name: &str) -> WorkerId {
        let id = WorkerId::new(name);
        self.workers.insert(id.clone(), Worker::default());
        id
    }

    fn kill(&mut self, id: &WorkerId) {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(id) {
            worker.running.clear();
            worker.leaving.clear();
            worker.died_at.get_or_insert(now);
        }
    }

    fn living(&self) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, worker)| worker.died_at.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// One round of one worker. Panics when it takes what it must not.
    fn round(&mut self, id: &WorkerId) {
        *self.heartbeats.entry(id.clone()).or_default() += 1;
        let rows = self.rows();
        let moment = Moment(Duration::from_secs(self.now));
        let Some(weights) = self.workers.get(id).map(|worker| self.measured(worker)) else { return };
        let Some(worker) = self.workers.get_mut(id) else { return };
        let still = worker.observer.observe(&rows, moment, moment);
        let me = Me {
            id,
            running: &worker.running.keys().cloned().collect(),
            leaving: &worker.leaving.keys().cloned().collect(),
            weights: &weights,
            least_imbalance: 1,
            draining: worker.draining,
        };
        let actions = decide(&rows, &still, me, FAILOVER);
        for shard in &actions.lost {
            worker.running.remove(shard);
        }
        let finishing = if worker.draining { worker.running.keys().cloned().collect() } else { actions.release };
        let handed_over = actions.hand_over.into_iter();
        let handed_over =
            handed_over.flat_map(|HandOver { shards, to }| shards.into_iter().zip(std::iter::repeat(Some(to))));
        for (shard, intended) in finishing.into_iter().map(|shard| (shard, None)).chain(handed_over) {
            // Some are done at once, others finish a range first.
            let takes = if worker.draining { 0 } else { preference(id, &shard) % 3 * 2 };
            worker.leaving.entry(shard).or_insert((self.now + takes, intended));
        }
        let is_done = |(shard, (done, _)): (&ShardId, &(u64, _))| (*done <= self.now).then(|| shard.clone());
        for shard in worker.leaving.iter().filter_map(is_done).collect::<Vec<_>>() {
            let intended = worker.leaving.remove(&shard).and_then(|(_, intended)| intended);
            worker.running.remove(&shard);
            let lease = self.leases.get_mut(&shard).filter(|lease| lease.owner.as_ref() == Some(id));
            if let Some(lease) = lease {
                *lease = lease.released(intended);
            }
        }
        for take in actions.take {
            let Some(lease) = self.leases.get_mut(&take.lease.shard) else { continue };
            assert!(lease.admits(&take.lease), "a decision on rows that were just read is not outdated");
            if let Some(owner) = lease.owner.as_ref().filter(|owner| *owner != id) {
                let died_at = self.workers.get(owner).and_then(|worker| worker.died_at);
                let died_at = died_at.expect("a lease was taken from a worker that lives");
                assert!(self.now - died_at >= FAILOVER.as_secs() - 2, "a lease was taken before its owner expired");
            }
            *lease = lease.taken_by(id);
            let before = self.last_owner.insert(take.lease.shard.clone(), id.clone());
            self.moves += usize::from(before.is_some_and(|before| before != *id));
            if let Some(worker) = self.workers.get_mut(id) {
                worker.running.insert(take.lease.shard, self.now);
            }
        }
    }

    fn everybody(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.now += 2;
            for id in self.living() {
                self.round(&id);
            }
        }
    }

    /// Gives everything back, and goes.
    fn leave(&mut self, id: &WorkerId) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.draining = true;
        }
        self.round(id);
        self.kill(id);
        self.heartbeats.remove(id);
    }

    /// How many leases must go to somebody else, so that those who live hold them evenly.
    fn needed_moves(&self) -> usize {
        let mut held = self.held();
        held.sort_unstable_by(|a, b| b.cmp(a));
        let (floor, more) = (self.leases.len() / held.len(), self.leases.len() % held.len());
        held.iter().enumerate().map(|(place, held)| (floor + usize::from(place < more)).saturating_sub(*held)).sum()
    }

    fn assert_even(&self) {
        let held = self.held();
        assert_eq!(held.iter().sum::<usize>(), self.leases.len(), "held: {held:?}");
        let (least, most) = (held.iter().min().copied().unwrap_or(0), held.iter().max().copied().unwrap_or(0));
        assert!(most - least <= 1, "held: {held:?}");
    }

    /// Something happens to some workers; then the leases come to rest, with as many moves as that needs.
    fn change(&mut self, change: &Change) {
        match change {
            Change::Join(names) => names.iter().for_each(|name| drop(self.join(name))),
            Change::Crash(share) => self.some(*share).iter().for_each(|id| self.kill(id)),
            Change::Leave(share) => self.some(*share).iter().for_each(|id| self.leave(id)),
        }
        let (moves, needed) = (self.moves, self.needed_moves());
        self.everybody(20);
        self.assert_even();
        assert_eq!(self.moves - moves, needed, "moves after {change:?}");
    }

    /// A share of the living, in percent; never all of them.
    fn some(&self, share: usize) -> Vec<WorkerId> {
        let mut living = self.living();
        living.sort_by_key(|id| preference(id, &ShardId::new(self.now.to_string())));
        living.truncate((living.len() * share / 100).max(1).min(living.len() - 1));
        living
    }

    /// What each worker has to do, the least first.
    fn work(&self) -> Vec<u64> {
        let weight = |lease: &Lease| self.weights.get(&lease.shard).copied().unwrap_or(0);
        let of = |id: &WorkerId| self.leases.values().filter(|l| l.owner.as_ref() == Some(id)).map(weight).sum();
        let mut work: Vec<u64> = self.living().iter().map(of).collect();
        work.sort_unstable();
        work
    }

    fn held(&self) -> Vec<usize> {
        let held = |id: &WorkerId| self.leases.values().filter(|lease| lease.owner.as_ref() == Some(id)).count();
        self.living().iter().map(held).collect()
    }
}

#[derive(Debug, Clone)]
enum Event {
    Join,
    Kill(prop::sample::Index),
    Rounds(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Join),
        1 => any::<prop::sample::Index>().prop_map(Event::Kill),
        3 => (1_usize..8).prop_map(Event::Rounds),
    ]
}

proptest! {
    /// Nothing is taken from a living worker, and in the end all leases are held, evenly.
    #[test]
    fn leases_end_up_evenly_with_the_living(shards in 0_usize..20, events in prop::collection::vec(any_event(), 0..20)) {
        let mut world = World::with_shards(shards);
        world.join("w00");
        for (n, event) in events.into_iter().enumerate() {
            match event {
                Event::Join => drop(world.join(&format!("w{:02}", n + 1))),
                Event::Kill(index) => {
                    let living = world.living();
                    if living.len() > 1 {
                        world.kill(index.get(&living));
                    }
                }
                Event::Rounds(rounds) => world.everybody(rounds),
            }
        }
        world.everybody(30);
        let held = world.held();
        prop_assert_eq!(held.iter().sum::<usize>(), shards, "held: {:?}", held);
        let (least, most) = (held.iter().min().copied().unwrap_or(0), held.iter().max().copied().unwrap_or(0));
        prop_assert!(most - least <= 1, "held: {:?}", held);
    }
}

/// Weights as they are: most leases have some, a few have much, some have none.
fn any_weight() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0_u64), 4 => 500_u64..1_500, 1 => 2_000_u64..20_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Work comes to rest within one lease of even and the difference that is left alone; with few moves, none of them back.
    #[test]
    fn work_is_balanced_by_what_leases_weigh_and_then_left_alone(
        weights in prop::collection::vec(any_weight(), 1..40),
        workers in 1_usize..7,
    ) {
        let mut world = World::with_shards(weights.len());
        world.weights = world.leases.keys().cloned().zip(weights.iter().copied()).collect();
        (0..workers).for_each(|n| drop(world.join(&format!("w{n}"))));
        world.everybody(20);
        world.assert_even();
        let moves = world.moves;
        world.everybody(1_000);
        world.assert_even();
        let moved = world.moves - moves;
        prop_assert!(moved <= 2 * weights.len(), "{} moves of {} leases", moved, weights.len());
        let (leases, work) = (world.leases.clone(), world.work());
        let (apart, mean) = (work[work.len() - 1] - work[0], work.iter().sum::<u64>() / work.len() as u64);
        let heaviest = weights.iter().max().copied().unwrap_or(0);
        prop_assert!(apart <= heaviest + mean * 2 / 5, "{:?}", work);
        world.everybody(200);
        prop_assert_eq!(world.leases, leases, "a table at rest is left alone");
    }

    /// Loads that change by a little all the time are no need.
    #[test]
    fn nothing_moves_for_loads_that_only_waver(shares in prop::collection::vec(90_u64..110, 200)) {
        let mut world = World::with_shards(20);
        (0..4).for_each(|n| drop(world.join(&format!("w{n}"))));
        world.everybody(20);
        let moves = world.moves;
        for (round, share) in shares.iter().enumerate() {
            let shards: Vec<_> = world.leases.keys().cloned().collect();
            world.weights.insert(shards[round % 20].clone(), 10 * share);
            if round >= 20 {
                world.everybody(2);
            }
        }
        prop_assert_eq!(world.moves, moves);
    }
}

#[test]
fn hot_leases_that_met_on_one_worker_are_exchanged_for_idle_ones() {
    let mut world = World::with_shards(12);
    (0..3).for_each(|n| drop(world.join(&format!("w{n}"))));
    world.everybody(20);
    let owner = world.leases.values().next().and_then(|lease| lease.owner.clone());
    let of_one = world.leases.values().filter(|lease| lease.owner == owner);
    world.weights = of_one.map(|lease| (lease.shard.clone(), 1_000)).collect();
    let moves = world.moves;
    world.everybody(400);
    world.assert_even();
    assert_eq!(world.work(), [1_000, 1_000, 2_000]);
    assert_eq!(world.moves - moves, 4, "two hot leases go, two idle ones come back");
}

#[test]
fn a_lease_that_was_handed_over_waits_for_its_next_owner_only_while_that_lives() {
    let mut world = World::with_shards(2);
    let (giver, taker) = (world.join("giver"), world.join("taker"));
    world.everybody(10);
    let of_giver = world.leases.values().find(|lease| lease.owner.as_ref() == Some(&giver));
    let shard = of_giver.expect("each has one").shard.clone();
    let handed_over = world.leases[&shard].released(Some(taker.clone()));
    world.leases.insert(shard.clone(), handed_over);
    world.workers.get_mut(&giver).expect("it lives").running.remove(&shard);
    world.now += 2;
    world.round(&giver);
    assert_eq!(world.leases[&shard].owner, None, "its last owner does not take it back");
    let of_taker = world.leases.clone();
    world.round(&taker);
    assert_eq!(world.leases[&shard].owner, Some(taker.clone()));
    world.leases = of_taker;
    world.kill(&taker);
    world.everybody(10);
    assert!(world.leases.values().all(|lease| lease.owner.as_ref() == Some(&giver)));
}

/// What happens to workers while the leases are at rest.
#[derive(Debug, Clone)]
enum Change {
    Join(Vec<String>),
    Crash(usize),
    Leave(usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        prop::collection::btree_set("[a-z]{4}", 1..4).prop_map(|names| Change::Join(names.into_iter().collect())),
        (1_usize..60).prop_map(Change::Crash),
        (1_usize..60).prop_map(Change::Leave),
    ]
}

proptest! {
    #[test]
    fn no_lease_moves_without_need(shards in 0_usize..40, changes in prop::collection::vec(any_change(), 1..6)) {
        let mut world = World::with_shards(shards);
        world.join("0");
        world.everybody(10);
        for change in &changes {
            world.change(change);
        }
    }
}

#[test]
fn a_hundred_workers_hold_a_thousand_leases_evenly_with_as_few_moves_as_possible() {
    let mut world = World::with_shards(1_000);
    world.join("first");
    world.everybody(3);
    let names = |prefix: &str, count: u32| Change::Join((0..count).map(|n| format!("{prefix}-{n}")).collect());
    let changes = [
        names("a", 99),
        Change::Crash(7),
        names("b", 20),
        Change::Leave(30),
        names("c", 17),
        Change::Crash(1),
        Change::Leave(1),
        names("d", 1),
    ];
    for change in &changes {
        world.change(change);
    }
    assert_eq!(world.living().len(), 96);
}

#[test]
fn a_balanced_table_is_left_alone() {
    let mut world = World::with_shards(7);
    world.join("a");
    world.join("b");
    world.join("c");
    world.everybody(20);
    let before = world.leases.clone();
    world.everybody(20);
    assert_eq!(world.leases, before);
}

#[test]
fn a_worker_that_starts_again_under_its_name_takes_its_leases_back_at_once() {
    let mut world = World::with_shards(4);
    let me = world.join("me");
    world.everybody(1);
    world.kill(&me);
    world.join("me");
    world.everybody(1);
    assert_eq!(world.workers[&me].running.len(), 4);
    assert!(world.leases.values().all(|lease| lease.counter == 2), "the old incarnation is fenced off");
}

fn family(parents: &[(&str, Checkpoint)], child: &str) -> Rows {
    let mut lease = Lease::new(ShardId::new(child), Checkpoint::TrimHorizon);
    lease.parents = parents.iter().map(|(parent, _)| ShardId::new(*parent)).collect();
    let parents = parents.iter().map(|(parent, checkpoint)| Lease::new(ShardId::new(*parent), checkpoint.clone()));
    parents.chain([lease]).map(Row::Lease).collect()
}

/// A worker that knows no weights.
fn me<'a>(id: &'a WorkerId, running: &'a BTreeSet<ShardId>) -> Me<'a> {
    static NOTHING: BTreeSet<ShardId> = BTreeSet::new();
    static NO_WEIGHTS: BTreeMap<ShardId, u64> = BTreeMap::new();
    Me { id, running, leaving: &NOTHING, weights: &NO_WEIGHTS, least_imbalance: 1, draining: false }
}

fn takes(rows: &Rows) -> Vec<Take> {
    let (id, running) = (WorkerId::new("me"), BTreeSet::new());
    decide(rows, &Stillness::default(), me(&id, &running), FAILOVER).take
}

#[test]
fn a_child_starts_only_after_every_parent_has_ended() {
    let names = |rows: &Rows| takes(rows).into_iter().map(|take| take.lease.shard.to_string()).collect::<Vec<_>>();
    let (open, ended) = (Checkpoint::TrimHorizon, Checkpoint::ShardEnd);
    assert_eq!(names(&family(&[("p", open.clone()), ("q", ended.clone())], "c")), ["p"]);
    assert_eq!(names(&family(&[("p", ended.clone()), ("q", ended)], "c")), ["c"]);
    let mut broken = family(&[("p", open)], "c");
    broken.leases.remove(&ShardId::new("p"));
    assert_eq!(takes(&broken)[0].confirm_absent, [ShardId::new("p")]);
    broken.broken.insert(ShardId::new("p"), "unreadable".to_owned());
    assert_eq!(names(&broken), [""; 0]);
}

#[test]
fn a_shard_that_a_later_version_pinned_is_left_to_it() {
    let mut lease = Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon);
    lease.pending = Some(Pending::Newer { version: 2 });
    assert_eq!(takes(&[Row::Lease(lease)].into_iter().collect()), []);
}

#[test]
fn a_draining_worker_takes_nothing() {
    let world = World::with_shards(3);
    let (id, running) = (WorkerId::new("me"), BTreeSet::new());
    let me = Me { draining: true, ..me(&id, &running) };
    assert_eq!(decide(&world.rows(), &Stillness::default(), me, FAILOVER), Actions::default());
}

#[test]
fn work_on_a_lease_that_somebody_else_has_is_lost() {
    let lease = Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon).taken_by(&WorkerId::new("other"));
    let rows: Rows = [Row::Lease(lease)].into_iter().collect();
    let (id, running) = (WorkerId::new("me"), BTreeSet::from([ShardId::new("s")]));
    assert_eq!(decide(&rows, &Stillness::default(), me(&id, &running), FAILOVER).lost, [ShardId::new("s")]);
}
