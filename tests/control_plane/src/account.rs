//! An AWS account of a test's own: the embedded engines on loopback.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use penstock_api::plan::AwsTarget;
use penstock_embedded::{Engines, Limits, Options};
use penstock_operator::AwsClients;
use penstock_provision::Clients;
use penstock_runtime::Aws;
use tempfile::TempDir;

use crate::wire::Wire;
use crate::wire::aws::Wired;

const REGION: &str = "eu-west-1";

/// What is in an account: `stream/NAME`, `table/NAME` or `bucket/NAME`, with its tags.
pub type Inventory = BTreeMap<String, BTreeMap<String, String>>;

/// An account.
#[derive(Debug)]
pub struct Account {
    engines: Engines,
    /// Clients of it for the test.
    pub clients: Clients,
    _folder: TempDir,
}

impl Account {
    /// An empty one.
    ///
    /// # Errors
    /// When the engines do not start.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options {
            data_dir: folder.path().to_owned(),
            limits: Limits::SizesOnly,
            region: REGION.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let engines = Engines::start(options).await.context("the engines do not start")?;
        let clients = clients(&engines.endpoint_url(), None).await?;
        Ok(Self { engines, clients, _folder: folder })
    }

    /// Where it is, for a program that is told so.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        self.engines.endpoint_url()
    }

    /// The operator's way to this account, over a wire, whatever region and endpoint it asks for.
    ///
    /// # Errors
    /// When the clients cannot be made.
    pub async fn over(&self, wire: &Wire) -> anyhow::Result<Arc<dyn AwsClients>> {
        Ok(Arc::new(OneAccount(clients(&self.engines.endpoint_url(), Some(wire)).await?)))
    }

    /// Everything that is there.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn inventory(&self) -> anyhow::Result<Inventory> {
        let mut inventory = Inventory::new();
        let Clients { kinesis, dynamodb, s3 } = &self.clients;
        for name in kinesis.list_streams().send().await?.stream_names {
            let tags = kinesis.list_tags_for_stream().stream_name(&name).send().await?.tags;
            let tags = tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
            inventory.insert(format!("stream/{name}"), tags);
        }
        for name in dynamodb.list_tables().send().await?.table_names.unwrap_or_default() {
            let table = dynamodb.describe_table().table_name(&name).send().await?.table.context("no table")?;
            let arn = table.table_arn.context("a table without ARN")?;
            let tags = dynamodb.list_tags_of_resource().resource_arn(arn).send().await?.tags.unwrap_or_default();
            inventory.insert(format!("table/{name}"), tags.into_iter().map(|tag| (tag.key, tag.value)).collect());
        }
        for bucket in s3.list_buckets().send().await?.buckets.unwrap_or_default() {
            inventory.insert(format!("bucket/{}", bucket.name.unwrap_or_default()), BTreeMap::new());
        }
        Ok(inventory)
    }
}

async fn clients(endpoint: &str, wire: Option<&Wire>) -> anyhow::Result<Clients> {
    let mut config = Aws::local(REGION, endpoint).await.config;
    if let Some(wire) = wire {
        let client = config.http_client().context("the SDK has no HTTP client")?;
        let wired = Wired { client, wire: wire.clone() };
        config = config.into_builder().http_client(SharedHttpClient::new(wired)).build();
    }
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    Ok(Clients {
        kinesis: aws_sdk_kinesis::Client::new(&config),
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    })
}

struct OneAccount(Clients);

impl AwsClients for OneAccount {
    fn clients<'a>(&'a self, _: &'a AwsTarget) -> Pin<Box<dyn Future<Output = Clients> + Send + 'a>> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}
