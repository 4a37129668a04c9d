//! Says how a Pipeline is: its status, and an event when that turns. I/O around [`conditions`] and [`status`].

pub mod allowance;
pub mod conditions;
pub mod findings;
pub mod pods;
pub mod stages;
pub mod status;

use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _};
use penstock_api::spec::{Condition, ConditionStatus, GROUP, KIND, PipelineStatus, ResourceStatus, VERSION};
use serde_json::json;

use crate::apply::error::is_gone;
use crate::context::Context;
use crate::names::FIELD_MANAGER;
use crate::pipeline::Pipeline;
use findings::Findings;
use status::{Around, OfGeneration, ours, status};

/// Why the status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the status of the Pipeline could not be written")]
pub struct ReportError(#[source] Box<kube::Error>);

/// A note of an event holds 1 KiB.
const NOTE_BYTES: usize = 1000;

/// Reports. I/O: a call when the status has changed, and none when not; another one for an event when `Ready` turns.
///
/// # Errors
/// When the status could not be written.
pub async fn report(pipeline: &Pipeline, findings: &Findings, context: &Context) -> Result<(), ReportError> {
    let identity = pipeline.identity();
    let cached = ours(pipeline.status().unwrap_or_default());
    let written = context.written(&identity.uid);
    // What was written last is newer than what the watch has brought.
    let previous = written.clone().unwrap_or_else(|| cached.clone());
    let now = now();
    let around =
        Around { previous: &previous, generation: pipeline.generation(), request: pipeline.request(), now: &now };
    let status = status(findings, &around);
    context.count(&identity.uid, state(&status));
    if is_said(&status, &cached, written.as_ref()) {
        return Ok(());
    }
    write(pipeline, &status, context).await?;
    context.remember_written(&identity.uid, &status);
    publish(pipeline, turned(&previous, &status), context).await;
    Ok(())
}

/// The first status, before anything slow: whoever reads a Pipeline without `Ready` takes it for finished. I/O.
///
/// # Errors
/// When it could not be written.
pub async fn first_visit(pipeline: &Pipeline, context: &Context) -> Result<(), ReportError> {
    let has_status = pipeline.status().is_some_and(|status| !status.conditions.is_empty());
    if has_status || context.written(&pipeline.identity().uid).is_some() {
        return Ok(());
    }
    report(pipeline, &Findings::New, context).await
}

/// What is written down of streams and tables: by this leadership, else by a former one.
pub(crate) fn inventory(pipeline: &Pipeline, context: &Context) -> Vec<ResourceStatus> {
    let status = context.written(&pipeline.identity().uid).or_else(|| pipeline.status());
    status.map(|status| status.resources).unwrap_or_default()
}

/// Writes streams and tables down, before any of them is made. I/O: a call when there is something new, and none when not.
///
/// # Errors
/// When it could not be written.
pub(crate) async fn record(
    pipeline: &Pipeline,
    inventory: &[ResourceStatus],
    context: &Context,
) -> Result<(), ReportError> {
    let identity = pipeline.identity();
    let previous = context.written(&identity.uid).or_else(|| pipeline.status()).unwrap_or_default();
    let mut before = previous.resources.clone();
    before.sort();
    if before == inventory {
        return Ok(());
    }
    let status = PipelineStatus { resources: inventory.to_vec(), ..ours(previous) };
    write(pipeline, &status, context).await?;
    context.remember_written(&identity.uid, &status);
    Ok(())
}

/// Whether the API server has this status. The cached one alone may be old, and what was written alone may have been changed.
fn is_said(status: &PipelineStatus, cached: &PipelineStatus, written: Option<&PipelineStatus>) -> bool {
    let same = |other: &PipelineStatus| in_any_order(status) == in_any_order(other);
    same(cached) && written.is_none_or(same)
}

/// The API server keeps the items of `stages` and `resources` by their names, and in an order of its own.
fn in_any_order(status: &PipelineStatus) -> PipelineStatus {
    let mut status = status.clone();
    status.stages.sort_by(|a, b| a.name.cmp(&b.name));
    status.resources.sort();
    status
}

async fn write(pipeline: &Pipeline, status: &PipelineStatus, context: &Context) -> Result<(), ReportError> {
    let identity = pipeline.identity();
    let api: Api<Pipeline> = Api::namespaced(context.client.clone(), &identity.namespace);
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        // With the UID, so that it never goes to another Pipeline of the same name.
        "metadata": { "name": identity.name, "uid": identity.uid },
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&identity.name, &parameters, &Patch::Apply(&object)).await {
        Ok(_) => Ok(()),
        // It is gone, or another one has its name.
        Err(source) if is_gone(&source) => Ok(()),
        Err(source) => Err(ReportError(Box::new(source))),
    }
}

/// `Ready`, when its status or reason is another one than before.
fn turned<'a>(previous: &PipelineStatus, status: &'a PipelineStatus) -> Option<(&'a Condition, EventType)> {
    let ready = |status: &'a PipelineStatus| condition(status, conditions::READY);
    let now = ready(status)?;
    let before = condition(previous, conditions::READY);
    if before.is_some_and(|before| before.status == now.status && before.reason == now.reason)
        || now.reason == "Pending"
    {
        return None;
    }
    let bad = now.status == ConditionStatus::Unknown
        || condition(status, conditions::STALLED).is_some_and(|stalled| stalled.status == ConditionStatus::True);
    Some((now, if bad { EventType::Warning } else { EventType::Normal }))
}

fn condition<'a>(status: &'a PipelineStatus, name: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.condition_type == name)
}

async fn publish(pipeline: &Pipeline, turned: Option<(&Condition, EventType)>, context: &Context) {
    let Some((condition, type_)) = turned else { return };
    if !context.may_tell(&pipeline.identity().uid) {
        tracing::info!(reason = condition.reason, "no event: the Pipeline has turned too often");
        return;
    }
    let mut end = condition.message.len().min(NOTE_BYTES);
    while !condition.message.is_char_boundary(end) {
        end -= 1;
    }
    let event = Event {
        type_,
        reason: condition.reason.clone(),
        note: Some(condition.message[..end].to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = context.events.publish(&event, &pipeline.object_ref(&())).await {
        tracing::warn!(%error, "an event could not be published");
    }
}

fn state(status: &PipelineStatus) -> &'static str {
    let before = OfGeneration { status, generation: status.observed_generation.unwrap_or_default() };
    let said: Vec<_> = conditions::ALL.into_iter().filter_map(|name| conditions::Before::said(&before, name)).collect();
    conditions::state(&said)
}

/// As Kubernetes writes times.
fn now() -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
