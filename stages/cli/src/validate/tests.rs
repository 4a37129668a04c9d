#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The manifests of a folder, by the name of their file.
fn manifests(name: &str) -> Vec<(PathBuf, Checked)> {
    let mut files: Vec<_> = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let checked = |file: PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        (file, source_file::check_text(name, text, &[]))
    };
    files.into_iter().map(checked).collect()
}

/// `PENSTOCK_WRITE_GENERATED=1` writes the files anew; read what they say before you keep them.
#[test]
fn every_bad_manifest_is_told_what_and_where_and_how_to_mend_it() {
    let manifests = manifests("tests/bad");
    assert!(manifests.len() >= 25);
    for (file, checked) in manifests {
        let found: String = checked.checked.findings.iter().map(|finding| show::plain(&checked, finding)).collect();
        let golden = file.with_extension("expected");
        if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        assert!(!found.is_empty(), "nothing is found in {}", file.display());
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(found == expected, "{}:\n{found}\nexpected:\n{expected}", file.display());
    }
}

/// Every finding as it is printed, here and for the manifests of the schema's own tests.
#[test]
fn every_finding_shows_its_line_with_a_mark_and_a_cure() {
    let mut errors = 0;
    for (file, checked) in manifests("tests/bad").into_iter().chain(manifests("../../operator/api/tests/bad")) {
        assert!(!checked.checked.findings.is_empty(), "nothing is found in {}", file.display());
        for finding in &checked.checked.findings {
            let printed = show::plain(&checked, finding);
            let lines: Vec<_> = printed.lines().collect();
            let place = format!("{}:{}:{}: ", checked.name, finding.span.line, finding.span.column);
            assert!(lines[0].starts_with(&place), "{printed}");
            let shown = lines.iter().position(|line| line.starts_with("  | ")).unwrap_or_else(|| panic!("{printed}"));
            let (line, mark) = (&lines[shown][4..], &lines[shown + 1][4..]);
            assert_eq!(Some(line), checked.text.lines().nth(finding.span.line - 1), "{printed}");
            assert_eq!(
                mark.find('^'),
                mark.rfind(char::is_whitespace).map_or(Some(0), |last| Some(last + 1)),
                "{printed}"
            );
            assert_eq!(mark.chars().take_while(|c| *c != '^').count(), finding.span.column - 1, "{printed}");
            assert!(lines.last().unwrap().strip_prefix("  cure: ").is_some_and(|cure| !cure.is_empty()), "{printed}");
            errors += usize::from(finding.severity == Severity::Error);
        }
    }
    assert!(errors >= 60, "{errors}");
}

#[test]
fn the_examples_have_no_fault_and_no_warning() {
    for name in ["ecommerce", "minimal"] {
        let text = std::fs::read_to_string(folder("../../examples").join(name).join("pipeline.yaml")).unwrap();
        let checked = source_file::check_text(name.to_owned(), text, &[]);
        assert_eq!(checked.checked.findings, [], "{name}");
        assert!(checked.is_valid(true));
    }
}

#[test]
fn a_finding_marks_its_place_in_the_line() {
    let text = "apiVersion: penstock.dev/v1alpha1\nkind: Pipelin\n".to_owned();
    let checked = source_file::check_text("a.yaml".to_owned(), text, &[]);
    assert_eq!(
        show::plain(&checked, &checked.checked.findings[0]),
        "a.yaml:2:7: error[unknown_kind]: `Pipelin` is not a kind of `penstock.dev/v1alpha1`\n  at: kind\n  \
         | kind: Pipelin\n  |       ^^^^^^^\n  cure: write `kind: Pipeline`\n"
    );
}

#[test]
fn other_kinds_are_skipped_and_a_file_without_a_pipeline_is_told_so() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: { name: keys }\n".to_owned();
    let checked = source_file::check_text("a.yaml".to_owned(), secret, &[]);
    assert_eq!(checked.checked.findings[0].code, "no_pipeline");
    assert!(checked.is_valid(false) && !checked.is_valid(true));
    assert_eq!(
        show::summary(&[checked], false),
        "a.yaml: valid (0 Pipelines, 1 document of other kinds skipped): 1 warning\n"
    );
}

#[test]
fn json_holds_every_finding_with_its_place() {
    let text = "apiVersion: penstock.dev/v1alpha1\nkind: Pipelin\n".to_owned();
    let checked = source_file::check_text("a.yaml".to_owned(), text, &[]);
    let json: serde_json::Value = serde_json::from_str(&show::json(&[checked], false).unwrap()).unwrap();
    assert_eq!(json["valid"], false);
    assert_eq!(json["files"][0]["file"], "a.yaml");
    assert_eq!(json["files"][0]["documents"][0]["kind"], "Pipelin");
    let finding = &json["files"][0]["findings"][0];
    assert_eq!((&finding["code"], &finding["span"]["line"]), (&"unknown_kind".into(), &2.into()));
}

#[test]
fn what_is_no_text_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, b"a: \xff\n").unwrap();
    assert!(source_file::read(&file).unwrap_err().to_string().contains("not UTF-8 text: byte 3"));
    std::fs::write(&file, vec![b' '; penstock_api::check::MAX_TEXT_BYTES + 1]).unwrap();
    assert!(source_file::read(&file).unwrap_err().to_string().contains("larger than"));
    assert!(source_file::read(&folder.path().join("none.yaml")).unwrap_err().to_string().contains("cannot be read"));
}
