//! What the stage tells about itself in numbers.

use std::sync::Arc;

use axum::http::StatusCode;
use metrics::{
    Counter, Gauge, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use penstock_api::plan::PipelineRef;
use penstock_runtime::http::ConnectionWatch;

const REQUESTS: &str = "penstock_query_requests_total";
const REQUEST_SECONDS: &str = "penstock_query_request_duration_seconds";
const ITEMS: &str = "penstock_query_items_read_total";
const BYTES: &str = "penstock_query_bytes_read_total";
const FAILURES: &str = "penstock_query_read_failures_total";
const BROKEN_OFF: &str = "penstock_query_answers_broken_off_total";
const CONNECTIONS: &str = "penstock_query_connections";
const TURNED_AWAY: &str = "penstock_query_connections_refused_total";

/// The metrics of one API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Telemetry(Arc<Inner>);

struct Inner {
    labels: Vec<Label>,
    items: Counter,
    bytes: Counter,
    connections: Gauge,
    turned_away: Counter,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("labels", &self.0.labels).finish_non_exhaustive()
    }
}

impl Telemetry {
    pub(crate) fn new(pipeline: &PipelineRef, api: &str) -> Self {
        describe();
        let labels = vec![
            Label::new("namespace", pipeline.namespace.clone()),
            Label::new("pipeline", pipeline.name.clone()),
            Label::new("api", api.to_owned()),
        ];
        Self(Arc::new(Inner {
            items: counter!(ITEMS, labels.clone()),
            bytes: counter!(BYTES, labels.clone()),
            connections: gauge!(CONNECTIONS, labels.clone()),
            turned_away: counter!(TURNED_AWAY, labels.clone()),
            labels,
        }))
    }

    /// The route is one of the configuration's, or none.
    pub(crate) fn answered(&self, route: Option<&str>, status: StatusCode, seconds: f64) {
        let labels = self.with("route", route.unwrap_or("none").to_owned());
        histogram!(REQUEST_SECONDS, labels.clone()).record(seconds);
        let status = Label::new("status", status.as_str().to_owned());
        counter!(REQUESTS, labels.into_iter().chain([status]).collect::<Vec<_>>()).increment(1);
    }

    pub(crate) fn read(&self, items: u64, bytes: u64) {
        self.0.items.increment(items);
        self.0.bytes.increment(bytes);
    }

    pub(crate) fn read_failed(&self, code: &'static str) {
        counter!(FAILURES, self.with("code", code)).increment(1);
    }

    pub(crate) fn broken_off(&self, code: &'static str) {
        counter!(BROKEN_OFF, self.with("code", code)).increment(1);
    }

    fn with(&self, name: &'static str, value: impl Into<metrics::SharedString>) -> Vec<Label> {
        let mut labels = self.0.labels.clone();
        labels.push(Label::new(name, value));
        labels
    }
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
        "Requests by route and status. 422: an answer takes more reading than its route allows; 429: a key asks too often; 503: \
         the table is throttled or not there, or more is asked than `limits.requests`, or clients take too many large answers at \
         one time: raise `limits.requests`, with 8 MiB of memory for each, or add replicas."
    );
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "From a request to its answer; of one that is streamed, to its first byte."
    );
    describe_counter!(ITEMS, "Items that were read, those that a filter left out included.");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of items that were read.");
    describe_counter!(
        FAILURES,
        "Reads that failed, by code. table_throttled: the table is read more often than it is made for."
    );
    describe_counter!(
        BROKEN_OFF,
        "Streamed answers that could not be finished, by code. The client sees an incomplete body. client_too_slow: it took less \
         than 32 KiB within `limits.timeout`; others: look at the failures of reading."
    );
    describe_gauge!(CONNECTIONS, "Open connections. At `limits.connections`, more are answered with 503.");
    describe_counter!(
        TURNED_AWAY,
        "Connections that were answered with 503: raise `limits.connections` or add replicas."
    );
}
