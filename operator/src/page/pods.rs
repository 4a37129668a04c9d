//! From the pods of a Pipeline to where its stages can be asked. Pure.

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use penstock_api::spec::{PipelineSpec, StageStatus};
use penstock_console::{Admin, ProcessAt, StageAt};

use crate::names::{ADMIN_PORT, CONTAINER, STAGE_LABEL};

/// The name of the port of `/readyz` and `/metrics` in a stage's container.
const ADMIN: &str = "admin";
/// What a container waits for that has only just begun.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The stages of a Pipeline, sources first; their processes are the pods, of which the status says how many are wanted.
pub(super) fn stages(spec: &PipelineSpec, status: &[StageStatus], pods: &[Pod]) -> Vec<StageAt> {
    let sources = spec.sources.iter().map(|source| &source.name);
    let sinks = spec.sinks.iter().map(|sink| &sink.name);
    let apis = spec.apis.iter().flatten().map(|api| &api.name);
    let stage = |name: &String| {
        let reported = status.iter().find(|stage| stage.name == *name);
        StageAt {
            name: name.clone(),
            processes: pods.iter().filter(|pod| is_of(pod, name)).map(process).collect(),
            rests: reported.is_some_and(|stage| stage.replicas == 0),
            url: reported.and_then(|stage| stage.endpoint.clone()),
            // Keys of apis are their users', not the operator's.
            key: None,
        }
    };
    sources.chain(sinks).chain(apis).map(stage).collect()
}

/// A pod of the stage that is there to stay. One that is told to end does what it has to, and says nothing about the stage.
fn is_of(pod: &Pod, stage: &str) -> bool {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(STAGE_LABEL));
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_over = matches!(phase, Some("Succeeded" | "Failed"));
    label.is_some_and(|label| label == stage) && pod.metadata.deletion_timestamp.is_none() && !is_over
}

fn process(pod: &Pod) -> ProcessAt {
    ProcessAt { name: pod.metadata.name.clone().unwrap_or_default(), admin: admin(pod) }
}

fn admin(pod: &Pod) -> Admin {
    let status = pod.status.clone().unwrap_or_default();
    let container = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
    if let Some(admin) = container.and_then(|container| container.state.as_ref()).and_then(not_running) {
        return admin;
    }
    match status.pod_ip {
        Some(ip) => Admin::At(format!("http://{}:{}", in_url(&ip), port(pod))),
        None => {
            let unscheduled = status.conditions.iter().flatten().find(|condition| {
                condition.type_ == "PodScheduled" && condition.status == "False" && condition.message.is_some()
            });
            let because = unscheduled.and_then(|condition| condition.message.clone());
            Admin::Starting(because.unwrap_or_else(|| "it has no address yet".to_owned()))
        }
    }
}

/// What Kubernetes says about a container that does not run.
fn not_running(state: &ContainerState) -> Option<Admin> {
    let told = |reason: &Option<String>, message: &Option<String>| {
        [reason, message].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(": ")
    };
    if let Some(waiting) = &state.waiting {
        let starts = waiting.reason.as_deref().is_none_or(|reason| STARTING.contains(&reason));
        let told = told(&waiting.reason, &waiting.message);
        return Some(if starts { Admin::Starting(told) } else { Admin::Broken(told) });
    }
    let ended = state.terminated.as_ref()?;
    let told = told(&ended.reason, &ended.message);
    Some(Admin::Broken(format!("it ended with {} ({told})", ended.exit_code)))
}

/// The port that the container says it has under this name.
fn port(pod: &Pod) -> i32 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.filter(|container| container.name == CONTAINER).flat_map(|it| it.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some(ADMIN)).map_or(ADMIN_PORT, |port| port.container_port)
}

/// An address as it stands in a URL.
fn in_url(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "shop-raw-1", "labels": { (STAGE_LABEL): "raw" } },
            "spec": { "containers": [{ "name": CONTAINER, "ports": [
                { "name": "http", "containerPort": 8080 }, { "name": "admin", "containerPort": 9090 },
            ] }] },
            "status": status,
        }))
        .unwrap()
    }

    fn state(state: Value) -> Admin {
        admin(&pod(
            json!({ "podIP": "10.1.2.3", "containerStatuses": [{ "name": CONTAINER, "image": "", "imageID": "", "ready": false,
                "restartCount": 3, "state": state }] }),
        ))
    }

    #[test]
    fn a_pod_that_runs_is_asked_at_its_address() {
        let at = |status| admin(&pod(status));
        assert_eq!(at(json!({ "podIP": "10.1.2.3" })), Admin::At("http://10.1.2.3:9090".to_owned()));
        assert_eq!(at(json!({ "podIP": "fd00::7" })), Admin::At("http://[fd00::7]:9090".to_owned()));
        assert_eq!(state(json!({ "running": {} })), Admin::At("http://10.1.2.3:9090".to_owned()));
        assert_eq!(at(json!({})), Admin::Starting("it has no address yet".to_owned()));
        let full = json!({ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" });
        assert_eq!(at(json!({ "conditions": [full] })), Admin::Starting("0/3 nodes are available".to_owned()));
    }

    #[test]
    fn of_a_pod_that_does_not_run_it_is_said_what_kubernetes_says() {
        let waiting = |reason: &str| state(json!({ "waiting": { "reason": reason, "message": "back-off" } }));
        assert_eq!(waiting("CrashLoopBackOff"), Admin::Broken("CrashLoopBackOff: back-off".to_owned()));
        assert_eq!(waiting("ContainerCreating"), Admin::Starting("ContainerCreating: back-off".to_owned()));
        let ended = state(json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }));
        assert_eq!(ended, Admin::Broken("it ended with 137 (OOMKilled)".to_owned()));
    }

    #[test]
    fn pods_that_are_to_end_or_have_ended_do_not_count() {
        let mut going = pod(json!({ "podIP": "10.1.2.3" }));
        assert!(is_of(&going, "raw") && !is_of(&going, "tables"));
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(!is_of(&going, "raw"));
        assert!(!is_of(&pod(json!({ "phase": "Failed" })), "raw"));
    }
}
