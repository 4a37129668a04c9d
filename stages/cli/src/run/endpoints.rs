//! Where a running Pipeline can be reached: for people on the terminal, for scripts in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use penstock_api::plan::Plan;
use penstock_embedded::Engines;
use serde::Serialize;

use super::stages::Stages;

/// Where a running Pipeline can be reached, and what it uses.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoints {
    /// The endpoint of the engines; absent with `--aws`.
    #[serde(rename = "awsEndpointURL", skip_serializing_if = "Option::is_none")]
    aws_endpoint_url: Option<String>,
    region: String,
    sources: Vec<SourceEndpoint>,
    apis: Vec<ApiEndpoint>,
    /// Base URL of `/livez`, `/readyz` and `/metrics` of each stage.
    admin: BTreeMap<String, String>,
    /// The page that shows the Pipeline.
    #[serde(rename = "pageURL")]
    page_url: String,
    streams: Vec<String>,
    tables: Vec<String>,
    buckets: Vec<String>,
    pid: u32,
}

/// Word of a running Pipeline in its data folder. One that is killed leaves it there: who reads it finds nobody who answers.
pub(super) struct Note(PathBuf);

impl Note {
    /// It does not run any more.
    pub(super) fn over(self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, file = %self.0.display(), "a file that says that this Pipeline runs stays");
        }
    }
}

/// An HTTP source.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceEndpoint {
    /// Its name.
    pub name: String,
    /// Where to post.
    pub url: String,
    /// The folder with a file for each API key; anybody may post when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_keys_dir: Option<String>,
    /// The file of the first key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<String>,
}

/// A query API.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiEndpoint {
    /// Its name.
    pub name: String,
    /// Where to ask.
    pub url: String,
    /// The file of an API key; anybody may ask when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<String>,
}

impl Endpoints {
    pub(super) fn of(plan: &Plan, stages: &Stages, engines: Option<&Engines>, page_url: String) -> Self {
        Self {
            aws_endpoint_url: engines.map(Engines::endpoint_url),
            region: plan.stages.first().map(|stage| stage.aws.region.clone()).unwrap_or_default(),
            sources: stages.sources().cloned().collect(),
            apis: stages.apis().cloned().collect(),
            admin: stages.admin().map(|(name, addr)| (name.to_owned(), base_url(addr))).collect(),
            page_url,
            streams: plan.resources.streams.iter().map(|stream| stream.name.clone()).collect(),
            tables: plan.resources.tables.iter().map(|table| table.name.clone()).collect(),
            buckets: plan.resources.buckets.iter().map(|bucket| bucket.name.clone()).collect(),
            pid: std::process::id(),
        }
    }

    /// Tells people on standard error, and scripts in the file, that everything answers.
    pub(super) fn announce(&self, ready_file: Option<&Path>) -> anyhow::Result<()> {
        eprintln!("{:<10} {}", "page", self.page_url);
        for source in &self.sources {
            eprintln!("{:<10} POST {}", source.name, source.url);
            if let Some(file) = &source.api_key_file {
                eprintln!("{:<10} with the API key in {file}", "");
            }
        }
        for api in &self.apis {
            eprintln!("{:<10} GET  {}/", api.name, api.url);
            if let Some(file) = &api.api_key_file {
                eprintln!("{:<10} with the API key in {file}", "");
            }
        }
        for (stage, url) in &self.admin {
            eprintln!("{stage:<10} {url}/readyz  {url}/metrics");
        }
        if let Some(url) = &self.aws_endpoint_url {
            eprintln!(
                "{:<10} AWS_ENDPOINT_URL={url} AWS_REGION={} AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local",
                "engines", self.region
            );
        }
        ready_file.map_or(Ok(()), |path| self.write(path))
    }

    /// Leaves word in the data folder, for commands that ask how this Pipeline is.
    pub(super) fn note_in(&self, data_dir: &Path) -> anyhow::Result<Note> {
        std::fs::create_dir_all(data_dir).with_context(|| format!("{} cannot be made", data_dir.display()))?;
        let file = data_dir.join(crate::running::RUNNING_FILE);
        self.write(&file)?;
        Ok(Note(file))
    }

    /// The file appears whole or not at all.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let partial = path.with_extension("partial");
        let write = || -> anyhow::Result<()> {
            let mut file = File::create(&partial)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            Ok(std::fs::rename(&partial, path)?)
        };
        write().with_context(|| format!("the file {} cannot be written", path.display()))
    }

    /// The endpoint of the engines.
    pub(super) fn aws(&self) -> Option<&str> {
        self.aws_endpoint_url.as_deref()
    }

    /// The region.
    pub(super) fn region(&self) -> &str {
        &self.region
    }
}

pub(super) fn base_url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}
