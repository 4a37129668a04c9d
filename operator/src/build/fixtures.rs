//! Pipelines, and what a cluster makes of them, for tests.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Child, Desired, Drained, Surroundings, build};
use crate::observe::{Children, Kind, Live, Observed};
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::validate::{ValidatedPipeline, validate};

const ECOMMERCE: &str = include_str!("../../../examples/ecommerce/pipeline.yaml");

/// A Pipeline that can be changed.
#[derive(Debug, Clone)]
pub(crate) struct PipelineFixture(Value);

impl PipelineFixture {
    /// The example, as the API server has it.
    pub(crate) fn ecommerce() -> Self {
        let mut value: Value = serde_yaml::from_str(ECOMMERCE).unwrap();
        value["metadata"] = json!({ "namespace": "shop", "name": "ecommerce", "uid": "uid-1", "generation": 1, "resourceVersion": "1" });
        Self(value)
    }

    /// With a field of the spec (a JSON pointer) set. Fields on the way are made.
    pub(crate) fn spec(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut at = &mut self.0["spec"];
        for step in pointer.trim_start_matches('/').split('/') {
            at = match step.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[step],
            };
        }
        *at = value.into();
        self
    }

    /// Without the sink of the name.
    pub(crate) fn without_sink(mut self, name: &str) -> Self {
        self.0["spec"]["sinks"].as_array_mut().unwrap().retain(|sink| sink["name"] != name);
        self
    }

    /// Without the table of the name.
    pub(crate) fn without_table(mut self, name: &str) -> Self {
        for sink in self.0["spec"]["sinks"].as_array_mut().unwrap() {
            if let Some(tables) = sink.pointer_mut("/dynamodb/tables") {
                tables.as_array_mut().unwrap().retain(|table| table["name"] != name);
            }
        }
        self
    }

    pub(crate) fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    pub(crate) fn object(&self) -> Pipeline {
        serde_json::from_value(self.0.clone()).unwrap()
    }

    pub(crate) fn validated(&self) -> ValidatedPipeline {
        validate(&self.object(), &Settings::new("image")).unwrap()
    }

    /// What is built beside what there is.
    pub(crate) fn built(&self, settings: &Settings, observed: &Observed) -> Desired {
        build(&self.validated(), Surroundings { settings, observed, drained: &Drained::new() })
    }

    /// What is built in an empty cluster where the Secret is there.
    pub(crate) fn fresh(&self) -> Desired {
        self.built(&settings(), &observed(Children::new()))
    }
}

pub(crate) fn settings() -> Settings {
    Settings::new("penstock:1")
}

/// The children, and the Secret of the example.
pub(crate) fn observed(children: Children) -> Observed {
    Observed { children, secrets: BTreeMap::from([("ecommerce-keys".to_owned(), Some("uid/7".to_owned()))]) }
}

/// The child as the API server has it after it was applied, and as a list brings it: without its type.
pub(crate) fn live(child: &Child) -> Live {
    let mut value = child.object.clone();
    value.as_object_mut().unwrap().retain(|field, _| field != "apiVersion" && field != "kind");
    value["metadata"]["uid"] = json!(format!("uid-of-{}-{}", child.kind.as_str(), child.name));
    value["metadata"]["generation"] = json!(1);
    value["metadata"]["resourceVersion"] = json!("1");
    if child.kind == Kind::Deployment {
        value["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
        let replicas = value["spec"]["replicas"].clone();
        value["status"] = json!({
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
        });
    }
    serde_json::from_value(value).unwrap()
}

/// All children as the API server has them after they were applied and have rolled out.
pub(crate) fn rolled_out(desired: &Desired) -> Children {
    desired.children.iter().map(|child| ((child.kind, child.name.clone()), Arc::new(live(child)))).collect()
}

/// With one child changed.
pub(crate) fn with(mut children: Children, kind: Kind, name: &str, change: impl Fn(&mut Value)) -> Children {
    let key = (kind, name.to_owned());
    let there = &children[&key];
    let mut value = there.value();
    value["metadata"]["uid"] = json!(there.uid());
    value["metadata"]["generation"] = json!(there.metadata.generation);
    change(&mut value);
    children.insert(key, Arc::new(serde_json::from_value(value).unwrap()));
    children
}
