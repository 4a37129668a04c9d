//! From a valid Pipeline to its children. Pure: the same input gives the same bytes.
//!
//! One file a kind. Builders take validated types and nothing that is inside them already.

mod common;
mod config_map;
mod deployment;
mod disruption_budget;
mod network_policy;
mod pod;
mod replicas;
mod service;
mod service_account;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) use pod::grace_seconds;
pub use replicas::Drained;
pub use service::endpoint;

use crate::names::APPLIED_ANNOTATION;
use crate::observe::{Kind, Observed};
use crate::settings::Settings;
use crate::validate::{ValidatedPipeline, ValidatedStage};

/// A child as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The stage that it is part of.
    pub stage: String,
    /// The whole object, with the hash of itself in an annotation.
    pub object: Value,
}

/// What a Pipeline should have in the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Its children, by stage in the order of the Pipeline, each in the order in which they are applied.
    pub children: Vec<Child>,
    /// Stages whose Deployment stays as it is, since a Secret is not there: stage and Secret.
    pub missing_secrets: Vec<(String, String)>,
}

/// What was found out beside the Pipeline that decides how its children look.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// What the operator was told.
    pub settings: &'a Settings,
    /// What there is.
    pub observed: &'a Observed,
    /// Which sinks of a Pipeline that rests have stored everything.
    pub drained: &'a Drained,
}

/// One stage of one Pipeline: what every builder takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) pipeline: &'a ValidatedPipeline,
    pub(crate) stage: &'a ValidatedStage,
}

/// Builds.
#[must_use]
pub fn build(pipeline: &ValidatedPipeline, around: Surroundings<'_>) -> Desired {
    let mut desired = Desired::default();
    for stage in &pipeline.stages {
        let part = Part { pipeline, stage };
        let config = config_map::content(part);
        desired.children.extend(service_account::build(part).map(|object| part.child(Kind::ServiceAccount, &object)));
        desired.children.push(part.child(Kind::ConfigMap, &config_map::build(part, &config)));
        desired.children.extend(service::build(part).map(|object| part.child(Kind::Service, &object)));
        desired.children.push(part.child(Kind::NetworkPolicy, &network_policy::build(part)));
        desired.children.push(part.child(Kind::PodDisruptionBudget, &disruption_budget::build(part)));
        if let Some(secret) = &stage.secret
            && !replicas::rests(pipeline, stage, around.drained)
            && around.observed.secrets.get(secret).is_none_or(Option::is_none)
        {
            desired.missing_secrets.push((stage.name.clone(), secret.clone()));
        } else {
            desired.children.push(part.child(Kind::Deployment, &deployment::build(part, &config, around)));
        }
    }
    desired
}

impl Part<'_> {
    fn child<T: Serialize>(self, kind: Kind, object: &T) -> Child {
        // Types of Kubernetes hold strings, numbers, maps and lists: there is nothing that JSON could not hold.
        #[allow(clippy::expect_used, reason = "a Kubernetes object is always JSON")]
        let mut object = serde_json::to_value(object).expect("a Kubernetes object is always JSON");
        let hash = hash(&object.to_string());
        if !object["metadata"]["annotations"].is_object() {
            object["metadata"]["annotations"] = json!({});
        }
        object["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(hash);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Child { kind, name, stage: self.stage.name.clone(), object }
    }
}

/// The first 64 bits of SHA-256, in hex: a name for a content, not a defence.
#[must_use]
pub fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}
