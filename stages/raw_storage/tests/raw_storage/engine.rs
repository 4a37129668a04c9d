//! The promise against the embedded engine, over real HTTP with the real SDK, and with answers that get lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{BUCKET, cut, numbers, pushed, range, record, setup, shop_records};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use penstock_api::spec::Compression;
use penstock_contract::{Batch as _, Record};
use penstock_embedded::{Engines, Limits, Options};
use penstock_runtime::Aws;

struct Engine {
    aws: Aws,
    _engines: Engines,
    _folder: tempfile::TempDir,
}

/// The engine with the bucket.
async fn engine() -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let engines = Engines::start(Options {
        data_dir: folder.path().to_owned(),
        limits: Limits::SizesOnly,
        region: "eu-west-1".to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    })
    .await
    .unwrap();
    let aws = Aws::local("eu-west-1", &engines.endpoint_url()).await;
    let engine = Engine { aws, _engines: engines, _folder: folder };
    engine.client().create_bucket().bucket(BUCKET).send().await.unwrap();
    engine
}

/// Loses the answer of every third call that writes, after its effect.
#[derive(Debug)]
struct Lossy {
    inner: SharedHttpConnector,
    writes: Arc<AtomicUsize>,
}

impl HttpConnector for Lossy {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let writes = matches!(request.method(), "PUT" | "POST");
        let lost = writes && self.writes.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            if lost { Err(ConnectorError::io("the connection broke before the answer came".into())) } else { answer }
        })
    }
}

impl Engine {
    fn config(&self) -> aws_sdk_s3::config::Builder {
        aws_sdk_s3::config::Builder::from(&self.aws.config).force_path_style(self.aws.path_style)
    }

    fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    fn lossy_client(&self) -> Client {
        let inner = self.aws.config.http_client().unwrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let lossy = http_client_fn(move |settings, components| {
            use aws_smithy_runtime_api::client::http::HttpClient as _;
            let inner = inner.http_connector(settings, components);
            SharedHttpConnector::new(Lossy { inner, writes: Arc::clone(&writes) })
        });
        let retry = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        Client::from_conf(self.config().http_client(lossy).retry_config(retry).build())
    }

    /// The records' numbers in the bucket, and how many objects they are in.
    async fn numbers(&self) -> (Vec<u64>, usize) {
        let client = self.client();
        let listed = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        let mut objects = Vec::new();
        for object in listed.contents() {
            let key = object.key().unwrap();
            let answer = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
            objects.push((key.to_owned(), answer.body.collect().await.unwrap().into_bytes()));
        }
        (numbers(objects.iter().map(|(key, body)| (key.as_str(), body.as_ref()))), objects.len())
    }
}

/// How many different countries the records name.
fn countries(records: &[Record]) -> usize {
    let country =
        |record: &Record| serde_json::from_slice::<serde_json::Value>(&record.data).unwrap()["Country"].to_string();
    records.iter().map(country).collect::<std::collections::BTreeSet<_>>().len()
}

/// Five small objects and one that needs parts.
fn small_and_large() -> Vec<Record> {
    let mut records = shop_records(0..200, 5);
    records.extend(
        (200..214).map(|n| record(n, format!(r#"{{"n":{n},"Country":"big one/é","pad":"{}"}}"#, "z".repeat(900_000)))),
    );
    records
}

#[tokio::test]
async fn a_range_that_is_applied_by_two_and_then_again_is_stored_once() {
    let engine = engine().await;
    let sink = setup("raw/{$arrival:%Y/%m/%d}/{Country}/", Compression::None).sink(engine.client());
    let records = small_and_large();
    let range = range(&records);
    let (mut one, mut two) = (pushed(&sink, &records).await, pushed(&sink, &records).await);
    assert_eq!(engine.numbers().await, (Vec::new(), 0), "something could be seen before the range was applied");
    let (one, two) = tokio::join!(one.apply(&range), two.apply(&range));
    assert_eq!((one.unwrap().records, two.unwrap().records), (214, 214));
    pushed(&sink, &records).await.apply(&range).await.unwrap();
    assert_eq!(engine.numbers().await, ((0..214).collect(), 6));
}

#[tokio::test]
async fn a_crash_between_objects_and_another_application_store_everything_once() {
    for (compression, polls) in [(Compression::Gzip, 3), (Compression::Zstd, 9), (Compression::None, 30)] {
        let engine = engine().await;
        let sink = setup("raw/{Country}/", compression).sink(engine.client());
        let records = shop_records(0..400, 40);
        let range = range(&records);
        let mut first = pushed(&sink, &records).await;
        cut(first.apply(&range), polls).await;
        drop(first);
        pushed(&sink, &records).await.apply(&range).await.unwrap();
        assert_eq!(engine.numbers().await, ((0..400).collect(), countries(&records)));
    }
}

#[tokio::test]
async fn answers_that_are_lost_after_the_effect_do_no_harm() {
    let engine = engine().await;
    let sink = setup("raw/{Country}/", Compression::None).sink(engine.lossy_client());
    let records = small_and_large();
    let range = range(&records);
    let mut batch = pushed(&sink, &records).await;
    let mut tries = 0;
    while let Err(error) = batch.apply(&range).await {
        tries += 1;
        assert!(tries < 20, "{error}");
    }
    assert_eq!(engine.numbers().await, ((0..214).collect(), 6));
}

#[tokio::test]
async fn a_missing_bucket_is_named_with_its_cure() {
    let engine = engine().await;
    let mut setup = setup("raw/", Compression::None);
    setup.target.bucket = "not-there".to_owned();
    let sink = setup.sink(engine.client());
    let records = shop_records(0..3, 1);
    let error = pushed(&sink, &records).await.apply(&range(&records)).await.unwrap_err();
    assert_eq!(error.reason(), "no_such_bucket");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("create the bucket"), "{cause}");
}
