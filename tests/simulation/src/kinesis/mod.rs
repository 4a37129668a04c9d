//! A small Kinesis: one stream with shards, hash ranges, iterators, resharding and retention. It may be deleted and
//! created again.

mod api;
mod events;
mod fan_out;
mod repeats;
mod shards;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use penstock_contract::{ArrivalMillis, Position, Sequence};
use penstock_stream::{HashKey, HashRange, user_records};

pub(crate) use api::Mood;
pub(crate) use fan_out::{FanOut, Push};

use crate::Millis;
use crate::mutation::Mutation;
use crate::plan::Window;
use crate::record::UserRecord;

/// Where the world's clock begins, in milliseconds since the Unix epoch: long ago, so that whoever takes the time from
/// this machine begins after everything that is put. A whole second, as the dates of answers have no others.
pub(crate) const EPOCH: Millis = 1_700_000_000_000;
/// Sequence numbers are longer than DynamoDB's and JSON's numbers.
const FIRST_SEQUENCE: u128 = 49_000_000_000_000_000_000_000_000_000_000_000;

/// A stream.
pub(crate) struct Kinesis {
    /// It is there from then on.
    pub(crate) exists_from: Millis,
    /// Records live for so long; `None` means for ever.
    pub(crate) retention: Option<Millis>,
    /// Iterators live for so long.
    pub(crate) iterator_life: Millis,
    /// Shards in one answer of a listing.
    pub(crate) page: usize,
    pub(crate) shards: BTreeMap<String, Shard>,
    /// Shards that retention has deleted, or that went with an earlier stream, by their full names.
    expired: BTreeMap<String, Shard>,
    /// Where the sequence numbers of each stream of this name begin.
    pub(super) begins: Vec<u128>,
    next_shard: u32,
    next_sequence: u128,
    /// The latest arrival: no two stream records arrive in the same millisecond.
    latest_arrival: Millis,
    /// How far back records make others repeats.
    pub(crate) window: Option<Window>,
    /// The records that are repeats.
    pub(crate) repeats: BTreeSet<u64>,
    /// How many of them repeat a record of a shard that theirs was made from.
    pub(crate) inherited_repeats: u64,
    pub(crate) fan_out: FanOut,
    pub(crate) mutation: Option<Mutation>,
    /// How many iterators ran out, and how often a shard's throughput was used up.
    pub(crate) expired_iterators: u64,
    pub(crate) exceeded: u64,
}

/// A shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) parents: Vec<String>,
    pub(crate) first_hash: u128,
    pub(crate) last_hash: u128,
    born: Millis,
    pub(crate) first_sequence: u128,
    closed: Option<Closed>,
    log: Vec<Entry>,
    /// So many entries at the log's begin are gone.
    trimmed: usize,
    /// When it was read during the last second.
    reads: VecDeque<Millis>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    at: Millis,
    sequence: u128,
}

/// A stream record.
#[derive(Debug)]
struct Entry {
    sequence: u128,
    arrival: Millis,
    key: String,
    data: Bytes,
    /// What is in it.
    records: Vec<UserRecord>,
}

impl Shard {
    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// When it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Millis> {
        self.closed.map(|closed| closed.at)
    }

    /// All records that were ever put, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &UserRecord> {
        self.log.iter().flat_map(|entry| &entry.records)
    }

    /// The records that are still there.
    pub(crate) fn untrimmed(&self) -> impl Iterator<Item = &UserRecord> {
        self.log[self.trimmed..].iter().flat_map(|entry| &entry.records)
    }
}

impl Kinesis {
    /// A stream of so many shards.
    pub(crate) fn new(shards: usize) -> Self {
        let mut stream = Self {
            exists_from: 0,
            retention: None,
            iterator_life: 300_000,
            page: 10_000,
            shards: BTreeMap::new(),
            expired: BTreeMap::new(),
            begins: vec![FIRST_SEQUENCE],
            next_shard: 0,
            next_sequence: FIRST_SEQUENCE,
            latest_arrival: 0,
            window: None,
            repeats: BTreeSet::new(),
            inherited_repeats: 0,
            fan_out: FanOut::default(),
            mutation: None,
            expired_iterators: 0,
            exceeded: 0,
        };
        stream.add_even_shards(shards);
        stream
    }

    fn sequence(&mut self) -> u128 {
        self.next_sequence += 17;
        self.next_sequence
    }

