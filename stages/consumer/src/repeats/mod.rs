//! Repeats: records that a producer put into the stream a second time, because an answer was lost or a file was sent
//! again. They count once.
//!
//! **The rule.** The log of a shard goes on the logs of its parents (merged by arrival), whose records come before its
//! own. A record with an id is a repeat when the last record before it in this log that has the same id
//! is at most [`RepeatWindow::records`] records with ids back, and arrived at most [`RepeatWindow::millis`] earlier.
//!
//! So whether a record is a repeat depends on nothing but the stream: not on the worker, on what it read before, or on
//! the sink. A range that is applied again after a crash leaves out the same records. Nothing is stored for it: the
//! worker remembers a fingerprint of each id within the window, and whoever takes a shard over reads the window
//! again before it judges its first record.
//!
//! Memory is bounded by the window: some 25 bytes an id for at most `records` ids and those of the ranges in memory.
//!
//! What it supposes: arrival times of one shard run back by less than [`SKEW`], and the window is still in the stream. A
//! sink that is behind by nearly the whole retention may see a repeat whose first appearance is deleted, and stores it.

mod id;
mod judge;
mod log;
mod memory;
mod window;

use std::time::Duration;

use penstock_api::plan::SinkStage;
use serde::{Deserialize, Serialize};

pub(crate) use judge::{Judge, Known};

/// How far arrival times of one shard may run back (they are approximate: GetRecords API reference).
pub(crate) const SKEW: Duration = Duration::from_secs(30);

/// How far back a record with the same id makes a record a repeat. Pinned together with a range, as it decides what of
/// the range is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepeatWindow {
    /// The field that holds a record's id. Records without it, or that are no JSON objects, are never repeats.
    pub id_field: String,
    /// The longest time between the arrivals of the two, in milliseconds.
    pub millis: u64,
    /// The greatest number of records with ids from one to the other.
    pub records: u64,
}

impl RepeatWindow {
    /// What a stage's configuration says.
    pub(crate) fn of(sink: &SinkStage) -> Option<Self> {
        let (id_field, window) = (sink.id_field.clone()?, sink.duplicates?);
        Some(Self { id_field, millis: window.millis, records: window.records })
    }
}
