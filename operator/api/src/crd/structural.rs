//! From a JSON Schema as schemars makes it to a *structural* schema as the API server wants it.
//!
//! A structural schema has one type at each node, no references and no `title`. An optional field is one that `required` does
//! not name; of those, objects that may be empty are `nullable`. Defaults are dropped: they live in code.

use serde_json::{Map, Value, json};

use crate::rules::Rule;

/// Keywords that a definition of ours may have; what schemars says besides is dropped.
const KEPT: &[&str] = &[
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "properties",
    "items",
    "additionalProperties",
];
/// Says who owns the fields of an object: of an atomic one a single manager, whose apply replaces it as a whole.
const MAP_TYPE: &str = "x-kubernetes-map-type";

/// Makes a schema structural.
pub(super) fn of(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    collapse_enum(&mut schema);
    drop_null(&mut schema);
    let mut kept = Map::new();
    for (key, value) in schema {
        let value = match key.as_str() {
            "properties" => each_property(value),
            "items" | "additionalProperties" => of(value),
            "description" => unbroken(value),
            _ => value,
        };
        // `additionalProperties: true` on an object of any fields says nothing that preserving does not.
        let says_nothing = key == "additionalProperties" && value.is_boolean();
        if !says_nothing && (KEPT.contains(&key.as_str()) || key.starts_with("x-kubernetes-")) {
            kept.insert(key, value);
        }
    }
    take_null_for_empty(&mut kept);
    Value::Object(kept)
}

/// Without the line breaks of the source, which mean nothing to a reader; each variant keeps its line.
fn unbroken(description: Value) -> Value {
    let Value::String(text) = description else { return description };
    let mut unbroken = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        if !unbroken.is_empty() {
            unbroken.push(if line.starts_with("- ") { '\n' } else { ' ' });
        }
        unbroken.push_str(line);
    }
    Value::String(unbroken)
}

fn each_property(properties: Value) -> Value {
    match properties {
        Value::Object(map) => Value::Object(map.into_iter().map(|(name, schema)| (name, of(schema))).collect()),
        other => other,
    }
}

/// Variants that have a doc comment come as `oneOf` of constants; a structural schema has `enum`, and the
/// comments move into the description, where `kubectl explain` shows them.
fn collapse_enum(schema: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = schema.remove("oneOf") else { return };
    let mut names = Vec::new();
    let mut description = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    for variant in &variants {
        let values =
            variant.get("const").into_iter().chain(variant.get("enum").and_then(Value::as_array).into_iter().flatten());
        let text = variant.get("description").and_then(Value::as_str);
        for value in values {
            if let (Some(name), Some(text)) = (value.as_str(), text) {
                description.push_str(&format!("\n- `{name}`: {text}"));
            }
            names.push(value.clone());
        }
    }
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(names));
    schema.insert("description".to_owned(), json!(description.trim_start()));
}

/// `Option<T>` comes as `anyOf [T, null]` or as `type: [T, null]`.
fn drop_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(members)) = schema.remove("anyOf") {
        let member = members.into_iter().find(|member| member.get("type") != Some(&json!("null")));
        if let Some(Value::Object(mut member)) = member {
            collapse_enum(&mut member);
            for (key, value) in member {
                match (key.as_str(), schema.get_mut(&key)) {
                    // The field's own words come first, then those of its type about the values.
                    ("description", Some(Value::String(own))) => append_variants(own, &value),
                    ("description", Some(_)) => {}
                    _ => {
                        schema.insert(key, value);
                    }
                }
            }
        }
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        let kept = types.iter().find(|name| **name != json!("null")).cloned();
        if let Some(kept) = kept {
            schema.insert("type".to_owned(), kept);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
}

/// An object that may be absent and needs no field may also be `null`: that is what the API server makes of one whose last field
/// a server-side apply takes away, and otherwise refuses. It means what an absent one means, to the rules and to the code; an
/// object that says something by being there, though empty, is atomic, and never becomes `null`.
fn take_null_for_empty(schema: &mut Map<String, Value>) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|there| there == name));
    for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if !is_required(name) && may_be_empty(property) {
            property["nullable"] = json!(true);
        }
    }
}

/// An object that needs no field and is not atomic.
fn may_be_empty(schema: &Value) -> bool {
    schema["type"] == "object" && schema.get("required").is_none() && schema[MAP_TYPE] != "atomic"
}

fn append_variants(own: &mut String, of_type: &Value) {
    if let Some((_, variants)) = of_type.as_str().and_then(|text| text.split_once("\n- ")) {
        own.push_str("\n- ");
        own.push_str(variants);
    }
}

/// Puts a rule at a node: `spec.sinks[].dynamodb`, where `[]` means each item.
pub(super) fn add_rule(schema: &mut Value, node: &str, rule: &Rule) {
    let Some(target) = node_mut(schema, node) else { return };
    let mut text = json!({ "rule": rule.rule, "message": rule.message, "reason": rule.reason });
    if let Some(field_path) = rule.field_path {
        text["fieldPath"] = json!(field_path);
    }
    match target.get_mut("x-kubernetes-validations") {
        Some(Value::Array(rules)) => rules.push(text),
        _ => target["x-kubernetes-validations"] = json!([text]),
    }
}

fn node_mut<'a>(schema: &'a mut Value, node: &str) -> Option<&'a mut Value> {
    let mut current = schema;
    for step in node.split('.').filter(|step| !step.is_empty()) {
        let (name, items) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        current = current.get_mut("properties")?.get_mut(name)?;
        if items {
            current = current.get_mut("items")?;
        }
    }
    Some(current)
}
