//! Secrets: asked for by name, and only for their metadata, so that the operator may not list any and sees no value.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};

/// The version of a Secret: another one whenever it is changed or made again. `None`: it is not there.
pub type SecretVersion = Option<String>;

/// By the Secret's name.
pub type SecretVersions = BTreeMap<String, SecretVersion>;

pub(super) async fn version(client: &Client, namespace: &str, name: &str) -> kube::Result<SecretVersion> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_metadata_opt(name).await?;
    Ok(found.map(|secret| {
        format!("{}/{}", secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default())
    }))
}
