//! How a source puts rows into its stream: pure.
//!
//! Each shard has a lane with one aggregate in flight; what comes meanwhile goes with the next one, and where requests come
//! side by side their rows are gathered for a moment first. Aggregates that start together share a call
//! (`stages/ingest/src/put/lanes.rs`). So how full an aggregate is follows from how many requests come while a call is under way.

use super::load::{KB, Load};

/// The largest aggregate.
const MAX_AGGREGATE: f64 = 250.0 * KB;
/// What the service counts as one.
pub(super) const PUT_UNIT: f64 = 25.0 * KB;
/// What an aggregate has besides its rows: magic, digest, and its own partition key.
const AGGREGATE_BYTES: f64 = 4.0 + 16.0 + 33.0;
/// What a row takes in an aggregate besides its bytes: tags, lengths, the place of its key.
const MEMBER_BYTES: f64 = 8.0;
/// What a partition key takes, with tag and length. Keys differ; next to rows they are little.
const KEY_BYTES: f64 = 18.0;
/// The most bytes of a call.
const MAX_CALL: f64 = 512.0 * KB;
/// How long rows are gathered where requests come side by side, in seconds.
const GATHERING: f64 = 0.002;
/// Rows in one call that are not aggregated.
const MAX_ENTRIES: f64 = 500.0;

/// What a source asks of its stream, a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Puts {
    /// `PutRecords`.
    pub(super) calls: f64,
    /// Stream records.
    pub(super) records: f64,
    /// PUT payload units.
    pub(super) units: f64,
    /// Bytes of stream records.
    pub(super) bytes: f64,
}

impl std::ops::AddAssign for Puts {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.records += other.records;
        self.units += other.units;
        self.bytes += other.bytes;
    }
}

/// A source's puts: so many rows a second, taken by so many pods.
pub(super) fn puts(rows: f64, pods: f64, aggregated: bool, shards: f64, load: &Load) -> Puts {
    if rows <= 0.0 {
        return Puts::default();
    }
    let requests = rows / load.rows_per_request / pods;
    let turn = load.call_seconds + GATHERING * (1.0 - nothing_comes(requests, load.call_seconds));
    let lanes = shards * pods;
    let parts = requests * shards_of_request(shards, load) / shards;
    let rows_per_batch = rows / lanes / turns(parts, turn);
    let put =
        if aggregated { aggregates(rows, rows_per_batch, load) } else { singles(rows, lanes, rows_per_batch, load) };
    // What may start at one time shares a call: each request makes one, until they come faster than it is a lane's turn.
    let calls = (pods * requests.min(1.0 / turn)).max(put.bytes / MAX_CALL).min(put.calls);
    Puts { calls, ..put }
}

/// How many shards the rows of one request go to. Each key goes to any shard with the same chance.
fn shards_of_request(shards: f64, load: &Load) -> f64 {
    let other_key = 1.0 / load.rows_per_key;
    // A shard is missed by the first key, and by each other key, if there is another.
    let missed = (1.0 - 1.0 / shards) * (1.0 - other_key / shards).powf(load.rows_per_request - 1.0);
    shards * (1.0 - missed)
}

/// How often it is a lane's turn in a second, when what is for it comes so often, by chance. A turn takes its time; the next begins
/// at once if anything has come meanwhile, else with the next that comes.
fn turns(parts_per_second: f64, turn_seconds: f64) -> f64 {
    1.0 / (turn_seconds + nothing_comes(parts_per_second, turn_seconds) / parts_per_second)
}

/// The chance that nothing comes in a time.
fn nothing_comes(parts_per_second: f64, seconds: f64) -> f64 {
    (-parts_per_second * seconds).exp()
}

fn aggregates(rows: f64, rows_per_call: f64, load: &Load) -> Puts {
    let member = load.row_bytes + MEMBER_BYTES + KEY_BYTES / load.rows_per_key;
    let most = ((MAX_AGGREGATE - AGGREGATE_BYTES) / member).floor().max(1.0);
    // More than fits into one aggregate: the lane makes its calls more often, each full.
    let per_call = rows_per_call.clamp(1.0, most);
    let calls = rows / per_call;
    // A row that stays alone goes as it is.
    let around = if per_call > 1.5 { AGGREGATE_BYTES } else { 0.0 };
    let bytes = per_call * member + around;
    // Rows come in groups of a key, whose sizes differ: the variance is that of groups by chance.
    let deviation = if per_call < most { (per_call * (2.0 * load.rows_per_key - 1.0)).sqrt() * member } else { 0.0 };
    Puts { calls, records: calls, units: calls * mean_units(bytes, deviation, PUT_UNIT), bytes: calls * bytes }
}

/// Rows as they are. One call takes one row of a key: the next waits until the first is stored.
fn singles(rows: f64, lanes: f64, rows_per_call: f64, load: &Load) -> Puts {
    let per_call = (rows_per_call / load.rows_per_key).clamp(1.0, MAX_ENTRIES);
    let calls = (rows / per_call).min(lanes / load.call_seconds);
    Puts { calls, ..unaggregated(rows, load) }
}

