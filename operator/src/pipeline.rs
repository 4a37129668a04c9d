//! A `Pipeline` as the API server has it.
//!
//! Spec and status are kept as text: they are small that way, and one that cannot be read does not stop the watch of all others.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::core::ObjectMeta;
use penstock_api::spec::{GROUP, KIND, PipelineStatus, VERSION};
use serde::{Deserialize, Deserializer};
use serde_json::json;

/// A `Pipeline` as the API server has it.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wanted, as JSON.
    pub spec: Box<str>,
    /// What was reported last, where it can be read.
    status: Option<StatusText>,
}

/// A status as JSON: of a thousand that are kept, hardly any is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusText(Box<str>);

impl From<&PipelineStatus> for StatusText {
    fn from(status: &PipelineStatus) -> Self {
        Self(json!(status).to_string().into())
    }
}

impl StatusText {
    /// The status.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        // It was made from one.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Pipeline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            metadata: ObjectMeta,
            #[serde(default)]
            spec: serde_json::Value,
            #[serde(default)]
            status: serde_json::Value,
        }
        let Raw { mut metadata, spec, status } = Raw::deserialize(deserializer)?;
        metadata.managed_fields = None;
        if let Some(annotations) = &mut metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        let status = serde_json::from_value::<PipelineStatus>(status).ok();
        Ok(Self { metadata, spec: spec.to_string().into(), status: status.as_ref().map(StatusText::from) })
    }
}

impl Resource for Pipeline {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }
    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }
    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "pipelines".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Which object it is: name and UID. A Pipeline that was deleted and made again is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
}

impl Pipeline {
    /// What was reported last, where it can be read.
    #[must_use]
    pub fn status(&self) -> Option<PipelineStatus> {
        self.status.as_ref().map(StatusText::status)
    }

    /// Which object it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Identity {
            namespace: text(&self.metadata.namespace),
            name: text(&self.metadata.name),
            uid: text(&self.metadata.uid),
        }
    }

    /// The generation of the spec.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Whether it is being deleted.
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it carries our finalizer.
    #[must_use]
    pub fn has_finalizer(&self) -> bool {
        self.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == crate::names::FINALIZER)
    }

    /// The value of the annotation that asks for a reconcile. Bounded, since it is echoed.
    #[must_use]
    pub fn request(&self) -> Option<String> {
        let value = self.metadata.annotations.as_ref()?.get(crate::names::REQUEST_ANNOTATION)?;
        Some(value.chars().take(256).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_that_makes_no_sense_can_still_be_read() {
        let text = r#"{"metadata":{"name":"a","managedFields":[{"manager":"x"}]},"spec":{"sources":7},"status":{"conditions":"no"}}"#;
        let pipeline: Pipeline = serde_json::from_str(text).unwrap();
        assert_eq!(&*pipeline.spec, r#"{"sources":7}"#);
        assert!(pipeline.status.is_none() && pipeline.metadata.managed_fields.is_none());
    }
}
