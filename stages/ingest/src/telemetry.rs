//! What the stage tells about itself in numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use penstock_api::plan::PipelineRef;
use penstock_runtime::http::ConnectionWatch;
use penstock_stream::PutEntry;

use crate::check::RefusedRow;

const REQUESTS: &str = "penstock_ingest_requests_total";
const REQUEST_SECONDS: &str = "penstock_ingest_request_duration_seconds";
const BODY_BYTES: &str = "penstock_ingest_body_bytes_total";
const ACCEPTED: &str = "penstock_ingest_rows_accepted_total";
const REFUSED: &str = "penstock_ingest_rows_refused_total";
const PUTS: &str = "penstock_ingest_puts_total";
const PUT_SECONDS: &str = "penstock_ingest_put_duration_seconds";
const PUT_RECORDS: &str = "penstock_ingest_put_records_total";
const PUT_BYTES: &str = "penstock_ingest_put_bytes_total";
const RETRIES: &str = "penstock_ingest_put_retries_total";
const QUEUE_BYTES: &str = "penstock_ingest_queue_bytes";
const CONNECTIONS: &str = "penstock_ingest_connections";
const TURNED_AWAY: &str = "penstock_ingest_connections_refused_total";

/// The metrics of one HTTP source. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Telemetry(Arc<Inner>);

struct Inner {
    labels: Vec<Label>,
    /// Requests that were answered with 200: nearly all, so their counter is not looked up each time.
    requests_ok: Counter,
    request_seconds: Histogram,
    body_bytes: Counter,
    accepted: Counter,
    put_seconds: Histogram,
    put_records: Counter,
    put_bytes: Counter,
    queue_bytes: Gauge,
    connections: Gauge,
    turned_away: Counter,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("labels", &self.0.labels).finish_non_exhaustive()
    }
}

impl Telemetry {
    pub(crate) fn new(pipeline: &PipelineRef, source: &str) -> Self {
        describe();
        let labels = vec![
            Label::new("namespace", pipeline.namespace.clone()),
            Label::new("pipeline", pipeline.name.clone()),
            Label::new("source", source.to_owned()),
        ];
        Self(Arc::new(Inner {
            requests_ok: counter!(REQUESTS, with_label(&labels, "status", StatusCode::OK.as_str().to_owned())),
            request_seconds: histogram!(REQUEST_SECONDS, labels.clone()),
            body_bytes: counter!(BODY_BYTES, labels.clone()),
            accepted: counter!(ACCEPTED, labels.clone()),
            put_seconds: histogram!(PUT_SECONDS, labels.clone()),
            put_records: counter!(PUT_RECORDS, labels.clone()),
            put_bytes: counter!(PUT_BYTES, labels.clone()),
            queue_bytes: gauge!(QUEUE_BYTES, labels.clone()),
            connections: gauge!(CONNECTIONS, labels.clone()),
            turned_away: counter!(TURNED_AWAY, labels.clone()),
            labels,
        }))
    }

    pub(crate) fn answered(&self, status: StatusCode, seconds: f64) {
        if status == StatusCode::OK {
            self.0.requests_ok.increment(1);
        } else {
            counter!(REQUESTS, self.with("status", status.as_str().to_owned())).increment(1);
        }
        self.0.request_seconds.record(seconds);
    }

    pub(crate) fn body(&self, bytes: usize) {
        self.0.body_bytes.increment(bytes as u64);
    }

    pub(crate) fn accepted(&self, rows: u64) {
        self.0.accepted.increment(rows);
    }

    /// Rows that are wrong by themselves; their codes are a fixed set.
    pub(crate) fn refused(&self, rows: &[RefusedRow]) {
        let mut by_code: HashMap<&Cow<'static, str>, u64> = HashMap::new();
        for row in rows {
            *by_code.entry(&row.rejection.reason).or_default() += 1;
        }
        for (code, rows) in by_code {
            counter!(REFUSED, self.with("code", code.clone())).increment(rows);
        }
    }

    /// Rows that the stream did not take.
    pub(crate) fn not_stored(&self, code: &'static str, rows: u64) {
        if rows > 0 {
            counter!(REFUSED, self.with("code", code)).increment(rows);
        }
    }

    pub(crate) fn queued(&self, bytes: u32) {
        self.0.queue_bytes.increment(f64::from(bytes));
    }

    pub(crate) fn unqueued(&self, bytes: usize) {
        // The queue is far smaller than what a float counts exactly.
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.0.queue_bytes.decrement(bytes as f64);
    }

    pub(crate) fn put_started(&self, entries: &[PutEntry]) {
        self.0.put_records.increment(entries.len() as u64);
        self.0.put_bytes.increment(entries.iter().map(PutEntry::size).sum::<usize>() as u64);
    }

    pub(crate) fn put_ended(&self, seconds: f64, answered: bool) {
        let outcome = if answered { "answered" } else { "failed" };
        counter!(PUTS, self.with("outcome", outcome)).increment(1);
        self.0.put_seconds.record(seconds);
    }

    pub(crate) fn retried(&self, reason: &'static str) {
        counter!(RETRIES, self.with("reason", reason)).increment(1);
    }

    fn with(&self, name: &'static str, value: impl Into<metrics::SharedString>) -> Vec<Label> {
        with_label(&self.0.labels, name, value)
    }
}

fn with_label(labels: &[Label], name: &'static str, value: impl Into<metrics::SharedString>) -> Vec<Label> {
    labels.iter().cloned().chain([Label::new(name, value)]).collect()
}

impl ConnectionWatch for Telemetry {
    fn opened(&self) {
        self.0.connections.increment(1.0);
    }

    fn closed(&self) {
        self.0.connections.decrement(1.0);
    }

    fn turned_away(&self) {
        self.0.turned_away.increment(1);
    }
}

fn describe() {
    describe_counter!(
        REQUESTS,
        "Requests by status. 429 and 503: the stream takes less than comes in, add shards; 413 and 408: clients send \
         too much at once; 401 and 403: a client has no good API key."
    );
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "From the first byte of a request to its answer, which waits for the stream. Compare with the time of puts."
    );
    describe_counter!(BODY_BYTES, Unit::Bytes, "Bytes of bodies as they came over the wire.");
    describe_counter!(ACCEPTED, "Rows that the stream has acknowledged.");
    describe_counter!(
        REFUSED,
        "Rows that were refused, by code. schema_*: the client and the source's schema disagree; stream_*: the stream \
         did not take them in time and the client was told to send them again."
    );
    describe_counter!(PUTS, "PutRecords calls. Failed ones had no usable answer and were repeated: see the logs.");
    describe_histogram!(PUT_SECONDS, Unit::Seconds, "Time of one PutRecords call.");
    describe_counter!(
        PUT_RECORDS,
        "Stream records that were put, repeats included. Rows over records: how well rows are aggregated."
    );
    describe_counter!(PUT_BYTES, Unit::Bytes, "Bytes of stream records that were put, repeats included.");
    describe_counter!(
        RETRIES,
        "Stream records that were put again, by reason. throttled: add shards, or spread the partition keys better. \
         wrong_shard: the stream was resharded meanwhile, and there is nothing to do."
    );
    describe_gauge!(
        QUEUE_BYTES,
        Unit::Bytes,
        "What waits for the stream. Near `limits.queue`, new requests wait and are then answered with 503: add shards."
    );
    describe_gauge!(CONNECTIONS, "Open connections. At `limits.connections`, more are answered with 503.");
    describe_counter!(
        TURNED_AWAY,
        "Connections that were answered with 503: raise `limits.connections` or add replicas."
    );
}
