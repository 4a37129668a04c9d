//! The command as people and scripts start it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SHOP: &str = "examples/ecommerce/pipeline.yaml";

pub(crate) fn cost(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    Command::new(env!("CARGO_BIN_EXE_penstock")).arg("cost").args(arguments).current_dir(root).output().unwrap()
}

fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = cost(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_table_shows_the_designs_beside_each_other_and_how_they_compare() {
    let (code, out, errors) = said(&[SHOP, "--rows-per-second", "1000"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    for words in [
        "default/ecommerce: 1,000 rows/s of 250 bytes",
        "PENSTOCK",
        "LAMBDA + FIREHOSE",
        "KCL FLEET",
        "write request units",
        "TOTAL",
        "Penstock costs ",
        "The least that AWS counts",
        "The Pipeline is in eu-west-1",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!out.contains("Amazon Kinesis Data Streams pricing"), "{out}");
    let (_, out, _) = said(&[SHOP, "--rows-per-second", "1000", "--explain"]);
    for words in
        ["Amazon Kinesis Data Streams pricing", "An HTTP API, the cheaper kind", "renewed 0.302 times a second"]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
}

#[test]
fn json_has_the_lines_the_calls_and_where_each_price_is_from() {
    let (code, out, _) = said(&[SHOP, "--rows-per-second", "10", "--output", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["prices"]["date"]), (Some(0), &"2026-11-27".into()));
    let designs = told["designs"].as_array().unwrap();
    assert_eq!(designs.len(), 3);
    assert_eq!(designs[0]["lines"][0]["meter"], "kinesis.shard_hour");
    assert!(designs[0]["calls"]["Kinesis.GetRecords"].as_f64().unwrap() > 0.0);
    assert!(told["prices"]["prices"]["kinesis.shard_hour"]["source"].as_str().unwrap().contains("pricing"));
}

#[test]
fn what_does_not_fit_is_refused_with_place_and_cure() {
    let (code, out, errors) = said(&[SHOP, "--rows-per-second", "20000"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(errors.starts_with("error: spec.buffers[0].kinesis.shards: 4 shards are too few"), "{errors}");
    assert!(errors.contains("\n  cure: write "), "{errors}");
    assert_eq!(said(&[SHOP]).0, Some(2));
    assert_eq!(said(&["nowhere.yaml", "--rows-per-second", "1"]).0, Some(2));
    assert_eq!(said(&["stages/cli/tests/bad/program-syntax.yaml", "--rows-per-second", "1"]).0, Some(2));
}

#[test]
fn another_price_table_takes_the_place_of_the_one_that_is_built_in() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("prices/us-east-1.yaml");
    let text = std::fs::read_to_string(own).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine.yaml");
    let usd = |text: String| {
        std::fs::write(&mine, text).unwrap();
        let output = cost(&[SHOP, "--rows-per-second", "10", "--output", "json", "--prices", mine.to_str().unwrap()]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["designs"][0]["lines"][0]["usd"].as_f64().unwrap()
    };
    let (before, after) = (usd(text.clone()), usd(text.replacen("usd: 0.015", "usd: 0.03", 1)));
    assert!((before - 43.8).abs() < 1e-9 && (after - 87.6).abs() < 1e-9, "{before} {after}");

    std::fs::write(&mine, text.replacen("kinesis.put_unit:", "kinesis.put:", 1)).unwrap();
    let (code, _, errors) = said(&[SHOP, "--rows-per-second", "10", "--prices", mine.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("mine.yaml:") && errors.contains("  cure: "), "{errors}");
}
