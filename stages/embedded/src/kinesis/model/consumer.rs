//! Registered consumers (enhanced fan-out).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Millis;
use super::stream::{Stream, TRANSITION_MILLIS};
use crate::kinesis::error::ApiError;

/// Consumers per stream. <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
const MAX_CONSUMERS: usize = 20;

/// A registered consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) created_at: Millis,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Consumer {
    /// The name of its state.
    pub(crate) fn status(&self, now: Millis) -> &'static str {
        if now < self.created_at + TRANSITION_MILLIS { "CREATING" } else { "ACTIVE" }
    }

    /// Its ARN ends with the second of its creation, which tells it from a predecessor of the same name.
    pub(crate) fn arn(&self, stream_arn: &str) -> String {
        format!("{stream_arn}/consumer/{}:{}", self.name, self.created_at / 1000)
    }
}

/// Registers a consumer.
pub(crate) fn register(
    stream: &mut Stream,
    name: &str,
    tags: BTreeMap<String, String>,
    now: Millis,
) -> Result<(), ApiError> {
    stream.require_active(now)?;
    if stream.consumers.iter().any(|consumer| consumer.name == name) {
        return Err(ApiError::in_use(format!(
            "Consumer {name} under stream {} already exists for account {}.",
            stream.name,
            crate::kinesis::ACCOUNT
        )));
    }
    if stream.consumers.len() >= MAX_CONSUMERS {
        return Err(ApiError::limit(format!(
            "Stream {} already has {MAX_CONSUMERS} registered consumers.",
            stream.name
        )));
    }
    stream.consumers.push(Consumer { name: name.to_owned(), created_at: now, tags });
    Ok(())
}

/// Takes a consumer out.
pub(crate) fn deregister(stream: &mut Stream, name: &str) -> Result<(), ApiError> {
    let before = stream.consumers.len();
    stream.consumers.retain(|consumer| consumer.name != name);
    if stream.consumers.len() == before {
        return Err(no_consumer(&stream.name, name));
    }
    Ok(())
}

/// A consumer that is not there.
pub(crate) fn no_consumer(stream: &str, name: &str) -> ApiError {
    ApiError::not_found(format!(
        "Consumer {name} under stream {stream} not found for account {}.",
        crate::kinesis::ACCOUNT
    ))
}
