#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use penstock_contract::Sequence;
use penstock_stream::{HashKey, HashRange, Shard};
use proptest::prelude::*;

use super::super::pending::Pending;
use super::*;
use crate::budget::Budget;

const HOUR: Duration = Duration::from_secs(3600);

/// Open shards that start at these hash keys, given as their first byte.
fn map(starts: &[(&str, u8)]) -> ShardMap {
    let key = |byte: u8| u128::from(byte) << 120;
    let shards: Vec<_> = starts
        .iter()
        .enumerate()
        .map(|(place, (id, start))| Shard {
            id: ShardId::new(*id),
            parents: Vec::new(),
            hash_range: HashRange {
                start: HashKey(key(*start)),
                end_inclusive: HashKey(starts.get(place + 1).map_or(u128::MAX, |(_, next)| key(*next) - 1)),
            },
            starting_sequence: Sequence::parse("1").unwrap(),
            ending_sequence: None,
        })
        .collect();
    ShardMap::new(&shards).unwrap()
}

/// A row whose key is a byte, which is also the first byte of its hash.
fn row(key: u8, number: u32, size: usize, deadline: Instant) -> Row {
    let mut data = number.to_be_bytes().to_vec();
    data.resize(size.max(4), b' ');
    Row {
        data: Bytes::from(data),
        key: key.to_string().into(),
        hash: HashKey(u128::from(key) << 120),
        request: Arc::new(Pending::new(1, deadline, Budget::new(1).hold())),
        place: 0,
    }
}

fn number(row: &Row) -> u32 {
    u32::from_be_bytes(row.data[..4].try_into().unwrap())
}

fn numbers(call: &Batch) -> Vec<u32> {
    call.entries.iter().flat_map(|entry| &entry.rows).map(number).collect()
}

fn rows_of(call: Batch) -> Vec<Row> {
    call.entries.into_iter().flat_map(|entry| entry.rows).collect()
}

/// What may be put, after rows were gathered if need be.
fn take(lanes: &mut Lanes, now: Instant) -> Vec<Batch> {
    let at_once = lanes.take_batches(now);
    if at_once.is_empty() { lanes.take_batches(now + GATHERING) } else { at_once }
}

fn ended(failed: Vec<Row>, trouble: Trouble) -> Ending {
    Ending { failed, trouble: Some(trouble), stored_any: false }
}

fn lanes(aggregation: Aggregation, shards: &[(&str, u8)]) -> Lanes {
    let mut lanes = Lanes::new(aggregation);
    lanes.set_map(map(shards));
    lanes
}

#[test]
fn a_shard_has_one_call_in_flight_and_the_next_takes_everything_that_waited() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0), ("b", 128)]);
    lanes.push(row(1, 1, 9, now + HOUR));
    lanes.push(row(200, 2, 9, now + HOUR));
    let calls = take(&mut lanes, now);
    assert_eq!(calls.iter().map(numbers).collect::<Vec<_>>(), [[1], [2]]);
    (3..6).for_each(|number| lanes.push(row(1, number, 9, now + HOUR)));
    assert!(lanes.take_batches(now).is_empty());
    lanes.call_ended(&ShardId::new("a"), Ending::default(), now);
    assert_eq!(numbers(&take(&mut lanes, now)[0]), [3, 4, 5]);
}

#[test]
fn what_failed_goes_first_after_a_wait() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0)]);
    (1..3).for_each(|number| lanes.push(row(1, number, 9, now + HOUR)));
    let failed = rows_of(take(&mut lanes, now).remove(0));
    lanes.push(row(1, 3, 9, now + HOUR));
    lanes.call_ended(&ShardId::new("a"), ended(failed, Trouble::Throttled), now);
    assert!(lanes.take_batches(now).is_empty());
    let wakeup = lanes.next_start().unwrap();
    assert!(wakeup > now && wakeup <= now + FIRST_WAIT);
    assert_eq!(numbers(&take(&mut lanes, wakeup)[0]), [1, 2, 3]);
}

#[test]
fn aggregates_are_filled_to_their_bound_and_a_larger_row_goes_alone() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0)]);
    let a = ShardId::new("a");
    for (number, size) in [(1, 1 << 20), (2, 100 << 10), (3, 100 << 10), (4, 100 << 10), (5, 1 << 20)] {
        lanes.push(row(1, number, size, now + HOUR));
    }
    for expected in [&[1][..], &[2, 3], &[4], &[5]] {
        let call = take(&mut lanes, now).remove(0);
        assert_eq!(numbers(&call), expected);
        assert_eq!(call.entries.len(), 1);
        lanes.call_ended(&a, Ending::default(), now);
    }
    assert!(lanes.is_empty());
}

