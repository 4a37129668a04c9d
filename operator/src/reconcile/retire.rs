//! Letting go, in AWS, of what the spec names no more while the Pipeline stays.

use k8s_openapi::api::core::v1::Pod;
use penstock_provision::{Doomed, Removal, Removed};

use crate::apply::decide::{Whose, whose};
use crate::apply::{self, ApplyError};
use crate::aws::{ResourceState, ResourceView};
use crate::context::Context;
use crate::metrics;
use crate::names::STAGE_LABEL;
use crate::observe::{self, Children, Kind};
use crate::pipeline::Pipeline;
use crate::report::stages::{StageState, StageView};
use crate::validate::ValidatedPipeline;

/// What became of what is to go.
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// What is still there.
    pub(super) left: Vec<ResourceView>,
    /// What is gone, or not ours to delete.
    pub(super) gone: Vec<Doomed>,
}

/// Whether nothing works with it any more: every stage has rolled out, and those that the spec names no more have no
/// Deployment. Pure.
pub(super) fn is_unused(pipeline: &ValidatedPipeline, stages: &[StageView], children: &Children) -> bool {
    let settled = |stage: &StageView| matches!(stage.state, StageState::Ready | StageState::Resting);
    let named = |stage: Option<&str>| stage.is_none_or(|stage| pipeline.stages.iter().any(|there| there.name == stage));
    let mut deployments = children
        .iter()
        .filter(|((kind, _), live)| *kind == Kind::Deployment && whose(live, &pipeline.identity) == Whose::Ours);
    stages.iter().all(settled) && deployments.all(|(_, live)| named(live.stage()))
}

/// Whether a pod may still work with it: one that is ending, of whatever stage, finishes what it has begun. Pure.
fn is_used_by(pods: &[Pod], pipeline: &ValidatedPipeline) -> bool {
    let is_named = |pod: &Pod| {
        let stage = pod.metadata.labels.as_ref().and_then(|labels| labels.get(STAGE_LABEL));
        stage.is_some_and(|stage| pipeline.stages.iter().any(|there| there.name == *stage))
    };
    pods.iter().any(|pod| pod.metadata.deletion_timestamp.is_some() || !is_named(pod))
}

/// Takes a step towards the deletion of each. I/O: first pods are looked at, and the Pipeline is read again, since nothing
/// brings a table back.
pub(super) async fn retire(
    superfluous: &[Doomed],
    pipeline: &Pipeline,
    validated: &ValidatedPipeline,
    context: &Context,
) -> Retired {
    let mut retired = Retired::default();
    if superfluous.is_empty() {
        return retired;
    }
    let waits = |state| {
        let view = |doomed: &Doomed| ResourceView {
            kind: doomed.kind,
            name: doomed.name.clone(),
            state: ResourceState::Waiting(state),
        };
        Retired { left: superfluous.iter().map(view).collect(), gone: Vec::new() }
    };
    match observe::pods(&validated.identity, &context.client).await {
        Ok(pods) if is_used_by(&pods, validated) => {
            return waits("it is deleted once the pods that worked with it have ended");
        }
        Ok(_) => {}
        Err(error) => {
            metrics::failure("pods_not_listed");
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "whether pods still work with what is to be deleted cannot be told");
            return waits("it is deleted once the operator may list the pods, and none works with it");
        }
    }
    if let Err(error) = apply::unchanged(pipeline, context).await {
        if !matches!(error, ApplyError::Outdated) {
            super::tell(&error);
        }
        return waits("it is deleted once the Pipeline is known to name it no more");
    }
    let Ok(removed) = context.aws.remove(validated, superfluous).await else {
        return waits("it is deleted as soon as AWS's limits allow");
    };
    for (doomed, resource) in superfluous.iter().zip(removed) {
        tell(&resource);
        match ResourceView::of_removal(&resource) {
            Some(view) => retired.left.push(view),
            None => retired.gone.push(doomed.clone()),
        }
    }
    retired
}

fn tell(removed: &Removed) {
    let (kind, name) = (removed.kind.as_str(), &removed.name);
    match &removed.state {
        Removal::Waiting(_) => {}
        Removal::Gone => tracing::info!(kind, name, "what the Pipeline names no more is gone"),
        Removal::NotOurs => {
            metrics::failure("not_ours_to_delete");
            tracing::warn!(kind, name, "what the Pipeline names no more is not tagged as its own, and stays");
        }
        Removal::Failing(error) => {
            metrics::failure("aws_fails");
            let error: &dyn std::error::Error = error.as_ref();
            tracing::warn!(kind, name, error, "AWS fails while what the Pipeline names no more is being deleted");
        }
        Removal::Failed(error) => {
            metrics::failure(error.reason());
            let error: &dyn std::error::Error = error;
            tracing::warn!(kind, name, error, "what the Pipeline names no more cannot be deleted");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::build::fixtures::{PipelineFixture, rolled_out};

    fn views(state: &StageState) -> Vec<StageView> {
        let view = |name: &str| StageView {
            name: name.to_owned(),
            replicas: 1,
            ready: 1,
            endpoint: None,
            state: state.clone(),
        };
        ["orders", "tables"].map(view).into()
    }

    #[test]
    fn what_a_pod_that_is_ending_may_still_work_with_is_not_deleted() {
        let pipeline = PipelineFixture::ecommerce().without_sink("raw").validated();
        let pod = |stage: &str, going: bool| -> Pod {
            let deleted = going.then_some("2026-01-01T00:00:00Z");
            let metadata = json!({ "labels": { (STAGE_LABEL): stage }, "deletionTimestamp": deleted });
            serde_json::from_value(json!({ "metadata": metadata })).unwrap()
        };
        assert!(!is_used_by(&[], &pipeline));
        assert!(!is_used_by(&[pod("tables", false)], &pipeline), "it works with what the Pipeline names");
        assert!(is_used_by(&[pod("tables", true)], &pipeline), "it may be one of a former spec");
        assert!(is_used_by(&[pod("raw", false)], &pipeline), "its Deployment has only just gone");
    }

    #[test]
    fn what_a_stage_may_still_work_with_is_not_deleted() {
        let fixture = PipelineFixture::ecommerce();
        let smaller = fixture.clone().without_sink("raw");
        let pipeline = smaller.validated();
        let without_raw = rolled_out(&smaller.fresh());
        assert!(is_unused(&pipeline, &views(&StageState::Ready), &without_raw));
        assert!(is_unused(&pipeline, &views(&StageState::Resting), &without_raw));
        assert!(!is_unused(&pipeline, &views(&StageState::Ready), &rolled_out(&fixture.fresh())), "its pods are there");
        for state in [StageState::RollingOut, StageState::NotReady, StageState::Held, StageState::Failed(String::new())]
        {
            assert!(!is_unused(&pipeline, &views(&state), &without_raw), "{state:?}: old pods may use it");
        }
    }
}
