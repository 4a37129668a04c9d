//! What the operator counts. Labels are bounded: no names of objects.

use std::time::Instant;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const RECONCILES: &str = "penstock_operator_reconciles_total";
const RECONCILE_SECONDS: &str = "penstock_operator_reconcile_duration_seconds";
const RECONCILING: &str = "penstock_operator_reconciles_running";
const QUEUE: &str = "penstock_operator_queue_length";
const FAILURES: &str = "penstock_operator_failures_total";
const WATCH_FAILURES: &str = "penstock_operator_watch_failures_total";
const TRIGGERS: &str = "penstock_operator_triggers_total";
const API_CALLS: &str = "penstock_operator_kubernetes_calls_total";
const AWS_CALLS: &str = "penstock_operator_aws_calls_total";
const PIPELINES: &str = "penstock_operator_pipelines";
const LEADING: &str = "penstock_operator_leading";

/// Says what each metric means. Once a process.
pub fn describe() {
    describe_counter!(
        RECONCILES,
        "Reconciles by outcome. Many that are not `calm` for long: see the conditions of the Pipelines"
    );
    describe_histogram!(
        RECONCILE_SECONDS,
        "How long a reconcile takes. Long ones: see the calls of both APIs, one of them is slow"
    );
    describe_gauge!(
        QUEUE,
        "Pipelines that were asked for and wait for their turn. Not 0 for long: raise the concurrency, or see why \
         reconciles take long"
    );
    describe_gauge!(RECONCILING, "Reconciles that run now. At the configured concurrency for long: raise it");
    describe_counter!(
        FAILURES,
        "What went wrong in reconciles, by reason. The condition of the Pipeline names the cure"
    );
    describe_counter!(
        WATCH_FAILURES,
        "Watches that ended with an error, by kind. Steady growth: see the operator's rights and the API server"
    );
    describe_counter!(
        TRIGGERS,
        "What asked for reconciles, by kind of object. Many while nothing changes: somebody else writes to that kind"
    );
    describe_counter!(
        API_CALLS,
        "Calls of the Kubernetes API by verb and status; `none` is a call without an answer. 403: give the operator the \
         chart's role; 429 or `none`: the API server is overloaded"
    );
    describe_counter!(
        AWS_CALLS,
        "Attempts of calls of AWS by operation and outcome. Many that have `failed`: see the failures by reason, and the \
         operator's log"
    );
    describe_gauge!(
        PIPELINES,
        "Pipelines by state. Of those that are `stalled` the message of `Ready` says what to do"
    );
    describe_gauge!(LEADING, "1 while this replica leads. The sum over all replicas is 1, but for moments");
}

/// A reconcile that runs; also one that is dropped in the middle ends.
pub(crate) struct Running(Instant);

impl Running {
    /// It begins.
    pub(crate) fn begin() -> Self {
        gauge!(RECONCILING).increment(1.0);
        Self(Instant::now())
    }

    /// It came to an end by itself.
    pub(crate) fn end(self, outcome: &'static str) {
        counter!(RECONCILES, "outcome" => outcome).increment(1);
        histogram!(RECONCILE_SECONDS).record(self.0.elapsed().as_secs_f64());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!(RECONCILING).decrement(1.0);
    }
}

/// How many Pipelines wait for their turn.
pub(crate) fn queue(length: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a cluster has some thousand Pipelines")]
    gauge!(QUEUE).set(length as f64);
}

/// Something went wrong.
pub(crate) fn failure(reason: &'static str) {
    counter!(FAILURES, "reason" => reason).increment(1);
}

/// A watch has ended with an error.
pub(crate) fn watch_failure(kind: &'static str) {
    counter!(WATCH_FAILURES, "kind" => kind).increment(1);
}

/// Something asks for reconciles.
pub(crate) fn triggers(kind: &'static str, count: usize) {
    counter!(TRIGGERS, "kind" => kind).increment(count as u64);
}

/// A call of the Kubernetes API has ended.
pub(crate) fn api_call(verb: &'static str, status: Option<u16>) {
    let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    counter!(API_CALLS, "verb" => verb, "status" => status).increment(1);
}

/// An attempt of a call of AWS has ended.
pub(crate) fn aws_call(operation: &str, worked: bool) {
    let outcome = if worked { "worked" } else { "failed" };
    counter!(AWS_CALLS, "operation" => operation.to_owned(), "outcome" => outcome).increment(1);
}

/// How many Pipelines are in a state.
pub(crate) fn pipelines(state: &'static str, count: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a cluster has some thousand Pipelines")]
    gauge!(PIPELINES, "state" => state).set(count as f64);
}

/// Whether this replica leads.
pub(crate) fn leading(leads: bool) {
    gauge!(LEADING).set(if leads { 1.0 } else { 0.0 });
}
