//! The event stream encoding (`application/vnd.amazon.eventstream`) of `SubscribeToShard`.
//! <https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>

use bytes::{BufMut as _, Bytes, BytesMut};

use super::super::error::ApiError;
use super::format::Format;

/// The type of a header value that is a string.
const STRING: u8 = 7;
/// Length, length of headers, checksum of both.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// One message of an event stream, with its payload in JSON.
#[derive(Debug)]
pub(crate) enum Message {
    /// What every event stream of a JSON protocol begins with.
    InitialResponse,
    /// An event.
    Event { kind: &'static str, payload: Vec<u8> },
    /// A refusal in the middle of the stream; it ends the stream.
    Exception(ApiError),
}

impl Message {
    /// The message as bytes, with its payload in the format that the client speaks.
    pub(in super::super) fn encode(self, format: Format) -> Result<Bytes, ApiError> {
        let content_type = match (&self, format) {
            (Self::InitialResponse, _) | (_, Format::Cbor) => format.content_type(),
            (_, Format::Json) => "application/json",
        };
        let (kind, named, payload) = match self {
            Self::InitialResponse => ("event", (":event-type", "initial-response"), b"{}".to_vec()),
            Self::Event { kind, payload } => ("event", (":event-type", kind), payload),
            Self::Exception(error) => {
                let payload = serde_json::json!({ "message": error.message }).to_string().into_bytes();
                ("exception", (":exception-type", error.kind.name()), payload)
            }
        };
        let headers = [(":message-type", kind), named, (":content-type", content_type)];
        Ok(encode(&headers, &format.write(payload)?))
    }
}

fn encode(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let header_bytes: usize = headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let total = PRELUDE + header_bytes + payload.len() + CHECKSUM;
    let mut out = BytesMut::with_capacity(total);
    out.put_u32(total as u32);
    out.put_u32(header_bytes as u32);
    let prelude = crc32fast::hash(&out);
    out.put_u32(prelude);
    for (name, value) in headers {
        out.put_u8(name.len() as u8);
        out.put_slice(name.as_bytes());
        out.put_u8(STRING);
        out.put_u16(value.len() as u16);
        out.put_slice(value.as_bytes());
    }
    out.put_slice(payload);
    let message = crc32fast::hash(&out);
    out.put_u32(message);
    out.freeze()
}
