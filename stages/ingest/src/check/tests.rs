#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::budget::Budget;

fn rules() -> RowRules {
    let schema = json!({
        "type": "object",
        "required": ["InvoiceNo"],
        "properties": {"InvoiceNo": {"type": "string"}, "Quantity": {"type": "integer"}},
    });
    RowRules {
        schema: Some(RowSchema::compile(schema.as_object().unwrap()).unwrap()),
        partition_key: Template::parse_for_rows("{InvoiceNo}").unwrap(),
        id_field: None,
        max_row_bytes: 1000,
        max_rows: 10,
    }
}

fn check(rules: &RowRules, rows: &[&[u8]]) -> CheckedRows {
    let mut checker = Checker::new(rules, Made::new(0, 1 << 20, Budget::new(1 << 24).hold()));
    for row in rows {
        checker.row(RawRow::Slice(Bytes::copy_from_slice(row))).unwrap();
    }
    checker.finish().0
}

fn taken(rules: &RowRules, row: &str) -> String {
    let checked = check(rules, &[row.as_bytes()]);
    assert!(checked.refused.is_empty(), "{:?}", checked.refused);
    String::from_utf8(checked.good[0].data.to_vec()).unwrap()
}

fn code(rules: &RowRules, row: &[u8]) -> (String, Option<String>) {
    let rejection = check(rules, &[row]).refused.remove(0).rejection;
    (rejection.reason.into_owned(), rejection.field)
}

fn with_ids() -> RowRules {
    RowRules { id_field: Some("_id".to_owned()), ..rules() }
}

#[test]
fn the_bytes_of_a_good_row_stay_as_they_came() {
    let row = r#"{ "InvoiceNo" : "1", "Price": 2.5500000000000000001, "InvoiceNo":"2" }"#;
    assert_eq!(taken(&rules(), row), row);
    let checked = check(&rules(), &[row.as_bytes()]);
    assert_eq!(&*checked.good[0].key, "2", "of a field that is there twice the last counts");
    assert_eq!(checked.good[0].hash, HashKey::of_partition_key("2"));
}

#[test]
fn a_record_is_a_single_line() {
    let row = "{\r\n  \"InvoiceNo\": \"a\\nb\",\n\n\t\"Tags\": [1,\n 2]\n}";
    assert_eq!(taken(&rules(), row), r#"{"InvoiceNo": "a\nb","Tags": [1,2]}"#);
}

#[test]
fn bad_rows_are_refused_by_themselves_with_code_and_field() {
    let field = |code: &str, field: &str| (code.to_owned(), Some(field.to_owned()));
    let rules = rules();
    assert_eq!(code(&rules, br#"{"InvoiceNo":7}"#), field("schema_type", "InvoiceNo"));
    assert_eq!(code(&rules, br#"{"Quantity":1}"#), field("schema_required", "InvoiceNo"));
    assert_eq!(code(&rules, br#"{"InvoiceNo":""}"#), field("partition_key_empty", "InvoiceNo"));
    for (row, reason) in [
        (&b"{\"InvoiceNo\":\"\xff\"}"[..], "not_utf8"),
        (b"{\"InvoiceNo\":\"\0\"}", "not_json"),
        (b"{\"InvoiceNo\":\"\\ud800\"}", "not_json"),
        (b"{\"InvoiceNo\":\"1\",\"x\":1e400}", "number_out_of_range"),
        (b"[]", "not_an_object"),
    ] {
        assert_eq!(code(&rules, row).0, reason);
    }
    let bomb = format!("{{\"InvoiceNo\":\"1\",\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(code(&rules, bomb.as_bytes()).0, "too_deep");
    assert_eq!(code(&rules, format!("{{\"InvoiceNo\":\"{}\"}}", "x".repeat(990)).as_bytes()).0, "row_too_large");
}

#[test]
fn a_key_has_at_most_256_characters_whatever_they_weigh() {
    let row = |chars: usize| format!("{{\"InvoiceNo\":\"{}\"}}", "é".repeat(chars));
    assert_eq!(taken(&rules(), &row(256)), row(256));
    assert_eq!(code(&rules(), row(257).as_bytes()).0, "partition_key_too_long");
}

#[test]
fn rows_keep_their_places_among_refused_ones() {
    let checked = check(&rules(), &[br#"{"InvoiceNo":"a"}"#, b"nul", br#"{"InvoiceNo":"b"}"#]);
    assert_eq!(checked.good.iter().map(|row| &*row.key).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(checked.refused[0].index, 1);
}

#[test]
fn too_many_rows_refuse_the_request() {
    let rules = rules();
    let mut checker = Checker::new(&rules, Made::new(0, 1 << 20, Budget::new(1 << 24).hold()));
    let row = || RawRow::Slice(Bytes::from_static(b"nul"));
    for _ in 0..10 {
        checker.row(row()).unwrap();
    }
    assert_eq!(checker.row(row()).unwrap_err().kind(), ProblemKind::TooManyRows);
}

#[test]
fn a_row_without_an_id_is_given_one_and_loses_nothing() {
    let rules = with_ids();
    for row in [
        r#"{"InvoiceNo":"1","P":2.50}"#,
        r#"{"_id":null,"InvoiceNo":"1","P":2.50}"#,
        r#"{"InvoiceNo":"1","_id":"","P":2.50}"#,
        "{\n\"InvoiceNo\":\"1\",\r\n \"P\":2.50}",
    ] {
        let (first, second) = (taken(&rules, row), taken(&rules, row));
        let id = serde_json::from_str::<Value>(&first).unwrap()["_id"].as_str().unwrap().to_owned();
        assert_eq!(first, format!(r#"{{"_id":"{id}","InvoiceNo":"1","P":2.50}}"#));
        assert_ne!(first, second);
    }
    for row in [r#"{"_id":"a","InvoiceNo":"1"}"#, r#"{"_id":7,"InvoiceNo":"1"}"#] {
        assert_eq!(taken(&rules, row), row);
    }
    assert_eq!(code(&rules, br#"{"_id":{},"InvoiceNo":"1"}"#), ("id_type".to_owned(), Some("_id".to_owned())));
}

#[test]
fn an_object_without_fields_may_be_given_an_id() {
    let rules = RowRules { schema: None, partition_key: Template::parse_for_rows("{_id}").unwrap(), ..with_ids() };
    let row = taken(&rules, "{ }");
    assert!(serde_json::from_str::<Value>(&row).unwrap()["_id"].is_string(), "{row}");
}

#[test]
fn the_schema_sees_the_id() {
    let schema = json!({"required": ["_id"], "properties": {"_id": {"type": "string"}}});
    let rules = RowRules { schema: Some(RowSchema::compile(schema.as_object().unwrap()).unwrap()), ..with_ids() };
    taken(&rules, r#"{"InvoiceNo":"1"}"#);
}

#[test]
fn what_is_told_about_a_row_is_bounded() {
    let schema = json!({"properties": {"InvoiceNo": {}}, "additionalProperties": false});
    let rules = RowRules {
        schema: Some(RowSchema::compile(schema.as_object().unwrap()).unwrap()),
        max_row_bytes: 1 << 20,
        ..rules()
    };
    let row = format!("{{\"{}\":1}}", "x".repeat(100_000));
    let rejection = check(&rules, &[row.as_bytes()]).refused.remove(0).rejection;
    assert!(rejection.message.len() + rejection.field.unwrap().len() < 1000);
}
