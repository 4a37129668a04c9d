//! What the compiler found, with its place in the text.

use std::fmt;

use vrl::diagnostic::{DiagnosticList, Label, Note};

use super::functions;

/// The compiler's code of a call to a function that is not in its list.
const UNDEFINED_FUNCTION: usize = 105;
/// Its codes of a call whose failure is not handled: anywhere, and where its value is assigned.
const UNHANDLED: [usize; 2] = [100, 103];
/// What the compiler does not say, since it does not know what becomes of a record.
const OR_ABORT: &str = "put `!` behind the function's name: a record for which it fails goes to dead letters then";

/// A fault or a warning. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line on which it begins.
    pub line: usize,
    /// The column at which it begins.
    pub column: usize,
    /// The line on which it ends.
    pub end_line: usize,
    /// The column before which it ends.
    pub end_column: usize,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A text that is not a valid program or condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramError {
    /// Everything that was found; never empty.
    pub diagnostics: Vec<Diagnostic>,
}

impl std::error::Error for ProgramError {}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

/// The faults among what the compiler found, in the order of the text.
pub(super) fn error(text: &str, found: &DiagnosticList) -> ProgramError {
    let faults = found.iter().filter(|diagnostic| diagnostic.is_problem());
    let mut diagnostics: Vec<_> = faults.map(|diagnostic| one(text, diagnostic)).collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    ProgramError { diagnostics }
}

/// Everything that the compiler found.
pub(super) fn all(text: &str, found: &DiagnosticList) -> Vec<Diagnostic> {
    found.iter().map(|diagnostic| one(text, diagnostic)).collect()
}

/// The fault of a condition that can be neither true nor false.
pub(super) fn not_boolean(text: &str, kind: &str) -> ProgramError {
    let message = format!("a condition must come to true or false, and this comes to {kind}");
    let help = Some("compare something, such as .Quantity > 0, or use exists(.Field)".to_owned());
    ProgramError { diagnostics: vec![spanning(text, 0, text.trim_end().len(), message, help)] }
}

fn one(text: &str, found: &vrl::diagnostic::Diagnostic) -> Diagnostic {
    let primary = found.labels.iter().find(|label| label.primary).or(found.labels.first());
    let (start, end) = primary.map_or((0, 0), |label| (label.span.start(), label.span.end()));
    if found.code == UNDEFINED_FUNCTION
        && let Some(refused) = text.get(start..end).and_then(functions::refused)
    {
        let message = format!("the function {} cannot be used: {}", refused.name, refused.why);
        return spanning(text, start, end, message, Some(refused.instead.to_owned()));
    }
    let message = match primary {
        Some(label) if !label.message.is_empty() && label.message != found.message => {
            format!("{}: {}", found.message, label.message)
        }
        _ => found.message.clone(),
    };
    let mut help = help(&found.labels, &found.notes);
    if UNHANDLED.contains(&found.code) {
        help = Some(help.map_or_else(|| OR_ABORT.to_owned(), |help| format!("{OR_ABORT}; {help}")));
    }
    spanning(text, start, end, message, help)
}

/// What the compiler says besides: its other labels and its hints, without its links.
fn help(labels: &[Label], notes: &[Note]) -> Option<String> {
    let labels = labels.iter().filter(|label| !label.primary).map(|label| label.message.clone());
    let notes = notes.iter().filter_map(|note| match note {
        Note::Hint(_) | Note::Example(_) | Note::CoerceValue | Note::Basic(_) | Note::UserErrorMessage(_) => {
            Some(note.to_string().trim().to_owned())
        }
        _ => None,
    });
    let lines = labels.chain(notes).filter(|line| !line.is_empty());
    let mut help = String::new();
    for line in lines {
        // A line that ends with a colon speaks of the next.
        let between = if help.is_empty() || help.ends_with(':') { " " } else { "; " };
        help = format!("{help}{between}{line}").trim_start().to_owned();
    }
    match help.strip_prefix("expected one of: ") {
        Some(expected) => Some(format!("write one of these there: {expected}")),
        None => (!help.is_empty()).then_some(help),
    }
}

fn spanning(text: &str, start: usize, end: usize, message: String, help: Option<String>) -> Diagnostic {
    let (line, column) = place(text, start);
    let (end_line, end_column) = place(text, end.max(start));
    Diagnostic { line, column, end_line, end_column, message, help }
}

/// Line and column of a byte, from 1. A byte beyond the text is its end; one within a character, its beginning.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
