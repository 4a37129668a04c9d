//! The numbers that a consumer shows. Shard names are the only labels that grow, and with the stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use parking_lot::Mutex;
use penstock_contract::{ArrivalMillis, ShardId};

use crate::lease::WorkerId;

const BEHIND: &str = "penstock_consumer_behind_latest_milliseconds";
const READ_RECORDS: &str = "penstock_consumer_read_records_total";
const ASTRAY: &str = "penstock_consumer_astray_aggregates_total";
const READ_BYTES: &str = "penstock_consumer_read_bytes_total";
const RANGES: &str = "penstock_consumer_committed_ranges_total";
const APPLIED: &str = "penstock_consumer_applied_records_total";
const DEAD_LETTERS: &str = "penstock_consumer_dead_letters_total";
const REPEATS: &str = "penstock_consumer_repeats_removed_total";
const RETRIES: &str = "penstock_consumer_retries_total";
const SHARD_RETRIES: &str = "penstock_consumer_shard_retries_total";
const LOST_RECORDS: &str = "penstock_consumer_lost_records_total";
const TRIMMED: &str = "penstock_consumer_trimmed_checkpoints_total";
const LEASES: &str = "penstock_consumer_leases";
const MOVES: &str = "penstock_consumer_lease_moves_total";
const HEARTBEAT: &str = "penstock_consumer_heartbeat_timestamp_seconds";
const OLDEST: &str = "penstock_consumer_oldest_unapplied_timestamp_seconds";
const STORED: &str = "penstock_consumer_stored_seconds";

/// Says what each number means. Harmless to call again.
pub(crate) fn describe() {
    describe_gauge!(
        BEHIND,
        Unit::Milliseconds,
        "How far reading of the shard is behind its newest record: as the latest read said, and when that was more than 15 \
         seconds ago, so much more. Alert well before the stream's retention: what is older than that is deleted unread. Look at \
         the retries first, then add shards."
    );
    describe_counter!(READ_RECORDS, "Records that were read from the shard, also those that were read again.");
    describe_counter!(
        ASTRAY,
        "Stream records that hold nothing, since the stream was resharded while they were put: a source made each for a shard          that was gone, saw that, and put its rows again. Some after each reshard are as it must be."
    );
    describe_counter!(READ_BYTES, Unit::Bytes, "Bytes that were read from the shard, also those read again.");
    describe_counter!(RANGES, "Ranges of the shard that were applied and committed.");
    describe_counter!(APPLIED, "Records that the sink stored.");
    describe_counter!(
        DEAD_LETTERS,
        "Records that could not be handled, by reason. They are in the dead letters' bucket with field and \
         message: mend the data or the Pipeline, then send them again."
    );
    describe_counter!(
        REPEATS,
        "Records that were left out, since a record with the same id came before within the window. Producers send \
         again when an answer is lost; a rate that stays high means that they do not get their answers in time, or that \
         somebody sends a file again."
    );
    describe_counter!(
        RETRIES,
        "Steps that did not succeed and are tried again, by concern and reason. Nothing is lost by them; a rate \
         that stays above zero means that a service throttles, fails or may not be used."
    );
    describe_counter!(
        SHARD_RETRIES,
        "Those of them that are about one shard. One shard that is tried again more than the others has a hot key, or a record \
         that its sink cannot store: look at the logs of the shard."
    );
    describe_counter!(
        LOST_RECORDS,
        "Records that the stream deleted while they waited to be stored again after a crash. They are lost unless \
         the crashed worker had stored them: compare the sink with its sources, and lengthen the retention."
    );
    describe_counter!(
        TRIMMED,
        "Times that reading resumed at a record that the stream had deleted. Records after it may have been deleted \
         unread: compare the sink with its sources, and lengthen the retention."
    );
    describe_gauge!(LEASES, "Shards that this worker reads.");
    describe_counter!(
        MOVES,
        "Leases that this worker took, gave back or lost. Without deployments, scaling and resharding there should be none: \
         leases that are lost again and again mean that workers cannot write their heartbeats in time. Look at the \
         retries of the concern `leases`."
    );
    describe_gauge!(
        HEARTBEAT,
        Unit::Seconds,
        "When this worker last moved its heartbeat, in seconds since the Unix epoch. Alert when that is 10 seconds ago: the \
         others take its leases then. Look at the lease table's throttling."
    );
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "When the oldest record arrived that was read from the shard and is not stored yet, in seconds since the Unix epoch; 0 \
         when there is none. It may be as old as the sink's rotation. Where it is older, the sink does not get on: look \
         at the retries of the concern `sink`."
    );
    describe_histogram!(
        STORED,
        Unit::Seconds,
        "From the arrival of a range's first record in the stream until the range is stored: of all its records that one waits \
         longest. It contains the sink's rotation. Where it is much more, look at how far reading is behind, and at the retries."
    );
}

/// The numbers of one consumer.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pipeline: String,
    sink: String,
}

