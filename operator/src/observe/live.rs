//! A child as the API server has it: one type for all kinds.

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::names::{CONTAINER, FIELD_MANAGER, IMAGE_ANNOTATION, PIPELINE_LABEL, STAGE_LABEL};

/// The kinds of children, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who the pods are.
    ServiceAccount,
    /// What a stage does.
    ConfigMap,
    /// Where a source answers.
    Service,
    /// Who may talk to the pods.
    NetworkPolicy,
    /// How many pods may go at one time.
    PodDisruptionBudget,
    /// The pods.
    Deployment,
}

impl Kind {
    /// All, in the order in which they are applied.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::Deployment,
    ];

    /// As Kubernetes calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Deployment => "Deployment",
        }
    }

    /// Where the API server has it.
    #[must_use]
    pub fn api(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
        }
    }
}

/// A child as the API server has it: its metadata, and the rest as JSON in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// Its metadata, as far as anybody asks for it.
    pub metadata: ObjectMeta,
    /// Everything but the type and the metadata.
    rest: Box<str>,
    /// Whether somebody else scales it: a manager of the `scale` subresource owns `spec.replicas`.
    pub scaled_elsewhere: bool,
    /// The image that the operator gave its pods: as it has noted, or where somebody else has written over that, as the
    /// container has it.
    pub given_image: Option<Box<str>>,
}

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        let metadata = value.as_object_mut().and_then(|object| object.remove("metadata")).unwrap_or_else(|| json!({}));
        let mut metadata: ObjectMeta = serde_json::from_value(metadata).map_err(serde::de::Error::custom)?;
        // A watch brings them and a list does not; which kind it is, is known anyway.
        for field in ["apiVersion", "kind"] {
            value.as_object_mut().map(|object| object.remove(field));
        }
        let others = Others(metadata.managed_fields.take().unwrap_or_default());
        let scaled_elsewhere = others.own(Some("scale"), |fields| &fields["f:spec"]["f:replicas"]);
        let given_image = given_image(&metadata, &value, &others).map(Into::into);
        Ok(Self { metadata: asked_for(metadata), rest: value.to_string().into(), scaled_elsewhere, given_image })
    }
}

/// What of the metadata is asked for by anybody; the rest is not kept.
fn asked_for(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        deletion_timestamp: metadata.deletion_timestamp,
        labels: metadata.labels,
        annotations: metadata.annotations,
        owner_references: metadata.owner_references,
        ..ObjectMeta::default()
    }
}

/// What stands before the rest in the text that a child is kept as.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    metadata: Cow<'a, ObjectMeta>,
    scaled_elsewhere: bool,
    given_image: Option<Cow<'a, str>>,
}

/// What is written by whom.
struct Others(Vec<ManagedFieldsEntry>);

impl Others {
    /// Whether somebody but the operator owns a field, by way of a subresource or of the object itself.
    fn own(&self, subresource: Option<&str>, field: impl Fn(&Value) -> &Value) -> bool {
        self.0.iter().any(|entry| {
            entry.manager.as_deref() != Some(FIELD_MANAGER)
                && entry.subresource.as_deref() == subresource
                && entry.fields_v1.as_ref().is_some_and(|fields| !field(&fields.0).is_null())
        })
    }
}

