//! `penstock validate`: everything about a Pipeline that can be known without running it.
//!
//! `penstock_api::check` gives the API server's verdict; `deep` adds what takes a compiler: templates, VRL
//! programs, JSON Schemas, and whether they fit each other. What passes here starts. `penstock run` and
//! `penstock render` read their Pipelines through this module too.

mod deep;
mod fields;
mod show;
mod source_file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use penstock_api::check::Severity;
use penstock_api::{Pipeline, Plan, plan};

pub(crate) use source_file::Checked;

/// The exit code for arguments and files that cannot be used, and for Pipelines that are not valid where a
/// valid one is needed.
pub(crate) const EXIT_USAGE: u8 = 2;
const EXIT_INVALID: u8 = 1;

/// Shown below the options: the description of a command is taken from where the commands are listed.
const EXIT_CODES: &str = "\
Each finding says where it is, shows the line, and what to write instead. Documents of other kinds are skipped.

Exit codes:
  0  all are valid
  1  one is not; with --strict also when there is a warning
  2  the arguments are wrong, or a file cannot be read";

/// Checks Pipelines without a cluster: the verdict of the API server, and whether every template, program and
/// schema compiles and fits the others. Documents of other kinds are skipped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The files; `-` is standard input. Each may hold several documents.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the findings are printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Count warnings as errors.
    #[arg(long)]
    strict: bool,
    /// Also check what may not change: the Pipelines as they were. May be given several times.
    #[arg(long, value_name = "FILE")]
    old: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON document: `{files: [{file, documents, findings}], valid}`.
    Json,
}

/// A valid Pipeline and the file that it came from.
#[derive(Debug)]
pub(crate) struct LoadedPipeline {
    /// The Pipeline.
    pub(crate) pipeline: Pipeline,
    /// The file, as it was named.
    pub(crate) file: String,
}

/// `penstock validate`.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut old = Vec::new();
    for file in &args.old {
        match source_file::read(file) {
            Ok(text) => old.extend(source_file::pipelines_in(&text)),
            Err(error) => return unreadable(&error),
        }
    }
    let mut checked = Vec::new();
    let mut all_read = true;
    for file in &args.files {
        match source_file::check(file, &old) {
            Ok(file) => checked.push(file),
            Err(error) => {
                unreadable(&error)?;
                all_read = false;
            }
        }
    }
    let valid = all_read && checked.iter().all(|file| file.is_valid(args.strict));
    let shown = match args.output {
        Output::Text => show::to_stderr(&checked).and_then(|()| show::to_stdout(&show::summary(&checked, args.strict))),
        Output::Json => show::to_stdout(&show::json(&checked, valid)?),
    };
    shown.context("the findings could not be printed")?;
    Ok(match (all_read, valid) {
        (false, _) => ExitCode::from(EXIT_USAGE),
        (true, false) => ExitCode::from(EXIT_INVALID),
        (true, true) => ExitCode::SUCCESS,
    })
}

fn unreadable(error: &source_file::Unreadable) -> anyhow::Result<ExitCode> {
    show::line_to_stderr(&format!("error: {error}")).context("the error could not be printed")?;
    Ok(ExitCode::from(EXIT_USAGE))
}

/// The valid Pipelines of some files. When there is a fault in any of them it is printed, as by
/// `penstock validate`, and nothing is returned.
pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<Option<Vec<LoadedPipeline>>> {
    let checked: Result<Vec<Checked>, _> = files.iter().map(|file| source_file::check(file, &[])).collect();
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return unreadable(&error).map(|_| None),
    };
    show::to_stderr(&checked).context("the findings could not be printed")?;
    if !checked.iter().all(|file| file.is_valid(false)) {
        return Ok(None);
    }
    let loaded = checked.into_iter().flat_map(|file| {
        let name = file.name;
        file.checked.documents.into_iter().filter_map(move |document| {
            document.pipeline.map(|pipeline| LoadedPipeline { pipeline, file: name.clone() })
        })
    });
    Ok(Some(loaded.collect()))
}

/// The one Pipeline in a file, and its plan. When there is none, or more than one, or a fault, that is printed, and
/// nothing is returned.
pub(crate) fn plan_of(file: &Path) -> anyhow::Result<Option<(Pipeline, Plan)>> {
    let Some(mut loaded) = load(&[file.to_owned()])? else { return Ok(None) };
    let [only] = loaded.as_slice() else {
        let message = match loaded.len() {
            0 => format!("error: {} holds no Pipeline", file.display()),
            count => format!("error: {} holds {count} Pipelines, and one is run at a time", file.display()),
        };
        show::line_to_stderr(&message).context("the error could not be printed")?;
        return Ok(None);
    };
    let plan = plan(&only.pipeline).with_context(|| format!("there is no plan for the Pipeline of {}", only.file))?;
    Ok(Some((loaded.swap_remove(0).pipeline, plan)))
}

fn counts(findings: &[penstock_api::check::Finding]) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

#[cfg(test)]
mod tests;
