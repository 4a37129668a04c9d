//! From good rows to acknowledged records: queue, shards, aggregates, retries.
//!
//! [`lanes`] decides, without I/O and without a clock, what may be put next; [`writer`] makes the calls and
//! feeds their outcomes back; [`pending`] collects the outcomes of one request's rows.

mod lanes;
mod pending;
mod writer;

pub(crate) use pending::{Outcome, Pending, Trouble};
pub(crate) use writer::{Queue, QueueRoom, Writer};