#[test]
fn single_records_of_one_call_have_different_keys() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::None, &[("a", 0)]);
    for (number, key) in [(1, 7), (2, 7), (3, 8), (4, 7), (5, 9)] {
        lanes.push(row(key, number, 9, now + HOUR));
    }
    let call = take(&mut lanes, now).remove(0);
    assert_eq!(numbers(&call), [1, 3, 5]);
    // The stream took 3, but neither 1 nor 5.
    let failed = rows_of(call).into_iter().filter(|row| number(row) != 3).collect();
    lanes.call_ended(&ShardId::new("a"), ended(failed, Trouble::Throttled), now);
    let later = now + HOUR / 2;
    assert_eq!(numbers(&take(&mut lanes, later)[0]), [1, 5]);
}

#[test]
fn calls_of_single_records_keep_the_limits_of_the_service() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::None, &[("a", 0)]);
    for key in 0..=255 {
        lanes.push(row(key, u32::from(key), 10 << 10, now + HOUR));
    }
    let call = take(&mut lanes, now).remove(0);
    assert!(call.entries.iter().flat_map(|entry| &entry.rows).map(Row::size).sum::<usize>() <= MAX_BATCH_BYTES);
    assert!(call.entries.len() > 90);
}

#[test]
fn rows_move_with_a_reshard_and_wait_for_calls_to_the_old_shard() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("old", 0)]);
    (1..3).for_each(|number| lanes.push(row(1, number, 9, now + HOUR)));
    let in_flight = rows_of(take(&mut lanes, now).remove(0));
    lanes.push(row(1, 3, 9, now + HOUR));
    lanes.push(row(200, 4, 9, now + HOUR));
    lanes.set_map(map(&[("left", 0), ("right", 128)]));
    assert!(lanes.take_batches(now).is_empty(), "a row that failed in the old shard must still go first");
    lanes.call_ended(&ShardId::new("old"), ended(in_flight, Trouble::Unavailable), now);
    let calls = take(&mut lanes, now);
    assert_eq!(calls.iter().map(numbers).collect::<Vec<_>>(), [vec![1, 2, 3], vec![4]]);
    assert_eq!(calls[1].shard, ShardId::new("right"));
}

#[test]
fn rows_that_came_before_the_shards_were_known_are_put_first() {
    let now = Instant::now();
    let mut lanes = Lanes::new(Aggregation::Kpl);
    lanes.push(row(1, 1, 9, now + HOUR));
    assert!(lanes.take_batches(now).is_empty());
    assert_eq!(lanes.next_deadline(), Some(now + HOUR));
    lanes.set_map(map(&[("a", 0)]));
    lanes.push(row(1, 2, 9, now + HOUR));
    assert_eq!(numbers(&take(&mut lanes, now)[0]), [1, 2]);
}

#[test]
fn rows_of_requests_that_come_together_are_gathered_and_go_together() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0), ("b", 128)]);
    lanes.push(row(1, 1, 9, now + HOUR));
    assert_eq!(lanes.take_batches(now).len(), 1, "nothing is known about the load yet");
    lanes.push(row(1, 2, 9, now + HOUR));
    lanes.push(row(1, 3, 9, now + HOUR));
    lanes.call_ended(&ShardId::new("a"), Ending::default(), now);
    assert_eq!(lanes.take_batches(now).len(), 1, "the first rows tell that requests come together, and go");
    lanes.call_ended(&ShardId::new("a"), Ending::default(), now);

    lanes.push(row(1, 4, 9, now + HOUR));
    assert!(lanes.take_batches(now).is_empty());
    assert_eq!((lanes.gathering_until(), lanes.next_start()), (Some(now + GATHERING), Some(now + GATHERING)));
    lanes.push(row(200, 5, 9, now + HOUR));
    assert!(lanes.take_batches(now + GATHERING / 2).is_empty());
    let batches = lanes.take_batches(now + GATHERING);
    assert_eq!(batches.iter().map(numbers).collect::<Vec<_>>(), [[4], [5]]);
    assert_eq!((lanes.gathering_until(), lanes.next_start()), (None, None));
}

#[test]
fn nothing_is_gathered_for_a_full_batch_or_long_after_the_load() {
    let now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0)]);
    let a = ShardId::new("a");
    (1..3).for_each(|number| lanes.push(row(1, number, 9, now + HOUR)));
    assert_eq!(lanes.take_batches(now).len(), 1);
    lanes.call_ended(&a, Ending::default(), now);
    lanes.push(row(1, 3, MAX_AGGREGATE_BYTES, now + HOUR));
    assert_eq!(lanes.take_batches(now).len(), 1);
    lanes.call_ended(&a, Ending::default(), now);
    lanes.push(row(1, 4, 9, now + HOUR));
    assert_eq!(lanes.take_batches(now + LOAD_LASTS).len(), 1);
}

