//! From good rows to acknowledged records: queue, shards, aggregates, retries.
//!
//! [`queue`] is the way in, bounded in bytes; [`lanes`] decides, without I/O and without a clock, what may be put
//! next; [`astray`] holds what went to another shard than it was made for; [`writer`] starts each [`call`] and feeds its outcome back; [`pending`] collects the outcomes of one request's
//! rows.

mod astray;
mod call;
mod lanes;
mod pending;
mod queue;
mod writer;

pub(crate) use pending::{Outcome, Pending, Trouble};
pub(crate) use queue::{Queue, QueueRoom};
pub(crate) use writer::Writer;
