//! Which numbers are shown of a source and of a sink, and how they are made of the stages' metrics.

/// What a number is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Grows; shown as so much a second, summed over processes.
    Rate,
    /// Stands; the sum over processes.
    Sum,
    /// Stands; the greatest of all processes.
    Greatest,
}

/// Something that is measured of a stage.
#[derive(Debug)]
pub(crate) struct Measure {
    /// Its name in the page's data.
    pub(crate) id: &'static str,
    /// The stages' metric.
    pub(crate) metric: &'static str,
    pub(crate) kind: Kind,
    /// The label by whose values it is shown apart.
    pub(crate) by: Option<&'static str>,
}

const fn measure(id: &'static str, metric: &'static str, kind: Kind) -> Measure {
    Measure { id, metric, kind, by: None }
}

/// Of a source. The label `source` has its name.
pub(crate) const SOURCE: &[Measure] = &[
    measure("rows", "penstock_ingest_rows_accepted_total", Kind::Rate),
    measure("refused", "penstock_ingest_rows_refused_total", Kind::Rate),
    measure("bytes", "penstock_ingest_body_bytes_total", Kind::Rate),
    measure("put_bytes", "penstock_ingest_put_bytes_total", Kind::Rate),
    measure("retries", "penstock_ingest_put_retries_total", Kind::Rate),
    measure("queued", "penstock_ingest_queue_bytes", Kind::Sum),
    measure("connections", "penstock_ingest_connections", Kind::Sum),
];

/// Of a sink. The label `sink` has its name.
pub(crate) const SINK: &[Measure] = &[
    measure("rows", "penstock_consumer_applied_records_total", Kind::Rate),
    measure("read", "penstock_consumer_read_records_total", Kind::Rate),
    measure("bytes", "penstock_consumer_read_bytes_total", Kind::Rate),
    Measure {
        id: "lag",
        metric: "penstock_consumer_behind_latest_milliseconds",
        kind: Kind::Greatest,
        by: Some("shard"),
    },
    measure(WAITED.0, "penstock_consumer_stored_seconds_sum", Kind::Rate),
    measure(WAITED.1, "penstock_consumer_stored_seconds_count", Kind::Rate),
    measure("retries", "penstock_consumer_retries_total", Kind::Rate),
    measure("repeats", "penstock_consumer_repeats_removed_total", Kind::Rate),
    measure("dead_letters", "penstock_consumer_dead_letters_total", Kind::Rate),
    measure("leases", "penstock_consumer_leases", Kind::Sum),
];

/// What ranges waited for in all, in seconds, and how many there were, both for each second: shown as [`STORED_AFTER`].
pub(crate) const WAITED: (&str, &str) = ("waited", "ranges");
/// From the arrival of a range's first record until it is stored, in milliseconds: the mean of all ranges of a tick.
pub(crate) const STORED_AFTER: &str = "stored_after";

/// Of an api. The label `api` has its name.
pub(crate) const API: &[Measure] = &[measure("requests", "penstock_query_requests_total", Kind::Rate)];
