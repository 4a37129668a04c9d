#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// Calls `visit` for every node of a schema with its path.
fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &format!("{path}{{}}"), visit);
    }
}

#[test]
fn the_file_stays_below_two_hundred_kilobytes() {
    assert!(crd_yaml().len() < 200_000);
}

#[test]
fn every_string_list_and_map_is_bounded() {
    walk(&schema(), "", &mut |path, node| {
        let bounded = |keyword: &str| assert!(node[keyword].is_u64(), "{path} has no {keyword}");
        match node["type"].as_str() {
            Some("string") if node["enum"].is_null() => bounded("maxLength"),
            Some("array") => bounded("maxItems"),
            Some("object") if node["additionalProperties"].is_object() => bounded("maxProperties"),
            None if node["x-kubernetes-int-or-string"] == true => bounded("maxLength"),
            Some("string" | "object" | "integer" | "boolean") => {}
            other => panic!("{path} has the type {other:?}"),
        }
    });
}

#[test]
fn the_schema_is_structural() {
    walk(&schema(), "", &mut |path, node| {
        for keyword in node.as_object().unwrap().keys() {
            assert!(
                ![
                    "$ref", "$schema", "$defs", "title", "default", "anyOf", "oneOf", "allOf", "const", "nullable",
                    "examples"
                ]
                .contains(&keyword.as_str()),
                "{path} has {keyword}"
            );
        }
        if node["type"] == "object" && node["x-kubernetes-preserve-unknown-fields"] != true && !path.is_empty() {
            assert!(
                node["properties"].is_object() || node["additionalProperties"].is_object(),
                "{path} is an object of nothing"
            );
        }
        if let Some(format) = node["format"].as_str() {
            assert!(["int32", "int64", "date-time"].contains(&format), "{path} has the format {format}");
        }
    });
}

#[test]
fn every_field_explains_itself() {
    walk(&schema(), "", &mut |path, node| {
        let own_of_kubernetes = path.is_empty() || path.starts_with(".metadata");
        let of_a_collection = path.ends_with("[]") || path.ends_with("{}");
        if !own_of_kubernetes && !of_a_collection && path != ".spec" && path != ".status" {
            assert!(node["description"].is_string(), "{path} has no description");
        }
    });
}

#[test]
fn every_rule_has_found_its_node() {
    let wanted: usize = RULES.iter().map(|rule| rule.at.len()).sum();
    let mut found = 0;
    walk(&schema(), "", &mut |_, node| found += node["x-kubernetes-validations"].as_array().map_or(0, Vec::len));
    assert_eq!(found, wanted);
}

#[test]
fn every_pattern_has_words() {
    walk(&schema(), "", &mut |path, node| {
        if let Some(pattern) = node["pattern"].as_str().filter(|_| !path.starts_with(".status")) {
            assert!(crate::spec::patterns::meaning(pattern).is_some(), "{path} has a pattern without words: {pattern}");
        }
    });
}
