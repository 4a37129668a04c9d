#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use penstock_contract::{ArrivalMillis, Range, Sequence};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::tests::{stage, stage_of};
use crate::request;

fn record(sequence: u64, data: &Value) -> Record {
    Record {
        position: Position::new(Sequence::parse(&sequence.to_string()).unwrap(), 0),
        partition_key: Arc::from("key"),
        arrival: ArrivalMillis(1_291_191_960_007),
        data: Bytes::from(data.to_string()),
    }
}

fn shard() -> ShardId {
    ShardId::new("shardId-000000000001")
}

fn range(end: u64) -> Range {
    Range { shard: shard(), start_exclusive: None, end_inclusive: record(end, &json!({})).position }
}

fn config(tables: Value) -> Config {
    let mut stage = stage_of(tables);
    stage.process = None;
    Config::new(&stage).unwrap()
}

fn put(change: &Value) -> Config {
    let mut table = json!({"name": "t", "partition": {"field": "pk", "type": "S"}, "write": "put"});
    for (name, value) in change.as_object().unwrap() {
        table[name] = value.clone();
    }
    config(json!([table]))
}

fn aggregate(change: &Value) -> Config {
    let mut aggregated = stage(change);
    aggregated.process = None;
    Config::new(&aggregated).unwrap()
}

fn reject(config: &Config, row: &Value) -> (String, Option<String>) {
    let mut writes = Writes::new(config);
    let rejection = writes.push(config, &shard(), &record(1, row)).unwrap_err();
    assert_eq!(writes.taken, 0);
    (rejection.reason.into_owned(), rejection.field)
}

fn puts(writes: &Writes, table: usize) -> &[PutEntry] {
    match &writes.tables[table] {
        TableWrites::Puts(puts) => &puts.list,
        TableWrites::Sums(_) => panic!("sums"),
    }
}

fn sums(writes: &Writes, table: usize) -> &[SumEntry] {
    match &writes.tables[table] {
        TableWrites::Sums(sums) => &sums.list,
        TableWrites::Puts(_) => panic!("puts"),
    }
}

#[test]
fn a_key_that_cannot_be_is_rejected_with_its_field() {
    let s = put(&json!({}));
    let n = put(&json!({"partition": {"field": "pk", "type": "N"}}));
    let b = put(&json!({"partition": {"field": "pk", "type": "B"}}));
    let sorted = put(&json!({"sort": {"field": "sk", "type": "S"}}));
    let template = put(&json!({"partition": {"template": "{x}{y}", "attribute": "pk", "type": "S"}}));
    let field = |name: &str| Some(name.to_owned());
    for (config, row, reason, at) in [
        (&s, json!({}), "key_missing", field("pk")),
        (&s, json!({"pk": null}), "key_missing", field("pk")),
        (&s, json!({"pk": ""}), "key_empty", field("pk")),
        (&s, json!({"pk": 1}), "key_type", field("pk")),
        (&s, json!({"pk": ["a"]}), "key_type", field("pk")),
        (&s, json!({"pk": "x".repeat(2049)}), "key_too_long", field("pk")),
        (&n, json!({"pk": "1"}), "key_type", field("pk")),
        (&n, json!({"pk": 1e200}), "key_type", field("pk")),
        (&b, json!({"pk": "not base64!"}), "key_type", field("pk")),
        (&b, json!({"pk": ""}), "key_empty", field("pk")),
        (&sorted, json!({"pk": "a", "sk": "x".repeat(1025)}), "key_too_long", field("sk")),
        (&template, json!({"x": "a"}), "template_field_missing", field("y")),
        (&template, json!({"x": "", "y": ""}), "key_empty", None),
        (&template, json!({"x": "a", "y": "b", "pk": "c"}), "attribute_taken", field("pk")),
    ] {
        assert_eq!(reject(config, &row), (reason.to_owned(), at), "{row}");
    }
    let mut writes = Writes::new(&sorted);
    let row = json!({"pk": "x".repeat(2048), "sk": "y".repeat(1024)});
    assert_eq!(writes.push(&sorted, &shard(), &record(1, &row)), Ok(()));
}

