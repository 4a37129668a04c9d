//! The service's own clock.

use std::sync::{Arc, OnceLock};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use penstock_contract::ArrivalMillis;

use crate::error::call;
use crate::{Call, StreamError};

/// Asks what time it is at the service: the clock that arrival times are of, whatever this machine's clock says.
///
/// The time is that of the answer's `Date`, so it has whole seconds and is never ahead. Costs one `ListShards`.
///
/// # Errors
/// When the call does not succeed, or its answer has no date.
pub fn service_time<'a>(client: &'a Client, stream: &'a str) -> Call<'a, ArrivalMillis> {
    Box::pin(async move {
        let doing = || format!("asking for the time at stream {stream}");
        let date = Date::default();
        let request = client.list_shards().stream_name(stream).max_results(1).customize().interceptor(date.clone());
        call(doing, request.send()).await?;
        let no_date = || StreamError::Answer { doing: doing(), message: "it comes without a `Date`".to_owned() };
        date.read().ok_or_else(no_date)
    })
}

/// The date of an answer.
#[derive(Debug, Clone, Default)]
struct Date(Arc<OnceLock<String>>);

impl Date {
    fn read(&self) -> Option<ArrivalMillis> {
        let date = DateTime::from_str(self.0.get()?, DateTimeFormat::HttpDate).ok()?;
        Some(ArrivalMillis(date.to_millis().ok()?))
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            // The first one stands: an attempt before it had no answer.
            let _ = self.0.set(date.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let date = Date::default();
        assert_eq!(date.read(), None);
        date.0.set("Thu, 01 Jan 1970 00:00:07 GMT".to_owned()).expect("it is the first");
        assert_eq!(date.read(), Some(ArrivalMillis(7_000)));
        assert_eq!(Date(Arc::new(OnceLock::from("yesterday".to_owned()))).read(), None);
    }
}