/// Nothing is noted where the Pipeline itself named the image, which then is no reason to keep it.
fn given_image<'a>(metadata: &'a ObjectMeta, value: &'a Value, others: &Others) -> Option<&'a str> {
    let noted = metadata.annotations.as_ref()?.get(IMAGE_ANNOTATION)?;
    if !others.own(None, |fields| &fields["f:metadata"]["f:annotations"][format!("f:{IMAGE_ANNOTATION}")]) {
        return Some(noted);
    }
    let containers = value.pointer("/spec/template/spec/containers").and_then(Value::as_array)?;
    let container = containers.iter().find(|container| container["name"] == CONTAINER)?;
    let key = format!(r#"k:{{"name":"{CONTAINER}"}}"#);
    let is_foreign =
        others.own(None, |fields| &fields["f:spec"]["f:template"]["f:spec"]["f:containers"][&key]["f:image"]);
    container["image"].as_str().filter(|_| !is_foreign)
}

impl Resource for Live {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(api: &ApiResource) -> Cow<'_, str> {
        api.kind.as_str().into()
    }
    fn group(api: &ApiResource) -> Cow<'_, str> {
        api.group.as_str().into()
    }
    fn version(api: &ApiResource) -> Cow<'_, str> {
        api.version.as_str().into()
    }
    fn plural(api: &ApiResource) -> Cow<'_, str> {
        api.plural.as_str().into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Live {
    /// All of it as a text, which [`Live::of_text`] reads again.
    pub(super) fn text(&self) -> String {
        let head = Head {
            metadata: Cow::Borrowed(&self.metadata),
            scaled_elsewhere: self.scaled_elsewhere,
            given_image: self.given_image.as_deref().map(Cow::Borrowed),
        };
        // JSON of this kind has no line breaks.
        format!("{}\n{}", json!(head), self.rest)
    }

    /// What [`Live::text`] has made a text of.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let (head, rest) = text.split_once('\n')?;
        let Head { metadata, scaled_elsewhere, given_image } = serde_json::from_str(head).ok()?;
        let given_image = given_image.map(Into::into);
        Some(Self { metadata: metadata.into_owned(), rest: rest.into(), scaled_elsewhere, given_image })
    }

    /// The object without its type, and with the part of its metadata that can be applied.
    #[must_use]
    pub fn value(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.rest).unwrap_or_else(|_| json!({}));
        value["metadata"] = json!({
            "name": self.metadata.name,
            "namespace": self.metadata.namespace,
            "labels": self.metadata.labels,
            "annotations": self.metadata.annotations,
            "ownerReferences": self.metadata.owner_references,
        });
        value
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The Pipeline that it says it belongs to.
    #[must_use]
    pub fn pipeline(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(PIPELINE_LABEL).map(String::as_str)
    }

    /// The stage that it says it belongs to.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(STAGE_LABEL).map(String::as_str)
    }

    /// Whether it is being deleted.
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn managed(manager: &str, subresource: Option<&str>) -> Live {
        let entry = json!({
            "manager": manager, "operation": "Update", "subresource": subresource,
            "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } },
        });
        serde_json::from_value(
            json!({ "metadata": { "name": "a", "managedFields": [entry] }, "spec": { "replicas": 4 } }),
        )
        .unwrap()
    }

    #[test]
    fn an_autoscaler_is_known_by_what_it_manages() {
        assert!(managed("kube-controller-manager", Some("scale")).scaled_elsewhere);
        assert!(!managed("kubectl-edit", None).scaled_elsewhere, "that is drift");
        assert!(!managed("penstock", Some("scale")).scaled_elsewhere);
    }

    #[test]
    fn the_image_that_was_given_is_known_though_somebody_writes_over_one_of_its_places() {
        let image = |noted: &str, used: &str, foreign: Value| {
            let entry = json!({ "manager": "x", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": foreign });
            let live: Live = serde_json::from_value(json!({
                "metadata": { "annotations": { (IMAGE_ANNOTATION): noted }, "managedFields": [entry] },
                "spec": { "template": { "spec": { "containers": [{ "name": CONTAINER, "image": used }] } } },
            }))
            .unwrap();
            live.given_image.map(String::from)
        };
        let note = json!({ "f:metadata": { "f:annotations": { "f:penstock.dev/image": {} } } });
        let container = json!({ "f:containers": { "k:{\"name\":\"stage\"}": { "f:image": {} } } });
        let container = json!({ "f:spec": { "f:template": { "f:spec": container } } });
        let mut both = note.clone();
        both["f:spec"] = container["f:spec"].clone();
        assert_eq!(image("ours", "ours", json!({})).as_deref(), Some("ours"));
        assert_eq!(image("theirs", "ours", note).as_deref(), Some("ours"));
        assert_eq!(image("ours", "theirs", container).as_deref(), Some("ours"));
        assert_eq!(image("theirs", "theirs", both), None);
    }

    #[test]
    fn nothing_is_lost_but_managed_fields() {
        let live = managed("x", None);
        assert_eq!(live.value()["spec"]["replicas"], 4);
        assert_eq!(live.value()["metadata"]["name"], "a");
        assert!(live.metadata.managed_fields.is_none());
    }

    #[test]
    fn what_was_made_a_text_is_the_same_again() {
        let mut live = managed("keda", Some("scale"));
        live.given_image = Some("penstock:1".into());
        live.rest = json!({ "data": { "stage.json": "{\n  \"name\": \"raw\"\n}" } }).to_string().into();
        live.metadata.generation = Some(3);
        live.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(Live::of_text(&live.text()), Some(live));
    }
}
