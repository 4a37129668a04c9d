//! Reading the body of a request, whole, within size, time and memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::budget::Hold;
use crate::compressed::overloaded;
use crate::problem::{Problem, ProblemKind};

/// How long a request waits for memory before it is sent away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the rest of a refused body is read, so that the client gets to read why.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// How much memory a body is given before any of it has come.
const FIRST_CAPACITY: usize = 64 << 10;
/// Once so much has come, the rest is believed to come as well and reserved at once. What is reserved and not
/// written costs no memory.
const BELIEVED: usize = 1 << 20;

/// What bounds the reading of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    pub(crate) max_bytes: u64,
    pub(crate) time: Duration,
}

/// Reads the whole body; what has come is counted against the hold.
pub(crate) async fn read(body: &mut Incoming, limits: BodyLimits, hold: &mut Hold) -> Result<Bytes, Problem> {
    let deadline = Instant::now() + limits.time;
    let announced = usize::try_from(body.size_hint().lower().min(limits.max_bytes)).unwrap_or(FIRST_CAPACITY);
    let mut whole: Option<BytesMut> = None;
    let mut first = Bytes::new();
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(too_slow(limits.time)),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers say nothing that matters here.
        let Ok(data) = frame.into_data() else { continue };
        let so_far = first.len() + whole.as_ref().map_or(0, BytesMut::len);
        if (so_far + data.len()) as u64 > limits.max_bytes {
            return Err(too_large(limits.max_bytes));
        }
        hold.reach(so_far + data.len(), PATIENCE).await.map_err(|_| overloaded())?;
        match &mut whole {
            Some(whole) => {
                // Growing by doubling would hold old and new side by side, beyond what is counted.
                if whole.capacity() >= BELIEVED && whole.capacity() - whole.len() < data.len() {
                    whole.reserve(data.len().max(announced.saturating_sub(whole.len())));
                }
                whole.extend_from_slice(&data);
            }
            None if first.is_empty() => first = data,
            None => {
                let capacity = announced.min(FIRST_CAPACITY);
                let mut joined = BytesMut::with_capacity(capacity.max(first.len() + data.len()));
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
                first = Bytes::new();
                whole = Some(joined);
            }
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

/// Refuses by `Content-Length`, before anything is read.
pub(crate) fn check_announced(headers: &HeaderMap, max_bytes: u64) -> Result<(), Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > max_bytes) { Err(too_large(max_bytes)) } else { Ok(()) }
}

/// Reads on for a moment and throws away what comes. A connection that is closed while the client still
/// writes is reset, and the client never sees the answer.
pub(crate) async fn discard(mut body: Incoming, expects_continue: bool, max_bytes: u64) {
    // A client that asked for permission first has not sent anything, and will not.
    if expects_continue || body.is_end_stream() {
        return;
    }
    let deadline = Instant::now() + DISCARD_TIME;
    let mut read = 0;
    while read <= max_bytes {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => return,
        }
    }
}

/// Whether the client waits for `100 Continue` before it sends the body.
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

fn too_large(max_bytes: u64) -> Problem {
    let detail = format!("the body is larger than {max_bytes} bytes; send fewer rows in one request, or compress it");
    Problem::new(ProblemKind::BodyTooLarge, detail)
}

fn too_slow(time: Duration) -> Problem {
    let detail = format!(
        "the body did not arrive within {} ms; nothing of it was taken, send fewer rows in one request",
        time.as_millis()
    );
    Problem::new(ProblemKind::BodyTooSlow, detail)
}

fn broken(error: &hyper::Error) -> Problem {
    let detail = format!("the body ended before it was complete ({error}); nothing of it was taken, send it again");
    Problem::new(ProblemKind::IncompleteBody, detail)
}
