#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use penstock_contract::{ArrivalMillis, Position, Record, Sequence, ShardId};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::batch::{TableWrites, Writes};
use crate::config::Config;
use crate::config::tests::stage_of;
use crate::item::Item;
use crate::request;

fn config(change: &Value) -> Config {
    let mut table = json!({"name": "t \"1\"", "partition": {"field": "pk", "type": "S"}, "write": "put"});
    for (name, value) in change.as_object().unwrap() {
        table[name] = value.clone();
    }
    let mut stage = stage_of(json!([table]));
    stage.process = None;
    Config::new(&stage).unwrap()
}

fn writes(config: &Config, rows: &[Value]) -> Writes {
    let mut writes = Writes::new(config);
    for (sequence, row) in rows.iter().enumerate() {
        let record = Record {
            position: Position::new(Sequence::parse(&sequence.to_string()).unwrap(), 0),
            partition_key: Arc::from("k"),
            arrival: ArrivalMillis(0),
            data: Bytes::from(row.to_string()),
        };
        writes.push(config, &ShardId::new("s"), &record).unwrap();
    }
    writes
}

fn puts(writes: &Writes) -> &[PutEntry] {
    match &writes.tables[0] {
        TableWrites::Puts(puts) => &puts.list,
        TableWrites::Sums(_) => panic!("the table is put to"),
    }
}

/// The items of a body as the SDK reads items.
fn items(body: &[u8]) -> Vec<Item> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let requests = body["RequestItems"].as_object().unwrap();
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["t \"1\""]);
    let requests = requests["t \"1\""].as_array().unwrap();
    requests.iter().map(|put| attributes(&put["PutRequest"]["Item"])).collect()
}

fn attributes(item: &Value) -> Item {
    item.as_object().unwrap().iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text.clone()),
        ("N", Value::String(number)) => AttributeValue::N(number.clone()),
        ("B", Value::String(text)) => AttributeValue::B(Blob::new(STANDARD.decode(text).unwrap())),
        ("BOOL", Value::Bool(value)) => AttributeValue::Bool(*value),
        ("NULL", Value::Bool(true)) => AttributeValue::Null(true),
        ("L", Value::Array(values)) => AttributeValue::L(values.iter().map(attribute).collect()),
        ("M", fields) => AttributeValue::M(attributes(fields)),
        other => panic!("{other:?}"),
    }
}

/// The body must say of each item what the SDK would say of it.
fn assert_as_the_sdk_writes(config: &Config, rows: &[Value]) {
    let (writes, table) = (writes(config, rows), &config.tables[0]);
    let mut body = Body::new(&table.name, 100);
    puts(&writes).iter().for_each(|entry| body.put(table, entry).unwrap());
    assert_eq!(body.items(), puts(&writes).len());
    let expected: Vec<_> = puts(&writes).iter().map(|entry| request::item(table, entry).unwrap()).collect();
    assert_eq!(items(&body.finish()), expected);
}

#[test]
fn keys_ends_and_marks_are_attributes_of_their_own() {
    let rows = [json!({"pk": "a", "n": 1, "end": {"at": 1_700_000_000}}), json!({"pk": "b"})];
    assert_as_the_sdk_writes(&config(&json!({"ttl": {"field": "end.at"}})), &rows);
    let sorted = json!({"sort": {"template": "{pk}#{$id}", "attribute": "sk", "type": "S"}});
    assert_as_the_sdk_writes(&config(&sorted), &rows);
    let bytes = json!({"partition": {"field": "pk", "type": "B"}, "sort": {"field": "n", "type": "N"}});
    assert_as_the_sdk_writes(&config(&bytes), &[json!({"pk": "AAEC/w==", "n": -1.50, "t": true})]);
}

#[test]
fn an_item_that_cannot_be_written_leaves_the_body_as_it_was() {
    let config = config(&json!({}));
    let mut writes = writes(&config, &[json!({"pk": "a"}), json!({"pk": "b"})]);
    let TableWrites::Puts(puts) = &mut writes.tables[0] else { panic!("the table is put to") };
    puts.list[0].row = Bytes::from_static(b"{");
    let mut body = Body::new("t \"1\"", 0);
    assert_eq!(body.put(&config.tables[0], &puts.list[0]).unwrap_err().reason, "not_json");
    body.put(&config.tables[0], &puts.list[1]).unwrap();
    let items = items(&body.finish());
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["pk"], AttributeValue::S("b".into()));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "\\PC{0,12}".prop_map(Value::from),
        "[\"\\\\\t\n\u{1}é]{0,6}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9_f64..1e9).prop_map(Value::from),
        (-1_000_000_i32..1_000_000).prop_map(|cents| Value::from(f64::from(cents) / 100.0)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"é]{1,4}", inner, 0..3).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #[test]
    fn a_body_says_what_the_sdk_would_say(
        rows in prop::collection::vec(prop::collection::btree_map("[a-c\"é]{1,3}", value(), 0..5), 1..4)
    ) {
        let rows = rows.into_iter().enumerate().map(|(index, mut row)| {
            row.insert("pk".to_owned(), json!(index.to_string()));
            json!(row)
        });
        assert_as_the_sdk_writes(&config(&json!({})), &rows.collect::<Vec<_>>());
    }
}
