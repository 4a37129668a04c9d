//! The data plane of a Kinesis stream: what both the stage that writes it and the stages that read it need.
//!
//! One thin function for each AWS call (its limit, its documentation, an error that can be matched), the
//! Kinesis Producer Library's aggregate format, and the map from a partition key to its shard. The functions
//! take an [`aws_sdk_kinesis::Client`] and know how the service speaks; the modules [`aggregate`] and
//! [`hash`] are pure.
//!
//! Deliberately absent: retries, pacing, batching, leases, configuration and metrics. Each call is made once
//! (apart from what the client itself was told to repeat) and its outcome is handed back: how often and when
//! to try again is the stage's decision.

pub mod aggregate;
mod clock;
mod digests;
mod error;
mod fan_out;
pub mod hash;
mod read;
mod shards;
mod user_records;
mod write;

use std::pin::Pin;

/// A call on its way. Boxed: the body of an `async fn` is compiled again by every crate that awaits it, and that of a call to AWS
/// is large.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, StreamError>> + Send + 'a>>;

pub use clock::service_time;
pub use error::{ErrorKind, StreamError};
pub use fan_out::{
    PushedAnswer, RegisteredConsumer, Subscription, deregister_consumer, describe_consumer, register_consumer,
    stream_arn, subscribe,
};
pub use hash::{HashKey, ShardMap, ShardMapError};
pub use read::{
    ChildShard, MAX_RECORDS_PER_READ, ReadAnswer, ShardIterator, StartingAt, StreamRecord, get_records,
    get_shard_iterator,
};
pub use shards::{HashRange, Shard, ShardFilter, list_shards};
pub use user_records::user_records;
pub use write::{
    EntryError, MAX_ENTRIES_PER_PUT, MAX_PARTITION_KEY_CHARS, MAX_PUT_BYTES, PutAck, PutEntry, put_records,
};
