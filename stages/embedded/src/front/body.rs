//! Bodies in and out, bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How long a client may take to send a request.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// What is read of a body that is too large, so that its sender gets to read the refusal instead of a broken pipe.
const DRAIN_BYTES: usize = 64 * 1024 * KIB;
/// How long that may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const KIB: usize = 1024;

/// An answer that is complete.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A complete answer that gives a permit back when the last byte of it has been written.
pub(crate) fn full_with(bytes: Vec<u8>, permit: OwnedSemaphorePermit) -> Body {
    struct Held {
        bytes: Vec<u8>,
        _permit: OwnedSemaphorePermit,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    full(Bytes::from_owner(Held { bytes, _permit: permit }))
}

/// Gives the answer an id, as every answer of the service has one.
pub(crate) fn add_request_id(response: &mut Response<Body>) {
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    /// It is longer than any request may be.
    #[error("the request is longer than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// The client took too long.
    #[error("the request did not arrive within {} seconds", READ_TIMEOUT.as_secs())]
    TooSlow,
    /// The connection broke.
    #[error("the request broke off")]
    Broken(#[source] hyper::Error),
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

impl IntakeError {
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }
}

/// Reads bodies so that all that are in work together stay within a number of bytes; others wait before they are read.
#[derive(Debug)]
pub(crate) struct Intake {
    room: Arc<Semaphore>,
    max_body: usize,
}

impl Intake {
    /// `total` bounds all bodies together, `max_body` each one.
    pub(crate) fn new(total: usize, max_body: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(total / KIB)), max_body }
    }

    /// Reads a body. The permit is to be held for as long as the bytes, or what was made of them, are.
    pub(crate) async fn read(&self, body: Incoming) -> Result<(Bytes, OwnedSemaphorePermit), IntakeError> {
        let announced = body.size_hint().upper();
        let expected = match announced.map(usize::try_from) {
            Some(Ok(length)) if length <= self.max_body => length,
            Some(_) => {
                drain(body).await;
                return Err(IntakeError::TooLarge { max: self.max_body });
            }
            None => self.max_body,
        };
        let permits = u32::try_from(expected.div_ceil(KIB).max(1)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| IntakeError::Stopping)?;
        let capacity = if announced.is_some() { expected } else { KIB };
        let bytes = tokio::time::timeout(READ_TIMEOUT, collect(body, capacity, self.max_body))
            .await
            .map_err(|_| IntakeError::TooSlow)??;
        Ok((bytes, permit))
    }
}

async fn collect(mut body: Incoming, capacity: usize, max: usize) -> Result<Bytes, IntakeError> {
    let mut bytes = Vec::with_capacity(capacity);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(IntakeError::Broken)?.into_data() else { continue };
        if bytes.len() + data.len() > max {
            drop(bytes);
            drain(body).await;
            return Err(IntakeError::TooLarge { max });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

/// Reads on and drops what comes. A connection that is closed over bytes nobody read is reset, and the reset may
/// overtake the answer.
async fn drain(mut body: Incoming) {
    let dropping = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // A sender that is slower than this gets what the connection still carries.
    drop(tokio::time::timeout(DRAIN_TIMEOUT, dropping).await);
}
