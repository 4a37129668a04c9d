//! `penstock validate` as people and scripts start it: files, standard input, output and exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GOOD: &str = "examples/minimal/pipeline.yaml";
const BAD: &str = "stages/cli/tests/bad/partition-key-near-field.yaml";
const WARNED: &str = "stages/cli/tests/bad/partition-key-constant.yaml";

fn penstock(arguments: &[&str], input: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.args(arguments).current_dir(root).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn validate(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let output = penstock(&[&["validate"], arguments].concat(), input);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap()
}

#[test]
fn the_exit_code_tells_valid_invalid_and_unreadable_apart() {
    assert_eq!(validate(&[GOOD], "").0, Some(0));
    assert_eq!(validate(&[BAD], "").0, Some(1));
    assert_eq!(validate(&[WARNED], "").0, Some(0));
    assert_eq!(validate(&["--strict", WARNED], "").0, Some(1));
    assert_eq!(validate(&["nowhere.yaml"], "").0, Some(2));
    assert_eq!(validate(&["examples"], "").0, Some(2));
    assert_eq!(validate(&[], "").0, Some(2));
    let (_, help, _) = validate(&["--help"], "");
    for line in ["  0  all are valid", "  1  one is not", "  2  the arguments are wrong, or a file cannot be read"] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn standard_input_is_a_file_by_the_name_of_a_dash() {
    let (code, out, errors) = validate(&["-"], &read(BAD));
    assert_eq!((code, out.as_str()), (Some(1), "<stdin>: not valid (1 Pipeline): 1 error\n"));
    assert!(errors.starts_with("<stdin>:24:21: error[field_not_in_schema]: "), "{errors}");
    let (code, out, errors) = validate(&["-"], &read(GOOD));
    assert_eq!((code, out.as_str(), errors.as_str()), (Some(0), "<stdin>: valid (1 Pipeline)\n", ""));
}

#[test]
fn of_several_files_each_is_told_of_and_one_bad_one_decides() {
    let (code, out, errors) = validate(&[GOOD, BAD, WARNED], "");
    assert_eq!(code, Some(1));
    let expected = format!(
        "{GOOD}: valid (1 Pipeline)\n{BAD}: not valid (1 Pipeline): 1 error\n{WARNED}: valid (1 Pipeline): 1 warning\n\
         3 files, 1 not valid\n"
    );
    assert_eq!(out, expected);
    assert!(errors.contains(&format!("{BAD}:24:21: error[")) && errors.contains(&format!("{WARNED}:24:21: warning[")));
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_what_is_wrong_with_the_others() {
    let (code, _, errors) = validate(&["nowhere.yaml", BAD], "");
    assert_eq!(code, Some(2));
    assert!(errors.contains("error: nowhere.yaml cannot be read"), "{errors}");
    assert!(errors.contains(&format!("{BAD}:24:21: error[")), "{errors}");
}

#[test]
fn json_is_one_document_with_every_place_and_cure() {
    let (code, out, errors) = validate(&["--output", "json", GOOD, BAD], "");
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["valid"], &told["files"][0]["file"]), (&false.into(), &GOOD.into()));
    assert_eq!(told["files"][0]["findings"], serde_json::json!([]));
    let finding = &told["files"][1]["findings"][0];
    assert_eq!((&finding["severity"], &finding["code"]), (&"error".into(), &"field_not_in_schema".into()));
    assert_eq!(
        (&finding["path"], &finding["cure"]),
        (&"spec.sources[0].partitionKey".into(), &"did you mean `InvoiceNo`?".into())
    );
    assert_eq!((&finding["span"]["line"], &finding["span"]["column"]), (&24.into(), &21.into()));
    let (code, out, _) = validate(&["--output", "json", GOOD], "");
    assert_eq!((code, &serde_json::from_str::<Value>(&out).unwrap()["valid"]), (Some(0), &true.into()));
}

#[test]
fn a_bad_pipeline_is_not_run_and_says_why() {
    let output = penstock(&["run", BAD], "");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains(&format!("{BAD}:24:21: error[")) && errors.contains("  cure: "), "{errors}");
}
