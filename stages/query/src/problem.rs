//! What a request is answered that gets no answer: `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;

/// Why there is no answer, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: String,
}

/// What kind of problem it is; each has one code that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    BadParameter,
    BadToken,
    NoKey,
    WrongKey,
    NoRoute,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    OldProtocol,
    TooMuchToRead,
    /// After how many seconds the key may ask again.
    RateLimited(u64),
    Throttled,
    TableMissing,
    Unavailable,
    Overloaded,
    TooSlow,
    Internal,
}

impl ProblemKind {
    fn describe(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadParameter => (S::BAD_REQUEST, "bad_parameter", "A parameter is not as expected"),
            Self::BadToken => (S::BAD_REQUEST, "bad_token", "The token of the page is not one of this question"),
            Self::NoKey => (S::UNAUTHORIZED, "missing_key", "An API key is needed"),
            Self::WrongKey => (S::FORBIDDEN, "wrong_key", "The API key is not known"),
            Self::NoRoute => (S::NOT_FOUND, "no_route", "There is nothing here"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is no such item"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The path has no such method"),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "not_acceptable", "The answer has no such format"),
            Self::OldProtocol => (S::UPGRADE_REQUIRED, "old_protocol", "The answer needs HTTP/1.1"),
            Self::TooMuchToRead => (S::UNPROCESSABLE_ENTITY, "too_much_to_read", "The answer takes too much reading"),
            Self::RateLimited(_) => (S::TOO_MANY_REQUESTS, "rate_limited", "The API key has asked too often"),
            Self::Throttled => (S::SERVICE_UNAVAILABLE, "table_throttled", "The table answers no more at this rate"),
            Self::TableMissing => (S::SERVICE_UNAVAILABLE, "table_missing", "The table is not there yet"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "table_unavailable", "The table cannot be read now"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests are being worked on"),
            Self::TooSlow => (S::GATEWAY_TIMEOUT, "too_slow", "The answer took too long"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong in the server"),
        }
    }

    /// After how many seconds the same request may be sent again, for those that may succeed then.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::RateLimited(seconds) => Some(seconds),
            Self::Throttled | Self::Overloaded => Some(1),
            Self::Unavailable | Self::TableMissing | Self::TooSlow => Some(5),
            _ => None,
        }
    }

    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        self.describe().1
    }
}

impl Problem {
    /// The detail says what was found and what would mend it.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let (status, code, title) = self.kind.describe();
        let document = json!({
            "type": format!("urn:penstock:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "code": code,
        });
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.kind.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self.kind {
            ProblemKind::NoKey => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"penstock\""));
            }
            ProblemKind::OldProtocol => {
                headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            }
            ProblemKind::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static(METHODS));
            }
            _ => {}
        }
        response
    }
}

/// The methods that every path has.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS";
