//! The numbers that a consumer shows. Shard names are the only labels that grow, and with the stream.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use penstock_contract::ShardId;

const BEHIND: &str = "penstock_consumer_behind_latest_milliseconds";
const READ_RECORDS: &str = "penstock_consumer_read_records_total";
const READ_BYTES: &str = "penstock_consumer_read_bytes_total";
const RANGES: &str = "penstock_consumer_committed_ranges_total";
const APPLIED: &str = "penstock_consumer_applied_records_total";
const DEAD_LETTERS: &str = "penstock_consumer_dead_letters_total";
const REPEATS: &str = "penstock_consumer_repeats_removed_total";
const RETRIES: &str = "penstock_consumer_retries_total";
const LOST_RECORDS: &str = "penstock_consumer_lost_records_total";
const TRIMMED: &str = "penstock_consumer_trimmed_checkpoints_total";
const LEASES: &str = "penstock_consumer_leases";

/// Says what each number means. Harmless to call again.
pub(crate) fn describe() {
    describe_gauge!(
        BEHIND,
        Unit::Milliseconds,
        "How far the latest read of the shard was behind its newest record. Alert well before the stream's \
         retention: what is older than that is deleted unread. Look at the retries first, then add shards."
    );
    describe_counter!(READ_RECORDS, "Records that were read from the shard, also those that were read again.");
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

    pub(crate) fn retry(&self, concern: &'static str, reason: &'static str) {
        counter!(RETRIES, "pipeline" => self.pipeline.clone(), "sink" => self.sink.clone(),
                 "concern" => concern, "reason" => reason)
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

    pub(crate) fn shard(&self, shard: &ShardId) -> ShardMetrics {
        let labels =
            [("pipeline", self.pipeline.clone()), ("sink", self.sink.clone()), ("shard", shard.as_str().to_owned())];
        ShardMetrics {
            behind: gauge!(BEHIND, &labels),
            read_records: counter!(READ_RECORDS, &labels),
            read_bytes: counter!(READ_BYTES, &labels),
            ranges: counter!(RANGES, &labels),
            applied: counter!(APPLIED, &labels),
        }
    }
}

/// The numbers of one shard. When its work here ends, whatever the end, it is not behind any more as far as
/// this worker is concerned: the next owner says how it stands.
pub(crate) struct ShardMetrics {
    pub(crate) behind: Gauge,
    pub(crate) read_records: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) ranges: Counter,
    pub(crate) applied: Counter,
}

impl Drop for ShardMetrics {
    fn drop(&mut self) {
        self.behind.set(0.0);
    }
}
