#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

/// A stage with one table that was changed a little.
pub(crate) fn stage(change: &Value) -> SinkStage {
    let mut table = json!({
        "name": "customers",
        "when": "exists(.CustomerID)",
        "partition": { "field": "CustomerID", "attribute": "CustomerID", "type": "S" },
        "sort": { "field": "InvoiceNo", "attribute": "InvoiceNo", "type": "S" },
        "write": { "aggregate": { "set": { "Country": "Country" }, "add": { "Amount": "Amount", "Lines": 1 } } }
    });
    for (name, value) in change.as_object().unwrap() {
        table[name] = value.clone();
    }
    stage_of(json!([table]))
}

pub(crate) fn stage_of(tables: Value) -> SinkStage {
    serde_json::from_value(json!({
        "stream": "events",
        "leaseTable": "default.ecommerce.tables.leases",
        "startAt": "TrimHorizon",
        "idField": "_id",
        "process": ".Amount = to_float!(.Quantity) * to_float!(.UnitPrice)",
        "target": { "dynamoDb": { "tables": tables } },
        "deadLettersBucket": "lake",
        "deadLettersPrefix": "dead-letters/"
    }))
    .unwrap()
}

fn fault(change: &Value) -> (&'static str, String) {
    let error = check(&stage(change)).unwrap_err();
    (error.reason(), error.to_string())
}

#[test]
fn faults_name_the_table_and_the_part() {
    for (change, reason, text) in [
        (json!({"when": "exists("}), "when_invalid", "table customers: when: line 1"),
        (json!({"partition": {"template": "{a", "type": "S"}}), "template_invalid", "partition.template"),
        (json!({"sort": {"template": "{$now}", "type": "S"}}), "template_invalid", "sort.template: `$now`"),
        (json!({"sort": {"field": "CustomerID", "type": "S"}}), "attribute_invalid", "twice"),
        (json!({"ttl": {"field": "Amount"}}), "attribute_invalid", "\"Amount\" is written by `ttl`"),
        (json!({"write": {"aggregate": {"set": {}, "add": {"_penstock:x": 1}}}}), "attribute_invalid", "_penstock"),
        (json!({"write": {"aggregate": {"set": {"n": "a"}, "add": {"n": 1}}}}), "attribute_invalid", "twice"),
        (json!({"write": {"aggregate": {"set": {}, "add": {"": 1}}}}), "attribute_invalid", "no name"),
    ] {
        let (found, message) = fault(&change);
        assert_eq!(found, reason, "{change}: {message}");
        assert!(message.contains(text), "{change}: {message}");
    }
    let mut other = stage(&json!({}));
    other.process = Some(".x = now()".to_owned());
    assert!(check(&other).unwrap_err().to_string().contains("clock"));
}

#[test]
fn a_put_is_guarded_unless_its_key_holds_the_records_id() {
    let write = |partition: Value, sort: Value| {
        let stage = stage(&json!({"write": "put", "partition": partition, "sort": sort}));
        Config::new(&stage).unwrap().tables.remove(0).write
    };
    let field = |field: &str| json!({"field": field, "type": "S"});
    let template = |template: &str| json!({"template": template, "type": "S"});
    assert!(matches!(write(field("a"), field("b")), Write::PutLatest));
    assert!(matches!(write(field("a"), template("{b}#{$shard}")), Write::PutLatest));
    for (partition, sort) in [
        (field("a"), template("{b}#{$id}")),
        (field("_id"), field("b")),
        (field("a"), field("_id")),
        (template("x{_id}"), field("b")),
    ] {
        assert!(matches!(write(partition, sort), Write::PutOwn));
    }
}

#[test]
fn the_same_configuration_gives_the_same_recipe_and_the_recipe_gives_it_back() {
    let config = Config::new(&stage(&json!({}))).unwrap();
    assert_eq!(Config::new(&stage(&json!({}))).unwrap().recipe, config.recipe);
    let again = Config::from_recipe(&config.recipe).unwrap();
    assert_eq!(again.recipe, config.recipe);
    assert_eq!(again.application, config.application);
    assert_eq!(format!("{:?}", again.tables[0].write), format!("{:?}", config.tables[0].write));
    for change in [json!({"when": "true"}), json!({"ttl": {"field": "t"}}), json!({"name": "other"})] {
        assert_ne!(Config::new(&stage(&change)).unwrap().recipe, config.recipe, "{change}");
    }
}

#[test]
fn a_recipe_that_cannot_be_read_is_fatal_and_says_what_would_help() {
    for bytes in [&b"x"[..], b"{}", br#"{"version":2,"application":"a","tables":[]}"#] {
        let error = Config::from_recipe(&Recipe(Bytes::copy_from_slice(bytes))).unwrap_err();
        assert_eq!(error.reason(), "recipe_unreadable");
        assert!(error.to_string().contains("version"), "{error}");
    }
}
