//! Opening aggregates: checked whole in a first pass, handed out without copies in a second.

use std::sync::Arc;

use bytes::Bytes;

use super::wire::{Fields, Malformed, Value};
use super::{DIGEST_LEN, MAGIC};
use crate::digests::digests;
use crate::{HashKey, HashRange};

/// What a stream record turned out to be.
#[derive(Debug)]
pub enum Deaggregated {
    /// A record as it stands.
    Raw,
    /// An aggregate; it has at least one member.
    Aggregate(Members),
}

/// A member of an aggregate. Its data is handed out as it stands, also when it looks like an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The partition key that its producer gave it.
    pub partition_key: Arc<str>,
    /// Chooses the shard in place of the key's own hash.
    pub explicit_hash_key: Option<HashKey>,
    /// Its bytes: a slice of the aggregate's.
    pub data: Bytes,
}

/// The members of an aggregate, in order: the sub-sequence is the place, from 0.
#[derive(Debug)]
pub struct Members {
    /// The protobuf message; checked.
    message: Bytes,
    /// How much of it was read.
    read: usize,
    left: usize,
    partition_keys: Vec<Arc<str>>,
    hash_keys: Vec<HashKey>,
}

impl Members {
    /// Whether the hash key of every member is in the range.
    #[must_use]
    pub fn all_within(&self, range: &HashRange) -> bool {
        // Members share few keys, and hashing is what costs.
        let of_keys: Vec<_> =
            self.partition_keys.iter().map(|key| range.holds(HashKey::of_partition_key(key))).collect();
        let mut fields = Fields::of(&self.message);
        // The message was checked, so it ends without an error.
        while let Ok(Some((field, value))) = fields.next() {
            let (3, Value::Bytes(member)) = (field, value) else { continue };
            let Ok(member) = read_member(member) else { continue };
            let own = member.hash_index.and_then(|index| self.hash_keys.get(index)).map(|hash| range.holds(*hash));
            if !own.or_else(|| of_keys.get(member.key_index).copied()).unwrap_or(true) {
                return false;
            }
        }
        true
    }
}

/// Opens an aggregate. A record that is too short, has another beginning, a digest that does not match, a
/// message that is not what it should be, or no members at all is [`Deaggregated::Raw`].
#[must_use]
pub fn deaggregate(data: &Bytes) -> Deaggregated {
    match digests_match([data].into_iter())[..] {
        [true] => open(data),
        _ => Deaggregated::Raw,
    }
}

/// Says of each record whether it may be an aggregate: it begins like one, and ends with the digest of its message. For
/// several records together that is much cheaper than for one after the other.
pub(crate) fn digests_match<'a>(records: impl Iterator<Item = &'a Bytes> + Clone) -> Vec<bool> {
    let messages: Vec<_> = records.clone().filter_map(|data| Some(parts(data)?.0)).collect();
    let mut digests = digests(&messages).into_iter();
    // There is a digest for each record that has parts.
    let matches =
        |data: &Bytes| parts(data).is_some_and(|(_, digest)| digests.next().is_some_and(|made| made == *digest));
    records.map(matches).collect()
}

/// Message and digest of what begins like an aggregate.
fn parts(data: &[u8]) -> Option<(&[u8], &[u8; DIGEST_LEN])> {
    data.strip_prefix(&MAGIC)?.split_last_chunk().filter(|(message, _)| !message.is_empty())
}

/// Opens what [`digests_match`] says may be an aggregate.
pub(crate) fn open(data: &Bytes) -> Deaggregated {
    let Some((message, _)) = parts(data) else { return Deaggregated::Raw };
    match check(message) {
        Ok(tables) if tables.members > 0 => Deaggregated::Aggregate(Members {
            message: data.slice_ref(message),
            read: 0,
            left: tables.members,
            partition_keys: tables.partition_keys,
            hash_keys: tables.hash_keys,
        }),
        _ => Deaggregated::Raw,
    }
}

#[derive(Default)]
struct Tables {
    partition_keys: Vec<Arc<str>>,
    hash_keys: Vec<HashKey>,
    members: usize,
}

/// Reads the tables and sees to it that every member is complete and refers to what is there. The tables
/// need not stand before the members.
fn check(message: &[u8]) -> Result<Tables, Malformed> {
    let mut tables = Tables::default();
    let (mut keys_needed, mut hashes_needed) = (0, 0);
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(key)) => tables.partition_keys.push(text(key)?.into()),
            (2, Value::Bytes(hash)) => tables.hash_keys.push(text(hash)?.parse().map_err(|_| Malformed)?),
            (3, Value::Bytes(member)) => {
                let member = read_member(member)?;
                keys_needed = keys_needed.max(member.key_index.checked_add(1).ok_or(Malformed)?);
                if let Some(index) = member.hash_index {
                    hashes_needed = hashes_needed.max(index.checked_add(1).ok_or(Malformed)?);
                }
                tables.members += 1;
            }
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    if keys_needed > tables.partition_keys.len() || hashes_needed > tables.hash_keys.len() {
        return Err(Malformed);
    }
    Ok(tables)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

struct RawMember<'a> {
    key_index: usize,
    hash_index: Option<usize>,
    data: &'a [u8],
}

fn read_member(message: &[u8]) -> Result<RawMember<'_>, Malformed> {
    let index = |number: u64| usize::try_from(number).map_err(|_| Malformed);
    let (mut key_index, mut hash_index, mut data) = (None, None, None);
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Number(number)) => key_index = Some(index(number)?),
            (2, Value::Number(number)) => hash_index = Some(index(number)?),
            (3, Value::Bytes(bytes)) => data = Some(bytes),
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(RawMember { key_index: key_index.ok_or(Malformed)?, hash_index, data: data.ok_or(Malformed)? })
}

impl Iterator for Members {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        // The message was checked: an error cannot happen, and would only end the members early.
        let unread = &self.message[self.read..];
        let mut fields = Fields::of(unread);
        let member = loop {
            if let (3, Value::Bytes(member)) = fields.next().ok()?? {
                break read_member(member).ok()?;
            }
        };
        let partition_key = self.partition_keys.get(member.key_index)?.clone();
        let explicit_hash_key = member.hash_index.and_then(|index| self.hash_keys.get(index)).copied();
        let data = self.message.slice_ref(member.data);
        self.read = self.message.len() - fields.unread();
        self.left -= 1;
        Some(Member { partition_key, explicit_hash_key, data })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Members {}
