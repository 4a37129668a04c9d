//! One reconcile, from top to bottom: observe → validate → build → apply → report, and cleanup behind the finalizer.

mod drain;
mod next;
mod retire;

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use penstock_api::spec::{ConditionStatus, PipelineStatus};
use tracing::Instrument as _;

use crate::apply::error::{Verdict, of_call};
use crate::apply::{self, ApplyError, decide};
use crate::aws::{Ask, ResourceState, ResourceView};
use crate::build::{Surroundings, build};
use crate::context::Context;
use crate::inventory;
use crate::metrics;
use crate::observe::{self, ObserveError, Observed};
use crate::pipeline::Pipeline;
use crate::report::findings::{Failure, Findings, Known};
use crate::report::stages::StageView;
use crate::report::{self, ReportError, conditions, pods, stages};
use crate::validate::{ValidatedPipeline, ValidationError, validate};
use next::Next;

/// What a reconcile came to.
struct Round {
    /// `None`: nothing was found that is worth a word; what was said before stays.
    findings: Option<Findings>,
    next: Next,
}

/// Makes the cluster and AWS be as the Pipeline says, and says how far that is.
///
/// # Errors
/// When it could not be said.
pub async fn reconcile(pipeline: Arc<Pipeline>, context: Arc<Context>) -> Result<Action, ReportError> {
    let identity = pipeline.identity();
    let trace = format!("{:016x}", fastrand::u64(..));
    let span = tracing::info_span!("reconcile", namespace = identity.namespace, pipeline = identity.name, trace);
    async {
        context.queue.take(&identity.namespace, &identity.name);
        // Told of in here, where the log line says which Pipeline it is about.
        let told = |error: &ReportError| {
            tracing::warn!(error = error as &dyn std::error::Error, "a reconcile could not be reported");
        };
        let next = steps(&pipeline, &context).await.inspect_err(told)?;
        Ok(next.action(&identity.uid, &context))
    }
    .instrument(span)
    .await
}

/// The steps, from the first to the last. What comes next.
async fn steps(pipeline: &Pipeline, context: &Context) -> Result<Next, ReportError> {
    let running = metrics::Running::begin();
    // Report, for the first time: I/O.
    report::first_visit(pipeline, context).await?;
    let round = if pipeline.is_going() {
        cleanup(pipeline, context).await
    } else {
        keep(pipeline, context).await.unwrap_or_else(Round::from)
    };
    // Report: I/O.
    if let Some(findings) = &round.findings {
        report::report(pipeline, findings, context).await?;
    }
    running.end(round.next.as_str());
    Ok(round.next)
}

