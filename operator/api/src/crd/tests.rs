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
                !["$ref", "$schema", "$defs", "title", "default", "anyOf", "oneOf", "allOf", "const", "examples"]
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

/// Calls `visit` for every field that `kubectl explain` shows, with its path and its description.
fn explained(visit: &mut dyn FnMut(&str, &str, &Value)) {
    walk(&schema(), "", &mut |path, node| {
        let is_of_kubernetes = path.starts_with(".metadata");
        let is_of_a_map = path.ends_with("{}");
        if !is_of_kubernetes && !is_of_a_map {
            let text = node["description"].as_str().unwrap_or_else(|| panic!("{path} has no description"));
            visit(path, text, node);
        }
    });
}

#[test]
fn every_field_explains_itself_in_a_sentence_or_two() {
    explained(&mut |path, text, _| {
        let length = text.chars().count();
        assert!(length >= 20, "{path} says too little: {text:?}");
        assert!(length <= 400, "{path} says too much: {text:?}");
        assert!(text.ends_with('.'), "{path} does not end as a sentence does: {text:?}");
        assert!(text.starts_with(|first: char| first.is_uppercase() || first == '`'), "{path}: {text:?}");
        let breaks = text.lines().skip(1).all(|line| line.starts_with("- `"));
        assert!(breaks, "{path} is broken where the source is: {text:?}");
    });
}

#[test]
fn every_value_that_may_be_chosen_is_explained() {
    explained(&mut |path, text, node| {
        for value in node["enum"].as_array().into_iter().flatten() {
            let of_value = format!("\n- `{}`: ", value.as_str().unwrap());
            assert!(text.contains(&of_value), "{path} does not explain {value}: {text:?}");
        }
    });
}

#[test]
fn no_field_speaks_of_our_code() {
    // Names of types that no user ever writes, and what a doc comment says to rustdoc.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec");
    let source: String =
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let types = source.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))?;
        rest.split(|letter: char| !letter.is_ascii_alphanumeric()).next()
    });
    let inner = |name: &&str| name.chars().filter(char::is_ascii_uppercase).count() > 1;
    let types: Vec<_> = types.filter(inner).collect();
    assert!(types.len() > 10, "{types:?}");
    explained(&mut |path, text, _| {
        for word in text.split(|letter: char| !letter.is_ascii_alphanumeric()) {
            assert!(!types.contains(&word), "{path} names the type {word}: {text:?}");
        }
        for ours in ["::", "[`", "Option<", "TODO", "Vec<"] {
            assert!(!text.contains(ours), "{path} has {ours:?}: {text:?}");
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
fn an_object_that_may_be_absent_and_may_be_empty_may_be_null_unless_it_says_something_by_being_there() {
    let mut atomic = Vec::new();
    walk(&schema(), "", &mut |path, node| {
        for (name, property) in node["properties"].as_object().into_iter().flatten() {
            let may_be_absent = !node["required"].as_array().into_iter().flatten().any(|there| there == name);
            let may_be_empty = property["type"] == "object" && property["required"].is_null();
            let is_atomic = property["x-kubernetes-map-type"] == "atomic";
            if is_atomic {
                atomic.push(name.clone());
            }
            let expected = may_be_absent && may_be_empty && !is_atomic && !path.is_empty();
            assert_eq!(property["nullable"] == true, expected, "{path}.{name}");
        }
    });
    atomic.sort();
    atomic.dedup();
    assert_eq!(atomic, ["affinity", "fanOut", "schema"]);
}

#[test]
fn every_pattern_has_words() {
    walk(&schema(), "", &mut |path, node| {
        if let Some(pattern) = node["pattern"].as_str().filter(|_| !path.starts_with(".status")) {
            assert!(crate::spec::patterns::meaning(pattern).is_some(), "{path} has a pattern without words: {pattern}");
        }
    });
}
