//! What the sink counts. Labels: pipeline, sink and table, all of them from the configuration.

use metrics::{Counter, counter, describe_counter};

const WRITTEN: &str = "penstock_sink_items_written_total";
const KEPT: &str = "penstock_sink_items_kept_total";
const REFUSED: &str = "penstock_sink_items_refused_total";
const RETRIED: &str = "penstock_sink_items_retried_total";
const THROTTLED: &str = "penstock_sink_calls_throttled_total";

/// Describes the metrics of the sink to the recorder.
pub fn describe() {
    describe_counter!(WRITTEN, "Items that were written to the table.");
    describe_counter!(
        KEPT,
        "Writes that the table had already, from a later record or an earlier application of the range. \
         Some after every restart; many all the time mean that two workers hold the same shard."
    );
    describe_counter!(
        REFUSED,
        "Items that DynamoDB refused although they had looked right; their records are in the dead letters, \
         with what DynamoDB said."
    );
    describe_counter!(
        RETRIED,
        "Items that were sent again because DynamoDB was throttling or failing. Growing all the time: give the \
         table more write capacity, or choose a key that spreads the writes."
    );
    describe_counter!(
        THROTTLED,
        "Calls that DynamoDB throttled, or of which it left items unwritten, each attempt by itself. They are sent again, and \
         nothing is lost; meanwhile the sink falls behind. A rate that stays above zero: give the table more write capacity, or \
         choose a key that spreads the writes. A table on demand grows by itself: wait, or warm it before a known peak."
    );
}

/// Who counts.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(crate) pipeline: String,
    pub(crate) sink: String,
}

/// The counters of one table.
#[derive(Clone)]
pub(crate) struct Meters {
    pub(crate) written: Counter,
    pub(crate) kept: Counter,
    pub(crate) refused: Counter,
    pub(crate) retried: Counter,
    pub(crate) throttled: Counter,
}

impl Meters {
    /// Without labels nothing is registered: a series of nobody would stand at zero for ever.
    pub(crate) fn new(labels: Option<&Labels>, table: &str) -> Self {
        let counter = |name: &'static str| {
            let Some(labels) = labels else { return Counter::noop() };
            counter!(
                name,
                "pipeline" => labels.pipeline.clone(),
                "sink" => labels.sink.clone(),
                "table" => table.to_owned()
            )
        };
        Self {
            written: counter(WRITTEN),
            kept: counter(KEPT),
            refused: counter(REFUSED),
            retried: counter(RETRIED),
            throttled: counter(THROTTLED),
        }
    }
}
