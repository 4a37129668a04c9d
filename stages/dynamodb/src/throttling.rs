//! Throttling as the SDK meets it: it tries a call again by itself, and who made the call sees nothing of it.

use std::fmt;

use aws_sdk_dynamodb::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata};
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use metrics::Counter;

/// Whether the service says by this code that it is asked too much.
pub(crate) fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
    )
}

/// Counts the attempts at a call that were throttled.
#[derive(Clone)]
pub(crate) struct CountThrottling(pub(crate) Counter);

impl fmt::Debug for CountThrottling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountThrottling").finish_non_exhaustive()
    }
}

impl Intercept for CountThrottling {
    fn name(&self) -> &'static str {
        "CountThrottling"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        let code = error.and_then(|error| {
            let batch = error.downcast_ref::<BatchWriteItemError>().and_then(ProvideErrorMetadata::code);
            let put = || error.downcast_ref::<PutItemError>().and_then(ProvideErrorMetadata::code);
            let update = || error.downcast_ref::<UpdateItemError>().and_then(ProvideErrorMetadata::code);
            batch.or_else(put).or_else(update)
        });
        if code.is_some_and(is_throttling) {
            self.0.increment(1);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "throttling_tests.rs"]
mod tests;
