//! A small Kinesis: one stream with shards, hash ranges, iterators, resharding and retention.

mod api;
mod shards;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use penstock_contract::{Position, Sequence};

pub(crate) use api::Mood;

use crate::Millis;
use crate::record::UserRecord;

/// Where the world's clock begins, in milliseconds since the Unix epoch: long ago, so that whoever takes the time from
/// this machine begins after everything that is put.
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
    /// Shards that retention has deleted.
    pub(crate) expired: BTreeMap<String, Shard>,
    next_shard: u32,
    next_sequence: u128,
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
    first_sequence: u128,
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
            next_shard: 0,
            next_sequence: FIRST_SEQUENCE,
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
        let (id, shard) = self
            .shards
            .iter_mut()
            .find(|(_, shard)| shard.is_open() && (shard.first_hash..=shard.last_hash).contains(&hash))?;
        let stream_record = penstock_stream::StreamRecord {
            sequence: Sequence::parse(&sequence.to_string()).ok()?,
            partition_key: key.into(),
            arrival: penstock_contract::ArrivalMillis(0),
            data: data.clone(),
        };
        let records = penstock_stream::user_records(&penstock_contract::ShardId::new(id.as_str()), stream_record);
        let records = records.iter().map(UserRecord::read).collect::<Result<_, _>>().ok()?;
        shard.log.push(Entry { sequence, arrival: now, key: key.to_owned(), data, records });
        Some(id.clone())
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
                self.expired.insert(id, shard);
            }
        }
        gone
    }

    /// The records of a range that are still there.
    pub(crate) fn holds(&self, shard: &str, start: Option<&Position>, end: &Position) -> Vec<&UserRecord> {
        let inside =
            |record: &&UserRecord| start.is_none_or(|start| record.position > *start) && record.position <= *end;
        self.shards.get(shard).into_iter().flat_map(Shard::untrimmed).filter(inside).collect()
    }

    /// The parents of a shard, also of one that is gone.
    pub(crate) fn parents(&self, shard: &str) -> Vec<String> {
        let shard = self.shards.get(shard).or_else(|| self.expired.get(shard));
        shard.map(|shard| shard.parents.clone()).unwrap_or_default()
    }

    /// All records that were ever put, by shard.
    pub(crate) fn everything(&self) -> impl Iterator<Item = (&String, &UserRecord)> {
        let shards = self.shards.iter().chain(&self.expired);
        shards.flat_map(|(id, shard)| shard.records().map(move |record| (id, record)))
    }
}
