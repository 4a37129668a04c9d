//! Files, read and checked.

use std::io::Read;
use std::path::Path;

use penstock_api::check::{self, MAX_TEXT_BYTES, Severity};
use serde_json::Value;

use super::deep;

/// A file and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The file, as it was named.
    pub(super) name: String,
    /// What it holds.
    pub(super) text: String,
    /// Its documents and findings.
    pub(super) checked: check::Checked,
}

impl Checked {
    /// Whether nothing is wrong. Warnings count when `strict`.
    pub(super) fn is_valid(&self, strict: bool) -> bool {
        if strict { self.checked.findings.is_empty() } else { self.checked.is_valid() }
    }

    /// How many Pipelines it holds, valid or not.
    pub(super) fn pipelines(&self) -> usize {
        self.checked.documents.iter().filter(|document| document.is_pipeline()).count()
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The system does not give it.
    #[error("{file} cannot be read: {source}")]
    Io { file: String, source: std::io::Error },
    /// It is too large to be a manifest.
    #[error("{file} is larger than {MAX_TEXT_BYTES} bytes")]
    TooLarge { file: String },
    /// It is not text.
    #[error("{file} is not UTF-8 text: byte {offset} is wrong")]
    NotText { file: String, offset: usize },
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    let file = name(path);
    let open = || -> std::io::Result<Vec<u8>> {
        let input: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(std::fs::File::open(path)?)
        };
        let mut bytes = Vec::new();
        input.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().map_err(|source| Unreadable::Io { file: file.clone(), source })?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(Unreadable::TooLarge { file });
    }
    String::from_utf8(bytes).map_err(|error| Unreadable::NotText { file, offset: error.utf8_error().valid_up_to() })
}

fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// Reads and checks a file.
pub(super) fn check(path: &Path, old: &[Value]) -> Result<Checked, Unreadable> {
    Ok(check_text(name(path), read(path)?, old))
}

/// Checks a text.
pub(super) fn check_text(name: String, text: String, old: &[Value]) -> Checked {
    let mut checked = check::check_update(&text, old);
    for document in &checked.documents {
        if let Some(pipeline) = &document.pipeline {
            checked.findings.extend(deep::check(&text, document, pipeline));
        }
    }
    // Whoever names a file means a Pipeline in it.
    if checked.findings.is_empty() && !checked.documents.iter().any(check::Document::is_pipeline) {
        checked.findings.push(check::Finding {
            severity: Severity::Warning,
            code: "no_pipeline",
            document: 0,
            path: String::new(),
            message: "there is no Pipeline in it".to_owned(),
            cure:
                "name another file, or begin a document with `apiVersion: penstock.dev/v1alpha1` and `kind: Pipeline`"
                    .to_owned(),
            span: check::Span { line: 1, column: 1, end_line: 1, end_column: 1 },
        });
    }
    checked.sort();
    Checked { name, text, checked }
}

/// The Pipelines of a text as values, valid or not.
pub(super) fn pipelines_in(text: &str) -> Vec<Value> {
    let checked = check::check(text);
    checked.documents.iter().filter(|document| document.is_pipeline()).map(|document| document.root.to_json()).collect()
}
