//! Properties of resharding: whatever is done to a stream, each key always has exactly one open shard, and readers who
//! follow parents to children find everything in order.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;

use proptest::prelude::*;

use super::filter::{ShardFilter, list};
use super::hash::HashKey;
use super::stream::{LogId, Mode, Shard, Status, Stream, shard_id};
use super::{Millis, Moment, reshard};
use crate::kinesis::error::{ApiError, ErrorKind};

const START: Millis = 1_700_000_000_000;

/// A stream whose clock and logs the test moves.
struct World {
    stream: Stream,
    now: Millis,
    next_log: u32,
    records: u64,
}

impl World {
    fn with_shards(count: u32) -> Self {
        let mut world = Self {
            stream: Stream::create("s", Mode::Provisioned, 1, &mut moment(START, &|_| 1, &mut || LogId(0))),
            now: START,
            next_log: 0,
            records: 1,
        };
        world.stream = world.run(|_, moment| Ok(Stream::create("s", Mode::Provisioned, count, moment))).unwrap();
        world.settle();
        world
    }

    fn run<T>(&mut self, act: impl FnOnce(&mut Stream, &mut Moment<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let (next_log, records) = (Cell::new(self.next_log), self.records);
        let mut new_log = || {
            next_log.set(next_log.get() + 1);
            LogId(next_log.get())
        };
        let counters = |_| records;
        let result = act(&mut self.stream, &mut moment(self.now, &counters, &mut new_log));
        self.next_log = next_log.get();
        result
    }

    fn settle(&mut self) {
        self.now += 1_000;
        self.records += 5;
    }

    fn open(&self) -> Vec<&Shard> {
        let mut open: Vec<&Shard> = self.stream.open_shards().collect();
        open.sort_by_key(|shard| shard.hashes.start);
        open
    }
}

fn moment<'a>(
    now: Millis,
    next_counter: &'a dyn Fn(LogId) -> u64,
    new_log: &'a mut dyn FnMut() -> LogId,
) -> Moment<'a> {
    Moment { now, next_counter, new_log, stamp_floor: 0 }
}

fn covers_the_key_space(shards: &[&Shard]) -> bool {
    let mut shards = shards.to_vec();
    shards.sort_by_key(|shard| shard.hashes.start);
    shards.first().is_some_and(|shard| shard.hashes.start == HashKey(0))
        && shards.last().is_some_and(|shard| shard.hashes.end == HashKey(u128::MAX))
        && shards.windows(2).all(|pair| pair[0].hashes.is_followed_by(pair[1].hashes))
}

/// What a test does to a stream.
#[derive(Debug, Clone)]
enum Step {
    Split(usize, u128),
    Merge(usize),
    Scale(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<usize>(), any::<u128>()).prop_map(|(at, key)| Step::Split(at, key)),
        any::<usize>().prop_map(Step::Merge),
        (1_u32..20).prop_map(Step::Scale),
    ]
}

fn apply(world: &mut World, step: &Step) {
    let open: Vec<(u32, HashKey, HashKey)> =
        world.open().iter().map(|shard| (shard.index, shard.hashes.start, shard.hashes.end)).collect();
    // What the service refuses is refused; the properties must hold either way.
    let _ = world.run(|stream, moment| match step {
        Step::Split(at, key) => {
            let (index, start, end) = open[at % open.len()];
            let key = HashKey(start.0 + key % (end.0 - start.0).max(1));
            reshard::split(stream, &shard_id(index), key, moment)
        }
        Step::Merge(at) => {
            let at = at % open.len();
            let next = open.get(at + 1).map_or(open[at].0, |(index, ..)| *index);
            reshard::merge(stream, &shard_id(open[at].0), &shard_id(next), moment)
        }
        Step::Scale(target) => reshard::update_count(stream, *target, moment),
    });
    world.settle();
}

