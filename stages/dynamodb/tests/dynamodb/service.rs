//! What the service says, and what becomes of the records.

use std::collections::BTreeSet;

use crate::common::{Act, Server, apply, client, error, position, range, record, stage};
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_contract::{Batch as _, Record, ShardId, Sink as _};
use penstock_dynamodb::DynamoDbSink;
use serde_json::{Value, json};

fn own() -> Value {
    json!([{"name": "own", "partition": {"field": "pk", "type": "S"}, "sort": {"template": "{$id}", "attribute": "sk", "type": "S"}, "write": "put"}])
}

fn sums() -> Value {
    json!([{"name": "sums", "partition": {"field": "pk", "type": "S"}, "write": {"aggregate": {"set": {}, "add": {"n": "n", "lines": 1}}}}])
}

fn rows(count: u64) -> Vec<Record> {
    (1..=count).map(|sequence| record(sequence, &json!({"pk": (sequence % 7).to_string(), "n": sequence}))).collect()
}

async fn server() -> Server {
    let server = Server::start().await;
    server.create_table("own", "pk", Some("sk"), Some("index")).await;
    server.create_table("sums", "pk", None, None).await;
    server
}

#[tokio::test]
async fn unprocessed_items_are_sent_again_until_none_is_left() {
    let server = server().await;
    server.behave(|_, operation| if operation == "BatchWriteItem" { Act::Unprocess(10) } else { Act::Forward });
    let applied = apply(&server.sink(&stage(own())), "s", &rows(60)).await.unwrap();
    assert_eq!((applied.records, applied.rejected.len()), (60, 0));
    assert_eq!(server.items("own").await.len(), 60);
    // Twice 25 in three calls each, once 10 in one.
    assert_eq!(server.calls(), 7);
}

#[tokio::test]
async fn items_that_are_never_processed_are_the_services_fault_and_what_was_done_stays_done() {
    let server = server().await;
    let sink = server.sink(&stage(own()));
    let records = rows(60);
    let mut batch = sink.open(&ShardId::new("s"), &records[0].position);
    batch.push(&records).await.unwrap();
    server.behave(|call, _| if call < 2 { Act::Forward } else { Act::Unprocess(0) });
    let failed = batch.apply(&range("s", &records)).await.unwrap_err();
    assert_eq!(failed.reason(), "throttled");
    server.behave(|_, _| Act::Forward);
    assert_eq!(batch.apply(&range("s", &records)).await.unwrap().records, 60);
    assert_eq!(server.calls(), 1, "two of three calls had been done");
    assert_eq!(server.items("own").await.len(), 60);
}

#[tokio::test]
async fn a_lost_answer_adds_nothing_twice() {
    let server = server().await;
    server.behave(|call, _| if call % 2 == 0 { Act::LoseAnswer } else { Act::Forward });
    let applied = apply(&server.sink(&stage(sums())), "s", &rows(70)).await.unwrap();
    assert_eq!(applied.records, 70);
    let items = server.items("sums").await;
    assert!(items.len() == 7 && items.iter().all(|item| item["lines"]["N"] == "10"), "{items:?}");
}

#[tokio::test]
async fn throttling_is_waited_out_and_reported_when_it_lasts() {
    let server = server().await;
    let sink = server.sink(&stage(sums()));
    server.behave(|call, _| if call < 20 { error(400, "ThrottlingException") } else { Act::Forward });
    assert!(apply(&sink, "s", &rows(7)).await.is_ok());
    for (code, status, reason) in [
        ("ProvisionedThroughputExceededException", 400, "throttled"),
        ("InternalServerError", 500, "service_failed"),
        ("AccessDeniedException", 400, "access_denied"),
        ("UnrecognizedClientException", 400, "access_denied"),
        ("ResourceNotFoundException", 400, "table_missing"),
    ] {
        server.behave(move |_, _| error(status, code));
        let failed = apply(&sink, "s", &rows(14)).await.unwrap_err();
        assert_eq!(failed.reason(), reason);
        assert!(failed.to_string().contains("the table sums"), "{failed}");
        let cure = std::error::Error::source(&failed).unwrap().to_string();
        assert!(cure.contains(if reason == "service_failed" { "fails" } else { ":" }), "{cure}");
    }
    server.behave(|_, _| Act::Forward);
    apply(&sink, "s", &rows(14)).await.unwrap();
    assert_eq!(server.items("sums").await.iter().filter(|item| item["lines"]["N"] == "3").count(), 7);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_reported_as_that() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sink = DynamoDbSink::new(&stage(sums()), client(&url).await).unwrap();
    assert_eq!(apply(&sink, "s", &rows(1)).await.unwrap_err().reason(), "unreachable");
}

