//! Stands in for the controllers of Deployments and pods: every Deployment is rolled out at once.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::json;

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
    let pods = deployment.spec.as_ref()?.replicas.unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let is_said = status.observed_generation == Some(generation)
        && [status.replicas, status.updated_replicas, status.ready_replicas]
            .iter()
            .all(|said| said.unwrap_or(0) == pods);
    let status = json!({ "status": {
        "observedGeneration": generation, "replicas": pods, "updatedReplicas": pods,
        "readyReplicas": pods, "availableReplicas": pods, "terminatingReplicas": 0,
    } });
    (!is_said).then(|| deployment.metadata.name.clone().map(|name| (name, status))).flatten()
}
