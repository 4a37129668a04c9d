//! The way to AWS: credentials, region, endpoint, time limits.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls;
use futures::future::BoxFuture;
use penstock_api::plan::AwsTarget;

/// How long one attempt of one call may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How long a call may take with all its attempts.
const OPERATION: Duration = Duration::from_secs(60);
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// Attempts of one call. Callers decide about waiting longer, where waiting can be seen.
const ATTEMPTS: u32 = 3;

/// The way to AWS, or to an emulator of it. The clients of all services are made from it.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Region, credentials, endpoint and time limits, for any service's client.
    pub config: SdkConfig,
    /// Whether bucket names belong into the path rather than the host's name: so it is with emulators.
    pub path_style: bool,
}

impl Aws {
    /// Looks up credentials by the SDK's own chain: environment, profile, web identity, container, instance.
    pub async fn load(target: &AwsTarget) -> Self {
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let loader = Self::loader(target).http_client(client);
        Self { config: load(loader).await, path_style: target.endpoint_url.is_some() }
    }

    /// For engines on this machine: plain HTTP, and credentials that they do not look at.
    pub async fn local(region: &str, endpoint_url: &str) -> Self {
        let target = AwsTarget { region: region.to_owned(), endpoint_url: Some(endpoint_url.to_owned()) };
        let client = aws_smithy_http_client::Builder::new().build_http();
        let credentials = Credentials::new("local", "local", None, None, "penstock");
        let loader = Self::loader(&target).http_client(client).credentials_provider(credentials);
        Self { config: load(loader).await, path_style: true }
    }

    fn loader(target: &AwsTarget) -> aws_config::ConfigLoader {
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(target.region.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(OPERATION)
                    .build(),
            );
        match &target.endpoint_url {
            Some(url) => loader.endpoint_url(url),
            None => loader,
        }
    }
}

/// Boxed: the body of an `async fn` is compiled again by every crate that awaits it, and this one is large.
fn load(loader: aws_config::ConfigLoader) -> BoxFuture<'static, SdkConfig> {
    Box::pin(loader.load())
}
