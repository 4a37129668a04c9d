//! The load that is priced, and what is said about its rows.

use std::collections::BTreeMap;

use serde::Serialize;

/// Hours of a month, as AWS's own calculator counts them.
pub(super) const MONTH_HOURS: f64 = 730.0;
pub(super) const HOUR_SECONDS: f64 = 3_600.0;
pub(super) const DAY_HOURS: f64 = 24.0;
/// What AWS calls a GB on these bills.
pub(super) const GB: f64 = (1_u64 << 30) as f64;
pub(super) const KB: f64 = 1_024.0;

/// What comes in, and what it is like.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Load {
    /// Rows a second, over all sources, while there is load.
    pub(super) rows_per_second: f64,
    /// Bytes of a row as JSON.
    pub(super) row_bytes: f64,
    /// Rows in a request.
    pub(super) rows_per_request: f64,
    /// Rows with the same key that come one after the other.
    pub(super) rows_per_key: f64,
    /// Hours of a day with load.
    pub(super) hours_per_day: f64,
    /// How long objects and items are kept, in hours.
    pub(super) keep_hours: f64,
    /// How long a call to a service takes, in seconds.
    pub(super) call_seconds: f64,
    /// What compression leaves of the bytes of an object.
    pub(super) compressed_to: f64,
    /// The share of the rows that a table takes, where it is not all.
    pub(super) shares: BTreeMap<String, f64>,
    /// How many values the fields in the key of an S3 sink have.
    pub(super) prefixes: Option<f64>,
}

impl Load {
    /// Seconds with load in a month.
    pub(super) fn busy_seconds(&self) -> f64 {
        MONTH_HOURS * HOUR_SECONDS * self.hours_per_day / DAY_HOURS
    }

    /// Seconds without.
    pub(super) fn idle_seconds(&self) -> f64 {
        MONTH_HOURS * HOUR_SECONDS - self.busy_seconds()
    }

    /// How many keys there are among so many rows of a shard that come in a stretch of time. A key's rows come one after
    /// the other, all into one of the shards: of each key that the stretch cuts off, a shard has its part by chance.
    pub(super) fn keys_among(&self, rows: f64, shards: f64) -> f64 {
        let whole = rows / self.rows_per_key;
        (whole + (1.0 - 1.0 / self.rows_per_key) / shards).max(rows.min(1.0))
    }

    /// How many bytes that come in at such a rate are kept at a time, in GB, when they are kept for so many hours.
    pub(super) fn kept_gb(&self, bytes_per_second: f64, hours: f64) -> f64 {
        bytes_per_second * self.hours_per_day / DAY_HOURS * hours * HOUR_SECONDS / GB
    }
}

#[cfg(test)]
pub(super) fn any() -> Load {
    Load {
        rows_per_second: 1_000.0,
        row_bytes: 250.0,
        rows_per_request: 1.0,
        rows_per_key: 1.0,
        hours_per_day: 24.0,
        keep_hours: 720.0,
        call_seconds: 0.015,
        compressed_to: 0.2,
        shares: BTreeMap::new(),
        prefixes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_shared_out_among_hours_with_and_without_load() {
        let load = Load { hours_per_day: 6.0, ..any() };
        assert_eq!(load.busy_seconds() + load.idle_seconds(), 730.0 * 3_600.0);
        assert_eq!(load.busy_seconds() * 3.0, load.idle_seconds());
    }

    #[test]
    fn rows_of_one_key_stand_together() {
        let load = Load { rows_per_key: 20.0, ..any() };
        assert_eq!((load.keys_among(0.5, 4.0), load.keys_among(1.0, 4.0)), (0.5, 1.0));
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(near(load.keys_among(41.0, 1.0), 3.0) && near(load.keys_among(41.0, 1e12), 2.05));
        assert!(near(any().keys_among(41.0, 4.0), 41.0));
    }
}
