//! VRL programs and conditions, without anything whose answer depends on when or where it runs.
//!
//! A program changes the event `.`; what it is at the end is the row that is stored. An object has no order in
//! VRL, so its fields come out in the order of their names. Times without a zone are UTC. Whole numbers are
//! 64 bits with a sign: a row with a larger one is rejected before the program sees it, never rounded.

mod diagnostic;
mod functions;
mod value;

use std::ops::ControlFlow;
use std::sync::OnceLock;

use penstock_contract::Rejection;
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::{ExternalEnv, RuntimeState};
use vrl::compiler::{CompilationResult, CompileConfig, TargetValueRef, TimeZone, compile_with_external};
use vrl::path::{OwnedSegment, PathPrefix};
use vrl::value::{Secrets, Value};

pub use diagnostic::{Diagnostic, ProgramError};
pub use functions::{REFUSED_FUNCTIONS, RefusedFunction};

use crate::{Row, RowView};

/// How many expressions a program may run for one record. It is counted, not timed, so that a slow machine
/// decides as a fast one does.
const MAX_STEPS: u64 = 1_000_000;
/// How much of an error's text is kept: it may quote the record.
const MAX_MESSAGE_CHARS: usize = 500;

/// A program that each record passes before it is stored.
#[derive(Debug, Clone)]
pub struct Program {
    compiled: vrl::compiler::Program,
    warnings: Vec<Diagnostic>,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// Every fault that the compiler finds, with its place in the text; an error that the program leaves
    /// unhandled and a function that is not deterministic are faults too.
    pub fn compile(text: &str) -> Result<Self, ProgramError> {
        let CompilationResult { program, warnings, .. } = compile(text, CompileConfig::default())?;
        Ok(Self { compiled: program, warnings: diagnostic::all(text, &warnings) })
    }

    /// What the compiler advises against.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Runs the program on a row.
    ///
    /// # Errors
    /// `process_aborted` with the program's own words, `process_failed`, `process_too_long`, or what comes of a
    /// result that is no row: `process_not_an_object`, `process_not_text`, `number_out_of_range`.
    pub fn run(&self, row: RowView<'_>) -> Result<Row, Rejection> {
        let mut event = value::from_row(row)?;
        resolve(&self.compiled, &mut event)?;
        value::into_row(event)
    }
}

/// A condition on a row: a VRL expression that is true or false and changes nothing.
#[derive(Debug, Clone)]
pub struct Condition {
    compiled: vrl::compiler::Program,
    /// The fields that it reads; `None` when it reads the whole event.
    fields: Option<Vec<String>>,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// As [`Program::compile`], and when it can be neither true nor false, or would change the event.
    pub fn compile(text: &str) -> Result<Self, ProgramError> {
        let mut config = CompileConfig::default();
        config.set_read_only();
        let CompilationResult { program, .. } = compile(text, config)?;
        let result = program.final_type_info().result;
        if !result.kind().contains_boolean() {
            return Err(diagnostic::not_boolean(text, &result.kind().to_string()));
        }
        let fields = fields_read(&program);
        Ok(Self { compiled: program, fields })
    }

    /// Whether the row satisfies the condition.
    ///
    /// # Errors
    /// As [`Program::run`]; `condition_not_boolean` when it came to something else than true or false.
    pub fn matches(&self, row: RowView<'_>) -> Result<bool, Rejection> {
        let mut event = match &self.fields {
            Some(fields) => value::from_fields(row, fields)?,
            None => value::from_row(row)?,
        };
        match resolve(&self.compiled, &mut event)? {
            Value::Boolean(answer) => Ok(answer),
            other => {
                let message = format!("the condition came to {}, not to true or false", other.kind_str());
                Err(Rejection::new("condition_not_boolean", message))
            }
        }
    }
}

fn compile(text: &str, config: CompileConfig) -> Result<CompilationResult, ProgramError> {
    compile_with_external(text, functions::allowed(), &ExternalEnv::default(), config)
        .map_err(|faults| diagnostic::error(text, &faults))
}

/// The first names of the paths that a program reads of the event.
fn fields_read(program: &vrl::compiler::Program) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let info = program.info();
    for path in info.target_queries.iter().filter(|path| path.prefix == PathPrefix::Event) {
        match path.path.segments.first() {
            Some(OwnedSegment::Field(name)) => fields.push(name.to_string()),
            _ => return None,
        }
    }
    fields.sort_unstable();
    fields.dedup();
    Some(fields)
}

fn resolve(program: &vrl::compiler::Program, event: &mut Value) -> Result<Value, Rejection> {
    let mut metadata = Value::Object(vrl::value::ObjectMap::new());
    let mut secrets = Secrets::new();
    let mut target = TargetValueRef { value: event, metadata: &mut metadata, secrets: &mut secrets };
    let mut steps = 0_u64;
    let mut control = || {
        steps += 1;
        if steps > MAX_STEPS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // It holds the program's variables and allocates nothing until there are some.
    let mut runtime = Runtime::new(RuntimeState::default());
    runtime.resolve_with_control(&mut target, program, utc(), &mut control).map_err(rejection)
}

/// The zone of times that name none; never the machine's.
fn utc() -> &'static TimeZone {
    static UTC: OnceLock<TimeZone> = OnceLock::new();
    // The zone table is part of the binary, and a test runs this.
    UTC.get_or_init(|| TimeZone::parse("UTC").expect("the zone table has UTC"))
}

fn rejection(end: Terminate) -> Rejection {
    match end {
        Terminate::Interrupted => {
            let message = format!("the program took more than {MAX_STEPS} steps for one record");
            Rejection::new("process_too_long", message)
        }
        Terminate::Abort(abort) => Rejection::new("process_aborted", shorten(&abort.to_string())),
        Terminate::Error(error) => Rejection::new("process_failed", shorten(&error.to_string())),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "program/tests.rs"]
mod tests;
