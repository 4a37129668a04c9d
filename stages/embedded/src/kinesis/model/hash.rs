//! Hash keys: which shard a partition key belongs to.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hash key: an integer below 2^128, in decimal on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HashKey(pub(crate) u128);

impl HashKey {
    /// The MD5 of the partition key, as the service maps keys to shards.
    pub(crate) fn of_partition_key(key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(key.as_bytes()).into()))
    }

    /// The service's pattern of hash keys.
    pub(crate) const PATTERN: &str = "0|([1-9]\\d{0,38})";

    /// Whether a text has the pattern; it may still be too large.
    pub(crate) fn is_well_formed(text: &str) -> bool {
        let canonical = text == "0" || !text.starts_with('0');
        canonical && (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    }

    /// Reads a well-formed text below 2^128.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if Self::is_well_formed(text) { text.parse().ok().map(Self) } else { None }
    }
}

impl std::fmt::Display for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for HashKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HashKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a hash key"))
    }
}

/// The hash keys of a shard: both ends belong to it, as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HashRange {
    pub(crate) start: HashKey,
    pub(crate) end: HashKey,
}

impl HashRange {
    pub(crate) fn contains(self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// Whether `next` begins where this range ends.
    pub(crate) fn is_followed_by(self, next: Self) -> bool {
        self.end.0.checked_add(1) == Some(next.start.0)
    }
}

/// Cuts the key space into `count` equal ranges, the last one taking what is left over.
pub(crate) fn uniform(count: u32) -> Vec<HashRange> {
    let count = u128::from(count.max(1));
    if count == 1 {
        return vec![HashRange { start: HashKey(0), end: HashKey(u128::MAX) }];
    }
    // floor(2^128 / count), where 2^128 itself does not fit.
    let size = u128::MAX / count + u128::from(u128::MAX % count == count - 1);
    (0..count)
        .map(|i| HashRange {
            start: HashKey(size * i),
            end: HashKey(if i == count - 1 { u128::MAX } else { size * (i + 1) - 1 }),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn uniform_ranges_cover_the_key_space_without_gaps() {
        for count in [1, 2, 3, 4, 5, 7, 16, 100, 999, 10_000] {
            let ranges = uniform(count);
            assert_eq!(ranges.len(), count as usize);
            assert_eq!(ranges[0].start.0, 0);
            assert_eq!(ranges.last().unwrap().end.0, u128::MAX);
            assert!(ranges.windows(2).all(|pair| pair[0].is_followed_by(pair[1])));
        }
    }

    #[test]
    fn four_shards_start_where_the_service_starts_them() {
        assert_eq!(uniform(4)[1].start.to_string(), "85070591730234615865843651857942052864");
    }

    #[test]
    fn a_partition_key_hashes_as_the_service_hashes_it() {
        // MD5("partitionKey-1") as a big-endian integer.
        let digest = hex::encode(HashKey::of_partition_key("a").0.to_be_bytes());
        assert_eq!(digest, "0cc175b9c0f1b6a831c399e269772661");
    }

    #[test]
    fn only_canonical_decimals_below_two_to_the_128_are_hash_keys() {
        assert_eq!(HashKey::parse("0"), Some(HashKey(0)));
        assert_eq!(HashKey::parse("340282366920938463463374607431768211455"), Some(HashKey(u128::MAX)));
        for bad in ["", "00", "01", "-1", "+1", "1a", "340282366920938463463374607431768211456"] {
            assert_eq!(HashKey::parse(bad), None, "{bad}");
        }
    }
}
