//! What the service answers when it refuses.

use std::fmt;

/// The service's exception types that this engine answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A parameter breaks the API's own model (its length, its range, its pattern, its presence).
    Validation,
    /// A parameter is well formed but wrong here.
    InvalidArgument,
    /// There is no such stream, shard or consumer.
    ResourceNotFound,
    /// The resource is in a state that does not allow this now.
    ResourceInUse,
    /// A rate or quota of the control plane is used up.
    LimitExceeded,
    /// The rate of a shard is used up.
    ProvisionedThroughputExceeded,
    /// The iterator is older than five minutes.
    ExpiredIterator,
    /// The token is older than five minutes.
    ExpiredNextToken,
    /// The body cannot be read.
    Serialization,
    /// The body is larger than any allowed request.
    RequestTooLarge,
    /// The operation is not one that this engine knows.
    UnknownOperation,
    /// The engine failed; the request may be tried again.
    InternalFailure,
}

impl ErrorKind {
    /// The name that goes into `__type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Validation => "ValidationException",
            Self::InvalidArgument => "InvalidArgumentException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::LimitExceeded => "LimitExceededException",
            Self::ProvisionedThroughputExceeded => "ProvisionedThroughputExceededException",
            Self::ExpiredIterator => "ExpiredIteratorException",
            Self::ExpiredNextToken => "ExpiredNextTokenException",
            Self::Serialization => "SerializationException",
            Self::RequestTooLarge => "RequestEntityTooLargeException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::InternalFailure => "InternalFailure",
        }
    }

    /// The status that goes with it.
    pub(crate) fn status(self) -> http::StatusCode {
        match self {
            Self::InternalFailure => http::StatusCode::INTERNAL_SERVER_ERROR,
            Self::RequestTooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
            _ => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// A refusal: a type that clients match on, and a message that names the parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ResourceNotFound, message)
    }

    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ResourceInUse, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    pub(crate) fn throttled(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ProvisionedThroughputExceeded, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InternalFailure, message)
    }

    /// The service's wording for a parameter that breaks the API's model.
    pub(crate) fn validation(parameter: &str, value: impl fmt::Display, constraint: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Validation,
            format!(
                "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: {constraint}"
            ),
        )
    }

    /// A stream that is not there.
    pub(crate) fn no_stream(name: &str) -> Self {
        Self::not_found(format!("Stream {name} under account {} not found.", super::ACCOUNT))
    }

    /// A shard that is not there.
    pub(crate) fn no_shard(stream: &str, shard: &str) -> Self {
        Self::not_found(format!("Could not find shard {shard} in stream {stream} under account {}.", super::ACCOUNT))
    }
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}
