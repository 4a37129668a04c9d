//! What may be put next. No I/O and no clock: time comes in as an argument.
//!
//! Each open shard has a lane, and each lane at most one batch in flight. That keeps the order of every
//! partition key: what failed goes back to the front of its lane and is tried again before anything behind it.
//!
//! A call costs as much as ten rows or more, so under load rows are gathered for a moment and all lanes start together.
//! How much load there is, the last batches tell: rows of several requests came together in them, so more will come. A
//! client that waits for each answer before it sends its next row is never made to wait.
//!
//! When the stream is resharded, rows that wait move to the lanes of the new shards. Those lanes stand still
//! until every call to a shard that is gone has come back, so that a row that failed there still goes first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use penstock_api::spec::Aggregation;
use penstock_contract::ShardId;
use penstock_runtime::Backoff;
use penstock_stream::aggregate::Aggregator;
use penstock_stream::{MAX_ENTRIES_PER_PUT, ShardMap};
use tokio::time::Instant;

use super::pending::{Row, Trouble};

/// The largest aggregate. Ten of the 25 KB units in which puts are billed, so little of the last one is
/// wasted, and still a quarter of what a shard takes in a second, so several producers get along.
const MAX_AGGREGATE_BYTES: usize = 250 * 1024;
/// The largest batch when rows are not aggregated: a shard takes 1 MB/s, so more would only be throttled.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How many rows of keys that are in the call already are looked over to find rows of other keys.
const MAX_HELD_BACK: usize = 500;
/// Waits after a call that did not fully succeed.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long rows are gathered under load. The stream itself takes ten milliseconds and more for a call.
const GATHERING: Duration = Duration::from_millis(2);
/// For so long the last batches tell how much load there is.
const LOAD_LASTS: Duration = Duration::from_millis(50);

/// All rows that wait, by shard.
#[derive(Debug)]
pub(super) struct Lanes {
    aggregation: Aggregation,
    map: Option<ShardMap>,
    /// In the order of the map's shards.
    lanes: Vec<Lane>,
    /// Rows that came before the shards were known.
    unrouted: Waiting,
    /// Batches in flight to shards that are gone.
    retired_in_flight: usize,
    /// Until when it counts that rows of several requests came together.
    loaded_until: Option<Instant>,
    /// Until when rows are gathered that may be put already.
    gathering_until: Option<Instant>,
}

#[derive(Debug)]
struct Lane {
    shard: ShardId,
    rows: Waiting,
    in_flight: bool,
    /// The shard came with a reshard, and batches to shards that are gone may still fail.
    fresh: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
    trouble: Trouble,
}

/// Rows that wait, in their order, with their size.
#[derive(Debug, Default)]
struct Waiting {
    rows: VecDeque<Row>,
    bytes: usize,
}

/// What is to be put into one shard. Calls are made of these.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) shard: ShardId,
    pub(super) entries: Vec<CallEntry>,
}

/// One record to put and the rows that it is made of; a row's sub-sequence is its place.
#[derive(Debug)]
pub(super) struct CallEntry {
    pub(super) aggregator: Aggregator,
    pub(super) rows: Vec<Row>,
}

/// How a batch ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// The rows that the stream did not take, in their order.
    pub(super) failed: Vec<Row>,
    /// Why it did not.
    pub(super) trouble: Option<Trouble>,
    /// Whether it took others.
    pub(super) stored_any: bool,
}

