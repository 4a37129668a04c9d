//! Every manifest in `bad/` has a fault, and `bad/*.expected` says what must be said of it: place, code, field,
//! message, cure. `PENSTOCK_WRITE_GENERATED=1` writes the files anew; read what they say before you keep them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use penstock_api::check::{Checked, Finding, Severity, check};

fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn shown(checked: &Checked) -> String {
    let mut text = String::new();
    for Finding { severity, code, document, path, message, cure, span } in &checked.findings {
        let kind = if *severity == Severity::Error { "error" } else { "warning" };
        writeln!(
            text,
            "{}:{}-{}:{} {kind}[{code}] document {document}, {path}",
            span.line, span.column, span.end_line, span.end_column
        )
        .unwrap();
        writeln!(text, "  found: {message}\n  cure: {cure}").unwrap();
    }
    text
}

#[test]
fn every_bad_manifest_is_told_what_and_where_and_how_to_mend_it() {
    let files = manifests("tests/bad");
    assert!(files.len() >= 60);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let checked = check(&text);
        checked.findings.iter().for_each(|finding| is_of_use(finding, &text));
        let found = shown(&checked);
        let golden = file.with_extension("expected");
        if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(!found.is_empty(), "nothing is found in {}", file.display());
        assert!(found == expected, "{}:\n{found}\nexpected:\n{expected}", file.display());
    }
}

/// What a message must have for whoever has only the file: its place in it, and what to write.
fn is_of_use(finding: &Finding, text: &str) {
    let Finding { message, cure, span, .. } = finding;
    let line = text.lines().nth(span.line.wrapping_sub(1)).unwrap_or_else(|| panic!("no line {}", span.line));
    assert!((1..=line.chars().count() + 1).contains(&span.column), "no column {} in {line:?}", span.column);
    assert!((span.line, span.column) < (span.end_line, span.end_column), "{span:?} is empty");
    for words in [message, cure] {
        assert!(words.len() > 5 && !words.contains('\n') && words.trim() == words, "{words:?}");
    }
}

#[test]
fn the_examples_have_no_fault() {
    for name in ["ecommerce", "minimal"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).join("pipeline.yaml");
        let checked = check(&std::fs::read_to_string(file).unwrap());
        assert_eq!(checked.findings, [], "{name}");
        assert!(checked.documents[0].pipeline.is_some(), "{name}");
    }
}
