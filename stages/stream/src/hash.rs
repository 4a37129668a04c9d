//! From a partition key to its shard.
//!
//! Kinesis takes the MD5 of the partition key as a 128-bit integer, most significant byte first, and gives
//! the record to the open shard whose range of hash keys holds it
//! (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>).

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};
use penstock_contract::ShardId;

use crate::shards::Shard;

/// A point in the space of hash keys, `0..=2^128-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The smallest hash key.
    pub const MIN: Self = Self(0);
    /// The largest hash key.
    pub const MAX: Self = Self(u128::MAX);

    /// The hash key of a partition key.
    #[must_use]
    pub fn of_partition_key(key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(key.as_bytes()).into()))
    }
}

/// In decimal, as the service writes it.
impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HashKey {
    type Err = std::num::ParseIntError;
    fn from_str(decimal: &str) -> Result<Self, Self::Err> {
        decimal.parse().map(Self)
    }
}

/// The open shards of a stream: says which one takes a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMap {
    /// First hash key of each open shard, ascending; the first is 0, and each range ends where the next begins.
    starts: Vec<HashKey>,
    shards: Vec<ShardId>,
}

/// A listing whose open shards do not cover the hash keys exactly once: it was taken while the stream was
/// being resharded. List again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardMapError {
    /// Nothing takes the hash keys from here on.
    #[error("no open shard takes the hash keys from {from} on: the stream is being resharded, list its shards again")]
    Hole {
        /// The first hash key that nothing takes.
        from: HashKey,
    },
    /// Two shards take the same hash keys.
    #[error("two open shards take the hash key {at}, one of them {shard}: list the shards again")]
    Overlap {
        /// The first hash key that two shards take.
        at: HashKey,
        /// The second of them.
        shard: ShardId,
    },
}

impl ShardMap {
    /// Arranges the open ones among the listed shards; closed ones are left out.
    ///
    /// # Errors
    /// When their ranges leave a hole or overlap.
    pub fn new<'a>(listed: impl IntoIterator<Item = &'a Shard>) -> Result<Self, ShardMapError> {
        let mut open: Vec<&Shard> = listed.into_iter().filter(|shard| shard.is_open()).collect();
        open.sort_unstable_by_key(|shard| shard.hash_range.start);
        let mut next = Some(HashKey::MIN);
        for shard in &open {
            match next {
                Some(expected) if shard.hash_range.start > expected => {
                    return Err(ShardMapError::Hole { from: expected });
                }
                Some(expected) if shard.hash_range.start == expected => {}
                _ => return Err(ShardMapError::Overlap { at: shard.hash_range.start, shard: shard.id.clone() }),
            }
            next = shard.hash_range.end_inclusive.0.checked_add(1).map(HashKey);
        }
        if let Some(from) = next {
            return Err(ShardMapError::Hole { from });
        }
        Ok(Self {
            starts: open.iter().map(|shard| shard.hash_range.start).collect(),
            shards: open.iter().map(|shard| shard.id.clone()).collect(),
        })
    }

    /// The shard that takes the hash key.
    #[must_use]
    pub fn shard_for(&self, key: HashKey) -> &ShardId {
        &self.shards[self.index_for(key)]
    }

    /// The place of that shard in [`Self::shards`].
    #[must_use]
    pub fn index_for(&self, key: HashKey) -> usize {
        // The first range starts at 0, so at least one start is not above the key.
        self.starts.partition_point(|start| *start <= key) - 1
    }

    /// The open shards in the order of their hash keys; never empty.
    #[must_use]
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// The first hash key of the shard at this place in [`Self::shards`].
    #[must_use]
    pub fn start_of(&self, index: usize) -> Option<HashKey> {
        self.starts.get(index).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::shards::HashRange;
    use penstock_contract::Sequence;

    fn shard(id: &str, start: u128, end: u128, open: bool) -> Shard {
        let sequence = |text: &str| Sequence::parse(text).unwrap();
        Shard {
            id: ShardId::new(id),
            parents: Vec::new(),
            hash_range: HashRange { start: HashKey(start), end_inclusive: HashKey(end) },
            starting_sequence: sequence("1"),
            ending_sequence: (!open).then(|| sequence("9")),
        }
    }

    #[test]
    fn the_hash_key_is_the_md5_read_as_a_big_endian_number() {
        // md5("a") = 0cc175b9c0f1b6a831c399e269772661
        assert_eq!(HashKey::of_partition_key("a"), HashKey(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661));
        assert_eq!("340282366920938463463374607431768211455".parse(), Ok(HashKey::MAX));
        assert!("340282366920938463463374607431768211456".parse::<HashKey>().is_err());
    }

    #[test]
    fn each_hash_key_belongs_to_the_shard_whose_range_holds_it() {
        let half = 1u128 << 127;
        let shards =
            [shard("c", half, u128::MAX, true), shard("old", 0, u128::MAX, false), shard("b", 0, half - 1, true)];
        let map = ShardMap::new(&shards).unwrap();
        let found = [0, half - 1, half, u128::MAX].map(|key| map.shard_for(HashKey(key)).as_str());
        assert_eq!(found, ["b", "b", "c", "c"]);
        assert_eq!(map.start_of(1), Some(HashKey(half)));
    }

    #[test]
    fn a_listing_with_holes_or_overlaps_is_refused() {
        let hole = |shards: &[Shard]| ShardMap::new(shards).unwrap_err();
        assert_eq!(hole(&[]), ShardMapError::Hole { from: HashKey(0) });
        assert_eq!(hole(&[shard("a", 0, 9, true)]), ShardMapError::Hole { from: HashKey(10) });
        assert_eq!(hole(&[shard("a", 5, u128::MAX, true)]), ShardMapError::Hole { from: HashKey(0) });
        let overlap = ShardMapError::Overlap { at: HashKey(9), shard: ShardId::new("b") };
        assert_eq!(hole(&[shard("a", 0, 9, true), shard("b", 9, u128::MAX, true)]), overlap);
        let after_the_last = ShardMapError::Overlap { at: HashKey(9), shard: ShardId::new("b") };
        assert_eq!(hole(&[shard("a", 0, u128::MAX, true), shard("b", 9, 10, true)]), after_the_last);
    }
}