/// Makes everything be as the Pipeline says.
async fn keep(pipeline: &Pipeline, context: &Context) -> Result<Round, Halt> {
    // Observe the children: from the caches.
    let children = observe::children(pipeline, context)?;
    // Validate: pure.
    let validated = validate(pipeline, &context.settings)?;
    // Observe the Secrets: I/O.
    let secrets = observe::secrets(&validated, context).await?;
    // Decide what is written down of streams and tables: pure; then write it down, before any of them is made: I/O.
    let inventory = inventory::next(&report::inventory(pipeline, context), &validated.resources);
    report::record(pipeline, &inventory, context).await?;
    // Apply the finalizer, before there is anything that needs it: I/O.
    let needs_cleanup = !inventory::doomed(&inventory).is_empty();
    if needs_cleanup != pipeline.has_finalizer() {
        apply::set_finalizer(pipeline, needs_cleanup, context).await?;
    }
    // Apply streams and tables, a step each: I/O.
    let resources = context.aws.look(&validated, ask(pipeline, context)).await;
    for failing in resources.failing() {
        tell_of_aws(failing);
    }
    // Observe whether sinks have stored everything, where that is asked for: I/O.
    let observed = Observed { children, secrets };
    let drained = drain::drained(&validated, &observed.children, context).await;
    // Build: pure.
    let around = Surroundings { settings: &context.settings, observed: &observed, drained: &drained };
    let desired = build(&validated, around);
    // Apply the children: I/O.
    let ready = resources.is_ready();
    let applied = apply::apply(&desired, observed.children, pipeline, ready, context).await;
    let views = stages::views(&validated, &desired, &applied.children, &applied.held);
    // What is still needed is decided by the Deployments alone: whether a rollout has been given up is theirs to say.
    let settled = stages::settled(&views);
    // Observe the pods of stages that are not ready by themselves: I/O. What they say of these: pure.
    let views = with_pods(views, &validated, context).await;
    // Decide what is to go: pure; then let it go: I/O.
    let names: Vec<_> = validated.stages.iter().map(|stage| stage.name.as_str()).collect();
    let mut failures = applied.failures;
    if failures.is_empty() {
        let superfluous = decide::superfluous(&desired, &names, &applied.children, &validated.identity, &settled);
        let pruned = apply::prune(&superfluous, &applied.children, pipeline, context).await;
        // The Pipeline as it is now will be reconciled, too.
        failures.extend(pruned.err().filter(|error| !matches!(error, ApplyError::Outdated)));
    }
    for failure in &failures {
        tell(failure);
    }
    // Decide what AWS holds that the spec names no more: pure; then let it go, once nothing works with it: I/O.
    let superfluous = if failures.is_empty() && retire::is_unused(&validated, &views, &applied.children) {
        inventory::superfluous(&inventory, &validated.resources)
    } else {
        Vec::new()
    };
    let retired = retire::retire(&superfluous, pipeline, &validated, context).await;
    let inventory = inventory::without(inventory, &retired.gone);
    let known = Known {
        resources,
        removals: retired.left,
        inventory,
        stages: views,
        missing_secrets: desired.missing_secrets,
        failures: failures.iter().map(Failure::from).collect(),
        suspend: validated.suspend,
    };
    // What is gone may have been what the finalizer was for.
    let next = if retired.gone.is_empty() { Next::of(&known) } else { Next::Soon };
    Ok(Round { next, findings: Some(Findings::Known(known)) })
}

/// The stages as their pods show them, where there is something to show. Without the right to list pods they stay as they are.
async fn with_pods(views: Vec<StageView>, pipeline: &ValidatedPipeline, context: &Context) -> Vec<StageView> {
    if !pods::are_asked_for(&views) {
        return views;
    }
    match observe::pods(&pipeline.identity, &context.client).await {
        Ok(pods) => pods::with_troubles(views, &pods, Timestamp::now()),
        Err(error) => {
            metrics::failure("pods_not_listed");
            tracing::warn!(error = &error as &dyn std::error::Error, "why a stage is not ready cannot be told");
            views
        }
    }
}

/// Whether somebody asks for a look, and whether the status says that this very spec's resources were ready.
fn ask(pipeline: &Pipeline, context: &Context) -> Ask {
    let status = context.written(&pipeline.identity().uid).or_else(|| pipeline.status()).unwrap_or_default();
    Ask {
        afresh: pipeline.request() != status.observed_request,
        was_ready: resources_were_ready(&status, pipeline.generation()),
    }
}

/// Buckets are said under `Access`.
fn resources_were_ready(status: &PipelineStatus, generation: i64) -> bool {
    [conditions::STREAMS, conditions::TABLES, conditions::ACCESS].iter().all(|name| {
        status.conditions.iter().any(|condition| {
            condition.condition_type == *name
                && condition.status == ConditionStatus::True
                && condition.observed_generation == Some(generation)
        })
    })
}

/// Lets go what is to go with the Pipeline. Without the finalizer there is nothing: Kubernetes deletes the children.
async fn cleanup(pipeline: &Pipeline, context: &Context) -> Round {
    if !pipeline.has_finalizer() {
        return Round::going(Vec::new(), None, Next::Nothing);
    }
    match clean(pipeline, context).await {
        Ok(round) => round,
        Err(Halt::Invalid(error)) => {
            let left = vec![format!("{error}. Correct it, or remove the finalizer {}", crate::names::FINALIZER)];
            Round::going(left, Some("Invalid"), Next::Troubled)
        }
        Err(halt) => Round::from(halt),
    }
}

