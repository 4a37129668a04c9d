//! The aggregate format of the Kinesis Producer Library: many user records in one stream record.
//!
//! `F3 89 9A C2`, then a protobuf message, then the MD5 of that message
//! (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>):
//!
//! ```text
//! AggregatedRecord { 1: repeated string partition_key_table; 2: repeated string explicit_hash_key_table;
//!                    3: repeated Record }
//! Record { 1: uint64 partition_key_index; 2: optional uint64 explicit_hash_key_index; 3: bytes data;
//!          4: repeated Tag (never used) }
//! ```
//!
//! Whatever is not exactly that is a record as it stands: nothing is guessed and nothing is thrown away.

mod decode;
mod encode;
mod wire;

pub use decode::{Deaggregated, Member, Members, deaggregate};
pub(crate) use decode::{digests_match, open};
pub use encode::{Aggregate, Aggregator, Full};

/// What every aggregate begins with.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// The length of the MD5 that every aggregate ends with.
const DIGEST_LEN: usize = 16;

/// The partition key of an aggregate; its shard is chosen by explicit hash key. The KPL's own choice.
const AGGREGATE_KEY: &str = "a";
/// The partition key of an aggregate that says which shard it was made for begins so, and goes on with the shard's name.
const MADE_FOR: &str = "penstock-for/";

/// The shard that an aggregate with this partition key was made for, if its producer says so.
#[must_use]
pub fn made_for(partition_key: &str) -> Option<&str> {
    partition_key.strip_prefix(MADE_FOR)
}

/// Whether the bytes begin as an aggregate does, which says nothing about the rest.
#[must_use]
pub fn begins_like_one(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

#[cfg(test)]
mod tests;
