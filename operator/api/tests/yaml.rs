//! YAML beyond the plain: several documents, aliases, merges, blocks, and texts that are made to hurt.

#![allow(clippy::unwrap_used, reason = "tests")]

use penstock_api::check::{Path, Span, check};
use serde_json::json;

const BASE: &str = include_str!("base.yaml");

fn codes(text: &str) -> Vec<&'static str> {
    check(text).findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn aliases_and_merges_are_written_out() {
    let text = "apiVersion: v1\nkind: ConfigMap\na: &a { x: 1, y2: 2 }\nb: *a\nc: { <<: *a, x: 3 }\n";
    let checked = check(text);
    assert_eq!(checked.findings, []);
    let root = checked.documents[0].root.to_json();
    assert_eq!((&root["b"], &root["c"]), (&json!({"x": 1, "y2": 2}), &json!({"x": 3, "y2": 2})));
}

#[test]
fn aliases_that_multiply_are_refused_in_bounded_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", before.repeat(10)));
    }
    assert_eq!(codes(&text), ["too_large"]);
}

#[test]
fn what_lies_too_deep_is_refused() {
    assert_eq!(codes(&format!("a: {}{}", "[".repeat(100), "]".repeat(100))), ["too_large"]);
    let mut text = "a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n".to_owned();
    for level in 1..10 {
        text.push_str(&format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1));
    }
    assert_eq!(codes(&text), ["too_large"]);
}

#[test]
fn a_fault_spoils_nothing_before_it() {
    let text = format!("{BASE}---\na: [\n");
    let checked = check(&text);
    assert_eq!(checked.findings.len(), 1);
    assert_eq!((checked.findings[0].code, checked.findings[0].document), ("yaml_syntax", 1));
    assert!(checked.documents[0].pipeline.is_some());
}

#[test]
fn empty_documents_hold_nothing() {
    for text in ["", "---\n", "# only words\n", "---\n---\n"] {
        let checked = check(text);
        assert!(checked.documents.is_empty() && checked.findings.is_empty(), "{text:?}");
    }
}

#[test]
fn the_items_of_a_list_are_checked_with_their_own_paths() {
    let item: String = BASE.replace("to: events", "to: other").lines().map(|line| format!("    {line}\n")).collect();
    let checked = check(&format!("apiVersion: v1\nkind: List\nitems:\n  -\n{item}"));
    let paths: Vec<_> = checked.findings.iter().map(|finding| (finding.code, finding.path.as_str())).collect();
    assert_eq!(paths, [("unknown_buffer", "items[0].spec.sources[0].to"),]);
}

#[test]
fn keys_that_kubectl_reads_as_something_else_are_faults() {
    assert_eq!(codes("apiVersion: v1\nkind: ConfigMap\ndata:\n  on: 1\n"), ["ambiguous_key"]);
    assert_eq!(codes("apiVersion: v1\nkind: ConfigMap\ndata:\n  \"on\": 1\n"), [""; 0]);
}

#[test]
fn the_place_of_a_stretch_within_a_text_is_found() {
    let text = "apiVersion: v1\nkind: ConfigMap\nliteral: |\n\n    one\n    two\nplain: é three\nquoted: \"four\"\n\
                escaped: \"a\\tb\"\nfolded: >\n  five\n  six\n";
    let checked = check(text);
    let at = |key: &str, line, column| {
        let node = checked.documents[0].root.at(&Path::of(key)).unwrap();
        let stretch = Span { line, column, end_line: line, end_column: column + 1 };
        node.within(text, stretch).map(|span| (span.line, span.column))
    };
    assert_eq!(at("literal", 2, 1), Some((5, 5)));
    assert_eq!(at("literal", 3, 2), Some((6, 6)));
    assert_eq!(at("plain", 1, 3), Some((7, 10)));
    assert_eq!(at("quoted", 1, 1), Some((8, 10)));
    assert_eq!(at("escaped", 1, 3), None);
    assert_eq!(at("folded", 1, 1), None);
}

#[test]
fn a_text_of_any_bytes_is_survived() {
    for text in
        ["\u{0}", "\u{feff}a: 1", "%YAML 3.0\n---\n", "!!binary x", "&a *a", "? a\n: b", "- - - -", "{", "a: !!int x"]
    {
        let _ = check(text);
    }
}
