//! Where a Pipeline that runs somewhere keeps its state: what `penstock audit` and `penstock status` are told about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use penstock_api::plan::Plan;
use penstock_runtime::Aws;
use serde::Deserialize;

/// What `penstock run` leaves in its data folder while it runs.
pub(crate) const RUNNING_FILE: &str = "running.json";

/// Where it runs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Where {
    /// It runs on AWS, with the credentials that the SDK finds.
    #[arg(long, conflicts_with_all = ["engines", "data_dir"])]
    pub(crate) aws: bool,
    /// The engines that it runs on, such as http://127.0.0.1:4566. Default: `spec.aws.endpointURL`, else those of the
    /// `penstock run` on the data folder.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    pub(crate) engines: Option<String>,
    /// The data folder of the `penstock run` that it runs in. Default: `.penstock`.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// What `penstock run` says of itself, as far as others need it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    #[serde(default, rename = "awsEndpointURL")]
    pub(crate) aws_endpoint_url: Option<String>,
    /// Base URL of `/metrics` of each stage.
    #[serde(default)]
    pub(crate) admin: BTreeMap<String, String>,
}

impl Running {
    /// What the `penstock run` on the folder says, if one runs there or was killed there.
    pub(crate) fn of_folder(folder: &Path) -> anyhow::Result<Option<Self>> {
        let file = folder.join(RUNNING_FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                serde_json::from_str(&text).map(Some).with_context(|| format!("{} is not as expected", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }
}

impl Where {
    /// Whether anything is said of it.
    pub(crate) fn is_said(&self) -> bool {
        self.aws || self.engines.is_some() || self.data_dir.is_some()
    }

    /// The data folder of the `penstock run`.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or_else(|| Path::new(".penstock"))
    }

    /// The way to the Pipeline's streams, tables and buckets.
    pub(crate) async fn way_to_aws(&self, plan: &Plan) -> anyhow::Result<Aws> {
        let target = &plan.stages.first().context("the Pipeline has no stages")?.aws;
        if let Some(engines) = &self.engines {
            return Ok(Aws::local(&target.region, engines).await);
        }
        if self.aws || target.endpoint_url.is_some() {
            return Ok(Aws::load(target).await);
        }
        match Running::of_folder(self.data_dir())?.and_then(|running| running.aws_endpoint_url) {
            Some(engines) => Ok(Aws::local(&target.region, &engines).await),
            None => bail!(
                "no `penstock run` runs on the folder {}. Start it; or say --aws where the Pipeline runs on AWS, \
                 --data-dir where it runs on another folder, or --engines where it runs on engines of their own",
                self.data_dir().display()
            ),
        }
    }
}