async fn clean(pipeline: &Pipeline, context: &Context) -> Result<Round, Halt> {
    // Observe: from the caches. Validate: pure.
    let children = observe::children(pipeline, context)?;
    let validated = validate(pipeline, &context.settings)?;
    let inventory = inventory::next(&report::inventory(pipeline, context), &validated.resources);
    let doomed = inventory::doomed(&inventory);
    if !doomed.is_empty() {
        // Make sure that it is still to go, since nothing brings a table back: I/O.
        apply::unchanged(pipeline, context).await?;
        // Stop the stages first: they would only fail without their tables. I/O.
        let running = apply::stop_stages(pipeline, &children, context).await?;
        if running > 0 {
            let left = vec![format!("{running} Deployments, which are being deleted")];
            return Ok(Round::going(left, None, Next::Soon));
        }
        // A Deployment goes before its pods, and these store what they have read until they end: I/O.
        let pods = observe::pods(&pipeline.identity(), &context.client).await?.len();
        if pods > 0 {
            let left = vec![format!(
                "{pods} pods, which finish what they have begun (one whose node is lost ends only by kubectl delete pod --force)"
            )];
            return Ok(Round::going(left, None, Next::Soon));
        }
        // Delete in AWS what is ours and to be deleted, a step each: I/O.
        let removed = match context.aws.remove(&validated, &doomed).await {
            Ok(removed) => removed,
            Err(again_after) => {
                let left = vec!["streams and tables; AWS is asked as soon as its limits allow".to_owned()];
                return Ok(Round::going(left, None, Next::After(again_after)));
            }
        };
        if let Some(round) = Round::of_removal(&removed) {
            return Ok(round);
        }
    }
    // Apply: without the finalizer. I/O.
    apply::set_finalizer(pipeline, false, context).await?;
    // The Pipeline is gone by now, unless somebody else holds it.
    Ok(Round { findings: None, next: Next::Nothing })
}

impl Round {
    fn going(left: Vec<String>, stuck: Option<&'static str>, next: Next) -> Self {
        Self { findings: Some(Findings::Going { left, stuck }), next }
    }

    /// What is left of what is being removed; `None` when nothing is.
    fn of_removal(removed: &[penstock_provision::Removed]) -> Option<Self> {
        use penstock_provision::{Kind, Removal};
        let mut left = Vec::new();
        let mut stuck = None;
        for resource in removed.iter().filter(|resource| !resource.state.is_done()) {
            let (kind, name) = (resource.kind, &resource.name);
            left.push(match &resource.state {
                Removal::Failed(error) => {
                    stuck = Some(if error.reason() == "access_denied" { "AccessDenied" } else { "Refused" });
                    metrics::failure(error.reason());
                    match kind {
                        Kind::Consumer => format!("{error}. Or deregister it yourself"),
                        _ => format!("{error}. Or set its `deletionPolicy` to Retain, and it stays"),
                    }
                }
                Removal::Failing(error) => {
                    metrics::failure("aws_fails");
                    tracing::warn!(kind = kind.as_str(), name, error, "AWS fails while a resource is being deleted");
                    format!("the {kind} {name:?}: AWS fails or throttles; it is tried again")
                }
                Removal::Waiting(state) => format!("the {kind} {name:?}: {state}"),
                Removal::Gone | Removal::NotOurs => continue,
            });
        }
        let next = if stuck.is_some() { Next::Troubled } else { Next::Soon };
        (!left.is_empty()).then(|| Self::going(left, stuck, next))
    }
}

