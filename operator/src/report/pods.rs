//! Why a stage is not ready, from its pods. Pure; the time is given.
//!
//! Once a Deployment has rolled out, Kubernetes says nothing more about pods that do not become ready again: not that they
//! crash, and not that they have been away for hours.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;

use super::stages::{StageState, StageView};
use crate::names::{CONTAINER, PIPELINE_LABEL, STAGE_LABEL};

/// A container that was started again so often will not come up by itself.
const RESTARTS: i32 = 3;
/// How long a pod may take to be ready: as long as a rollout.
const DEADLINE: Duration = Duration::from_secs(600);
/// Kubernetes' word for a process that was killed since it used more memory than its limit.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// Whether the pods of some stage are worth a look.
#[must_use]
pub fn are_asked_for(views: &[StageView]) -> bool {
    views.iter().any(|view| is_asked_for(&view.state))
}

/// While a stage rolls out, Kubernetes itself tells when that takes too long; and pods that go may be as broken as they like.
fn is_asked_for(state: &StageState) -> bool {
    matches!(state, StageState::NotReady | StageState::Failed(_))
}

/// The stages, where the pods tell more than the Deployment does.
#[must_use]
pub fn with_troubles(mut views: Vec<StageView>, pods: &[Pod], now: Timestamp) -> Vec<StageView> {
    let mut troubles = troubles(pods, now);
    for view in views.iter_mut().filter(|view| is_asked_for(&view.state)) {
        if let Some(trouble) = troubles.remove(&view.name) {
            view.state = StageState::Failed(trouble);
        }
    }
    views
}

/// By stage. Of several the first in the order of the words, so that the same pods always give the same.
fn troubles(pods: &[Pod], now: Timestamp) -> BTreeMap<String, String> {
    let mut troubles: BTreeMap<String, String> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        if let (Some(stage), Some(trouble)) = (label(pod, STAGE_LABEL), trouble(pod, now)) {
            let there = troubles.entry(stage.to_owned()).or_insert_with(|| trouble.clone());
            if trouble < *there {
                *there = trouble;
            }
        }
    }
    troubles
}

/// What is wrong with a pod that does not pass by itself, and what to do. In words that stay the same as long as it does.
fn trouble(pod: &Pod, now: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    let container = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
    container.and_then(|container| of_container(pod, container, now)).or_else(|| overdue(pod, now))
}

fn of_container(pod: &Pod, container: &ContainerStatus, now: Timestamp) -> Option<String> {
    if crashes_again(container, now) {
        return Some(crashes(pod, container));
    }
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => Some(format!(
            "the image {:?} cannot be pulled. Correct `template.image`, or the operator's --stage-image (`stages.image` of the \
             chart), and where its registry asks for a Secret, name it in `image.pullSecrets` and create it in the Pipeline's \
             namespace",
            image(pod)
        )),
        reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => Some(format!(
            "the container of a pod cannot be started ({reason}): {}",
            waiting.message.as_deref().unwrap_or("?")
        )),
        _ => None,
    }
}

/// Also while it runs once more: it is not to be told of and not told of by turns.
fn crashes_again(container: &ContainerStatus, now: Timestamp) -> bool {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let backs_off = waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("CrashLoopBackOff");
    let ended = ended(container).and_then(|ended| ended.finished_at.as_ref());
    let lately = ended.is_some_and(|at| passed(at.0, now) < DEADLINE);
    !container.ready && container.restart_count >= RESTARTS && (backs_off || lately)
}

/// How it ended the last time.
fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    fn of(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
        state?.terminated.as_ref()
    }
    of(container.state.as_ref()).or_else(|| of(container.last_state.as_ref()))
}