#[test]
fn an_item_that_cannot_be_is_rejected() {
    let config = put(&json!({"ttl": {"field": "end"}}));
    for (row, reason) in [
        (json!({"pk": "a", "x": "x".repeat(400 * 1024)}), "item_too_large"),
        (json!({"pk": "a", "x": 1e300}), "number_out_of_range"),
        (json!({"pk": "a", "_penstock": 1}), "attribute_reserved"),
        (json!({"pk": "a", "": 1}), "attribute_name_empty"),
        (json!({"pk": "a", "end": "soon"}), "ttl_invalid"),
        (json!({"pk": "a", "end": 1.5}), "ttl_invalid"),
        (json!({"pk": "a", "end": -1}), "ttl_invalid"),
        (json!({"pk": "a", "end": 1_700_000_000_000_000_i64}), "ttl_invalid"),
    ] {
        assert_eq!(reject(&config, &row).0, reason, "{}", &row.to_string()[..30]);
    }
    let mut writes = Writes::new(&config);
    for row in [json!({"pk": "a", "end": 1_700_000_000}), json!({"pk": "b", "end": null}), json!({"pk": "c"})] {
        assert_eq!(writes.push(&config, &shard(), &record(1, &row)), Ok(()), "{row}");
    }
}

#[test]
fn the_largest_item_is_the_one_that_dynamodb_takes() {
    let config = put(&json!({"sort": {"template": "{$id}", "attribute": "sk", "type": "S"}}));
    let id = "shardId-000000000001:1:0";
    // pk + a, sk + the id, x + its text.
    let room = 400 * 1024 - (2 + 1) - (2 + id.len()) - 1;
    let mut writes = Writes::new(&config);
    let row = |bytes: usize| json!({"pk": "a", "x": "x".repeat(bytes)});
    assert_eq!(writes.push(&config, &shard(), &record(1, &row(room))), Ok(()));
    assert_eq!(puts(&writes, 0)[0].bytes, 400 * 1024);
    assert_eq!(reject(&config, &row(room + 1)).0, "item_too_large");
}

#[test]
fn what_one_table_cannot_take_no_table_takes() {
    let config = config(json!([
        {"name": "a", "partition": {"field": "pk", "type": "S"}, "write": "put"},
        {"name": "b", "when": ".n != 0", "partition": {"field": "pk", "type": "S"}, "write": {"aggregate": {"set": {}, "add": {"n": "n"}}}}
    ]));
    let mut writes = Writes::new(&config);
    let push = |writes: &mut Writes, row: &Value| writes.push(&config, &shard(), &record(1, row));
    assert_eq!(push(&mut writes, &json!({"pk": "x", "n": "one"})).unwrap_err().reason, "add_type");
    assert!(puts(&writes, 0).is_empty() && sums(&writes, 1).is_empty());
    // The other table does not want it, so it does not matter that it could not take it.
    assert_eq!(push(&mut writes, &json!({"pk": "x", "n": 0})), Ok(()));
    assert_eq!((puts(&writes, 0).len(), sums(&writes, 1).len(), writes.taken), (1, 0, 1));
}

#[test]
fn a_record_that_no_table_wants_is_no_fault_and_not_counted() {
    let config = aggregate(&json!({}));
    let mut writes = Writes::new(&config);
    assert_eq!(writes.push(&config, &shard(), &record(1, &json!({"a": 1}))), Ok(()));
    assert_eq!(writes.taken, 0);
}

#[test]
fn of_several_records_of_an_item_the_last_one_stays() {
    let config = put(&json!({}));
    let mut writes = Writes::new(&config);
    for (sequence, value) in [(1, "first"), (2, "second"), (10, "last")] {
        writes.push(&config, &shard(), &record(sequence, &json!({"pk": "a", "v": value}))).unwrap();
    }
    let [entry] = puts(&writes, 0) else { panic!("one item") };
    let item = request::item(&config.tables[0], entry).unwrap();
    assert_eq!(item["v"], AttributeValue::S("last".into()));
    assert_eq!(item["_penstock"], AttributeValue::S("00210.0000000000".into()));
    assert_eq!(entry.superseded.len(), 2);
}

#[test]
fn keys_that_dynamodb_takes_for_the_same_are_the_same() {
    let config = put(&json!({"partition": {"field": "pk", "type": "N"}}));
    let mut writes = Writes::new(&config);
    for row in [r#"{"pk":100}"#, r#"{"pk":1e2}"#, r#"{"pk":100.0}"#] {
        let mut record = record(1, &json!({}));
        record.data = Bytes::from(row);
        writes.push(&config, &shard(), &record).unwrap();
    }
    assert_eq!(puts(&writes, 0).len(), 1);
}

#[test]
fn a_key_of_its_own_type_and_name_goes_into_the_item() {
    let config = put(&json!({
        "partition": {"field": "data", "type": "B"},
        "sort": {"template": "{a.b}#{$id}", "attribute": "sk", "type": "S"},
        "ttl": {"field": "a.end"}
    }));
    let mut writes = Writes::new(&config);
    let row = json!({"data": "AAEC", "a": {"b": "x", "end": 5}, "_id": "id-1"});
    writes.push(&config, &shard(), &record(7, &row)).unwrap();
    let item = request::item(&config.tables[0], &puts(&writes, 0)[0]).unwrap();
    assert_eq!(item["data"].as_b().unwrap().as_ref(), [0, 1, 2]);
    assert_eq!(item["sk"], AttributeValue::S("x#id-1".into()));
    assert_eq!(item["a.end"], AttributeValue::N("5".into()));
    assert!(!item.contains_key("_penstock"), "an item of its own needs no mark");
}