#[test]
fn a_client_that_waits_for_each_answer_is_never_made_to_wait() {
    let mut now = Instant::now();
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0), ("b", 128)]);
    for _ in 0..10 {
        let request = row(1, 0, 9, now + HOUR).request;
        for key in [1, 1, 200] {
            lanes.push(Row { request: request.clone(), ..row(key, 1, 9, now + HOUR) });
        }
        assert_eq!(lanes.take_batches(now).len(), 2);
        ["a", "b"].into_iter().for_each(|shard| lanes.call_ended(&ShardId::new(shard), Ending::default(), now));
        now += Duration::from_micros(500);
    }
}

#[test]
fn rows_expire_with_what_kept_them_waiting() {
    let now = Instant::now();
    let soon = now + Duration::from_secs(1);
    let mut lanes = lanes(Aggregation::Kpl, &[("a", 0), ("b", 128)]);
    lanes.push(row(1, 1, 9, soon));
    let failed = rows_of(take(&mut lanes, now).remove(0));
    lanes.push(row(1, 2, 9, now + HOUR));
    lanes.call_ended(&ShardId::new("a"), ended(failed, Trouble::Throttled), now);
    assert!(lanes.take_expired(now).is_empty());
    let expired = lanes.take_expired(soon);
    assert_eq!(expired.len(), 1);
    assert_eq!((expired[0].0, number(&expired[0].1[0])), (Trouble::Throttled, 1));
    assert_eq!(numbers(&take(&mut lanes, soon)[0]), [2]);
}

/// What happens next in a schedule.
#[derive(Debug, Clone)]
enum Event {
    Push(u8, usize),
    /// A call in flight comes back; the bits say which of its entries failed.
    Answer(prop::sample::Index, u32),
    Reshard(Vec<u8>),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0u8..12, 4usize..40_000).prop_map(|(key, size)| Event::Push(key * 21, size)),
        4 => (any::<prop::sample::Index>(), prop_oneof![Just(0), any::<u32>()]).prop_map(|(c, f)| Event::Answer(c, f)),
        1 => prop::collection::btree_set(1u8.., 0..4).prop_map(|starts| Event::Reshard(starts.into_iter().collect())),
    ];
    prop::collection::vec(event, 1..200)
}

proptest! {
    #[test]
    fn every_schedule_stores_every_row_once_and_keeps_the_order_of_each_key(events in events(), kpl: bool) {
        let mut now = Instant::now();
        let aggregation = if kpl { Aggregation::Kpl } else { Aggregation::None };
        let mut lanes = Lanes::new(aggregation);
        let mut generation = 0;
        let mut set_map = |lanes: &mut Lanes, starts: &[u8]| {
            generation += 1;
            let named: Vec<_> = [0].iter().chain(starts).map(|s| (format!("{generation}-{s}"), *s)).collect();
            lanes.set_map(map(&named.iter().map(|(name, start)| (name.as_str(), *start)).collect::<Vec<_>>()));
        };
        let mut in_flight: Vec<Batch> = Vec::new();
        let mut pushed: BTreeMap<Arc<str>, Vec<u32>> = BTreeMap::new();
        let mut stored: BTreeMap<Arc<str>, Vec<u32>> = BTreeMap::new();
        let mut count = 0;
        let mut answer = |lanes: &mut Lanes, call: Batch, failures: u32, now: Instant| {
            let mut failed = Vec::new();
            for (place, entry) in call.entries.into_iter().enumerate() {
                if failures >> (place % 32) & 1 == 1 {
                    failed.extend(entry.rows);
                } else {
                    entry.rows.iter().for_each(|row| stored.entry(row.key.clone()).or_default().push(number(row)));
                }
            }
            let trouble = (!failed.is_empty()).then_some(Trouble::Throttled);
            lanes.call_ended(&call.shard, Ending { failed, trouble, stored_any: failures == 0 }, now);
        };
        for event in events {
            now += GATHERING / 2;
            match event {
                Event::Push(key, size) => {
                    let row = row(key, count, size, now + HOUR * 1000);
                    pushed.entry(row.key.clone()).or_default().push(count);
                    count += 1;
                    lanes.push(row);
                }
                Event::Answer(which, failures) if !in_flight.is_empty() => {
                    let call = in_flight.swap_remove(which.index(in_flight.len()));
                    answer(&mut lanes, call, failures, now);
                }
                Event::Answer(..) => now += LONGEST_WAIT,
                Event::Reshard(starts) => set_map(&mut lanes, &starts),
            }
            in_flight.extend(lanes.take_batches(now));
            let mut keys: Vec<_> = in_flight.iter().flat_map(|call| &call.entries)
                .flat_map(|entry| entry.rows.iter().map(|row| row.key.clone()).collect::<HashSet<_>>()).collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(all, keys.len(), "a key is in flight twice");
        }
        set_map(&mut lanes, &[]);
        while !lanes.is_empty() || !in_flight.is_empty() {
            now += LONGEST_WAIT;
            in_flight.extend(lanes.take_batches(now));
            if let Some(call) = in_flight.pop() {
                answer(&mut lanes, call, 0, now);
            }
        }
        prop_assert_eq!(pushed, stored);
    }
}
