//! Which sinks of a Pipeline that drains have stored everything.

use std::time::Duration;

use penstock_api::spec::Suspend;

use crate::build::{Drained, grace_seconds};
use crate::context::Context;
use crate::metrics;
use crate::names::{self, DRAINED, RESTS_ANNOTATION};
use crate::observe::{Children, Kind, Live};
use crate::validate::{Role, ValidatedPipeline, ValidatedStage};

/// I/O, but only for a Pipeline that drains, once its sources have gone.
pub(super) async fn drained(pipeline: &ValidatedPipeline, children: &Children, context: &Context) -> Drained {
    let uid = &pipeline.identity.uid;
    if pipeline.suspend != Some(Suspend::Drain) {
        context.sources_gone(uid, false);
        return Drained::new();
    }
    let mut drained = already(pipeline, children);
    let gone_for = context.sources_gone(uid, sources(pipeline, children) != Sources::Present);
    let all_gone = sources(pipeline, children) == Sources::Gone || gone_for >= longest_grace(pipeline);
    let open: Vec<_> = of_role(pipeline, Role::Sink)
        .filter(|sink| !sink.suspended && !drained.contains(&sink.name))
        .map(|sink| sink.name.as_str())
        .collect();
    if all_gone && !open.is_empty() {
        match context.aws.drained(pipeline, &open).await {
            Ok(newly) => drained.extend(newly),
            Err(error) => {
                metrics::failure("drain_unknown");
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "it cannot be told whether a sink has stored everything"
                );
            }
        }
    }
    drained
}

/// Sinks that were found to have stored everything before: they rest on, whatever others put into the stream.
fn already(pipeline: &ValidatedPipeline, children: &Children) -> Drained {
    let is_drained = |sink: &&ValidatedStage| {
        deployment(pipeline, sink, children).is_some_and(|live| live.annotation(RESTS_ANNOTATION) == Some(DRAINED))
    };
    of_role(pipeline, Role::Sink).filter(is_drained).map(|sink| sink.name.clone()).collect()
}

/// How far the sources are on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    Present,
    /// They have no pods but such that are ending, if any: this Kubernetes does not count those.
    Ending,
    Gone,
}

fn sources(pipeline: &ValidatedPipeline, children: &Children) -> Sources {
    let each = of_role(pipeline, Role::Source).map(|source| match deployment(pipeline, source, children) {
        None => Sources::Gone,
        Some(live) => source_state(live),
    });
    each.fold(Sources::Gone, |worst, state| match (worst, state) {
        (Sources::Present, _) | (_, Sources::Present) => Sources::Present,
        (Sources::Ending, _) | (_, Sources::Ending) => Sources::Ending,
        _ => Sources::Gone,
    })
}

fn source_state(live: &Live) -> Sources {
    let value = live.value();
    let status = &value["status"];
    let current = status["observedGeneration"].as_i64() >= live.metadata.generation;
    let none = |number: &serde_json::Value| number.as_i64().unwrap_or(0) == 0;
    if value["spec"]["replicas"] != 0 || !current || !none(&status["replicas"]) {
        return Sources::Present;
    }
    match status["terminatingReplicas"].as_i64() {
        Some(0) => Sources::Gone,
        Some(_) => Sources::Present,
        None => Sources::Ending,
    }
}

fn longest_grace(pipeline: &ValidatedPipeline) -> Duration {
    let longest = of_role(pipeline, Role::Source).map(grace_seconds).max().unwrap_or(0);
    Duration::from_secs(u64::try_from(longest).unwrap_or(0))
}

fn of_role(pipeline: &ValidatedPipeline, role: Role) -> impl Iterator<Item = &ValidatedStage> {
    pipeline.stages.iter().filter(move |stage| stage.role == role)
}

fn deployment<'a>(pipeline: &ValidatedPipeline, stage: &ValidatedStage, children: &'a Children) -> Option<&'a Live> {
    let name = names::child(&pipeline.identity.name, &stage.name);
    children.get(&(Kind::Deployment, name)).map(AsRef::as_ref)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(replicas: i32, status: Value) -> Sources {
        let live = json!({ "metadata": { "generation": 3 }, "spec": { "replicas": replicas }, "status": status });
        source_state(&serde_json::from_value(live).unwrap())
    }

    #[test]
    fn sources_are_gone_when_not_even_ending_pods_are_left() {
        assert_eq!(state(1, json!({ "observedGeneration": 3 })), Sources::Present);
        assert_eq!(state(0, json!({ "observedGeneration": 2 })), Sources::Present, "nobody has looked at it yet");
        assert_eq!(state(0, json!({ "observedGeneration": 3, "replicas": 1 })), Sources::Present);
        assert_eq!(state(0, json!({ "observedGeneration": 3, "terminatingReplicas": 1 })), Sources::Present);
        assert_eq!(state(0, json!({ "observedGeneration": 3 })), Sources::Ending, "an older Kubernetes");
        assert_eq!(state(0, json!({ "observedGeneration": 3, "terminatingReplicas": 0 })), Sources::Gone);
    }
}