impl Lanes {
    pub(super) fn new(aggregation: Aggregation) -> Self {
        Self {
            aggregation,
            map: None,
            lanes: Vec::new(),
            unrouted: Waiting::default(),
            retired_in_flight: 0,
            loaded_until: None,
            gathering_until: None,
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.unrouted.is_empty() && self.lanes.iter().all(|lane| lane.rows.is_empty())
    }

    /// Takes a row behind all others of its key.
    pub(super) fn push(&mut self, row: Row) {
        match &self.map {
            Some(map) => self.lanes[map.index_for(row.hash)].rows.push_back(row),
            None => self.unrouted.push_back(row),
        }
    }

    /// Takes the open shards as they are now.
    pub(super) fn set_map(&mut self, map: ShardMap) {
        if self.map.as_ref() == Some(&map) {
            return;
        }
        let first_map = self.map.is_none();
        let mut old: HashMap<ShardId, Lane> =
            std::mem::take(&mut self.lanes).into_iter().map(|lane| (lane.shard.clone(), lane)).collect();
        self.lanes = map
            .shards()
            .iter()
            .map(|shard| old.remove(shard).unwrap_or_else(|| Lane::new(shard.clone(), !first_map)))
            .collect();
        self.map = Some(map);
        // Every key is in one lane, so it does not matter which lane's rows move first.
        for lane in old.into_values() {
            self.retired_in_flight += usize::from(lane.in_flight);
            lane.rows.rows.into_iter().for_each(|row| self.push(row));
        }
        std::mem::take(&mut self.unrouted).rows.into_iter().for_each(|row| self.push(row));
        self.unblock();
    }

    /// What may be put now: of all lanes that may start, or of none while rows are gathered.
    pub(super) fn take_batches(&mut self, now: Instant) -> Vec<Batch> {
        if self.gathers(now) {
            return Vec::new();
        }
        self.gathering_until = None;
        let aggregation = self.aggregation;
        let may_start = self.lanes.iter_mut().filter(|lane| lane.may_start(now));
        let batches: Vec<_> = may_start.map(|lane| lane.take_batch(aggregation)).collect();
        if are_of_several_requests(&batches) {
            self.loaded_until = Some(now + LOAD_LASTS);
        }
        batches
    }

    /// Until when rows are gathered. Nothing needs to be done about rows that come before that.
    pub(super) fn gathering_until(&self) -> Option<Instant> {
        self.gathering_until
    }

    /// Whether to wait for more rows, although there are some that may be put.
    fn gathers(&mut self, now: Instant) -> bool {
        let mut may_start = self.lanes.iter().filter(|lane| lane.may_start(now)).peekable();
        let is_loaded = self.loaded_until.is_some_and(|until| now < until);
        if may_start.peek().is_none() || !is_loaded || may_start.any(|lane| lane.rows.bytes >= MAX_AGGREGATE_BYTES) {
            return false;
        }
        now < *self.gathering_until.get_or_insert(now + GATHERING)
    }

    /// A batch came back.
    pub(super) fn call_ended(&mut self, shard: &ShardId, ending: Ending, now: Instant) {
        match self.lanes.iter_mut().find(|lane| lane.shard == *shard) {
            Some(lane) => lane.call_ended(ending, now),
            None => {
                self.retired_in_flight = self.retired_in_flight.saturating_sub(1);
                if let Some(map) = &self.map {
                    for row in ending.failed.into_iter().rev() {
                        self.lanes[map.index_for(row.hash)].rows.push_front(row);
                    }
                }
                self.unblock();
            }
        }
    }

    /// Takes out the rows whose time is over, with what has kept them waiting.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<(Trouble, Vec<Row>)> {
        let lanes = self.lanes.iter_mut().map(|lane| (lane.trouble, &mut lane.rows));
        let all = lanes.chain([(Trouble::Unavailable, &mut self.unrouted)]);
        all.map(|(trouble, rows)| (trouble, rows.take_expired(now))).filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// When the first row that waits must be answered.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.lanes.iter().map(|lane| &lane.rows).chain([&self.unrouted]);
        waiting.filter_map(|rows| rows.front().map(|row| row.request.deadline)).min()
    }

    /// When there may be batches to take that there are not yet, if nothing happens before.
    pub(super) fn next_start(&self) -> Option<Instant> {
        let waiting = self.lanes.iter().filter(|lane| !lane.in_flight && !lane.rows.is_empty());
        self.gathering_until.or_else(|| waiting.filter_map(|lane| lane.not_before).min())
    }

    fn unblock(&mut self) {
        if self.retired_in_flight == 0 {
            self.lanes.iter_mut().for_each(|lane| lane.fresh = false);
        }
    }
}

impl Lane {
    fn new(shard: ShardId, fresh: bool) -> Self {
        Self {
            shard,
            rows: Waiting::default(),
            in_flight: false,
            fresh,
            not_before: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            trouble: Trouble::Unavailable,
        }
    }

    fn may_start(&self, now: Instant) -> bool {
        let rested = self.not_before.is_none_or(|not_before| not_before <= now);
        !self.in_flight && !self.fresh && rested && !self.rows.is_empty()
    }

