//! What all children have: names, labels, and an owner.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::core::ObjectMeta;
use penstock_api::spec::{GROUP, KIND, VERSION};

use super::Part;
use crate::names::{self, MANAGED_BY, MANAGED_BY_LABEL, PIPELINE_LABEL, STAGE_LABEL};

/// Labels, in their order.
pub(super) type Labels = BTreeMap<String, String>;

impl Part<'_> {
    /// The name of the stage's children.
    pub(super) fn name(self) -> String {
        names::child(&self.pipeline.identity.name, &self.stage.name)
    }

    /// The labels that choose the stage's pods. They never change, since a Deployment's selector cannot.
    pub(super) fn selector_labels(self) -> Labels {
        Labels::from([
            (PIPELINE_LABEL.to_owned(), self.pipeline.identity.name.clone()),
            (STAGE_LABEL.to_owned(), self.stage.name.clone()),
        ])
    }

    pub(super) fn selector(self) -> LabelSelector {
        LabelSelector { match_labels: Some(self.selector_labels()), match_expressions: None }
    }

    /// Never `app.kubernetes.io/instance`: Argo CD would take the child for its own.
    pub(super) fn labels(self) -> Labels {
        let mut labels = self.selector_labels();
        labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
        labels.insert("app.kubernetes.io/name".to_owned(), "penstock-stage".to_owned());
        labels.insert("app.kubernetes.io/component".to_owned(), self.stage.role.as_str().to_owned());
        labels
    }

    pub(super) fn metadata(self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.pipeline.identity.namespace.clone()),
            labels: Some(self.labels()),
            owner_references: Some(vec![self.owner()]),
            ..ObjectMeta::default()
        }
    }

    fn owner(self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: KIND.to_owned(),
            name: self.pipeline.identity.name.clone(),
            uid: self.pipeline.identity.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}
