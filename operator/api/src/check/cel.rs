//! The rules of the CRD, evaluated as the API server evaluates them.
//!
//! Every node is evaluated by itself, with the old node beside it: items of a list that is a map by its key are
//! matched by that key, as the API server matches them, and not by their position.

use std::collections::HashMap;

use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use super::culprits;
use super::path::Path;
use super::{Document, Finding, Severity};
use crate::crd;
use crate::rules::{RULES, Rule};

const RULES_KEYWORD: &str = "x-kubernetes-validations";

pub(super) struct Rules {
    schema: Value,
    /// By node (`spec.sinks[]`): its schema with its own rules, and without those of what lies in it.
    nodes: HashMap<String, CompiledSchema>,
    validator: Validator,
}

impl Rules {
    pub(super) fn compile() -> Self {
        let schema = crd::schema();
        let mut nodes = HashMap::new();
        compile_nodes(&schema, String::new(), &mut nodes);
        Self { schema, nodes, validator: Validator::new() }
    }

    pub(super) fn check(&self, document: &Document, value: &Value, old: Option<&Value>) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.node(&self.schema, value, old, &Place::default(), &mut |place, rule, value| {
            findings.extend(report(document, place, rule, value));
        });
        findings
    }

    fn node(
        &self,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        place: &Place,
        report: &mut dyn FnMut(&Place, &Rule, &Value),
    ) {
        if let Some(compiled) = self.nodes.get(&place.node)
            && let Err(errors) = self.validator.validate_compiled(compiled, value, old)
        {
            for error in &errors {
                if let Some(rule) =
                    RULES.iter().find(|rule| rule.rule == error.rule && rule.at.contains(&place.node.as_str()))
                {
                    report(place, rule, value);
                }
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(child) = value.get(name) {
                self.node(property, child, old.and_then(|old| old.get(name)), &place.key(name), report);
            }
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            let old = old.and_then(|old| matching(schema, item, old));
            self.node(&schema["items"], item, old, &place.index(index), report);
        }
    }
}

/// A node of the schema and the path of a value of it.
#[derive(Default)]
pub(super) struct Place {
    node: String,
    path: Path,
}

impl Place {
    fn key(&self, name: &str) -> Self {
        let node = if self.node.is_empty() { name.to_owned() } else { format!("{}.{name}", self.node) };
        Self { node, path: self.path.key(name) }
    }

    fn index(&self, index: usize) -> Self {
        Self { node: format!("{}[]", self.node), path: self.path.index(index) }
    }
}

/// The old item that an item replaces: the one with its key. Items of other lists have no past.
fn matching<'a>(schema: &Value, item: &Value, old: &'a Value) -> Option<&'a Value> {
    let keys = schema["x-kubernetes-list-map-keys"].as_array()?;
    let same = |old: &&Value| keys.iter().filter_map(Value::as_str).all(|key| old[key] == item[key]);
    old.as_array()?.iter().find(same)
}

fn compile_nodes(schema: &Value, node: String, nodes: &mut HashMap<String, CompiledSchema>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let child = if node.is_empty() { name.clone() } else { format!("{node}.{name}") };
        compile_nodes(property, child, nodes);
    }
    if schema["items"].is_object() {
        compile_nodes(&schema["items"], format!("{node}[]"), nodes);
    }
    if schema[RULES_KEYWORD].is_array() {
        let mut own = without_rules(schema);
        own[RULES_KEYWORD] = schema[RULES_KEYWORD].clone();
        nodes.insert(node, compile_schema(&own));
    }
}

fn without_rules(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| *key != RULES_KEYWORD);
            Value::Object(kept.map(|(key, value)| (key.clone(), without_rules(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_rules).collect(),
        other => other.clone(),
    }
}

/// One finding for each culprit, where they can be told; else one for the whole node.
fn report(document: &Document, place: &Place, rule: &Rule, value: &Value) -> Vec<Finding> {
    let culprits = culprits::of(rule, value);
    if culprits.is_empty() {
        let path = rule.field_path.map_or_else(|| place.path.clone(), |field| place.path.join(&Path::of(field)));
        return vec![document.finding(
            Severity::Error,
            rule.code,
            &path,
            rule.message.to_owned(),
            rule.cure.to_owned(),
        )];
    }
    culprits
        .into_iter()
        .map(|culprit| {
            let path = place.path.join(&culprit.path);
            let cure = culprit.cure.unwrap_or_else(|| rule.cure.to_owned());
            document.finding(Severity::Error, rule.code, &path, culprit.message, cure)
        })
        .collect()
}