#[test]
fn a_sum_that_cannot_be_is_rejected() {
    let config = aggregate(&json!({"ttl": {"field": "end"}}));
    let row = |amount: Value| json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": amount});
    for (row, reason) in [
        (json!({"CustomerID": "c", "InvoiceNo": "i"}), "add_missing"),
        (row(Value::Null), "add_missing"),
        (row(json!("1")), "add_type"),
        (row(json!(1e300)), "number_out_of_range"),
        (json!({"CustomerID": null, "InvoiceNo": "i", "Amount": 1}), "key_missing"),
        (json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": 1, "end": "x"}), "ttl_invalid"),
        (json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": 1, "Country": "x".repeat(500_000)}), "item_too_large"),
    ] {
        assert_eq!(reject(&config, &row).0, reason);
    }
    let mut writes = Writes::new(&config);
    writes.push(&config, &shard(), &record(1, &row(json!(1e25)))).unwrap();
    let rejection = writes.push(&config, &shard(), &record(2, &row(json!(1e-25)))).unwrap_err();
    assert_eq!(rejection.reason, "sum_out_of_range");
    writes.push(&config, &shard(), &record(3, &row(json!(-1e25)))).unwrap();
    assert_eq!(sums(&writes, 0)[0].add(&config.tables[0]).next().unwrap().1, Decimal::default());
}

#[test]
fn an_update_adds_sets_and_marks_the_range() {
    let config = aggregate(&json!({"ttl": {"field": "end"}}));
    let mut writes = Writes::new(&config);
    for (sequence, row) in [
        (5, json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": 15.3, "Country": "France", "end": 9})),
        (6, json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": -0.3, "Country": "Spain"})),
        (7, json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": 0.1, "Country": null})),
    ] {
        writes.push(&config, &shard(), &record(sequence, &row)).unwrap();
    }
    let [entry] = sums(&writes, 0) else { panic!("one item") };
    let update = request::update(&config, &config.tables[0], entry, &range(12));
    assert_eq!(update.update, "SET #guard = :guard, #s0 = :s0, #s1 = :s1 ADD #a0 :a0, #a1 :a1");
    assert_eq!(update.condition, "attribute_not_exists(#guard) OR #guard < :guard");
    let s = |text: &str| AttributeValue::S(text.into());
    let n = |text: &str| AttributeValue::N(text.into());
    assert_eq!(update.key, [("CustomerID".into(), s("c")), ("InvoiceNo".into(), s("i"))].into());
    let resolved: BTreeMap<_, _> = update
        .names
        .iter()
        .map(|(place, name)| (name.clone(), update.values[&place.replace('#', ":")].clone()))
        .collect();
    let guard = format!("_penstock:{}:shardId-000000000001", config.application);
    let expected = [
        (guard, s("00212.0000000000")),
        ("Amount".into(), n("15.1")),
        ("Lines".into(), n("3")),
        ("Country".into(), s("Spain")),
        ("end".into(), n("9")),
    ];
    assert_eq!(resolved, expected.into());
}

#[test]
fn a_field_that_is_not_there_leaves_the_attribute_alone() {
    let config = aggregate(&json!({}));
    let mut writes = Writes::new(&config);
    let row = json!({"CustomerID": "c", "InvoiceNo": "i", "Amount": 1});
    writes.push(&config, &shard(), &record(5, &row)).unwrap();
    let update = request::update(&config, &config.tables[0], &sums(&writes, 0)[0], &range(5));
    assert_eq!(update.update, "SET #guard = :guard ADD #a0 :a0, #a1 :a1");
}

#[test]
fn a_batch_is_full_at_its_bytes_or_its_records() {
    let config = put(&json!({}));
    let mut writes = Writes::new(&config);
    for sequence in 0..MAX_BATCH_RECORDS {
        assert!(!writes.is_full());
        writes.push(&config, &shard(), &record(sequence, &json!({"pk": "same"}))).unwrap();
    }
    assert!(writes.is_full());
    let mut writes = Writes::new(&config);
    let mut records = 0;
    while !writes.is_full() {
        let row = json!({"pk": records.to_string(), "x": "x".repeat(100_000)});
        writes.push(&config, &shard(), &record(records, &row)).unwrap();
        records += 1;
    }
    assert!((40..=42).contains(&records), "{records}");
}

#[test]
fn a_program_runs_before_keys_and_sums_are_made() {
    let config = Config::new(&stage(&json!({}))).unwrap();
    let mut writes = Writes::new(&config);
    let row = json!({"CustomerID": "c", "InvoiceNo": "i", "Quantity": 6, "UnitPrice": 2.5});
    writes.push(&config, &shard(), &record(5, &row)).unwrap();
    assert_eq!(sums(&writes, 0)[0].add(&config.tables[0]).next().unwrap().1.to_string(), "15");
    let rejection = writes.push(&config, &shard(), &record(6, &json!({"Quantity": "x"}))).unwrap_err();
    assert_eq!(rejection.reason, "process_failed");
}

/// Cents as DynamoDB writes the amount: no zeros at the end.
fn as_amount(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

proptest! {
    #[test]
    fn sums_of_any_records_are_those_of_a_ledger(
        lines in prop::collection::vec((0_u8..5, 0_u8..4, -100_000_i64..100_000, prop::option::of(0_u8..3)), 0..300)
    ) {
        let config = aggregate(&json!({}));
        let mut writes = Writes::new(&config);
        let mut ledger: BTreeMap<(u8, u8), (i64, i64, Option<u8>)> = BTreeMap::new();
        for (sequence, (customer, invoice, cents, country)) in lines.iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "small")]
            let amount = *cents as f64 / 100.0;
            let mut row = json!({"CustomerID": customer.to_string(), "InvoiceNo": invoice.to_string(), "Amount": amount});
            if let Some(country) = country {
                row["Country"] = json!(country.to_string());
            }
            writes.push(&config, &shard(), &record(sequence as u64, &row)).unwrap();
            let line = ledger.entry((*customer, *invoice)).or_default();
            *line = (line.0 + cents, line.1 + 1, country.or(line.2));
        }
        let entries = sums(&writes, 0);
        prop_assert_eq!(entries.len(), ledger.len());
        prop_assert_eq!(writes.taken, lines.len() as u64);
        for entry in entries {
            let key = config.tables[0].key.item(&entry.key);
            let part = |name: &str| key[name].as_s().unwrap().parse::<u8>().unwrap();
            let (cents, count, country) = ledger[&(part("CustomerID"), part("InvoiceNo"))];
            let added: Vec<_> = entry.add(&config.tables[0]).map(|(_, sum)| sum).collect();
            prop_assert_eq!(added[0].to_string(), as_amount(cents));
            prop_assert_eq!(added[1].to_string(), count.to_string());
            prop_assert_eq!(entry.positions.len() as i64, count);
            let set: Vec<_> = entry.set(&config.tables[0]).map(|(_, value)| value.as_str().unwrap().parse::<u8>().unwrap()).collect();
            prop_assert_eq!(set, country.into_iter().collect::<Vec<u8>>());
        }
    }

    #[test]
    fn the_measured_size_is_that_of_the_item_that_is_sent(
        texts in prop::collection::btree_map("[a-zé]{1,8}", "\\PC{0,20}", 0..6),
        numbers in prop::collection::btree_map("[A-Z]{1,8}", any::<i64>(), 0..4),
        key in "[a-z]{1,9}",
        seconds in prop::option::of(0_i64..2_000_000_000),
    ) {
        let config = put(&json!({"partition": {"field": "pk#", "type": "S"}, "ttl": {"field": "end#"}}));
        let mut row = serde_json::Map::new();
        row.extend(texts.into_iter().map(|(name, text)| (name, json!(text))));
        row.extend(numbers.into_iter().map(|(name, number)| (name, json!([number, {"n": null}]))));
        row.insert("pk#".into(), json!(key));
        row.extend(seconds.map(|seconds| ("end#".to_owned(), json!(seconds))));
        let mut writes = Writes::new(&config);
        writes.push(&config, &shard(), &record(3, &Value::Object(row))).unwrap();
        let entry = &puts(&writes, 0)[0];
        let item = request::item(&config.tables[0], entry).unwrap();
        let size: usize = item.iter().map(|(name, value)| name.len() + sent_size(value)).sum();
        prop_assert_eq!(entry.bytes, size);
    }
}

/// The service's own count, from what is sent.
fn sent_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => {
            let digits = number.trim_start_matches('-').trim_end_matches('0').trim_start_matches('0').len();
            1 + digits.div_ceil(2) + usize::from(number.starts_with('-'))
        }
        AttributeValue::Null(_) | AttributeValue::Bool(_) => 1,
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + sent_size(value)).sum::<usize>(),
        AttributeValue::M(fields) => {
            3 + fields.iter().map(|(name, value)| 1 + name.len() + sent_size(value)).sum::<usize>()
        }
        other => panic!("{other:?}"),
    }
}
