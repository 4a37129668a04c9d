//! `penstock render`: what follows from a Pipeline, printed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use penstock_api::plan::{PipelineRef, Resources, StageConfig};
use penstock_api::{Plan, plan};
use serde::Serialize;

use crate::validate;

/// Shown below the options: the description of a command is taken from where the commands are listed.
const EXIT_CODES: &str = "\
Exit codes:
  0  printed
  2  the arguments or a Pipeline are not valid";

/// Shows the stages that follow from Pipelines, each with its full configuration, and the streams, tables and
/// buckets that they need. The same Pipeline gives the same text.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How it is printed: a YAML document, or a JSON document in a line, for each Pipeline.
    #[arg(long, value_enum, default_value = "yaml")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

#[derive(Serialize)]
struct Rendered<'a> {
    pipeline: PipelineRef,
    stages: &'a [StageConfig],
    resources: &'a Resources,
}

/// `penstock render`.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some(loaded) = validate::load(&args.files)? else { return Ok(ExitCode::from(validate::EXIT_USAGE)) };
    let mut text = String::new();
    for (index, loaded) in loaded.iter().enumerate() {
        let metadata = &loaded.pipeline.metadata;
        let pipeline = PipelineRef { namespace: metadata.namespace().to_owned(), name: metadata.name.clone() };
        let plan =
            plan(&loaded.pipeline).with_context(|| format!("there is no plan for the Pipeline of {}", loaded.file))?;
        if index > 0 && args.output == Output::Yaml {
            text.push_str("---\n");
        }
        text.push_str(&rendered(pipeline, &plan, args.output)?);
    }
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the plan could not be printed")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn rendered(pipeline: PipelineRef, plan: &Plan, output: Output) -> anyhow::Result<String> {
    let rendered = Rendered { pipeline, stages: &plan.stages, resources: &plan.resources };
    Ok(match output {
        // By way of JSON, so that variants are maps and not YAML tags.
        Output::Yaml => serde_yaml::to_string(&serde_json::to_value(rendered)?)?,
        Output::Json => serde_json::to_string(&rendered)? + "\n",
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_plan_of_the_example_is_what_it_was() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let golden = root.join("tests/golden/ecommerce-plan.yaml");
        let loaded = validate::load(&[root.join("../../examples/ecommerce/pipeline.yaml")]).unwrap().unwrap();
        let pipeline = PipelineRef { namespace: "default".to_owned(), name: "ecommerce".to_owned() };
        let text = rendered(pipeline, &plan(&loaded[0].pipeline).unwrap(), Output::Yaml).unwrap();
        if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(
            text,
            std::fs::read_to_string(&golden).unwrap_or_default(),
            "run with PENSTOCK_WRITE_GENERATED=1 if it is meant"
        );
    }
}
