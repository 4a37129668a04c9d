//! `penstock status FILE`: how a Pipeline that runs is.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::shop::{Shop, penstock};

const PATIENCE: Duration = Duration::from_secs(60);

struct Open(Child);

impl Drop for Open {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks until the answer is as it is waited for.
fn until(shop: &Shop, what: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let mut command = penstock();
        command.arg("status").arg(shop.path("pipeline.yaml")).arg("--data-dir").arg(shop.path("data"));
        let output = command.args(["--output", "json"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if let Ok(state) = serde_json::from_slice::<Value>(&output.stdout)
            && what(&state)
        {
            assert_eq!(output.status.code(), Some(0));
            return state;
        }
        assert!(began.elapsed() < PATIENCE, "{said}{}", String::from_utf8_lossy(&output.stdout));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sink<'a>(state: &'a Value, name: &str) -> &'a Value {
    state["sinks"].as_array().unwrap().iter().find(|sink| sink["sink"] == name).unwrap()
}

#[test]
fn shards_workers_and_sinks_of_a_running_pipeline_are_shown() {
    let shop = Shop::new();
    let file = shop.file(500, 7);
    let mut command = shop.run();
    let _open = Open(command.arg("--send").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let state = until(&shop, |state| sink(state, "tables")["storedRecords"] == 500);
    assert_eq!((&state["pipeline"], &state["missing"]), (&"default/ecommerce".into(), &Value::Array(Vec::new())));
    let tables = sink(&state, "tables");
    assert!(tables["appliedRanges"].as_u64().unwrap() > 0);
    assert_eq!(
        (&tables["deadLetters"], &tables["duplicatesRemoved"], &tables["throttledCalls"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!((&tables["leaseMoves"]["taken"], &tables["leaseMoves"]["lost"]), (&4.into(), &0.into()));
    let workers = tables["workers"].as_array().unwrap();
    assert_eq!((&workers[0]["worker"], &workers[0]["leases"]), (&"local".into(), &4.into()));
    assert!(workers[0]["heartbeatAgeSeconds"].as_f64().unwrap() < PATIENCE.as_secs_f64());
    let shards = tables["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 4);
    let sum = |field: &str| shards.iter().map(|shard| shard[field].as_u64().unwrap_or(0)).sum::<u64>();
    assert_eq!((sum("records"), sum("readRecords")), (500, 500));
    assert!(shards.iter().all(|shard| shard["owner"] == "local" && shard["behindLatestMillis"].is_u64()));
    // The objects are open for five minutes, so their oldest record waits; the table's do not.
    let waits = |sink: &Value| {
        let shards = sink["shards"].as_array().unwrap().iter();
        shards.filter(|shard| shard["oldestUnappliedSeconds"].as_f64().unwrap_or(0.0) > 0.0).count()
    };
    until(&shop, |state| waits(sink(state, "raw")) > 0 && waits(sink(state, "tables")) == 0);
}

#[test]
fn as_text_there_is_a_table_for_each_sink() {
    let shop = Shop::new();
    let _open = Open(shop.run().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until(&shop, |state| {
        sink(state, "raw")["workers"][0]["leases"] == 4 && sink(state, "tables")["workers"][0]["leases"] == 4
    });
    let mut command = penstock();
    let output =
        command.arg("status").arg(shop.path("pipeline.yaml")).arg("--data-dir").arg(shop.path("data")).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    for expected in [
        "default/ecommerce raw: 0 ranges applied",
        "default/ecommerce tables:",
        "WORKER",
        "shardId-000000000003",
        "BEHIND",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn names_and_files_are_told_apart() {
    let code = |arguments: &[&str]| penstock().arg("status").args(arguments).output().unwrap().status.code();
    assert_eq!(code(&["a.yaml", "orders"]), Some(2));
    assert_eq!(code(&["a.yaml", "--namespace", "shop"]), Some(2));
    assert_eq!(code(&["orders", "--metrics", "http://127.0.0.1:1"]), Some(2));
    assert_eq!(code(&["./missing.yaml"]), Some(2));
    let shop = Shop::new();
    let output =
        penstock().arg("status").arg(shop.path("pipeline.yaml")).arg("--data-dir").arg(shop.path("data")).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("no `penstock run` runs on the folder"), "{said}");
}
