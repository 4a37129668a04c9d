#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use crate::{FlatRow, RowSchema};

use super::*;

fn schema(schema: &Value) -> RowSchema {
    RowSchema::compile(schema.as_object().unwrap()).unwrap()
}

fn takes(document: &Value, row: &Value) -> bool {
    schema(document).surely_takes(&FlatRow::read(row.to_string().as_bytes()).unwrap())
}

#[test]
fn usual_rows_are_taken_at_once() {
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a line",
        "type": "object",
        "required": ["InvoiceNo", "Quantity"],
        "additionalProperties": false,
        "properties": {
            "InvoiceNo": { "type": "string", "minLength": 1, "maxLength": 7, "description": "its number" },
            "Quantity": { "type": "integer", "minimum": -10, "maximum": 10 },
            "Price": { "type": ["number", "null"] },
            "Country": { "enum": ["France", "Spain"] },
            "Code": { "type": "string", "pattern": "^[0-9]+$" },
            "Date": { "format": "date" },
            "Any": {},
        },
    });
    let row = json!({"InvoiceNo": "éééé", "Quantity": -6, "Price": 2.5, "Country": "Spain", "Code": "12", "Date": "2010-12-01", "Any": true});
    assert!(takes(&document, &row));
    for (field, value) in [
        ("InvoiceNo", json!("")),
        ("InvoiceNo", json!("12345678")),
        ("InvoiceNo", json!(null)),
        ("Quantity", json!(11)),
        ("Quantity", json!(-11)),
        ("Quantity", json!(1.5)),
        ("Price", json!("2.5")),
        ("Country", json!("Atlantis")),
        ("Country", json!(1)),
        ("Code", json!("a")),
        ("Date", json!("yesterday")),
        ("More", json!(1)),
    ] {
        let mut other = row.clone();
        other[field] = value;
        assert!(!takes(&document, &other), "{other}");
    }
    assert!(!takes(&document, &json!({"Quantity": 1})));
}

#[test]
fn a_schema_that_says_more_is_left_to_the_library() {
    for document in [
        json!({"minProperties": 1}),
        json!({"type": ["object", "null"]}),
        json!({"additionalProperties": {"type": "string"}}),
        json!({"anyOf": [{"required": ["a"]}]}),
        json!({"$defs": {"n": {}}, "properties": {"a": {"$ref": "#/$defs/n"}}}),
        json!({"properties": {"a": {"anyOf": [{"$ref": "#"}]}}}),
        json!({"properties": {"a": true}}),
    ] {
        assert!(!takes(&document, &json!({"a": 1})), "{document}");
    }
}

/// Words of a property with what they ask, also such as are not known here.
fn property() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        prop::sample::select(vec!["string", "integer", "number", "boolean", "null", "array"])
            .prop_map(|name| ("type", json!(name))),
        prop::collection::vec(prop::sample::select(vec!["string", "integer", "number", "null"]), 1..3).prop_map(
            |names| {
                let names: std::collections::BTreeSet<_> = names.into_iter().collect();
                ("type", json!(names))
            }
        ),
        (0_u32..4).prop_map(|least| ("minLength", json!(least))),
        (0_u32..6).prop_map(|most| ("maxLength", json!(most))),
        (-3_i32..3).prop_map(|least| ("minimum", json!(least))),
        (-3_i32..3).prop_map(|most| ("maximum", json!(most))),
        prop::collection::vec("[ab]", 1..3).prop_map(|texts| {
            let texts: std::collections::BTreeSet<_> = texts.into_iter().collect();
            ("enum", json!(texts))
        }),
        Just(("enum", json!(["a", 1]))),
        Just(("const", json!("a"))),
        Just(("pattern", json!("^a"))),
        Just(("multipleOf", json!(2))),
        Just(("exclusiveMinimum", json!(0))),
        Just(("not", json!({"type": "null"}))),
        Just(("description", json!("a field"))),
    ];
    prop::collection::vec(word, 0..4)
        .prop_map(|words| Value::Object(words.into_iter().map(|(word, value)| (word.to_owned(), value)).collect()))
}

fn document() -> impl Strategy<Value = Value> {
    let properties = prop::collection::vec(("[a-c]", property()), 0..4);
    let required = prop::option::of(prop::collection::btree_set("[a-d]", 0..3));
    let drafts = vec![
        None,
        Some("http://json-schema.org/draft-04/schema#"),
        Some("http://json-schema.org/draft-07/schema#"),
        Some("https://json-schema.org/draft/2020-12/schema"),
    ];
    (properties, required, prop::option::of(any::<bool>()), prop::sample::select(drafts)).prop_map(
        |(properties, required, open, draft)| {
            let properties: Map<_, _> = properties.into_iter().collect();
            let mut document = json!({"type": "object", "properties": properties});
            if let Some(required) = required {
                document["required"] = json!(required);
            }
            if let Some(open) = open {
                document["additionalProperties"] = json!(open);
            }
            if let Some(draft) = draft {
                document["$schema"] = json!(draft);
            }
            document
        },
    )
}

fn row() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[abé]{0,6}".prop_map(|text| format!("\"{text}\"")),
        (-4_i32..4).prop_map(|number| number.to_string()),
        prop::sample::select(vec!["0.5", "-1.50", "2.0", "null", "true"]).prop_map(str::to_owned),
    ];
    prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_taken_here_the_library_takes_too(document in document(), rows in prop::collection::vec(row(), 20)) {
        // Some are no schemas: draft 4 has other words.
        if let Ok(schema) = RowSchema::compile(document.as_object().unwrap()) {
            for text in rows {
                let row = FlatRow::read(text.as_bytes()).unwrap();
                if schema.surely_takes(&row) {
                    prop_assert_eq!(schema.check(&row.to_row().into_value()), Ok(()), "{} {}", document, text);
                }
            }
        }
    }
}