/// Rows that are records each.
pub(super) fn unaggregated(rows: f64, load: &Load) -> Puts {
    let record = load.row_bytes + KEY_BYTES;
    Puts { calls: rows, records: rows, units: rows * (record / PUT_UNIT).ceil(), bytes: rows * record }
}

/// The mean of how many units a size comes to that lies around a mean, the last unit counting as a whole.
fn mean_units(mean: f64, deviation: f64, unit: f64) -> f64 {
    // Whatever there is comes to one; to one more with the chance that it is larger than that.
    let (mean, deviation) = (mean / unit, deviation / unit);
    let mut units = 1.0;
    let mut more_than = 1.0;
    while more_than < mean + 6.0 * deviation {
        units += chance_above(more_than, mean, deviation);
        more_than += 1.0;
    }
    units
}

/// The chance that a size is above a limit.
fn chance_above(limit: f64, mean: f64, deviation: f64) -> f64 {
    if deviation <= 0.0 {
        return if mean > limit { 1.0 } else { 0.0 };
    }
    0.5 * (1.0 - error_function((limit - mean) / deviation / std::f64::consts::SQRT_2))
}

/// The error function, to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
fn error_function(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let sum =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use penstock_contract::ShardId;
    use penstock_stream::aggregate::Aggregator;

    use super::super::load::any;
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) -> bool {
        (found - expected).abs() <= tolerance * expected
    }

    #[test]
    fn few_rows_go_each_by_itself() {
        let puts = puts(10.0, 1.0, true, 4.0, &any());
        assert!(near(puts.calls, 10.0, 0.05), "{puts:?}");
        assert_eq!(puts.units, puts.records);
    }

    #[test]
    fn many_rows_fill_their_units() {
        // A shard's whole megabyte a second, with calls as slow as the service's slowest.
        let load = Load { call_seconds: 0.3, ..any() };
        let rows = 3_700.0;
        let puts = puts(rows, 1.0, true, 1.0, &load);
        assert!(puts.bytes / (puts.units * PUT_UNIT) > 0.97, "{puts:?}");
        assert!(puts.bytes / rows < 280.0, "{puts:?}");
    }

    #[test]
    fn rows_that_come_during_a_call_go_together() {
        let puts = puts(1_000.0, 1.0, true, 1.0, &any());
        // While a call takes 15 ms, and rows are gathered for 2, 17 rows come.
        assert!(near(puts.calls, 1_000.0 / 17.0, 0.01), "{puts:?}");
        assert!(near(puts.units, puts.calls, 0.001), "{puts:?}");
    }

    #[test]
    fn shards_share_calls_until_a_call_is_full() {
        let few = puts(1_000.0, 1.0, true, 4.0, &any());
        assert!(near(few.calls, 1_000.0 / 17.0, 0.01) && near(few.records, 4.0 * few.calls, 0.03), "{few:?}");
        let many = puts(200_000.0, 1.0, true, 64.0, &any());
        assert!(near(many.calls, many.bytes / MAX_CALL, 1e-6), "{many:?}");
    }

    #[test]
    fn a_request_with_many_keys_goes_to_all_shards_and_with_one_to_one() {
        let many = Load { rows_per_request: 100.0, ..any() };
        assert!(near(shards_of_request(4.0, &many), 4.0, 1e-6));
        let one = Load { rows_per_key: 1e9, ..many };
        assert!(near(shards_of_request(4.0, &one), 1.0, 1e-6));
    }

    #[test]
    fn rows_that_are_not_aggregated_are_units_each() {
        let puts = puts(1_000.0, 1.0, false, 4.0, &any());
        assert_eq!((puts.units, puts.records), (1_000.0, 1_000.0));
    }

    #[test]
    fn the_size_of_an_aggregate_is_that_of_the_encoder() {
        let mut aggregator = Aggregator::made_for(250 * 1024, &ShardId::new("shardId-000000000000"));
        for number in 0..200 {
            let key: Arc<str> = format!("key-{number:012}").into();
            aggregator.push(&key, None, Bytes::from(vec![b'x'; 250])).unwrap();
        }
        let puts = aggregates(200.0, 200.0, &any());
        assert_eq!(aggregator.len(), 200);
        assert!(near(puts.bytes, aggregator.record_len() as f64, 0.01), "{puts:?} {}", aggregator.record_len());
    }

    #[test]
    fn units_are_counted_up() {
        assert_eq!(mean_units(10.0, 0.0, 25.0), 1.0);
        assert_eq!(mean_units(26.0, 0.0, 25.0), 2.0);
        assert!(near(mean_units(25.0, 5.0, 25.0), 1.5, 1e-3));
        assert!((error_function(0.5) - 0.520_499_9).abs() < 1e-6 && (error_function(-0.5) + 0.520_499_9).abs() < 1e-6);
    }
}
