//! The clients of AWS's services, with every call counted.

use std::future::Future;
use std::pin::Pin;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use penstock_api::plan::AwsTarget;
use penstock_provision::Clients;
use penstock_runtime::Aws;

use crate::metrics;

/// Makes the clients of a region. A test gives ones that fail on purpose.
pub trait AwsClients: Send + Sync {
    /// The clients of a region.
    fn clients<'a>(&'a self, target: &'a AwsTarget) -> Pin<Box<dyn Future<Output = Clients> + Send + 'a>>;
}

/// The SDK's clients, with its own chain of credentials, time limits, and counted calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct SdkClients;

impl AwsClients for SdkClients {
    fn clients<'a>(&'a self, target: &'a AwsTarget) -> Pin<Box<dyn Future<Output = Clients> + Send + 'a>> {
        Box::pin(async move {
            let aws = Aws::load(target).await;
            let kinesis = aws_sdk_kinesis::config::Builder::from(&aws.config).interceptor(Counted);
            let dynamodb = aws_sdk_dynamodb::config::Builder::from(&aws.config).interceptor(Counted);
            let s3 =
                aws_sdk_s3::config::Builder::from(&aws.config).interceptor(Counted).force_path_style(aws.path_style);
            Clients {
                kinesis: aws_sdk_kinesis::Client::from_conf(kinesis.build()),
                dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
                s3: aws_sdk_s3::Client::from_conf(s3.build()),
            }
        })
    }
}

/// Counts attempts by operation and outcome.
#[derive(Debug)]
struct Counted;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "Counted"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(operation) = config.load::<Metadata>() {
            let worked = context.output_or_error().is_some_and(|outcome| outcome.is_ok());
            metrics::aws_call(operation.name(), worked);
        }
        Ok(())
    }
}