proptest! {
    #[test]
    fn open_shards_always_cover_the_key_space_once(
        count in 1_u32..6,
        steps in proptest::collection::vec(any_step(), 0..12),
    ) {
        let mut world = World::with_shards(count);
        let mut times = vec![world.now];
        for step in &steps {
            apply(&mut world, step);
            times.push(world.now);
            prop_assert!(covers_the_key_space(&world.open()));
        }
        for time in times {
            let then: Vec<&Shard> = list(&world.stream, ShardFilter::AtTimestamp(time), world.now);
            prop_assert!(covers_the_key_space(&then), "at {time}");
        }
    }

    #[test]
    fn children_come_after_their_parents_in_every_respect(
        count in 1_u32..6,
        steps in proptest::collection::vec(any_step(), 0..12),
    ) {
        let mut world = World::with_shards(count);
        steps.iter().for_each(|step| apply(&mut world, step));
        for shard in &world.stream.shards {
            for parent in shard.parent.iter().chain(&shard.adjacent_parent) {
                let parent = world.stream.shard(*parent).unwrap();
                let end = parent.closed.unwrap();
                prop_assert!(parent.sequence(end.counter).to_string() < shard.sequence(0).to_string());
                prop_assert!(end.at <= shard.opened_at);
                prop_assert!(parent.index < shard.index);
                prop_assert!(reshard::children(&world.stream, parent.index).iter().any(|(c, _)| c.index == shard.index));
            }
            if !shard.is_open() {
                prop_assert!(!reshard::children(&world.stream, shard.index).is_empty());
            }
        }
    }

    #[test]
    fn scaling_ends_with_equal_shards(from in 1_u32..40, target in 1_u32..40) {
        let mut world = World::with_shards(from);
        let outcome = world.run(|stream, moment| reshard::update_count(stream, target, moment));
        let allowed = target <= 2 * from && 2 * target >= from;
        prop_assert_eq!(outcome.is_ok(), allowed);
        if allowed {
            let expected = super::hash::uniform(target);
            let found: Vec<_> = world.open().iter().map(|shard| shard.hashes).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn scaling_more_than_ten_times_a_day_is_refused() {
    let mut world = World::with_shards(2);
    for target in [3, 2, 3, 2, 3, 2, 3, 2, 3, 2] {
        world.run(|stream, moment| reshard::update_count(stream, target, moment)).unwrap();
        world.settle();
    }
    let refusal = world.run(|stream, moment| reshard::update_count(stream, 3, moment)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::LimitExceeded);
    world.now += 24 * 3_600_000;
    world.run(|stream, moment| reshard::update_count(stream, 3, moment)).unwrap();
}

#[test]
fn shards_cannot_be_changed_while_the_stream_is_being_changed() {
    let mut world = World::with_shards(2);
    world.run(|stream, moment| reshard::update_count(stream, 4, moment)).unwrap();
    assert_eq!(world.stream.status(world.now), Some(Status::Updating));
    let refusal = world.run(|stream, moment| reshard::update_count(stream, 2, moment)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::ResourceInUse);
    world.settle();
    assert_eq!(world.stream.status(world.now), Some(Status::Active));
}

#[test]
fn only_neighbours_merge_and_only_open_shards_split() {
    let mut world = World::with_shards(3);
    let refusal = world.run(|stream, moment| reshard::merge(stream, &shard_id(0), &shard_id(2), moment)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
    assert!(refusal.message.contains("not an adjacent pair"), "{}", refusal.message);
    world.run(|stream, moment| reshard::merge(stream, &shard_id(1), &shard_id(0), moment)).unwrap();
    world.settle();
    let refusal = world.run(|stream, moment| reshard::split(stream, &shard_id(0), HashKey(7), moment)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
    let refusal = world.run(|stream, moment| reshard::split(stream, &shard_id(9), HashKey(7), moment)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::ResourceNotFound);
}

#[test]
fn a_split_must_leave_both_children_keys() {
    let mut world = World::with_shards(1);
    for bad in [HashKey(0), HashKey(1), HashKey(u128::MAX)] {
        let refusal = world.run(|stream, moment| reshard::split(stream, &shard_id(0), bad, moment)).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::InvalidArgument, "{bad}");
    }
    world.run(|stream, moment| reshard::split(stream, &shard_id(0), HashKey(2), moment)).unwrap();
}

#[test]
fn filters_name_the_shards_that_the_service_names() {
    let mut world = World::with_shards(1);
    let before = world.now - 1;
    world.run(|stream, moment| reshard::split(stream, &shard_id(0), HashKey(1 << 100), moment)).unwrap();
    world.settle();
    let indexes = |filter| list(&world.stream, filter, world.now).iter().map(|shard| shard.index).collect::<Vec<_>>();
    assert_eq!(indexes(ShardFilter::FromTrimHorizon), [0, 1, 2]);
    assert_eq!(indexes(ShardFilter::AtTrimHorizon), [0]);
    assert_eq!(indexes(ShardFilter::AtLatest), [1, 2]);
    assert_eq!(indexes(ShardFilter::AtTimestamp(before)), [0]);
    assert_eq!(indexes(ShardFilter::AtTimestamp(world.now)), [1, 2]);
    assert_eq!(indexes(ShardFilter::FromTimestamp(before)), [0, 1, 2]);
    assert_eq!(indexes(ShardFilter::FromTimestamp(world.now)), [1, 2]);
    assert_eq!(indexes(ShardFilter::AfterShardId(0)), [1, 2]);
}

#[test]
fn a_closed_shard_disappears_when_its_last_record_has_expired() {
    let mut world = World::with_shards(1);
    world.run(|stream, moment| reshard::split(stream, &shard_id(0), HashKey(1 << 100), moment)).unwrap();
    world.now += 24 * 3_600_000;
    assert_eq!(list(&world.stream, ShardFilter::FromTrimHorizon, world.now).len(), 2);
    assert_eq!(list(&world.stream, ShardFilter::AtTrimHorizon, world.now).len(), 2);
}

#[test]
fn an_on_demand_stream_is_not_resharded_by_its_user() {
    let mut world = World::with_shards(2);
    world.stream.mode = Mode::OnDemand;
    let refusal = world.run(|stream, moment| reshard::update_count(stream, 4, moment)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Validation);
}
