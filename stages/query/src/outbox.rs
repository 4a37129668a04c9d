//! Answers on their way to whoever asked: how much of them may be held, and how long a client may take.
//!
//! Work on the tables and sending are bounded apart, so that clients that read slowly keep nobody from being answered:
//! small answers, the most, need no room here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::try_unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::problem::{Problem, ProblemKind};
use crate::telemetry::Telemetry;

/// A client takes so much of a large answer within the time of an answer, or is given up.
const FRAME: usize = 32 << 10;
/// An answer up to this size needs no room: connections bound how many there are.
const SMALL: usize = 64 << 10;
/// What a list holds while it is sent: a page of a table as text, and what compresses it.
const LIST: usize = 2 << 20;
/// So much room there is for each request that may be worked on at one time.
const ROOM_A_REQUEST: usize = 8 << 20;
/// The code of answers that were given up.
pub(crate) const CLIENT_TOO_SLOW: &str = "client_too_slow";
/// Room is counted in these.
const UNIT: usize = 1 << 10;

/// The room for large answers that are being sent.
#[derive(Debug)]
pub(crate) struct Outbox {
    room: Arc<Semaphore>,
    units: usize,
    patience: Duration,
    telemetry: Telemetry,
}

/// A part of the room, until it is dropped.
pub(crate) type Room = OwnedSemaphorePermit;

impl Outbox {
    pub(crate) fn new(max_requests: usize, patience: Duration, telemetry: Telemetry) -> Self {
        let units = max_requests.saturating_mul(ROOM_A_REQUEST / UNIT).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(units)), units, patience, telemetry }
    }

    /// A whole answer as a body that holds its room until it is sent.
    pub(crate) fn body_of(&self, answer: Bytes) -> Result<Body, Problem> {
        if answer.len() <= SMALL {
            return Ok(Body::from(answer));
        }
        let room = self.room(answer.len())?;
        let (sender, body) = self.open();
        let telemetry = self.telemetry.clone();
        tokio::spawn(async move {
            let _room = room;
            let sent = match sender.send(&answer).await {
                Ok(()) => sender.end().await,
                Err(not_taken) => Err(not_taken),
            };
            if sent == Err(NotTaken::TooSlow) {
                telemetry.broken_off(CLIENT_TOO_SLOW);
            }
        });
        Ok(body)
    }

    /// Room for a list that is read while it is sent.
    pub(crate) fn room_for_list(&self) -> Result<Room, Problem> {
        self.room(LIST)
    }

    /// What is larger than all there is waits for no more than all of it. Nobody waits here: what would wait is held as well.
    fn room(&self, bytes: usize) -> Result<Room, Problem> {
        let units = u32::try_from(bytes.div_ceil(UNIT).min(self.units)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(units).map_err(|_| {
            let detail = "clients are taking so many large answers that there is no room for another; ask for a page with `limit`, or \
                          again after the time in Retry-After";
            Problem::new(ProblemKind::Overloaded, detail)
        })
    }

    /// A body that is sent piece by piece. It is complete when the sender says so, and broken when the sender is dropped before.
    pub(crate) fn open(&self) -> (Sender, Body) {
        let (sender, frames) = mpsc::channel(1);
        let body = try_unfold(frames, |mut frames: mpsc::Receiver<Option<Bytes>>| async move {
            match frames.recv().await {
                Some(Some(frame)) => Ok(Some((frame, frames))),
                Some(None) => Ok(None),
                None => Err(io::Error::other("the answer was broken off")),
            }
        });
        (Sender { frames: sender, patience: self.patience }, Body::from_stream(body))
    }
}

/// Why a client does not get the rest of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It has closed the connection.
    Gone,
    /// It has not read for too long.
    TooSlow,
}

/// Gives the pieces of a body to its connection.
#[derive(Debug)]
pub(crate) struct Sender {
    /// `None` is the end.
    frames: mpsc::Sender<Option<Bytes>>,
    patience: Duration,
}

impl Sender {
    /// Sends a piece, in frames: each is a copy, so that a connection that hangs holds no more than a few of them.
    pub(crate) async fn send(&self, piece: &[u8]) -> Result<(), NotTaken> {
        for frame in piece.chunks(FRAME) {
            self.give(Some(Bytes::copy_from_slice(frame))).await?;
        }
        Ok(())
    }

    /// The body is complete.
    pub(crate) async fn end(self) -> Result<(), NotTaken> {
        self.give(None).await
    }

    /// Nobody wants the rest.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.frames.is_closed()
    }

    async fn give(&self, frame: Option<Bytes>) -> Result<(), NotTaken> {
        let given = timeout(self.patience, self.frames.send(frame)).await.map_err(|_| NotTaken::TooSlow)?;
        given.map_err(|_| NotTaken::Gone)
    }
}
