//! `penstock audit`: fine where all is well, and where something was corrupted on purpose it says what and where.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::shop::{BUCKET, Engines, Shop, Stored, penstock};

/// A shop that sold twice, so that each shard has two ranges.
fn sold() -> (Shop, Engines) {
    let shop = Shop::new();
    shop.sells(&shop.file(800, 1));
    shop.sells(&shop.file(700, 2));
    let engines = shop.closed();
    (shop, engines)
}

/// The two objects of one shard.
fn pair(engines: &Engines) -> [Stored; 2] {
    let mut objects = engines.objects().into_iter();
    let first = objects.next().unwrap();
    let shard = first.metadata["penstock-shard"].clone();
    let second = objects.find(|object| object.metadata["penstock-shard"] == shard).unwrap();
    [first, second]
}

fn end_of(object: &Stored) -> String {
    let range = &object.metadata["penstock-range"];
    range.split_once(", ").unwrap().1.split_once(':').unwrap().0.to_owned()
}

#[test]
fn where_all_is_well_the_numbers_of_leases_and_objects_are_those_of_the_files() {
    let (_shop, engines) = sold();
    for deep in [false, true] {
        let said = engines.audit(deep);
        said.is_fine();
        for sink in ["raw", "tables"] {
            assert_eq!(said.sum(sink, "/committed/records"), 1_500);
            assert_eq!(said.sum(sink, "/committed/stored"), 1_500);
        }
        assert_eq!(said.sum("raw", "/stored/records"), 1_500);
        assert_eq!(said.report["sinks"][0]["compared"].as_u64(), deep.then_some(1_500));
    }
    let text = engines.audit_as(&["--deep"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("SHARD_END") || text.contains("shardId-000000000000"), "{text}");
    assert!(text.contains("Every record is where it must be, once."), "{text}");
}

#[test]
fn a_file_that_was_sent_twice_is_fine_though_its_ranges_have_no_objects() {
    let shop = Shop::new();
    let file = shop.file(600, 3);
    shop.sells(&file);
    shop.sells(&file);
    shop.sells(&shop.file(400, 4));
    let engines = shop.closed();
    let said = engines.audit(true);
    said.is_fine();
    assert_eq!((said.sum("raw", "/committed/records"), said.sum("raw", "/committed/repeats")), (1_600, 600));
    assert_eq!(said.sum("raw", "/stored/records"), 1_000);
}

#[test]
fn an_object_that_was_deleted_is_missed_with_its_range() {
    let (_shop, engines) = sold();
    let [first, second] = pair(&engines);
    for object in [&first, &second] {
        engines.delete(object);
        let missing = format!("{} of", object.lines.len());
        let shard = &object.metadata["penstock-shard"];
        let range = &object.metadata["penstock-range"];
        engines.audit(false).says(&[shard, range, &missing, "an object was deleted"]);
        engines.audit(true).says(&[shard, "it is in no object"]);
        engines.put(object);
        engines.audit(false).is_fine();
    }
}

#[test]
fn an_object_under_another_name_is_found() {
    let (_shop, engines) = sold();
    let [mut first, _] = pair(&engines);
    let old = first.metadata["penstock-first"].split_once(':').unwrap().0.to_owned();
    let (digits, last) = old.split_at(old.len() - 1);
    let other = format!("{digits}{}", (last.parse::<u8>().unwrap() + 1) % 10);
    first.key = first.key.replace(&old, &other);
    engines.put(&first);
    engines.audit(false).says(&[&first.key, "copied here from another name"]);
    // One whose metadata fit its name overlaps with another.
    first.metadata.insert("penstock-first".to_owned(), format!("{other}:0"));
    engines.put(&first);
    let said = engines.audit(false);
    said.says(&[&first.key, "overlaps with that of"]);
    said.says(&["records, and", "were stored"]);
    first.metadata.clear();
    engines.put(&first);
    engines.audit(false).says(&[&first.key, "Penstock did not write it"]);
}

#[test]
fn a_checkpoint_that_was_moved_is_found() {
    let (_shop, engines) = sold();
    let [first, second] = pair(&engines);
    let shard = &first.metadata["penstock-shard"];
    engines.set_checkpoint(shard, &end_of(&first));
    let back = engines.audit(false);
    back.says(&[shard, "something moved it back"]);
    back.says(&[&second.key, "lies after the checkpoint"]);
    let beyond = format!("{}9", end_of(&second));
    engines.set_checkpoint(shard, &beyond);
    engines.audit(false).says(&[shard, &beyond, "something moved it forward"]);
}

#[test]
fn a_line_that_was_altered_is_found_by_reading_the_stream() {
    let (_shop, engines) = sold();
    let [mut first, _] = pair(&engines);
    let line = first.lines.len() / 2;
    first.lines[line] = first.lines[line].replace("\"Quantity\":", "\"Quantity\": ");
    engines.put(&first);
    engines.audit(false).is_fine();
    let place = format!("{}, line {}", first.key, line + 1);
    let deep = engines.audit(true);
    deep.says(&[&place, "altered"]);
    deep.says(&["record ", &first.key, "it is not in"]);
    // One that is gone, and the number of lines in the metadata as it was.
    first.lines.remove(line);
    engines.put(&first);
    engines.audit(true).says(&["record ", &first.key, "it is not in"]);
}

#[test]
fn items_that_were_altered_or_deleted_are_found_by_reading_the_stream() {
    let (_shop, engines) = sold();
    let table = "ecommerce-invoices";
    let dynamodb = &engines.clients.dynamodb;
    let items = engines.runtime.block_on(dynamodb.scan().table_name(table).limit(2).send()).unwrap().items.unwrap();
    let key = |item: &HashMap<String, AttributeValue>| {
        Some(["InvoiceNo", "sk"].map(|name| (name.to_owned(), item[name].clone())).into())
    };
    engines.runtime.block_on(dynamodb.delete_item().table_name(table).set_key(key(&items[0])).send()).unwrap();
    let mut altered = items[1].clone();
    altered.insert("Quantity".to_owned(), AttributeValue::N("31415".to_owned()));
    engines.runtime.block_on(dynamodb.put_item().table_name(table).set_item(Some(altered)).send()).unwrap();
    engines.audit(false).is_fine();
    let deep = engines.audit(true);
    deep.says(&[table, "is missing"]);
    deep.says(&[table, "is not what record"]);
}

#[test]
fn dead_letters_are_counted() {
    let (_shop, engines) = sold();
    let put = engines
        .clients
        .s3
        .put_object()
        .bucket(BUCKET)
        .key("dead-letters/default/ecommerce/tables/shardId-000000000000/x.jsonl");
    let line = r#"{"shard":"shardId-000000000000","sequence":"1","subSequence":0}"#;
    engines.runtime.block_on(put.body(line.as_bytes().to_vec().into()).send()).unwrap();
    engines.audit(false).says(&["shardId-000000000000", "dead letters", "1 lines, and 0 records went there"]);
}

#[test]
fn where_nobody_answers_the_exit_code_says_that_nothing_is_known() {
    let shop = Shop::new();
    let pipeline = shop.path("pipeline.yaml");
    let nobody = penstock().arg("audit").arg(&pipeline).args(["--engines", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    let output = penstock().arg("audit").arg(&pipeline).arg("--data-dir").arg(shop.path("data")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no `penstock run` runs on the folder"), "{said}");
}
