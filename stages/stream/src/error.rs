//! Why a call to the stream did not succeed.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use tokio::time::error::Elapsed;

/// No call may take longer than this, whatever the client was configured with. The largest answer (10 MiB)
/// at the slowest useful rate fits in.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// What kind of failure it was: decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The shard's throughput is used up (`ProvisionedThroughputExceededException`, `KMSThrottlingException`):
    /// wait a second or more, then try again.
    Throttled,
    /// Too many calls of this operation (`LimitExceededException`): back off as for the control plane.
    LimitExceeded,
    /// The iterator is older than five minutes: take a new one after the last record received.
    ExpiredIterator,
    /// The token of a listing is older than five minutes: list from the start.
    ExpiredToken,
    /// An argument is wrong, also an iterator or a sequence number that the stream does not know.
    InvalidArgument,
    /// The stream or the shard does not exist (any more).
    NotFound,
    /// The stream is being created, changed or deleted.
    ResourceInUse,
    /// The credentials may not do this.
    AccessDenied,
    /// The key of the stream's encryption may not be used.
    KmsAccessDenied,
    /// The key of the stream's encryption is disabled.
    KmsDisabled,
    /// The key of the stream's encryption is in a state that does not allow this.
    KmsInvalidState,
    /// The key of the stream's encryption does not exist.
    KmsNotFound,
    /// The account has no subscription for KMS.
    KmsOptInRequired,
    /// No answer came in time. The call may have had its effect.
    Timeout,
    /// The service could not be reached, or the connection broke. The call may have had its effect.
    Unreachable,
    /// The service failed, or its answer could not be understood. The call may have had its effect.
    Internal,
}

impl ErrorKind {
    /// A stable code, `lower_snake_case`; used as metric label.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::LimitExceeded => "limit_exceeded",
            Self::ExpiredIterator => "expired_iterator",
            Self::ExpiredToken => "expired_token",
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::ResourceInUse => "resource_in_use",
            Self::AccessDenied => "access_denied",
            Self::KmsAccessDenied => "kms_access_denied",
            Self::KmsDisabled => "kms_disabled",
            Self::KmsInvalidState => "kms_invalid_state",
            Self::KmsNotFound => "kms_not_found",
            Self::KmsOptInRequired => "kms_opt_in_required",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Internal => "internal",
        }
    }

    /// The kind that belongs to an error code of the service. Codes that are not known count as
    /// [`ErrorKind::Internal`].
    fn of_code(code: &str) -> Self {
        match code {
            "ProvisionedThroughputExceededException"
            | "KMSThrottlingException"
            | "ThrottlingException"
            | "RequestLimitExceeded" => Self::Throttled,
            "LimitExceededException" => Self::LimitExceeded,
            "ExpiredIteratorException" => Self::ExpiredIterator,
            "ExpiredNextTokenException" => Self::ExpiredToken,
            "InvalidArgumentException" | "ValidationException" | "SerializationException" => Self::InvalidArgument,
            "ResourceNotFoundException" => Self::NotFound,
            "ResourceInUseException" => Self::ResourceInUse,
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException" => Self::AccessDenied,
            "KMSAccessDeniedException" => Self::KmsAccessDenied,
            "KMSDisabledException" => Self::KmsDisabled,
            "KMSInvalidStateException" => Self::KmsInvalidState,
            "KMSNotFoundException" => Self::KmsNotFound,
            "KMSOptInRequired" => Self::KmsOptInRequired,
            _ => Self::Internal,
        }
    }
}

/// Why a call to the stream did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The service answered with an error.
    #[error("{doing} was refused with {code}: {message}")]
    Service {
        /// What was being done to what.
        doing: String,
        /// What kind of failure it was.
        kind: ErrorKind,
        /// The service's own error code.
        code: String,
        /// The service's own message.
        message: String,
    },
    /// No answer came.
    #[error("{doing} got no answer ({})", kind.reason())]
    NoAnswer {
        /// What was being done to what.
        doing: String,
        /// What kind of failure it was.
        kind: ErrorKind,
        /// What the client saw.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer came that breaks the service's own rules.
    #[error("{doing} got an answer that cannot be used: {message}")]
    Answer {
        /// What was being done to what.
        doing: String,
        /// What is wrong with the answer.
        message: String,
    },
}

impl StreamError {
    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Service { kind, .. } | Self::NoAnswer { kind, .. } => *kind,
            Self::Answer { .. } => ErrorKind::Internal,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.kind().reason()
    }

    /// It took longer than it may.
    pub(crate) fn timeout(doing: String, elapsed: Elapsed) -> Self {
        Self::NoAnswer { doing, kind: ErrorKind::Timeout, source: Box::new(elapsed) }
    }
}

/// Waits for a call, at most [`CALL_LIMIT`], and says what was being done when it fails.
pub(crate) async fn call<T, E>(
    doing: impl Fn() -> String,
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, StreamError>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match tokio::time::timeout(CALL_LIMIT, sent).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(classify(doing(), error)),
        Err(elapsed) => Err(StreamError::timeout(doing(), elapsed)),
    }
}

pub(crate) fn classify<E, R>(doing: String, error: SdkError<E, R>) -> StreamError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::ServiceError(context) => {
            let code = context.err().code().unwrap_or("an unnamed error").to_owned();
            let message = context.err().message().unwrap_or("the service gave no message").to_owned();
            return StreamError::Service { doing, kind: ErrorKind::of_code(&code), code, message };
        }
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        SdkError::DispatchFailure(_) => ErrorKind::Unreachable,
        _ => ErrorKind::Internal,
    };
    StreamError::NoAnswer { doing, kind, source: Box::new(error) }
}
