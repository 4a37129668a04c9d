//! Stands in for Kubernetes' garbage collector: what has lost its owner is deleted, and what is deleted in the foreground, as
//! Argo CD does it, goes after what it owns.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use penstock_operator::Pipeline;
use penstock_operator::observe::Kind;
use serde_json::json;
use tokio::task::JoinHandle;

const FOREGROUND: &str = "foregroundDeletion";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Works until it is dropped.
#[derive(Debug)]
pub struct GarbageCollector {
    task: JoinHandle<()>,
}

impl GarbageCollector {
    /// Starts it, for Pipelines, what the operator makes of them, and what the chart brings.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let task = tokio::spawn(async move {
            loop {
                // What fails is tried again with the next look.
                drop(collect(&client).await);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { task }
    }
}

impl Drop for GarbageCollector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Dependents before their owners: the owner of a dependent that is new is listed, too.
fn kinds() -> Vec<ApiResource> {
    let of_the_chart = [
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<ClusterRoleBinding>(&()),
        ApiResource::erase::<ClusterRole>(&()),
    ];
    Kind::ALL.map(Kind::api).into_iter().chain(of_the_chart).chain([ApiResource::erase::<Pipeline>(&())]).collect()
}

struct Found {
    api: Api<DynamicObject>,
    object: DynamicObject,
}

impl Found {
    fn new(client: &Client, kind: &ApiResource, object: DynamicObject) -> Self {
        let api = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, kind),
            None => Api::all_with(client.clone(), kind),
        };
        Self { api, object }
    }

    fn owner(&self) -> Option<&str> {
        self.object.owner_references().first().map(|owner| owner.uid.as_str())
    }

    fn is_going(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    fn is_going_in_foreground(&self) -> bool {
        self.is_going() && self.object.finalizers().iter().any(|finalizer| finalizer == FOREGROUND)
    }

    async fn delete(&self) -> kube::Result<()> {
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions { uid: self.object.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        self.api.delete(&self.object.name_any(), &parameters).await?;
        Ok(())
    }

    /// Lets it go, unless others hold it.
    async fn release(&self) -> kube::Result<()> {
        let others: Vec<_> = self.object.finalizers().iter().filter(|finalizer| *finalizer != FOREGROUND).collect();
        let version = self.object.resource_version();
        let patch = json!({ "metadata": { "finalizers": others, "resourceVersion": version } });
        self.api.patch(&self.object.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

async fn collect(client: &Client) -> kube::Result<()> {
    let found = list(client).await?;
    let there: BTreeSet<_> = found.iter().filter_map(|it| it.object.uid()).collect();
    let going: BTreeSet<_> =
        found.iter().filter(|it| it.is_going_in_foreground()).filter_map(|it| it.object.uid()).collect();
    let owners: BTreeSet<_> = found.iter().filter_map(Found::owner).collect();
    for it in &found {
        let lost = it.owner().is_some_and(|owner| !there.contains(owner) || going.contains(owner));
        if lost && !it.is_going() {
            it.delete().await?;
        }
        let owns_something = it.object.uid().is_some_and(|uid| owners.contains(&*uid));
        if it.is_going_in_foreground() && !owns_something {
            it.release().await?;
        }
    }
    Ok(())
}

async fn list(client: &Client) -> kube::Result<Vec<Found>> {
    let mut found = Vec::new();
    for kind in kinds() {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let listed = match api.list(&ListParams::default()).await {
            // Its definition is not there.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            listed => listed?,
        };
        found.extend(listed.items.into_iter().map(|object| Found::new(client, &kind, object)));
    }
    Ok(found)
}
