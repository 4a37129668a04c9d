//! Making aggregates, with an exact account of their size.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use penstock_contract::ShardId;

use super::wire::{bytes_tag, put_varint, varint_len, varint_tag};
use super::{AGGREGATE_KEY, DIGEST_LEN, MADE_FOR, MAGIC, begins_like_one};
use crate::digests::digests;
use crate::{HashKey, PutEntry};

/// Puts user records together into one stream record of at most so many bytes.
///
/// A record that stays alone goes as it is, with its own key, as the KPL does.
#[derive(Debug)]
pub struct Aggregator {
    max_bytes: usize,
    /// The partition key of the stream record.
    outer_key: Arc<str>,
    keys: Table<Arc<str>>,
    hashes: Table<HashKey>,
    members: Vec<Pending>,
    /// The bytes of the member fields, tags and lengths included.
    members_len: usize,
}

#[derive(Debug)]
struct Pending {
    key: u64,
    hash: Option<u64>,
    data: Bytes,
}

/// Texts that members refer to by their place.
#[derive(Debug)]
struct Table<T> {
    places: HashMap<T, u64>,
    order: Vec<T>,
    /// The bytes of the table's fields, tags and lengths included.
    encoded_len: usize,
}

/// A stream record made of one user record or more.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What to put.
    pub entry: PutEntry,
    /// How many user records it holds; their sub-sequences are 0 to one less.
    pub members: usize,
}

/// An aggregate that lacks its digest still.
struct Undigested {
    /// `None` for a record that goes as it is.
    message: Option<Vec<u8>>,
    aggregate: Aggregate,
}

/// The record does not fit any more: finish this aggregate and push the record to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not fit into the aggregate")]
pub struct Full;

