//! VRL programs and conditions, with the compiler's own words at their own place.

use penstock_api::check::{Path, Severity, Span};
use penstock_process::{Condition, Diagnostic, Program, ProgramError};

use super::Report;
use super::template::point;

/// Compiles `process`.
pub(super) fn process(report: &mut Report<'_>, path: &Path, text: &str) {
    match Program::compile(text) {
        Ok(program) => {
            for warning in program.warnings() {
                one(report, Severity::Warning, "program_advice", path, warning);
            }
        }
        Err(error) => all(report, "bad_program", path, &error),
    }
}

/// Compiles `when`.
pub(super) fn condition(report: &mut Report<'_>, path: &Path, text: &str) {
    if let Err(error) = Condition::compile(text) {
        all(report, "bad_condition", path, &error);
    }
}

fn all(report: &mut Report<'_>, code: &'static str, path: &Path, error: &ProgramError) {
    for diagnostic in &error.diagnostics {
        one(report, Severity::Error, code, path, diagnostic);
    }
}

fn one(report: &mut Report<'_>, severity: Severity, code: &'static str, path: &Path, diagnostic: &Diagnostic) {
    let cure = match &diagnostic.help {
        Some(help) => help.clone(),
        None => "mend the program: https://vector.dev/docs/reference/vrl/ has its language".to_owned(),
    };
    let before = report.document.root.locate(path);
    report.add(severity, code, path, diagnostic.message.clone(), cure);
    let stretch = Span {
        line: diagnostic.line,
        column: diagnostic.column,
        end_line: diagnostic.end_line,
        end_column: diagnostic.end_column,
    };
    point(report, path, stretch);
    // Where lines were joined the place within the text is all that can be said.
    if let Some(finding) = report.findings.last_mut().filter(|finding| finding.span == before && diagnostic.line > 1) {
        finding.message = format!("line {} of the program: {}", diagnostic.line, finding.message);
    }
}
