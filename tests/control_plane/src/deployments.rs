//! Stands in for the controllers of Deployments and pods: every Deployment is rolled out at once, unless its image is broken.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::json;

/// The image of pods that never become ready.
pub const BROKEN_IMAGE: &str = "penstock:broken";

/// Fills in the status of a namespace's Deployments until it is dropped.
pub async fn roll_out(client: Client, namespace: String) {
    let api: Api<Deployment> = Api::namespaced(client, &namespace);
    let events = watcher::watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let mut events = events.into_stream().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(deployment)) => {
                if let Some((name, status)) = missing(&deployment) {
                    // When it has changed meanwhile, the watch brings it again.
                    drop(api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await);
                }
            }
            Ok(None) => return,
            // The watch begins again.
            Err(_) => {}
        }
    }
}

/// What the status should say and does not.
fn missing(deployment: &Deployment) -> Option<(String, serde_json::Value)> {
    let generation = deployment.metadata.generation?;
    let spec = deployment.spec.as_ref()?;
    let pods = spec.replicas.unwrap_or(1);
    let containers = spec.template.spec.iter().flat_map(|pod| &pod.containers);
    let is_broken = containers.filter_map(|container| container.image.as_deref()).any(|image| image == BROKEN_IMAGE);
    let ready = if is_broken { 0 } else { pods };
    let status = deployment.status.clone().unwrap_or_default();
    let numbers = [(status.replicas, pods), (status.updated_replicas, pods), (status.ready_replicas, ready)];
    let is_said = status.observed_generation == Some(generation)
        && numbers.iter().all(|(said, number)| said.unwrap_or(0) == *number);
    let failed = json!([{
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "said by the test", "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z",
    }]);
    let status = json!({ "status": {
        "observedGeneration": generation, "replicas": pods, "updatedReplicas": pods,
        "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": pods - ready, "terminatingReplicas": 0,
        "conditions": if is_broken { failed } else { json!([]) },
    } });
    (!is_said).then(|| deployment.metadata.name.clone().map(|name| (name, status))).flatten()
}
