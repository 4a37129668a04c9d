//! What a stage does: its configuration in a ConfigMap of its own, which never changes.
//!
//! The name holds the hash of the content. A pod that is started again during a rollout so still reads what it was
//! made for, and a change of the configuration is a change of the pod template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Part, hash};

/// The key in the ConfigMap, and the name of the file.
pub(super) const FILE: &str = "stage.json";

/// A stage's configuration as text, and its hash.
#[derive(Debug, Clone)]
pub(super) struct Content {
    text: String,
    pub(super) hash: String,
}

pub(super) fn content(part: Part<'_>) -> Content {
    // Keys are strings and numbers are finite: there is nothing that JSON could not hold.
    #[allow(clippy::expect_used, reason = "a stage's configuration is always JSON")]
    let text = serde_json::to_string_pretty(&part.stage.config).expect("a stage's configuration is always JSON");
    Content { hash: hash(&text), text }
}

pub(super) fn name(part: Part<'_>, content: &Content) -> String {
    format!("{}-{}", part.name(), content.hash)
}

pub(super) fn build(part: Part<'_>, content: &Content) -> ConfigMap {
    ConfigMap {
        metadata: part.metadata(name(part, content)),
        immutable: Some(true),
        data: Some(BTreeMap::from([(FILE.to_owned(), content.text.clone())])),
        binary_data: None,
    }
}
