#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use penstock_contract::{ArrivalMillis, Record, Sequence, ShardId};
use serde_json::json;

use super::*;
use crate::config::tests::stage_of;

fn config() -> Config {
    let mut stage = stage_of(json!([
        {"name": "own", "partition": {"field": "pk", "type": "S"}, "sort": {"template": "{$id}", "attribute": "sk", "type": "S"}, "write": "put"},
        {"name": "latest", "when": "exists(.k)", "partition": {"field": "k", "type": "S"}, "write": "put"},
        {"name": "sums", "when": "exists(.k)", "partition": {"field": "k", "type": "S"}, "write": {"aggregate": {"set": {}, "add": {"n": 1}}}}
    ]));
    stage.process = None;
    Config::new(&stage).unwrap()
}

fn position(sequence: u64) -> Position {
    Position::new(Sequence::parse(&sequence.to_string()).unwrap(), 0)
}

fn writes(config: &Config, rows: &[serde_json::Value]) -> Writes {
    let mut writes = Writes::new(config);
    for (sequence, row) in rows.iter().enumerate() {
        let record = Record {
            position: position(sequence as u64),
            partition_key: Arc::from("k"),
            arrival: ArrivalMillis(0),
            data: Bytes::from(row.to_string()),
        };
        writes.push(config, &ShardId::new("s"), &record).unwrap();
    }
    writes
}

#[test]
fn items_of_their_own_go_together_and_others_by_themselves() {
    let config = config();
    let mut rows = vec![json!({"pk": "a"}); 53];
    rows.extend([json!({"pk": "a", "k": "x"}), json!({"pk": "a", "k": "y"}), json!({"pk": "a", "k": "x"})]);
    let writes = writes(&config, &rows);
    let calls = plan(&config, &writes, &no_progress(&writes));
    let expected = [
        Call::Batch { table: 0, entries: (0..25).collect() },
        Call::Batch { table: 0, entries: (25..50).collect() },
        Call::Batch { table: 0, entries: (50..56).collect() },
        Call::Put { table: 1, entry: 0 },
        Call::Put { table: 1, entry: 1 },
        Call::Update { table: 2, entry: 0 },
        Call::Update { table: 2, entry: 1 },
    ];
    assert_eq!(calls, expected);
}

#[test]
fn a_call_is_bounded_in_bytes() {
    let config = config();
    let writes = writes(&config, &vec![json!({"pk": "a", "x": "x".repeat(390_000)}); 11]);
    let calls = plan(&config, &writes, &no_progress(&writes));
    let sizes: Vec<_> = calls
        .iter()
        .map(|call| match call {
            Call::Batch { entries, .. } => entries.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [5, 5, 1]);
}

#[test]
fn what_is_done_is_not_sent_again() {
    let config = config();
    let writes = writes(&config, &[json!({"pk": "a", "k": "x"}), json!({"pk": "b"}), json!({"pk": "c"})]);
    let mut progress = no_progress(&writes);
    progress[0][1] = State::Done;
    progress[1][0] = State::Refused(Rejection::new("dynamodb_refused", "no"));
    let calls = plan(&config, &writes, &progress);
    assert_eq!(calls, [Call::Batch { table: 0, entries: vec![0, 2] }, Call::Update { table: 2, entry: 0 }]);
}

#[test]
fn a_refused_item_rejects_all_its_records_once() {
    let config = config();
    let writes = writes(&config, &[json!({"pk": "a", "k": "x"}), json!({"pk": "a"}), json!({"pk": "a", "k": "x"})]);
    let mut progress = no_progress(&writes);
    progress[1][0] = State::Refused(Rejection::new("dynamodb_refused", "first"));
    progress[2][0] = State::Refused(Rejection::new("dynamodb_refused", "second"));
    let refused: Vec<_> = refused(&writes, &progress).into_iter().map(|(at, why)| (at, why.message)).collect();
    assert_eq!(refused, [(position(0), "first".to_owned()), (position(2), "first".to_owned())]);
}
