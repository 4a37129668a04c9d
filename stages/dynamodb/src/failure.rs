//! What an error of the service means for the write that met it.

use std::error::Error;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use penstock_contract::{Rejection, SinkError};

use crate::throttling::is_throttling;

/// Why a call did not write.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The item holds something later, or this very range: nothing is left to do.
    Kept,
    /// The service will never take this item.
    Refused(Rejection),
    /// The service, or the way to it. Not the item's fault.
    Service(ServiceFailure),
}

/// A service that throttles, fails, or is not set up.
#[derive(Debug, thiserror::Error)]
#[error("{cure}")]
pub(crate) struct ServiceFailure {
    pub(crate) reason: &'static str,
    cure: &'static str,
    /// Whether it may be over in a moment. Otherwise somebody has to mend it.
    pub(crate) passing: bool,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl ServiceFailure {
    /// The service left items of a batch unwritten, again and again.
    pub(crate) fn unprocessed() -> Self {
        let source = "items came back unprocessed".into();
        Self { reason: "throttled", cure: THROTTLED, passing: true, source }
    }

    pub(crate) fn into_sink_error(self, doing: String) -> SinkError {
        SinkError::Service { reason: self.reason, doing, source: Box::new(self) }
    }
}

const THROTTLED: &str =
    "DynamoDB throttles: give the table more write capacity, or choose a key that spreads the writes";
const FAILED: &str = "DynamoDB fails";
const UNREACHABLE: &str = "DynamoDB cannot be reached: look at the network, the endpoint and the credentials";
const DENIED: &str =
    "the credentials may not write here: allow dynamodb:PutItem, UpdateItem and BatchWriteItem on the table";
const MISSING: &str =
    "the table does not exist in this account and region: create it, or mend its name in the Pipeline";
const OTHER_KEY: &str = "the table has another key than the Pipeline says: name another table, or create this one anew";
const OTHER: &str = "DynamoDB refuses the call";

impl Failure {
    pub(crate) fn of<E, R>(table: &str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default();
        let message = error.message().unwrap_or_default();
        let (reason, cure, passing) = match code {
            "ConditionalCheckFailedException" => return Self::Kept,
            "ValidationException" if names_other_key(message) => ("table_key_mismatch", OTHER_KEY, false),
            "ValidationException" | "SerializationException" => return Self::Refused(refused(table, message)),
            "ItemCollectionSizeLimitExceededException" => return Self::Refused(refused(table, message)),
            code if is_throttling(code) => ("throttled", THROTTLED, true),
            "TransactionConflictException" | "ReplicatedWriteConflictException" => ("conflict", FAILED, true),
            "InternalServerError" | "InternalFailure" | "ServiceUnavailable" | "ServiceUnavailableException" => {
                ("service_failed", FAILED, true)
            }
            "ResourceNotFoundException" => ("table_missing", MISSING, false),
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException"
            | "ExpiredTokenException" => ("access_denied", DENIED, false),
            "" => return Self::Service(unanswered(error)),
            _ => ("service_error", OTHER, true),
        };
        Self::Service(ServiceFailure { reason, cure, passing, source: Box::new(error) })
    }
}

/// An error without a code: no answer, or none of the service's own.
fn unanswered<E, R>(error: SdkError<E, R>) -> ServiceFailure
where
    E: Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let (reason, cure) = match &error {
        SdkError::TimeoutError(_) => ("timeout", UNREACHABLE),
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => ("unreachable", UNREACHABLE),
        _ => ("service_failed", FAILED),
    };
    ServiceFailure { reason, cure, passing: true, source: Box::new(error) }
}

/// Every key was checked before it was sent: when the service finds fault with one, the table is not the one
/// that the Pipeline describes, and no record is to blame. An index's key is another matter.
fn names_other_key(message: &str) -> bool {
    ["does not match the schema", "Missing the key", "Type mismatch for key"].iter().any(|part| message.contains(part))
}

fn refused(table: &str, message: &str) -> Rejection {
    Rejection::new("dynamodb_refused", format!("the table {table} refused the item: {message}"))
}

/// The error and its causes, for a log line.
pub(crate) fn chain(failure: &ServiceFailure) -> String {
    DisplayErrorContext(failure.source.as_ref()).to_string()
}
