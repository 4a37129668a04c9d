//! The two protocols of the service. A client says by its content type which one it speaks, and is answered in it.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderMap};

use super::cbor;
use crate::kinesis::error::ApiError;

/// How bodies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Format {
    Json,
    Cbor,
}

impl Format {
    /// What the client speaks: JSON, unless it says that it is CBOR.
    pub(in super::super) fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if content_type.eq_ignore_ascii_case(Self::Cbor.content_type().as_bytes()) { Self::Cbor } else { Self::Json }
    }

    pub(in super::super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// A body of this format as JSON.
    pub(in super::super) fn read(self, body: Bytes) -> Result<Bytes, ApiError> {
        match self {
            Self::Cbor if !body.is_empty() => cbor::to_json(&body).map(Bytes::from),
            Self::Cbor | Self::Json => Ok(body),
        }
    }

    /// A body in JSON as one of this format.
    pub(in super::super) fn write(self, json: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::Json => Ok(json),
            Self::Cbor => cbor::from_json(&json),
        }
    }
}
