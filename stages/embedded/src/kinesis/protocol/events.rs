//! The event stream encoding (`application/vnd.amazon.eventstream`) of `SubscribeToShard`.
//! <https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>

use bytes::{BufMut as _, Bytes, BytesMut};

use super::super::error::ApiError;

/// The type of a header value that is a string.
const STRING: u8 = 7;
/// Length, length of headers, checksum of both.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// One message of an event stream.
pub(in super::super) struct Frame;

impl Frame {
    /// An event with a JSON payload.
    pub(in super::super) fn event(kind: &str, payload: &[u8]) -> Bytes {
        let headers = [(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")];
        encode(&headers, payload)
    }
}

/// The message that every event stream of a JSON protocol begins with.
pub(in super::super) fn initial_response() -> Bytes {
    let headers = [
        (":message-type", "event"),
        (":event-type", "initial-response"),
        (":content-type", "application/x-amz-json-1.1"),
    ];
    encode(&headers, b"{}")
}

/// A refusal in the middle of the stream; it ends the stream.
pub(in super::super) fn exception(error: &ApiError) -> Bytes {
    let headers =
        [(":message-type", "exception"), (":exception-type", error.kind.name()), (":content-type", "application/json")];
    encode(&headers, serde_json::json!({ "message": error.message }).to_string().as_bytes())
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