impl Metrics {
    pub(crate) fn new(pipeline: String, sink: String) -> Self {
        Self { pipeline, sink }
    }

    pub(crate) fn leases(&self, count: usize) {
        #[allow(clippy::cast_precision_loss, reason = "a worker does not read 2^52 shards")]
        gauge!(LEASES, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone()).set(count as f64);
    }

    pub(crate) fn lease_taken(&self) {
        self.moved("taken");
    }

    pub(crate) fn lease_given_back(&self) {
        self.moved("given_back");
    }

    pub(crate) fn lease_lost(&self) {
        self.moved("lost");
    }

    fn moved(&self, how: &'static str) {
        counter!(MOVES, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone(), "how" => how).increment(1);
    }

    pub(crate) fn heartbeat(&self, worker: &WorkerId) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!(HEARTBEAT, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone(), "worker" => worker.to_string())
            .set(now.as_secs_f64());
    }

    pub(crate) fn retry(&self, concern: &'static str, reason: &'static str) {
        counter!(RETRIES, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone(),
                 "concern" => concern, "reason" => reason)
        .increment(1);
    }

    /// About a shard, beside [`Self::retry`].
    pub(crate) fn shard_retry(&self, shard: &str) {
        counter!(SHARD_RETRIES, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone(),
                 "shard" => shard.to_owned())
        .increment(1);
    }

    pub(crate) fn dead_letter(&self, reason: &str) {
        counter!(DEAD_LETTERS, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone(),
                 "reason" => reason.to_owned())
        .increment(1);
    }

    pub(crate) fn repeats(&self, count: u64) {
        counter!(REPEATS, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone()).increment(count);
    }

    pub(crate) fn lost_records(&self, count: u64) {
        counter!(LOST_RECORDS, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone()).increment(count);
    }

    pub(crate) fn trimmed_checkpoint(&self) {
        counter!(TRIMMED, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone()).increment(1);
    }

    /// How far reading of a shard is behind, in milliseconds.
    pub(crate) fn behind(&self, shard: &ShardId) -> Gauge {
        gauge!(BEHIND, &self.labels(shard))
    }

    pub(crate) fn shard(&self, shard: &ShardId) -> ShardMetrics {
        let labels = self.labels(shard);
        ShardMetrics {
            read_records: counter!(READ_RECORDS, &labels),
            astray_aggregates: counter!(ASTRAY, &labels),
            read_bytes: counter!(READ_BYTES, &labels),
            ranges: counter!(RANGES, &labels),
            applied: counter!(APPLIED, &labels),
            unapplied: Unapplied {
                gauge: gauge!(OLDEST, &labels),
                stored: histogram!(STORED, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone()),
                arrivals: Arc::default(),
            },
        }
    }

    fn labels(&self, shard: &ShardId) -> [(&'static str, String); 3] {
        [("pipeline", self.pipeline.clone()), ("sink", self.sink.clone()), ("shard", shard.as_str().to_owned())]
    }
}

/// The numbers of one shard.
pub(crate) struct ShardMetrics {
    pub(crate) read_records: Counter,
    pub(crate) astray_aggregates: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) ranges: Counter,
    pub(crate) applied: Counter,
    pub(crate) unapplied: Unapplied,
}

/// The ranges of a shard that are read and not stored yet, each with the arrival of its first record.
#[derive(Clone)]
pub(crate) struct Unapplied {
    gauge: Gauge,
    stored: Histogram,
    arrivals: Arc<Mutex<BTreeMap<u64, ArrivalMillis>>>,
}

/// A range that is not stored yet, until it is dropped.
pub(crate) struct Waiting {
    number: u64,
    arrival: ArrivalMillis,
    among: Unapplied,
}

impl Waiting {
    /// It is stored now. By this machine's clock: one that is wrong shows here, and nowhere else.
    pub(crate) fn stored(self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let arrival = Duration::from_millis(u64::try_from(self.arrival.0).unwrap_or(0));
        self.among.stored.record(now.saturating_sub(arrival).as_secs_f64());
    }
}

impl Unapplied {
    /// A range begins with a record that arrived then.
    pub(crate) fn begin(&self, arrival: ArrivalMillis) -> Waiting {
        let mut arrivals = self.arrivals.lock();
        let number = arrivals.last_key_value().map_or(0, |(number, _)| number + 1);
        arrivals.insert(number, arrival);
        self.show(&arrivals);
        Waiting { number, arrival, among: self.clone() }
    }

    fn show(&self, arrivals: &BTreeMap<u64, ArrivalMillis>) {
        #[allow(clippy::cast_precision_loss, reason = "exact up to the year 287396")]
        self.gauge.set(arrivals.first_key_value().map_or(0.0, |(_, arrival)| arrival.0 as f64 / 1000.0));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut arrivals = self.among.arrivals.lock();
        arrivals.remove(&self.number);
        self.among.show(&arrivals);
    }
}
