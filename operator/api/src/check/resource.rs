//! Which resources a text holds, and what Kubernetes itself says of every one of them.

use serde_json::{Value, json};

use super::path::Path;
use super::words::{similar, what_it_is};
use super::yaml::{Node, NodeKind};
use super::{Document, Finding, Severity};
use crate::crd::{MAX_NAME, schema as crd_schema};
use crate::spec::patterns::{LABEL_VALUE, NAME_PATTERN, PIPELINE_NAME};
use crate::spec::{GROUP, KIND, VERSION};

pub(super) fn api_version() -> String {
    format!("{GROUP}/{VERSION}")
}

/// Finds the resources of a document: one, or those of a `List`. An empty document holds none.
pub(super) fn identify(index: usize, root: Node, documents: &mut Vec<Document>, findings: &mut Vec<Finding>) {
    let empty = root.scalar().is_some_and(|scalar| scalar.value.is_null());
    if !empty {
        resource(index, Path::default(), root, documents, findings);
    }
}

fn resource(index: usize, base: Path, root: Node, documents: &mut Vec<Document>, findings: &mut Vec<Finding>) {
    let field = |name: &str| root.get(name).and_then(Node::text).unwrap_or_default().to_owned();
    let name = root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text).unwrap_or_default();
    let document = Document {
        index,
        api_version: field("apiVersion"),
        kind: field("kind"),
        name: name.to_owned(),
        base,
        pipeline: None,
        root,
    };
    if document.kind == "List" && document.api_version == "v1" {
        let items = document.root.get("items").map(Node::items).unwrap_or_default();
        for (position, item) in items.iter().enumerate() {
            let base = document.base.key("items").index(position);
            resource(index, base, item.clone(), documents, findings);
        }
        return;
    }
    findings.extend(identity(&document));
    documents.push(document);
}

/// What is wrong with a resource's `apiVersion` and `kind`.
fn identity(document: &Document) -> Option<Finding> {
    let error = |code, field: &str, message, cure| {
        let path = if field.is_empty() { Path::default() } else { Path::default().key(field) };
        Some(document.finding(Severity::Error, code, &path, message, cure))
    };
    if !matches!(document.root.kind, NodeKind::Map(_)) {
        let message = format!("a document must be a Kubernetes resource, and is {}", what_it_is(&document.root));
        return error(
            "not_a_resource",
            "",
            message,
            format!("begin it with `apiVersion: {}` and `kind: {KIND}`", api_version()),
        );
    }
    for (field, value, example) in
        [("apiVersion", &document.api_version, api_version()), ("kind", &document.kind, KIND.to_owned())]
    {
        if value.is_empty() {
            return error(
                "not_a_resource",
                field,
                format!("the resource has no `{field}`"),
                format!("write `{field}: {example}`"),
            );
        }
    }
    let (group, version) = document.api_version.split_once('/').unwrap_or(("", &document.api_version));
    if group == GROUP && version != VERSION {
        let message = format!("`{}` is not a version of Penstock's API", document.api_version);
        return error("unknown_api_version", "apiVersion", message, format!("write `apiVersion: {}`", api_version()));
    }
    if group == GROUP && document.kind != KIND {
        let message = format!("`{}` is not a kind of `{}`", document.kind, api_version());
        return error("unknown_kind", "kind", message, format!("write `kind: {KIND}`"));
    }
    // Other projects have a kind of that name too: only a group that means ours is a mistake.
    let means_ours = similar(group, [GROUP]).is_some() || group.split('.').next() == GROUP.split('.').next();
    if document.kind == KIND && group != GROUP && means_ours {
        let message = format!("there is no API group `{group}`");
        return error("unknown_api_version", "apiVersion", message, format!("write `apiVersion: {}`", api_version()));
    }
    None
}

/// The CRD's schema, with what Kubernetes asks of every resource's metadata.
pub(super) fn schema() -> Value {
    let text = |limit: u32| json!({ "type": "string", "maxLength": limit });
    let any = || json!({ "x-kubernetes-preserve-unknown-fields": true });
    let mut schema = crd_schema();
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": PIPELINE_NAME },
            "namespace": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": NAME_PATTERN },
            "labels": {
                "type": "object",
                "maxProperties": 1024,
                "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
            },
            "annotations": {
                "type": "object",
                "maxProperties": 1024,
                "additionalProperties": text(262_144),
            },
            "generateName": text(63),
            "finalizers": any(),
            "ownerReferences": any(),
            // What the API server sets stands in what `kubectl get` prints.
            "creationTimestamp": any(),
            "deletionGracePeriodSeconds": any(),
            "deletionTimestamp": any(),
            "generation": any(),
            "managedFields": any(),
            "resourceVersion": any(),
            "selfLink": any(),
            "uid": any(),
        },
    });
    schema["properties"]["status"] = any();
    schema
}

/// Whether two objects have one namespace and name.
pub(super) fn same_object(one: &Value, other: &Value) -> bool {
    let namespace = |object: &Value| object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    one["metadata"]["name"] == other["metadata"]["name"] && namespace(one) == namespace(other)
}
