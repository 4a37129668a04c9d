//! Engines in a folder of their own, and the official SDK's clients for them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several tests, each of which uses a part"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_kinesis::config::{BehaviorVersion, Region};
use penstock_embedded::{Engines, Limits, Options};

pub struct Local {
    pub engines: Option<Engines>,
    pub dir: tempfile::TempDir,
    pub limits: Limits,
}

pub fn options(dir: &Path, limits: Limits) -> Options {
    Options {
        data_dir: dir.to_owned(),
        limits,
        region: "eu-west-1".into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

impl Local {
    pub async fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engines = Engines::start(options(dir.path(), limits)).await.unwrap();
        Self { engines: Some(engines), dir, limits }
    }

    pub async fn restart(&mut self) {
        self.engines.take().unwrap().stop().await;
        self.engines = Some(Engines::start(options(self.dir.path(), self.limits)).await.unwrap());
    }

    pub fn url(&self) -> String {
        self.engines.as_ref().unwrap().endpoint_url()
    }

    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        kinesis(&self.url())
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        dynamodb(&self.url())
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        s3(&self.url())
    }
}

pub fn credentials() -> Credentials {
    Credentials::new("anybody", "anything", None, None, "test")
}

pub fn kinesis(url: &str) -> aws_sdk_kinesis::Client {
    aws_sdk_kinesis::Client::from_conf(
        aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_sdk_kinesis::config::retry::RetryConfig::disabled())
            .build(),
    )
}

pub fn dynamodb(url: &str) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
            .build(),
    )
}

pub fn s3(url: &str) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
            .force_path_style(true)
            .build(),
    )
}

/// Asks until the answer is yes, for at most ten seconds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ask().await {
        assert!(Instant::now() < deadline, "waited ten seconds for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a stream is active.
pub async fn until_active(client: &aws_sdk_kinesis::Client, stream: &str) {
    until("an active stream", || async {
        let summary = client.describe_stream_summary().stream_name(stream).send().await;
        summary.is_ok_and(|summary| {
            summary
                .stream_description_summary()
                .is_some_and(|summary| *summary.stream_status() == aws_sdk_kinesis::types::StreamStatus::Active)
        })
    })
    .await;
}

/// Creates a stream and waits for it.
pub async fn create_stream(client: &aws_sdk_kinesis::Client, stream: &str, shards: i32) {
    client.create_stream().stream_name(stream).shard_count(shards).send().await.unwrap();
    until_active(client, stream).await;
}

/// The exception type of an SDK error.
pub fn code<E, R>(error: &aws_sdk_kinesis::error::SdkError<E, R>) -> String
where
    E: aws_sdk_kinesis::error::ProvideErrorMetadata,
{
    error.as_service_error().and_then(|error| error.code()).unwrap_or("no code").to_owned()
}

/// Sends a request as no SDK would, and gives back status and body.
pub async fn post(url: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> (u16, String) {
    send("POST", url, headers, body).await
}

/// Sends a request of any method as no SDK would, and gives back status and body.
pub async fn send(method: &str, url: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> (u16, String) {
    use http_body_util::{BodyExt as _, Full};
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let mut request =
        http::Request::builder().method(method).uri(url).body(Full::new(bytes::Bytes::from(body))).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}