    fn take_batch(&mut self, aggregation: Aggregation) -> Batch {
        self.in_flight = true;
        self.not_before = None;
        let entries = match aggregation {
            Aggregation::Kpl => vec![take_aggregate(&self.shard, &mut self.rows)],
            Aggregation::None => take_singles(&mut self.rows),
        };
        Batch { shard: self.shard.clone(), entries }
    }

    fn call_ended(&mut self, ending: Ending, now: Instant) {
        self.in_flight = false;
        for row in ending.failed.into_iter().rev() {
            self.rows.push_front(row);
        }
        if ending.stored_any || ending.trouble.is_none() {
            self.backoff.reset();
        }
        self.trouble = ending.trouble.unwrap_or(Trouble::Unavailable);
        self.not_before = ending.trouble.map(|_| now + self.backoff.next_wait());
    }
}

impl Batch {
    /// What the service counts.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.aggregator.record_len()).sum()
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn front(&self) -> Option<&Row> {
        self.rows.front()
    }

    fn push_back(&mut self, row: Row) {
        self.bytes += row.size();
        self.rows.push_back(row);
    }

    fn push_front(&mut self, row: Row) {
        self.bytes += row.size();
        self.rows.push_front(row);
    }

    fn pop_front(&mut self) -> Option<Row> {
        let row = self.rows.pop_front()?;
        self.bytes -= row.size();
        Some(row)
    }

    fn take_expired(&mut self, now: Instant) -> Vec<Row> {
        let mut expired = Vec::new();
        // Rows stand in the order in which they came, so the first to expire is in front.
        while self.front().is_some_and(|row| row.request.deadline <= now) {
            expired.extend(self.pop_front());
        }
        expired
    }
}

/// Rows of one request follow each other, so the first and the last row of each batch are enough to tell.
fn are_of_several_requests(batches: &[Batch]) -> bool {
    let ends = |batch| [first_row(batch), last_row(batch)];
    let mut requests = batches.iter().flat_map(ends).flatten().map(|row| &row.request);
    requests.next().is_some_and(|first| requests.any(|other| !Arc::ptr_eq(first, other)))
}

fn first_row(batch: &Batch) -> Option<&Row> {
    batch.entries.first().and_then(|entry| entry.rows.first())
}

fn last_row(batch: &Batch) -> Option<&Row> {
    batch.entries.last().and_then(|entry| entry.rows.last())
}

/// As many rows from the front as one aggregate holds. A row that is larger goes by itself.
fn take_aggregate(shard: &ShardId, rows: &mut Waiting) -> CallEntry {
    let max_bytes = rows.front().map_or(0, Row::size).max(MAX_AGGREGATE_BYTES);
    let mut aggregator = Aggregator::made_for(max_bytes, shard);
    let mut taken = Vec::new();
    while let Some(row) = rows.front()
        && aggregator.push(&row.key, None, row.data.clone()).is_ok()
    {
        taken.extend(rows.pop_front());
    }
    CallEntry { aggregator, rows: taken }
}

/// Rows of different keys: within one call the stream may take a row and fail an earlier one, so the second
/// row of a key waits until the first is stored.
fn take_singles(rows: &mut Waiting) -> Vec<CallEntry> {
    let mut entries = Vec::new();
    let mut keys: HashSet<Arc<str>> = HashSet::new();
    let mut held_back = Vec::new();
    let mut bytes = 0;
    while entries.len() < MAX_ENTRIES_PER_PUT && held_back.len() < MAX_HELD_BACK {
        let Some(row) = rows.pop_front() else { break };
        if keys.contains(&row.key) {
            held_back.push(row);
        } else if entries.is_empty() || bytes + row.size() <= MAX_BATCH_BYTES {
            bytes += row.size();
            keys.insert(row.key.clone());
            entries.push(single(row));
        } else {
            held_back.push(row);
            break;
        }
    }
    held_back.into_iter().rev().for_each(|row| rows.push_front(row));
    entries
}

fn single(row: Row) -> CallEntry {
    let mut aggregator = Aggregator::new(row.size().max(MAX_AGGREGATE_BYTES));
    // The aggregator is as large as the row, so it takes it.
    let _ = aggregator.push(&row.key, None, row.data.clone());
    CallEntry { aggregator, rows: vec![row] }
}

#[cfg(test)]
mod tests;
