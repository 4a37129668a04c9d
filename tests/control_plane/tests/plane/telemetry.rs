//! What the operator's program says of itself: its log and its metrics.

use std::collections::BTreeSet;

use anyhow::ensure;
use penstock_control_plane::{Installation, Manifest, World, eventually, shared};
use serde_json::Value;

const NAME: &str = "minimal";
/// A Pipeline whose stream is somebody else's.
const TAKEN: &str = "taken";

#[tokio::test]
async fn a_line_of_the_log_says_which_pipeline_and_which_reconcile_it_is_about_and_metrics_count_what_was_done() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "telemetry").await.unwrap();
    let installation = Installation::new(plane, &world.account.endpoint_url()).await.unwrap();
    let installation = installation.watching(&world.namespace).alone();
    let operator = installation.spawn("alone").unwrap();
    operator.is_ready().await.unwrap();
    let minimal = Manifest::example(NAME).unwrap();
    world.apply(&minimal).await.unwrap();
    world.ready(NAME).await.unwrap();
    let stream = format!("{}.{TAKEN}.stream", world.namespace);
    world.account.clients.kinesis.create_stream().stream_name(stream).shard_count(1).send().await.unwrap();
    world.apply(&minimal.with("/metadata/name", TAKEN).unwrap()).await.unwrap();
    world.said(TAKEN, "False", "NotOurs").await.unwrap();

    let said = operator.said().unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let applied: Vec<_> = lines.iter().filter(|line| line["message"] == "a child has been applied").collect();
    let mut traces = BTreeSet::new();
    for line in &applied {
        assert_eq!(line["namespace"], *world.namespace, "{line}");
        assert!(line["pipeline"] == NAME || line["pipeline"] == TAKEN, "{line}");
        traces.insert(line["trace"].as_str().filter(|trace| trace.len() == 16).expect("a trace").to_owned());
    }
    assert!(!traces.is_empty() && traces.len() < applied.len(), "one reconcile applies several: {traces:?}");

    let counted = [
        ("penstock_operator_reconciles_total", "outcome=\"calm\""),
        ("penstock_operator_failures_total", "reason="),
        ("penstock_operator_triggers_total", "kind=\"Pipeline\""),
        ("penstock_operator_kubernetes_calls_total", "verb=\"patch\""),
        ("penstock_operator_aws_calls_total", "operation=\"CreateStream\""),
        ("penstock_operator_pipelines", "state=\"ready\""),
        ("penstock_operator_pipelines", "state=\"stalled\""),
        ("penstock_operator_reconcile_duration_seconds_count", ""),
    ];
    eventually("metrics count it", async || {
        let metrics = operator.metrics().await?;
        for (name, label) in counted {
            ensure!(total(&metrics, name, label) > 0.0, "{name} with {label} in {metrics}");
        }
        // It has begun with all that asked for it.
        ensure!(metrics.lines().any(|line| line == "penstock_operator_queue_length 0"), "{metrics}");
        Ok(())
    })
    .await
    .unwrap();
    operator.stop().await.unwrap();
}

/// The sum of the samples of a metric that have a label.
fn total(metrics: &str, name: &str, label: &str) -> f64 {
    let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let samples = metrics.lines().filter(is_of).filter(|line| line.contains(label));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
