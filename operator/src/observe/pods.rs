//! The pods of a Pipeline: listed where a stage is not as it should be, and before what they work with is deleted.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

use super::ObserveError;
use crate::names::{MANAGED_BY, MANAGED_BY_LABEL, PIPELINE_LABEL};
use crate::pipeline::Identity;

/// Pods of a Pipeline that are looked at: those of most, and enough to tell that there are some.
const MOST: u32 = 256;

/// The pods of a Pipeline, those that have ended left out. I/O: a call.
///
/// # Errors
/// When they cannot be listed.
pub async fn pods(identity: &Identity, client: &Client) -> Result<Vec<Pod>, ObserveError> {
    let api = Api::<Pod>::namespaced(client.clone(), &identity.namespace);
    let of_it = format!("{MANAGED_BY_LABEL}={MANAGED_BY},{PIPELINE_LABEL}={}", identity.name);
    let listed = api.list(&ListParams::default().labels(&of_it).limit(MOST)).await;
    let mut pods = listed.map_err(|source| ObserveError::Pods { source: Box::new(source) })?.items;
    pods.retain(|pod| !has_ended(pod));
    Ok(pods)
}

/// Nothing of it runs any more, nor will.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
