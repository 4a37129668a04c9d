//! What a request is answered when it is refused as a whole: `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// Why a request is refused as a whole, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: String,
}

/// What kind of problem it is; each has one code that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    MalformedBody,
    IncompleteBody,
    NoKey,
    WrongKey,
    NotFound,
    /// The methods that the path has.
    MethodNotAllowed(&'static str),
    BodyTooSlow,
    BodyTooLarge,
    DecompressedTooLarge,
    TooManyRows,
    UnsupportedType,
    UnsupportedEncoding,
    UnsupportedCharset,
    Throttled,
    StreamUnavailable,
    QueueFull,
    Overloaded,
    Internal,
}

impl ProblemKind {
    /// Status, code and title.
    fn describe(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedBody => (S::BAD_REQUEST, "malformed_body", "The body cannot be taken apart into rows"),
            Self::IncompleteBody => (S::BAD_REQUEST, "incomplete_body", "The body ended before it was complete"),
            Self::NoKey => (S::UNAUTHORIZED, "missing_key", "An API key is needed"),
            Self::WrongKey => (S::FORBIDDEN, "wrong_key", "The API key is not known"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is nothing here"),
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The path has no such method"),
            Self::BodyTooSlow => (S::REQUEST_TIMEOUT, "body_too_slow", "The body took too long"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::DecompressedTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "decompressed_too_large", "The decompressed body is too large")
            }
            Self::TooManyRows => (S::PAYLOAD_TOO_LARGE, "too_many_rows", "The body holds too many rows"),
            Self::UnsupportedType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_type", "The content type is not taken"),
            Self::UnsupportedEncoding => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "The content encoding is not taken")
            }
            Self::UnsupportedCharset => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_charset", "The character set is not taken")
            }
            Self::Throttled => (S::TOO_MANY_REQUESTS, "stream_throttled", "The stream takes no more at this rate"),
            Self::StreamUnavailable => {
                (S::SERVICE_UNAVAILABLE, "stream_unavailable", "The stream cannot be written now")
            }
            Self::QueueFull => (S::SERVICE_UNAVAILABLE, "queue_full", "Too much waits for the stream"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too much is being received"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong in the server"),
        }
    }

    /// After how many seconds the same request may be sent again, for those that may succeed then.
    fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::Throttled | Self::QueueFull | Self::Overloaded => Some("1"),
            Self::StreamUnavailable => Some("5"),
            _ => None,
        }
    }

    fn header(self) -> Option<(http::HeaderName, HeaderValue)> {
        match self {
            Self::NoKey => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"penstock\""))),
            Self::MethodNotAllowed(methods) => Some((ALLOW, HeaderValue::from_static(methods))),
            // RFC 7694: what a request's content may be encoded with.
            Self::UnsupportedEncoding => Some((ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, identity"))),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

impl Problem {
    /// The detail says what was found and what would mend it.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let (status, code, title) = self.kind.describe();
        let document = Document {
            r#type: format!("urn:penstock:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
        };
        // Texts and a number: this cannot fail, and an empty body would still carry the status.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.kind.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Some((name, value)) = self.kind.header() {
            headers.insert(name, value);
        }
        response
    }
}
