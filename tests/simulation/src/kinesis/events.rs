//! The event stream encoding (`application/vnd.amazon.eventstream`) of what is pushed.
//! <https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::Value;

/// The type of a header value that is a string.
const STRING: u8 = 7;
/// Length, length of headers, checksum of both.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// What every event stream of a JSON protocol begins with.
pub(super) fn initial_response() -> Bytes {
    encode("event", (":event-type", "initial-response"), "application/x-amz-json-1.1", b"{}")
}

/// Records, or that there are none.
pub(super) fn event(payload: &Value) -> Bytes {
    let payload = payload.to_string();
    encode("event", (":event-type", "SubscribeToShardEvent"), "application/json", payload.as_bytes())
}

/// Why the stream ends.
pub(super) fn exception(kind: &str, message: &str) -> Bytes {
    let payload = serde_json::json!({ "message": message }).to_string();
    encode("exception", (":exception-type", kind), "application/json", payload.as_bytes())
}

#[allow(clippy::cast_possible_truncation, reason = "messages are small")]
fn encode(message_type: &str, named: (&str, &str), content_type: &str, payload: &[u8]) -> Bytes {
    let headers = [(":message-type", message_type), named, (":content-type", content_type)];
    let header_bytes: usize = headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let mut out = BytesMut::with_capacity(PRELUDE + header_bytes + payload.len() + CHECKSUM);
    out.put_u32((PRELUDE + header_bytes + payload.len() + CHECKSUM) as u32);
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
