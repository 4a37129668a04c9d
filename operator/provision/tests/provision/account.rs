//! An account of a test's own, and what a Pipeline needs in it.

use std::net::SocketAddr;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use penstock_api::plan::{BucketPlan, KeyAttribute, PipelineRef, Resources, StreamPlan, TablePlan, TablePurpose};
use penstock_api::spec::{DeletionPolicy, Existing, KeyType, StreamMode};
use penstock_embedded::{Engines, Limits};
use penstock_provision::{Clients, Options, State, advance};
use penstock_runtime::Aws;
use tokio::time::{Instant, sleep};

use super::faults::{Faults, Faulty};

/// How long anything may take on a busy machine. Nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(120);
const REGION: &str = "eu-west-1";

/// Missing buckets are created.
pub(crate) fn engines() -> Options {
    Options { create_buckets: true, ..Options::default() }
}

/// As the operator asks: shapes follow, and what is foreign is refused.
pub(crate) fn operators() -> Options {
    Options { create_buckets: true, reshape: true, existing: Existing::Refuse, cluster: None }
}

pub(crate) struct Account {
    pub(crate) clients: Clients,
    engines: Engines,
    _folder: tempfile::TempDir,
}

pub(crate) async fn account() -> Account {
    let folder = tempfile::tempdir().unwrap();
    let engines = Engines::start(penstock_embedded::Options {
        data_dir: folder.path().to_owned(),
        limits: Limits::SizesOnly,
        region: REGION.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    })
    .await
    .unwrap();
    let clients = clients(&engines, None).await;
    Account { clients, engines, _folder: folder }
}

impl Account {
    /// The way to it over a wire with faults.
    pub(crate) async fn over(&self, faults: &Faults) -> Clients {
        clients(&self.engines, Some(faults)).await
    }
}

async fn clients(engines: &Engines, faults: Option<&Faults>) -> Clients {
    let aws = Aws::local(REGION, &engines.endpoint_url()).await;
    let mut config = aws.config;
    if let Some(faults) = faults {
        let faulty = Faulty { client: config.http_client().unwrap(), faults: faults.clone() };
        config = config.into_builder().http_client(SharedHttpClient::new(faulty)).build();
    }
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(aws.path_style).build();
    Clients {
        kinesis: aws_sdk_kinesis::Client::new(&config),
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

pub(crate) fn pipeline(name: &str) -> PipelineRef {
    PipelineRef { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn key(name: &str, key_type: KeyType) -> KeyAttribute {
    KeyAttribute { name: name.to_owned(), key_type }
}

/// One stream, a table, a lease table and a bucket.
pub(crate) fn resources(pipeline_name: &str) -> Resources {
    let owner = pipeline(pipeline_name);
    let table = TablePlan {
        name: "ecommerce-invoices".to_owned(),
        owner: owner.clone(),
        part: "tables".to_owned(),
        purpose: TablePurpose::Data,
        partition: key("InvoiceNo", KeyType::S),
        sort: Some(key("sk", KeyType::S)),
        ttl_attribute: Some("expires".to_owned()),
        billing: None,
        point_in_time_recovery: None,
        deletion_protection: None,
        existing: None,
        deletion_policy: DeletionPolicy::Retain,
    };
    let leases = TablePlan {
        name: format!("shop.{pipeline_name}.tables.leases"),
        purpose: TablePurpose::Leases { stream: "events".to_owned() },
        partition: key("leaseKey", KeyType::S),
        sort: None,
        ttl_attribute: None,
        ..table.clone()
    };
    let stream = StreamPlan {
        name: "events".to_owned(),
        owner,
        part: "events".to_owned(),
        mode: StreamMode::Provisioned,
        shards: Some(2),
        retention_hours: 48,
        may_shorten: true,
        max_record_kib: None,
        encryption: None,
        readers: vec![leases.name.clone()],
        consumers: Vec::new(),
        existing: None,
        deletion_policy: DeletionPolicy::Retain,
    };
    Resources {
        streams: vec![stream],
        tables: vec![table, leases],
        buckets: vec![BucketPlan { name: "acme-lake".to_owned() }],
    }
}

/// A step at a time, as the operator takes them, until nothing moves: how far each resource then is.
pub(crate) async fn settled(resources: &Resources, clients: &Clients) -> Vec<State> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let progress = advance(resources, clients, &operators()).await;
        if progress.iter().all(|one| !matches!(one.state, State::Waiting(_) | State::Failing(_))) {
            return progress.into_iter().map(|one| one.state).collect();
        }
        assert!(Instant::now() < deadline, "it does not settle: {progress:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// In what the resource at a place differs, and whether a change of it is still to come.
pub(crate) async fn drift(resources: &Resources, clients: &Clients, at: usize) -> (bool, String) {
    match settled(resources, clients).await.swap_remove(at) {
        State::Ready(ready) => (false, ready.drift.join("; ")),
        State::Deferred(ready) => (true, ready.drift.join("; ")),
        other => panic!("it does not work: {other:?}"),
    }
}