fn passed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn crashes(pod: &Pod, container: &ContainerStatus) -> String {
    let ended = ended(container);
    let reason = ended.and_then(|ended| ended.reason.as_deref()).unwrap_or("Error");
    let code = ended.map_or_else(String::new, |ended| format!(" with exit code {}", ended.exit_code));
    if reason == OUT_OF_MEMORY {
        return format!(
            "a pod ends again and again (CrashLoopBackOff), the last time{code}: it has not memory enough ({reason}). Raise \
             `template.resources.limits.memory` of the stage"
        );
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let [pipeline, stage] = [PIPELINE_LABEL, STAGE_LABEL].map(|name| label(pod, name).unwrap_or_default());
    format!(
        "a pod ends again and again (CrashLoopBackOff), the last time{code} ({reason}). Its last words: kubectl logs --previous \
         --namespace {namespace} --selector {PIPELINE_LABEL}={pipeline},{STAGE_LABEL}={stage}"
    )
}

/// A pod that has not been ready for longer than a rollout may take.
fn overdue(pod: &Pod, now: Timestamp) -> Option<String> {
    let conditions = || pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_false = |name: &str| conditions().find(|condition| condition.type_ == name && condition.status == "False");
    let since = is_false("PodScheduled").or_else(|| is_false("Ready"))?.last_transition_time.as_ref()?;
    if passed(since.0, now) < DEADLINE {
        return None;
    }
    let minutes = DEADLINE.as_secs() / 60;
    Some(match is_false("PodScheduled") {
        Some(_) => format!("no node has taken a pod for {minutes} minutes: too large, or no node fits its `template`"),
        None => format!("a pod has not been ready for {minutes} minutes. Its /readyz says why"),
    })
}

fn image(pod: &Pod) -> &str {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut images = containers.filter(|container| container.name == CONTAINER).map(|container| &container.image);
    images.next().and_then(|image| image.as_deref()).unwrap_or_default()
}

fn label<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "shop-raw-1", "namespace": "lake", "labels": { (PIPELINE_LABEL): "shop", (STAGE_LABEL): "raw" } },
            "spec": { "containers": [{ "name": "sidecar", "image": "x" }, { "name": CONTAINER, "image": "penstock:9" }] },
            "status": status,
        }))
        .unwrap()
    }

    fn waiting(reason: &str, restarts: i32, last: Value) -> Pod {
        pod(json!({ "containerStatuses": [{
            "name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": { "waiting": { "reason": reason, "message": "back-off 5m0s restarting" } }, "lastState": last,
        }] }))
    }

    fn now() -> Timestamp {
        "2026-01-01T01:00:00Z".parse().unwrap()
    }

    fn said(pod: &Pod) -> String {
        trouble(pod, now()).unwrap_or_default()
    }

    fn crashed(code: i32, reason: &str) -> Value {
        json!({ "terminated": { "exitCode": code, "reason": reason } })
    }

    #[test]
    fn a_pod_that_crashes_again_and_again_is_told_of_with_the_cure() {
        let failed = said(&waiting("CrashLoopBackOff", 3, crashed(2, "Error")));
        assert!(failed.contains("exit code 2 (Error)") && failed.contains("kubectl logs --previous"), "{failed}");
        assert!(failed.contains("penstock.dev/pipeline=shop,penstock.dev/stage=raw"), "{failed}");
        let killed = said(&waiting("CrashLoopBackOff", 7, crashed(137, "OOMKilled")));
        assert!(killed.contains("limits.memory"), "{killed}");
        assert_eq!(said(&waiting("CrashLoopBackOff", 2, crashed(2, "Error"))), "", "it may come up by itself");
        assert!(!failed.contains("5m0s"), "words that differ from try to try are not for a status");
        let mut runs = waiting(
            "",
            3,
            json!({ "terminated": { "exitCode": 2, "reason": "Error", "finishedAt": "2026-01-01T00:55:00Z" } }),
        );
        runs.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].state =
            serde_json::from_value(json!({ "running": {} })).unwrap();
        assert_eq!(said(&runs), failed, "once more");
        runs.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].ready = true;
        assert_eq!(said(&runs), "");
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_the_same_trouble_between_tries() {
        let pulling = said(&waiting("ErrImagePull", 0, json!({})));
        assert!(pulling.contains("penstock:9") && pulling.contains("pullSecrets"), "{pulling}");
        assert_eq!(said(&waiting("ImagePullBackOff", 0, json!({}))), pulling);
        assert_eq!(said(&waiting("ContainerCreating", 0, json!({}))), "");
    }

    #[test]
    fn a_pod_that_is_not_ready_for_longer_than_a_rollout_may_take_is_told_of() {
        let since = |condition: &str, time: &str| {
            pod(json!({ "conditions": [{ "type": condition, "status": "False", "lastTransitionTime": time }] }))
        };
        assert_eq!(said(&since("Ready", "2026-01-01T00:50:01Z")), "");
        assert!(said(&since("Ready", "2026-01-01T00:50:00Z")).contains("/readyz"));
        assert!(said(&since("PodScheduled", "2026-01-01T00:50:00Z")).contains("no node"));
    }

    #[test]
    fn only_stages_that_are_not_ready_by_themselves_are_told_of_by_their_pods() {
        let view = |state| StageView { name: "raw".to_owned(), replicas: 1, ready: 0, endpoint: None, state };
        let broken = [waiting("CrashLoopBackOff", 3, crashed(2, "Error"))];
        let then = |state| with_troubles(vec![view(state)], &broken, now()).remove(0).state;
        assert!(matches!(then(StageState::NotReady), StageState::Failed(because) if because.contains("exit code 2")));
        let late = StageState::Failed("the deadline".to_owned());
        assert!(matches!(then(late), StageState::Failed(because) if because.contains("exit code 2")));
        for state in [StageState::Ready, StageState::RollingOut, StageState::Stopping] {
            assert!(!are_asked_for(&[view(state.clone())]));
            assert_eq!(then(state.clone()), state, "what is to go may be broken");
        }
        let fine = with_troubles(vec![view(StageState::NotReady)], &[pod(json!({}))], now());
        assert_eq!(fine[0].state, StageState::NotReady);
    }

    #[test]
    fn a_pod_that_is_ending_says_nothing_about_its_stage() {
        let mut going = waiting("CrashLoopBackOff", 3, crashed(2, "Error"));
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(troubles(&[going], now()).is_empty());
    }
}