/// Why a reconcile went no further.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl From<Halt> for Round {
    fn from(halt: Halt) -> Self {
        let failure = match &halt {
            Halt::Invalid(error) => {
                metrics::failure("invalid");
                return Self { findings: Some(Findings::Invalid(error.to_string())), next: Next::Nothing };
            }
            Halt::Report(error) => {
                not_reported(error);
                return Self { findings: None, next: Next::Troubled };
            }
            Halt::Apply(error) => {
                tell(error);
                Failure::from(error)
            }
            Halt::Observe(error @ ObserveError::NotListed { because: None, .. }) => of_observation(error),
            Halt::Observe(error) => {
                metrics::failure("not_observed");
                tracing::warn!(error = error as &dyn std::error::Error, "the Pipeline cannot be observed");
                of_observation(error)
            }
        };
        match failure.verdict {
            // It passes by itself: a status that turns and turns back says nothing.
            Verdict::Passing | Verdict::Moving => Self { findings: None, next: Next::Soon },
            _ => Self { findings: Some(Findings::Unobserved(failure)), next: Next::Troubled },
        }
    }
}

fn of_observation(error: &ObserveError) -> Failure {
    match error {
        ObserveError::NotListed { because: Some(because), .. } if because.contains("forbidden") => {
            let message = format!("{error}. Give the operator's ServiceAccount the rights of the chart's role");
            Failure { verdict: Verdict::Forbidden, message }
        }
        ObserveError::NotListed { .. } => Failure { verdict: Verdict::Passing, message: error.to_string() },
        ObserveError::Secret { source, .. } if of_call(source) == Verdict::Forbidden => {
            let message = format!("{error}. Give the operator's ServiceAccount the right to `get` Secrets");
            Failure { verdict: Verdict::Forbidden, message }
        }
        ObserveError::Pods { source } if of_call(source) == Verdict::Forbidden => {
            let message = format!("{error}. Give the operator's ServiceAccount the right to `list` pods");
            Failure { verdict: Verdict::Forbidden, message }
        }
        ObserveError::Secret { .. } | ObserveError::Pods { .. } => {
            Failure { verdict: Verdict::Passing, message: error.to_string() }
        }
    }
}

fn tell(error: &ApplyError) {
    metrics::failure(error.reason());
    tracing::warn!(
        reason = error.reason(),
        error = error as &dyn std::error::Error,
        "the cluster is not as the Pipeline says"
    );
}

fn tell_of_aws(resource: &ResourceView) {
    let (kind, name) = (resource.kind.as_str(), &resource.name);
    match &resource.state {
        ResourceState::Failing(because) => {
            metrics::failure("aws_fails");
            tracing::warn!(kind, name, because, "AWS fails or throttles; it is tried again");
        }
        ResourceState::Failed { reason, message } => {
            metrics::failure(reason);
            tracing::warn!(kind, name, reason, message, "a resource cannot be made ready");
        }
        ResourceState::Ready(_) | ResourceState::Deferred(_) | ResourceState::Waiting(_) => {}
    }
}

/// A status that could not be written is tried again, later each time.
#[allow(clippy::needless_pass_by_value, reason = "the controller calls it so")]
pub(crate) fn after_error(pipeline: Arc<Pipeline>, _: &ReportError, context: Arc<Context>) -> Action {
    metrics::failure("not_reported");
    Next::Troubled.action(&pipeline.identity().uid, &context)
}

fn not_reported(error: &ReportError) {
    metrics::failure("not_reported");
    tracing::warn!(error = error as &dyn std::error::Error, "a reconcile could not be reported");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(streams: &str, tables: &str, access: &str) -> PipelineStatus {
        let said = [("Streams", streams), ("Tables", tables), ("Access", access)];
        let said = said.map(|(name, status)| {
            json!({
                "type": name, "status": status, "observedGeneration": 3,
                "reason": "R", "message": "", "lastTransitionTime": "2026-11-20T10:00:00Z",
            })
        });
        serde_json::from_value(json!({ "conditions": said })).unwrap()
    }

    #[test]
    fn resources_are_trusted_only_if_streams_tables_and_buckets_were_ready_for_this_very_spec() {
        assert!(resources_were_ready(&status("True", "True", "True"), 3));
        assert!(!resources_were_ready(&status("True", "True", "True"), 4));
        assert!(!resources_were_ready(&status("False", "True", "True"), 3));
        assert!(!resources_were_ready(&status("True", "Unknown", "True"), 3));
        assert!(!resources_were_ready(&status("True", "True", "False"), 3), "a bucket is missing");
    }
}