impl Aggregator {
    /// An empty one. `max_bytes` is what the service counts: the bytes of the stream record and its key.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self::with_outer_key(max_bytes, AGGREGATE_KEY.into())
    }

    /// An empty one for members that the shard takes. Should the shard be gone when the aggregate is put, it counts only where
    /// every member belongs: see [`crate::user_records`]. Whoever puts it must look where it went.
    #[must_use]
    pub fn made_for(max_bytes: usize, shard: &ShardId) -> Self {
        Self::with_outer_key(max_bytes, format!("{MADE_FOR}{shard}").into())
    }

    fn with_outer_key(max_bytes: usize, outer_key: Arc<str>) -> Self {
        Self { max_bytes, outer_key, keys: Table::new(), hashes: Table::new(), members: Vec::new(), members_len: 0 }
    }

    /// Whether [`Self::push`] would take the record. An empty aggregator takes what fits by itself.
    #[must_use]
    pub fn would_fit(&self, partition_key: &str, explicit_hash_key: Option<HashKey>, data: &[u8]) -> bool {
        if self.members.is_empty() && !begins_like_one(data) {
            return partition_key.len() + data.len() <= self.max_bytes;
        }
        let (key, key_growth) = self.keys.place_of(partition_key, partition_key.len());
        let hash = explicit_hash_key.map(|hash| self.hashes.place_of(&hash, decimal_len(hash)));
        let member = field_len(member_len(key, hash.map(|(place, _)| place), data.len()));
        let growth = key_growth + hash.map_or(0, |(_, growth)| growth) + member;
        self.record_len() + growth <= self.max_bytes
    }

    /// Takes a record and says its sub-sequence.
    ///
    /// # Errors
    /// [`Full`] when the record does not fit.
    pub fn push(
        &mut self,
        partition_key: &Arc<str>,
        explicit_hash_key: Option<HashKey>,
        data: Bytes,
    ) -> Result<usize, Full> {
        if !self.would_fit(partition_key, explicit_hash_key, &data) {
            return Err(Full);
        }
        let key = self.keys.place(partition_key.clone(), partition_key.len());
        let hash = explicit_hash_key.map(|hash| self.hashes.place(hash, decimal_len(hash)));
        self.members_len += field_len(member_len(key, hash, data.len()));
        self.members.push(Pending { key, hash, data });
        Ok(self.members.len() - 1)
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What the service would count for the aggregate of what was pushed so far, its key included.
    #[must_use]
    pub fn record_len(&self) -> usize {
        self.outer_key.len() + MAGIC.len() + self.message_len() + DIGEST_LEN
    }

    fn message_len(&self) -> usize {
        self.keys.encoded_len + self.hashes.encoded_len + self.members_len
    }

    /// The stream record; `None` when nothing was pushed.
    #[must_use]
    pub fn finish(self) -> Option<Aggregate> {
        Self::finish_all(vec![self]).pop().flatten()
    }

    /// The stream record of each aggregator. For several together that is much cheaper than for one after the other.
    #[must_use]
    pub fn finish_all(aggregators: Vec<Self>) -> Vec<Option<Aggregate>> {
        let mut finished: Vec<_> = aggregators.into_iter().map(Self::without_digest).collect();
        let messages: Vec<&[u8]> = finished.iter().flatten().filter_map(Undigested::digested).collect();
        let digests = digests(&messages);
        let messages = finished.iter_mut().flatten().filter_map(|made| made.message.as_mut());
        messages.zip(&digests).for_each(|(message, digest)| message.extend_from_slice(digest));
        finished.into_iter().map(|made| made.map(Undigested::into_aggregate)).collect()
    }

    /// Everything but the digest.
    fn without_digest(self) -> Option<Undigested> {
        let first = self.members.first()?;
        let first_key = self.keys.order.first()?;
        // What begins like an aggregate is wrapped, or a reader would open it.
        if self.members.len() == 1 && !begins_like_one(&first.data) {
            let explicit_hash_key = self.hashes.order.first().copied();
            let entry = PutEntry { data: first.data.clone(), partition_key: first_key.clone(), explicit_hash_key };
            return Some(Undigested { message: None, aggregate: Aggregate { entry, members: 1 } });
        }
        let first_hash = match first.hash {
            Some(_) => self.hashes.order.first().copied()?,
            None => HashKey::of_partition_key(first_key),
        };
        let (message, members) = (Some(self.encode()), self.members.len());
        let entry = PutEntry { data: Bytes::new(), partition_key: self.outer_key, explicit_hash_key: Some(first_hash) };
        Some(Undigested { message, aggregate: Aggregate { entry, members } })
    }

    /// The beginning and the message, with room for the digest.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAGIC.len() + self.message_len() + DIGEST_LEN);
        out.extend_from_slice(&MAGIC);
        for key in &self.keys.order {
            put_bytes(&mut out, 1, key.as_bytes());
        }
        for hash in &self.hashes.order {
            put_bytes(&mut out, 2, hash.to_string().as_bytes());
        }
        for member in &self.members {
            out.push(bytes_tag(3));
            put_varint(&mut out, member_len(member.key, member.hash, member.data.len()) as u64);
            out.push(varint_tag(1));
            put_varint(&mut out, member.key);
            if let Some(hash) = member.hash {
                out.push(varint_tag(2));
                put_varint(&mut out, hash);
            }
            put_bytes(&mut out, 3, &member.data);
        }
        out
    }
}

impl Undigested {
    /// What the digest is of.
    fn digested(&self) -> Option<&[u8]> {
        self.message.as_ref()?.get(MAGIC.len()..)
    }

    fn into_aggregate(self) -> Aggregate {
        let Self { message, mut aggregate } = self;
        if let Some(message) = message {
            aggregate.entry.data = message.into();
        }
        aggregate
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn new() -> Self {
        Self { places: HashMap::new(), order: Vec::new(), encoded_len: 0 }
    }

    /// The place that the value has or would get, and the bytes by which the table would grow.
    fn place_of<Q>(&self, value: &Q, value_len: usize) -> (u64, usize)
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + std::hash::Hash + ?Sized,
    {
        match self.places.get(value) {
            Some(place) => (*place, 0),
            None => (self.order.len() as u64, field_len(value_len)),
        }
    }

    fn place(&mut self, value: T, value_len: usize) -> u64 {
        let (place, growth) = self.place_of(&value, value_len);
        if growth > 0 {
            self.places.insert(value.clone(), place);
            self.order.push(value);
            self.encoded_len += growth;
        }
        place
    }
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(bytes_tag(field));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A field that holds so many bytes: its tag, its length, the bytes.
fn field_len(content: usize) -> usize {
    1 + varint_len(content as u64) + content
}

/// The content of a member field.
fn member_len(key: u64, hash: Option<u64>, data: usize) -> usize {
    1 + varint_len(key) + hash.map_or(0, |hash| 1 + varint_len(hash)) + field_len(data)
}

fn decimal_len(hash: HashKey) -> usize {
    hash.0.checked_ilog10().unwrap_or(0) as usize + 1
}
