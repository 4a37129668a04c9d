//! Findings, printed: drawn for a terminal, in plain lines for a pipe, as JSON for a program.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use miette::{GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use penstock_api::check::{Finding, Severity, Span};
use serde_json::json;

use super::{Checked, counts};

/// Prints the findings of some files to standard error.
pub(super) fn to_stderr(files: &[Checked]) -> std::io::Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let mut text = String::new();
    for file in files {
        for finding in &file.checked.findings {
            text.push_str(&if terminal { drawn(file, finding) } else { plain(file, finding) });
        }
    }
    std::io::stderr().lock().write_all(text.as_bytes())
}

/// Prints a line to standard error.
pub(super) fn line_to_stderr(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr().lock(), "{line}")
}

/// Prints a text to standard output. A reader that went away is no fault.
pub(super) fn to_stdout(text: &str) -> std::io::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// One line for each file, and one for all where there are several.
pub(super) fn summary(files: &[Checked], strict: bool) -> String {
    let mut text = String::new();
    for file in files {
        let verdict = if file.is_valid(strict) { "valid" } else { "not valid" };
        let (errors, warnings) = counts(&file.checked.findings);
        let pipelines = plural(file.pipelines(), "Pipeline");
        let others = file.checked.documents.len() - file.pipelines();
        let skipped = if others == 0 {
            String::new()
        } else {
            format!(", {} of other kinds skipped", plural(others, "document"))
        };
        let found = match (errors, warnings) {
            (0, 0) => String::new(),
            (errors, 0) => format!(": {}", plural(errors, "error")),
            (0, warnings) => format!(": {}", plural(warnings, "warning")),
            (errors, warnings) => format!(": {}, {}", plural(errors, "error"), plural(warnings, "warning")),
        };
        text.push_str(&format!("{}: {verdict} ({pipelines}{skipped}){found}\n", file.name));
    }
    if files.len() > 1 {
        let invalid = files.iter().filter(|file| !file.is_valid(strict)).count();
        text.push_str(&format!("{}, {invalid} not valid\n", plural(files.len(), "file")));
    }
    text
}

/// The findings as one JSON document.
pub(super) fn json(files: &[Checked], valid: bool) -> serde_json::Result<String> {
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            let documents: Vec<_> = file
                .checked
                .documents
                .iter()
                .map(|document| {
                    json!({
                        "document": document.index,
                        "apiVersion": document.api_version,
                        "kind": document.kind,
                        "name": document.name,
                        "checked": document.is_pipeline(),
                    })
                })
                .collect();
            json!({ "file": file.name, "documents": documents, "findings": file.checked.findings })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&json!({ "files": files, "valid": valid }))? + "\n")
}

/// A finding as compilers print it: place, message, the line with a mark beneath it, cure.
pub(super) fn plain(file: &Checked, finding: &Finding) -> String {
    let Finding { code, message, cure, span, path, .. } = finding;
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = format!("{}:{}:{}: {severity}[{code}]: {message}\n", file.name, span.line, span.column);
    if !path.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  at: {path}");
    }
    if let Some(line) = file.text.lines().nth(span.line.saturating_sub(1)) {
        let length = line.chars().count();
        let end = if span.end_line == span.line { span.end_column } else { length + 1 };
        let marks = "^".repeat(end.saturating_sub(span.column).max(1));
        let before: String = line.chars().take(span.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let _ = writeln!(text, "  | {line}\n  | {before}{marks}");
    }
    let _ = writeln!(text, "  cure: {cure}");
    text
}

fn drawn(file: &Checked, finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let (start, length) = bytes(&file.text, finding.span);
    let label = LabeledSpan::new(Some(finding.path.clone()).filter(|path| !path.is_empty()), start, length);
    let diagnostic = MietteDiagnostic::new(finding.message.clone())
        .with_severity(severity)
        .with_code(finding.code)
        .with_help(finding.cure.clone())
        .with_label(label);
    let report = Report::new(diagnostic).with_source_code(NamedSource::new(&file.name, file.text.clone()));
    let mut text = String::new();
    match GraphicalReportHandler::new().render_report(&mut text, report.as_ref()) {
        Ok(()) => text + "\n",
        Err(_) => plain(file, finding),
    }
}

/// The first byte and the number of bytes of a stretch of a text.
fn bytes(text: &str, span: Span) -> (usize, usize) {
    let offset = |line: usize, column: usize| {
        let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        let rest = text.get(start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        start + line.char_indices().nth(column - 1).map_or(line.len(), |(byte, _)| byte)
    };
    let start = offset(span.line, span.column);
    (start, offset(span.end_line, span.end_column).saturating_sub(start))
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}