#[tokio::test]
async fn an_item_that_only_the_service_can_refuse_is_left_out_and_the_others_are_written() {
    let server = server().await;
    let mut records = rows(30);
    // The table has an index on this attribute, which wants strings there.
    records[3] = record(4, &json!({"pk": "x", "index": 4}));
    records[11] = record(12, &json!({"pk": "x", "index": ["no"]}));
    for _ in 0..2 {
        let applied = apply(&server.sink(&stage(own())), "s", &records).await.unwrap();
        assert_eq!(applied.records, 28);
        let rejected: Vec<_> = applied.rejected.iter().map(|(at, why)| (at.clone(), why.reason.as_ref())).collect();
        assert_eq!(rejected, [(position(4), "dynamodb_refused"), (position(12), "dynamodb_refused")]);
        assert!(applied.rejected[0].1.message.contains("Index Key"), "{:?}", applied.rejected[0]);
        assert_eq!(server.items("own").await.len(), 28);
    }
}

#[tokio::test]
async fn a_sum_onto_something_else_rejects_the_records_of_that_item() {
    let server = server().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    server.put("sums", &[("pk", text("3")), ("n", text("not a number"))]).await;
    let applied = apply(&server.sink(&stage(sums())), "s", &rows(14)).await.unwrap();
    assert_eq!(applied.records, 12);
    let rejected: Vec<_> = applied.rejected.iter().map(|(at, _)| at.clone()).collect();
    assert_eq!(rejected, [position(3), position(10)]);
    let again = apply(&server.sink(&stage(sums())), "s", &rows(14)).await.unwrap();
    assert_eq!(again, applied, "the same for every application");
}

#[tokio::test]
async fn a_table_with_another_key_is_nobodys_record_at_fault() {
    let server = Server::start().await;
    server.create_table("own", "other", Some("sk"), None).await;
    server.create_table("sums", "other", None, None).await;
    for tables in [own(), sums()] {
        let failed = apply(&server.sink(&stage(tables)), "s", &rows(3)).await.unwrap_err();
        assert_eq!(failed.reason(), "table_key_mismatch");
    }
}

#[tokio::test]
async fn numbers_text_and_nesting_arrive_as_they_were_sent() {
    let server = server().await;
    let row = json!({
        "pk": "é\u{0}\n\"", "a": [1, -2.5, 1e-9, 1e21, 18_446_744_073_709_551_615_u64, 9_007_199_254_740_993_i64],
        "m": {"x": {"y": [null, true, ""]}}, "empty": "", "nothing": {}, "none": []
    });
    apply(&server.sink(&stage(own())), "s", &[record(5, &row)]).await.unwrap();
    let items = server.items("own").await;
    let numbers: Vec<_> = items[0]["a"].as_array().unwrap().iter().map(|n| n["N"].as_str().unwrap()).collect();
    let expected = ["1", "-2.5", "0.000000001", "1000000000000000000000", "18446744073709551615", "9007199254740993"];
    assert_eq!(numbers, expected);
    assert_eq!(items[0]["m"], row["m"]);
    assert_eq!((&items[0]["pk"], &items[0]["sk"]), (&row["pk"], &json!("s:5:0")));
    assert_eq!((&items[0]["empty"], &items[0]["nothing"], &items[0]["none"]), (&json!(""), &json!({}), &json!([])));
}

#[tokio::test]
async fn what_passes_the_offline_checks_passes_the_service_at_its_limits() {
    let server = server().await;
    let deepest = (0..31).fold(json!("leaf"), |inner, _| json!([inner]));
    let key = "k".repeat(2048);
    let large = "x".repeat(400 * 1024 - 2 - 1 - 2 - "s:3:0".len() - 1);
    let mut records = vec![
        record(
            1,
            &json!({"pk": key, "deep": deepest, "digits": 0.1234567890123456, "large": 9.9e125, "small": 1e-130}),
        ),
        record(2, &json!({"pk": "a", "ADD": 1, "select": "reserved words", "a.b": 1, "#x": 2, ":y": 3})),
        record(3, &json!({"pk": "a", "x": large})),
    ];
    records.extend((4..40).map(|sequence| record(sequence, &json!({"pk": "b", "x": "\u{1}".repeat(300_000)}))));
    let applied = apply(&server.sink(&stage(own())), "s", &records).await.unwrap();
    assert_eq!((applied.records, applied.rejected), (39, vec![]));
}

#[tokio::test]
async fn a_batch_takes_nothing_more_once_it_is_being_applied() {
    let server = server().await;
    let sink = server.sink(&stage(own()));
    let records = rows(2);
    let mut batch = sink.open(&ShardId::new("s"), &records[0].position);
    batch.push(&records).await.unwrap();
    batch.apply(&range("s", &records)).await.unwrap();
    assert_eq!(batch.push(&records).await.unwrap_err().reason(), "batch_closed");
}

#[tokio::test]
async fn a_pinned_recipe_keeps_its_effect_when_the_pipeline_has_changed() {
    let server = server().await;
    let old = server.sink(&stage(sums()));
    let mut changed = stage(sums());
    changed.process = Some(".n = 1000".to_owned());
    let new = server.sink(&changed);
    assert_ne!(old.recipe(), new.recipe());
    let resumed = new.with_recipe(&old.recipe()).unwrap();
    assert_eq!(resumed.recipe(), old.recipe());
    apply(&resumed, "s", &rows(7)).await.unwrap();
    let sums: BTreeSet<_> = server.items("sums").await.iter().map(|item| item["n"]["N"].to_string()).collect();
    assert_eq!(sums, (1..=7).map(|n| format!("\"{n}\"")).collect());
}
