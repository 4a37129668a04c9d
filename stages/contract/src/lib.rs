//! The contract between a buffer and a sink: a shard, a position that orders, a range, a record, an outcome.
//!
//! This crate is what lets a new buffer (Kafka, say) or a new sink (a warehouse) fit in without changing
//! anything else. It does no I/O, has no clock and names no service: a shard is a string, a position is a
//! decimal number with a sub-sequence, a record is bytes with a partition key and an arrival time.
//!
//! Deliberately absent: AWS and Kubernetes types, leases, retries, formats.

mod position;
mod record;
mod sink;

pub use position::{InvalidSequence, Position, Range, Sequence, ShardId};
pub use record::{ArrivalMillis, Record, Rejection};
pub use sink::{Applied, Batch, Pushed, Recipe, Sink, SinkError};
