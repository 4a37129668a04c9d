#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use super::*;
use crate::{look_at, parse_row};

fn run(program: &str, row: &str) -> Result<String, Rejection> {
    let program = Program::compile(program).unwrap();
    let result = look_at(row.as_bytes(), |row| program.run(row)).map(|row| row.into_value().to_string());
    // However the row was read, the program comes to the same.
    let parsed = parse_row(row.as_bytes()).unwrap();
    assert_eq!(program.run(RowView::Parsed(&parsed)).map(|row| row.into_value().to_string()), result);
    result
}

fn reason(program: &str, row: &str) -> (String, String) {
    let rejection = run(program, row).unwrap_err();
    (rejection.reason.into_owned(), rejection.message)
}

fn fault(program: &str) -> Diagnostic {
    Program::compile(program).unwrap_err().diagnostics.remove(0)
}

#[test]
fn a_program_changes_the_event() {
    let program = ".Amount = round(to_float!(.Quantity) * to_float!(.UnitPrice), 3)\n";
    assert_eq!(
        run(program, r#"{"Quantity":6,"UnitPrice":2.55}"#).unwrap(),
        r#"{"Amount":15.3,"Quantity":6,"UnitPrice":2.55}"#
    );
    assert_eq!(
        run("del(.a)\n.b.c = [1, null, true, 1.5, \"é\"]", r#"{"a":1}"#).unwrap(),
        r#"{"b":{"c":[1,null,true,1.5,"é"]}}"#
    );
    assert_eq!(run("", r#"{"a":1}"#).unwrap(), r#"{"a":1}"#);
}

#[test]
fn values_pass_through_without_loss() {
    let row = r#"{"a":9223372036854775807,"b":-9223372036854775808,"c":0.1,"d":1e300,"e":"\u0000 é","f":[{}],"g":null,"h":6.0}"#;
    let expected = parse_row(row.as_bytes()).unwrap().into_value().to_string();
    assert_eq!(run(".", row).unwrap(), expected);
}

#[test]
fn times_and_patterns_become_text() {
    let program = ".t = parse_timestamp!(.t, \"%d/%m/%Y %H:%M\")\n.r = r'a+'";
    assert_eq!(run(program, r#"{"t":"01/12/2010 08:26"}"#).unwrap(), r#"{"r":"a+","t":"2010-12-01T08:26:00Z"}"#);
}

#[test]
fn what_a_program_does_not_want_is_rejected_with_its_reason() {
    let row = r#"{"a":"x","n":1}"#;
    assert_eq!(reason("abort \"no customer\"", row), ("process_aborted".into(), "no customer".into()));
    let (failed, message) = reason(".n = to_int!(.a)", row);
    assert_eq!(failed, "process_failed");
    assert!(message.contains("to_int"), "{message}");
    for program in [". = 5", ". = [1]", ". = null"] {
        assert_eq!(reason(program, row).0, "process_not_an_object", "{program}");
    }
    assert_eq!(reason(".b = decode_base64!(\"/w==\")", row).0, "process_not_text");
    assert_eq!(reason(".b = to_float!(.n) * 1.0\n.b = .b / 0.0000000001", r#"{"n":1e300}"#).0, "number_out_of_range");
    assert_eq!(reason(".", r#"{"deep":[18446744073709551615]}"#).0, "number_out_of_range");
}

#[test]
fn a_program_that_never_ends_is_stopped_after_a_number_of_steps() {
    let program =
        "list = array!(.list)\nn = 0\nfor_each(list) -> |_i, _a| { for_each(list) -> |_j, _b| { n = n + 1 } }\n.n = n";
    let row = |length: usize| format!("{{\"list\":{}}}", serde_json::to_string(&vec![0; length]).unwrap());
    assert!(run(program, &row(10)).is_ok());
    assert_eq!(reason(program, &row(3_000)).0, "process_too_long");
}

#[test]
fn a_long_message_is_shortened() {
    let (_, message) = reason("abort to_string!(.a)", &format!(r#"{{"a":"{}"}}"#, "é".repeat(9_000)));
    assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS + 1);
}

#[test]
fn faults_are_found_at_their_line_and_column() {
    let found = fault(".ok = 1\n  .a = \"é\"; .x = to_int(.y)\n");
    assert_eq!((found.line, found.end_line), (2, 2), "{found:?}");
    assert!(found.column > 12 && found.end_column > found.column, "{found:?}");
    assert!(found.message.contains("unhandled"), "{found:?}");
    let found = fault("\n\n.x = ");
    assert_eq!(found.line, 3, "{found:?}");
    let found = fault("x = downcaze(\"A\")");
    assert_eq!((found.line, found.column, found.end_column), (1, 5, 13));
    assert!(found.help.unwrap().contains("downcase"));
}

#[test]
fn all_faults_are_told() {
    let error = Program::compile(".a = to_int(.x)\n.b = nothing()\n").unwrap_err();
    assert_eq!(error.diagnostics.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 2], "{error}");
}

#[test]
fn every_refused_function_says_why_and_what_to_do_instead() {
    for refused in REFUSED_FUNCTIONS {
        let program = format!(".a = 1\n.x = {}()", refused.name);
        let found = fault(&program);
        assert!(found.message.contains(refused.name) && found.message.contains(refused.why), "{found:?}");
        assert_eq!(found.help.as_deref(), Some(refused.instead));
        assert_eq!((found.line, found.column), (2, 6));
        let infallible = fault(&format!(".x = {}!()", refused.name));
        assert!(infallible.message.contains(refused.why), "{infallible:?}");
    }
}

/// Functions behind features of VRL that are off, for they are all refused: environment, system and network.
const NOT_BUILT: [&str; 10] = [
    "dns_lookup",
    "encode_proto",
    "get_env_var",
    "get_hostname",
    "get_timezone_name",
    "http_request",
    "parse_etld",
    "parse_proto",
    "reverse_dns",
    "validate_json_schema",
];

#[test]
fn every_refused_function_is_one_of_vrls() {
    let built: BTreeSet<_> = vrl::stdlib::all().iter().map(|function| function.identifier()).collect();
    let refused: BTreeSet<_> = REFUSED_FUNCTIONS.iter().map(|refused| refused.name).collect();
    assert_eq!(refused.difference(&built).copied().collect::<Vec<_>>(), NOT_BUILT);
}

#[test]
fn no_function_that_vrl_knows_to_be_changeable_is_allowed() {
    for function in functions::allowed() {
        let name = function.identifier();
        assert!(function.examples().iter().all(|example| example.deterministic && !example.skip), "{name}");
    }
}

/// A newer VRL may bring functions that nobody has judged yet: this fails until somebody has.
#[test]
fn the_allowed_functions_are_those_that_were_judged() {
    let allowed: Vec<_> = functions::allowed().iter().map(|function| function.identifier()).collect();
    let allowed: BTreeSet<_> = allowed.into_iter().collect();
    let judged: BTreeSet<_> = include_str!("judged_functions.txt").split_whitespace().collect();
    let new: Vec<_> = allowed.difference(&judged).collect();
    let gone: Vec<_> = judged.difference(&allowed).collect();
    assert!(new.is_empty() && gone.is_empty(), "not judged: {new:?}; gone: {gone:?}");
}

#[test]
fn the_zone_of_the_machine_is_refused() {
    for zone in ["\"local\"", "\"\"", "string!(.zone)"] {
        for call in [
            "format_timestamp!(t'2010-12-01T08:26:00Z', \"%F\", timezone: ",
            "parse_timestamp!(.t, \"%F %T\", timezone: ",
        ] {
            let found = fault(&format!(".x = {call}{zone})"));
            assert!(found.message.contains("timezone"), "{found:?}");
        }
    }
    let program = ".x = format_timestamp!(t'2010-12-01T23:26:00Z', \"%F %T\", timezone: \"Europe/Berlin\")";
    assert_eq!(run(program, "{}").unwrap(), r#"{"x":"2010-12-02 00:26:00"}"#);
}

#[test]
fn the_same_row_gives_the_same_bytes_every_time() {
    let program = Program::compile(".h = sha2(encode_json(.))\n.u = unique(array!(.l))\n.k = keys(.)").unwrap();
    let row = parse_row(br#"{"z":1,"a":2,"l":["b","a","b"]}"#).unwrap();
    let first = program.run(RowView::Parsed(&row)).unwrap().into_value().to_string();
    for _ in 0..20 {
        assert_eq!(program.run(RowView::Parsed(&row)).unwrap().into_value().to_string(), first);
    }
}

fn matches(condition: &str, row: &str) -> Result<bool, Rejection> {
    let condition = Condition::compile(condition).unwrap();
    let parsed = parse_row(row.as_bytes()).unwrap();
    let result = condition.matches(RowView::Parsed(&parsed));
    assert_eq!(look_at(row.as_bytes(), |row| condition.matches(row)), result);
    result
}

#[test]
fn a_condition_chooses_rows() {
    let row = r#"{"CustomerID":"17850","Quantity":6,"a":{"b":1}}"#;
    for (condition, expected) in [
        ("exists(.CustomerID)", true),
        ("exists(.Nobody)", false),
        (".Quantity == 6 && .CustomerID != \"x\"", true),
        ("to_int!(.Quantity) > 6", false),
        ("exists(.a.b)", true),
        ("length(.) == 3", true),
        ("get!(., [\"Quantity\"]) == 6", true),
        ("x = .Quantity\nx == 6", true),
        ("true", true),
    ] {
        assert_eq!(matches(condition, row), Ok(expected), "{condition}");
    }
}

#[test]
fn a_condition_must_be_true_or_false_and_change_nothing() {
    for condition in ["1 + 1", "\"yes\"", "upcase(\"a\")", ".x = 1", "del(.x)", ".x = true; true", ""] {
        assert!(Condition::compile(condition).is_err(), "{condition}");
    }
    assert_eq!(matches(".x", r#"{"x":true}"#), Ok(true));
    assert_eq!(matches(".x", r#"{"x":1}"#).unwrap_err().reason, "condition_not_boolean");
    assert_eq!(matches("to_int!(.x) > 1", r#"{"x":"a"}"#).unwrap_err().reason, "process_failed");
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Program>();
    shared::<Condition>();
}
