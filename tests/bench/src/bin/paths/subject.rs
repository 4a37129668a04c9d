//! What is measured, and what it is given.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use penstock_bench::stand_in::{Content, Form, Options, StandIn, rows_of};
use penstock_embedded::{Engines, Limits, Options as EngineOptions};
use penstock_faults::{penstock, sample};
use penstock_provision::{Clients, Options as ProvisionOptions, provision};
use penstock_runtime::Aws;
use serde_json::Value;

/// So many rows of the file are used.
const ROWS: usize = 42_481;
/// So many rows are read, again and again: more than a consumer remembers, or all but the first would be repeats.
const READ_ROWS: usize = 300_000;
const REGION: &str = "eu-west-1";

/// Rows with their partition keys, as JSON.
pub(crate) fn rows(file: Option<&Path>) -> anyhow::Result<Vec<(String, String)>> {
    match file {
        Some(file) => rows_of(file, ROWS),
        None => {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("shop.csv");
            sample(&penstock()?, ROWS as u64, 1, &file)?;
            rows_of(&file, ROWS)
        }
    }
}

/// Engines, the stand-in before them, and what the Pipeline of the bench needs in them.
pub(crate) struct World {
    pub(crate) stand_in: StandIn,
    pub(crate) plan: Value,
    pub(crate) folder: tempfile::TempDir,
    engines: Engines,
}

impl World {
    pub(crate) async fn start(rows: &[(String, String)], form: Form, delay: Duration) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = EngineOptions {
            data_dir: folder.path().join("engines"),
            limits: Limits::SizesOnly,
            region: REGION.to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
        };
        let engines = Engines::start(options).await?;
        let plan = crate::stage::plan()?;
        let aws = Aws::local(REGION, &engines.endpoint_url()).await;
        let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
        let clients = Clients {
            kinesis: aws_sdk_kinesis::Client::new(&aws.config),
            dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
            s3: aws_sdk_s3::Client::from_conf(s3),
        };
        let resources = serde_json::from_value(plan["resources"].clone())?;
        provision(&resources, &clients, &ProvisionOptions { create_buckets: true, ..Default::default() }).await?;
        let shards = usize::try_from(plan["resources"]["streams"][0]["shards"].as_u64().unwrap_or(1))?;
        let content = Content::new(rows, form, READ_ROWS)?;
        let stand_in = StandIn::start(Options { engines: engines.endpoint_url(), content, shards, delay }).await?;
        Ok(Self { stand_in, plan, folder, engines })
    }

    /// The name of the stream.
    pub(crate) fn stream(&self) -> anyhow::Result<&str> {
        self.plan["resources"]["streams"][0]["name"].as_str().context("a plan without a stream")
    }

    pub(crate) async fn stop(self) {
        self.engines.stop().await;
    }
}
