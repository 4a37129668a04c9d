//! `penstock iam-policy`: what the operator and the stages of Pipelines must be allowed in AWS, printed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use penstock_api::iam::{Account, Policy, merged, policies};
use penstock_api::plan;
use serde::Serialize;

use crate::validate::{self, LoadedPipeline};

/// Shown below the options: the description of a command is taken from where the commands are listed.
const AFTER: &str = "\
Give one role a policy:
  penstock iam-policy FILE --account 111122223333 --for operator > operator.json
  aws iam put-role-policy --role-name penstock-operator --policy-name penstock --policy-document file://operator.json

The operator's policy covers the whole life of the Pipelines: creation, changes, draining, and deletion of what has
`deletionPolicy: Delete` and carries the Pipeline's tags. It is about the streams and tables that the files name: give a Pipeline
as it was, too, while the operator deletes what it names no more. Consumers of sinks that are gone are in it in any case.
`penstock run --aws` needs that of the operator and of the stages.

Exit codes:
  0  printed
  1  it could not be printed
  2  the arguments or a Pipeline are not valid";

/// Prints the least IAM policies for Pipelines: the operator's, and one for each stage.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The files; `-` is standard input. The operator's policy is that for all Pipelines in them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The number of the AWS account; `*` leaves it open.
    #[arg(long, default_value = "*")]
    account: Account,
    /// Print only one policy: that of the `operator`, one for all `stages` together, or that of the stage with the name.
    #[arg(long = "for", value_name = "operator|stages|STAGE")]
    role: Option<String>,
}

/// Everything, where no role is named. Stages are named `<namespace>/<pipeline>/<stage>`.
#[derive(Debug, Serialize)]
struct Printed {
    operator: Policy,
    stages: BTreeMap<String, Policy>,
}

/// `penstock iam-policy`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(loaded) = validate::load(&args.files)? else { return Ok(ExitCode::from(validate::EXIT_USAGE)) };
    if loaded.is_empty() {
        eprintln!("error: there is no Pipeline in {}", shown(&args.files));
        return Ok(ExitCode::from(validate::EXIT_USAGE));
    }
    let all = of_all(&loaded, &args.account)?;
    let text = match &args.role {
        None => serde_json::to_string_pretty(&all)?,
        Some(role) => match all.of_role(role) {
            Ok(policy) => serde_json::to_string_pretty(&policy)?,
            Err(error) => {
                eprintln!("error: {error}");
                return Ok(ExitCode::from(validate::EXIT_USAGE));
            }
        },
    };
    match std::io::stdout().lock().write_all((text + "\n").as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the policies could not be printed")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn of_all(loaded: &[LoadedPipeline], account: &Account) -> anyhow::Result<Printed> {
    let mut operators = Vec::new();
    let mut stages = BTreeMap::new();
    for loaded in loaded {
        let metadata = &loaded.pipeline.metadata;
        let plan =
            plan(&loaded.pipeline).with_context(|| format!("there is no plan for the Pipeline of {}", loaded.file))?;
        let policies = policies(&plan, account);
        operators.push(policies.operator);
        let full = |name: String| format!("{}/{}/{name}", metadata.namespace(), metadata.name);
        stages.extend(policies.stages.into_iter().map(|(name, policy)| (full(name), policy)));
    }
    Ok(Printed { operator: merged(&operators), stages })
}

impl Printed {
    /// The policy of one role.
    fn of_role(&self, role: &str) -> anyhow::Result<Policy> {
        match role {
            "operator" => Ok(self.operator.clone()),
            "stages" => Ok(merged(self.stages.values())),
            name => self.of_stage(name).cloned(),
        }
    }

    /// By its full name, or by its own where that leaves no doubt.
    fn of_stage(&self, name: &str) -> anyhow::Result<&Policy> {
        if let Some(policy) = self.stages.get(name) {
            return Ok(policy);
        }
        let called_so: Vec<_> = self.stages.iter().filter(|(full, _)| full.rsplit('/').next() == Some(name)).collect();
        match called_so.as_slice() {
            [(_, policy)] => Ok(policy),
            [] => bail!("there is no stage {name:?}: there are operator, stages, {}", listed(self.stages.keys())),
            several => bail!("{name:?} may be any of {}", listed(several.iter().map(|(full, _)| *full))),
        }
    }
}

fn shown(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use super::*;

    fn printed(files: &[&str]) -> Printed {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let files: Vec<_> = files.iter().map(|file| root.join(file)).collect();
        of_all(&validate::load(&files).unwrap().unwrap(), &"111122223333".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_stage_is_found_by_its_own_name_where_that_leaves_no_doubt() {
        let one = printed(&["ecommerce/pipeline.yaml"]);
        assert_eq!(one.of_role("raw").unwrap(), one.stages["default/ecommerce/raw"]);
        let error = one.of_role("rwa").unwrap_err().to_string();
        assert!(error.contains("operator, stages, default/ecommerce/"), "{error}");

        let two = printed(&["ecommerce/pipeline.yaml", "eks/pipeline.yaml"]);
        let error = two.of_role("raw").unwrap_err().to_string();
        assert!(error.contains("default/ecommerce/raw, shop/ecommerce/raw"), "{error}");
        assert_eq!(two.of_role("shop/ecommerce/raw").unwrap(), two.stages["shop/ecommerce/raw"]);
    }

    #[test]
    fn the_policies_of_the_eks_example_are_those_of_its_pipeline() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/eks");
        let all = printed(&["eks/pipeline.yaml"]);
        for (role, file) in [("operator", "operator-policy.json"), ("stages", "stage-policy.json")] {
            let text = serde_json::to_string_pretty(&all.of_role(role).unwrap()).unwrap() + "\n";
            if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
                std::fs::write(folder.join(file), &text).unwrap();
            }
            assert_eq!(
                text,
                std::fs::read_to_string(folder.join(file)).unwrap_or_default(),
                "{file}: run with PENSTOCK_WRITE_GENERATED=1 if it is meant"
            );
        }
    }
}
