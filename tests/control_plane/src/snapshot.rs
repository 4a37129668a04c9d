//! What is in a namespace, as values that can be compared.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use kube::api::{Api, ListParams};
use kube::core::DynamicObject;
use kube::{Client, ResourceExt as _};
use penstock_operator::names;
use penstock_operator::observe::Kind;
use serde_json::Value;

/// The children in a namespace: `Kind/name`.
///
/// # Errors
/// When they cannot be listed.
pub async fn children(client: &Client, namespace: &str) -> anyhow::Result<BTreeMap<String, DynamicObject>> {
    let mut children = BTreeMap::new();
    let selected = ListParams::default().labels(&names::selector());
    for kind in Kind::ALL {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind.api());
        let found = api.list(&selected).await.with_context(|| format!("{}s cannot be listed", kind.as_str()))?;
        for mut child in found.items {
            child.types = None;
            children.insert(format!("{}/{}", kind.as_str(), child.name_any()), child);
        }
    }
    Ok(children)
}

/// The children without what differs from one run to the next: versions and times, who owns them, and what was derived from
/// the namespace's name.
///
/// # Errors
/// When they cannot be listed.
pub async fn masked(client: &Client, namespace: &str, uid: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let children = children(client, namespace).await?;
    let configurations = children.keys().filter(|name| name.starts_with("ConfigMap/"));
    let hashes: Vec<_> = configurations.filter_map(|name| name.rsplit('-').next()).collect();
    let mask = |text: String| {
        let text = text.replace(uid, "UID").replace(namespace, "NAMESPACE");
        hashes.iter().fold(text, |text, hash| text.replace(hash, "HASH"))
    };
    let mut masked = BTreeMap::new();
    for (name, child) in &children {
        let value = serde_json::from_str(&mask(serde_json::to_string(child)?))?;
        let twice = masked.insert(mask(name.clone()), without_chance(value));
        ensure!(twice.is_none(), "{name} is there in two versions");
    }
    Ok(masked)
}

/// Without what the API server gives as it comes, and what was derived from the namespace's name.
fn without_chance(mut value: Value) -> Value {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            metadata.remove(field);
        }
    }
    if let Some(whole) = value.as_object_mut() {
        whole.remove("status");
    }
    for annotations in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
        let Some(annotations) = value.pointer_mut(annotations).and_then(Value::as_object_mut) else { continue };
        annotations.iter_mut().filter(|(name, _)| name.ends_with("-hash")).for_each(|(_, hash)| *hash = "HASH".into());
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    value
}
