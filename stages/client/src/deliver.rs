//! Brings rows to the endpoint and remembers what became of them.

mod address;
pub(crate) mod answer;
pub(crate) mod backoff;
pub(crate) mod batch;
pub(crate) mod endpoint;
pub(crate) mod journal;
pub(crate) mod lane;
pub(crate) mod ledger;
pub(crate) mod ranges;
pub(crate) mod rejects;

/// A row's place among the rows that were chosen, counted from 0. The same options and the same file give each row
/// the same ordinal, and there are no gaps, so what is settled is nearly always one range.
pub(crate) type Ordinal = u64;