    /// Puts a stream record into the shard that takes the hash key; says into which.
    pub(crate) fn put(&mut self, now: Millis, hash: u128, key: &str, data: Bytes) -> Option<String> {
        let sequence = self.sequence();
        let arrival = now.max(self.latest_arrival + 1);
        self.latest_arrival = arrival;
        let takes = |shard: &Shard| shard.is_open() && (shard.first_hash..=shard.last_hash).contains(&hash);
        let (id, shard) = self.shards.iter().find(|&(_, shard)| takes(shard))?;
        let id = id.clone();
        let stream_record = penstock_stream::StreamRecord::new(
            Sequence::parse(&sequence.to_string()).ok()?,
            key.into(),
            ArrivalMillis((EPOCH + arrival).cast_signed()),
            data.clone(),
        );
        let takes = HashRange { start: HashKey(shard.first_hash), end_inclusive: HashKey(shard.last_hash) };
        let records = user_records(&penstock_contract::ShardId::new(id.as_str()), &takes, stream_record);
        let records = records.iter().map(UserRecord::read).collect::<Result<Vec<_>, _>>().ok()?;
        self.note_repeats(&id, &records);
        let entry = Entry { sequence, arrival, key: key.to_owned(), data, records };
        self.shards.get_mut(&id)?.log.push(entry);
        Some(id)
    }

    /// Deletes what is older than the retention; says which records that were.
    pub(crate) fn trim(&mut self, now: Millis) -> Vec<u64> {
        let Some(limit) = self.retention.and_then(|retention| now.checked_sub(retention)) else { return Vec::new() };
        let mut gone = Vec::new();
        let mut dead = BTreeSet::new();
        for (id, shard) in &mut self.shards {
            while let Some(entry) = shard.log.get(shard.trimmed).filter(|entry| entry.arrival < limit) {
                gone.extend(entry.records.iter().map(|record| record.number));
                shard.trimmed += 1;
            }
            if shard.closed.is_some_and(|closed| closed.at < limit) {
                dead.insert(id.clone());
            }
        }
        for id in dead {
            if let Some(shard) = self.shards.remove(&id) {
                self.expired.insert(self.full_name(&id, self.begins.len() - 1), shard);
            }
        }
        gone
    }

    /// Deletes the stream, and creates it again later; says which records that deletes.
    pub(crate) fn recreate(&mut self, back_at: Millis, shards: usize) -> Vec<u64> {
        let gone = self.shards.values().flat_map(Shard::untrimmed).map(|record| record.number).collect();
        for (id, mut shard) in std::mem::take(&mut self.shards) {
            shard.trimmed = shard.log.len();
            self.expired.insert(self.full_name(&id, self.begins.len() - 1), shard);
        }
        self.fan_out.clear();
        self.exists_from = back_at;
        self.next_shard = 0;
        let begin = self.sequence();
        self.begins.push(begin);
        self.add_even_shards(shards);
        gone
    }

    /// Where the sequence numbers of the stream begin.
    pub(crate) fn first_sequence(&self) -> u128 {
        self.begins.last().copied().unwrap_or(FIRST_SEQUENCE)
    }

    /// Tells shards apart that have one name in different streams.
    #[allow(clippy::unused_self, reason = "it belongs here")]
    fn full_name(&self, id: &str, stream: usize) -> String {
        if stream == 0 { id.to_owned() } else { format!("{id} of stream {stream}") }
    }

    /// Which of the streams of this name a position is in.
    fn stream_of(&self, position: &Position) -> usize {
        let sequence = position.sequence.as_str().parse::<u128>().unwrap_or(0);
        self.begins.iter().rposition(|begin| *begin <= sequence).unwrap_or(0)
    }

    /// The full name of the shard that has this name and the position.
    pub(crate) fn shard_with(&self, id: &str, position: &Position) -> String {
        self.full_name(id, self.stream_of(position))
    }

    /// The records of a range that are still there.
    pub(crate) fn holds(&self, shard: &str, start: Option<&Position>, end: &Position) -> Vec<&UserRecord> {
        let inside =
            |record: &&UserRecord| start.is_none_or(|start| record.position > *start) && record.position <= *end;
        self.shards.get(shard).into_iter().flat_map(Shard::untrimmed).filter(inside).collect()
    }

    /// The parents of the shard of a range, also of one that retention has deleted. None in an earlier stream.
    pub(crate) fn parents(&self, id: &str, end: &Position) -> Vec<String> {
        let stream = self.stream_of(end);
        if stream + 1 < self.begins.len() {
            return Vec::new();
        }
        let shard = self.shards.get(id).or_else(|| self.expired.get(&self.full_name(id, stream)));
        shard.map(|shard| shard.parents.clone()).unwrap_or_default()
    }

    /// All records that were ever put, with the shard's name.
    pub(crate) fn everything(&self) -> impl Iterator<Item = (&str, &UserRecord)> {
        let shards = self.shards.iter().chain(&self.expired);
        let short = |id: &'_ str| id.find(' ').unwrap_or(id.len());
        shards.flat_map(move |(id, shard)| shard.records().map(move |record| (&id[..short(id)], record)))
    }
}
