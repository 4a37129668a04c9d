//! The way of a request's rows to the writer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::pending::{Outcome, Pending, Row, Trouble, settle_rows};
use crate::check::GoodRow;
use crate::telemetry::Telemetry;

/// So many bytes go to the writer at once, and so much must be free in the queue for them.
const MAX_CHUNK: u32 = 256 << 10;

/// The way into the stream: bounded in bytes over all requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(super) inbox: mpsc::Sender<Vec<Row>>,
    /// A permit for each byte that may wait. The writer gives them back.
    pub(super) room: Arc<Semaphore>,
    /// The writer has ended.
    pub(super) closed: CancellationToken,
    pub(super) telemetry: Telemetry,
}

impl Queue {
    /// Waits until something can be queued; false when that takes too long.
    pub(crate) async fn has_room(&self, patience: Duration) -> bool {
        matches!(timeout(patience, self.room.acquire()).await, Ok(Ok(_)))
    }

    /// Puts the rows and waits until each is stored or its time is over.
    pub(crate) async fn put(&self, rows: Vec<GoodRow>, request: &Arc<Pending>) {
        let mut chunk = Vec::new();
        let mut cost = 0_u32;
        let mut rows = rows.into_iter().zip(0..);
        let mut next = rows.next();
        while let Some((row, place)) = next.take() {
            let GoodRow { data, key, hash, .. } = row;
            let row = Row { data, key, hash, request: request.clone(), place };
            cost = cost.saturating_add(row.cost());
            chunk.push(row);
            next = rows.next();
            if cost >= MAX_CHUNK || next.is_none() {
                self.send(std::mem::take(&mut chunk), std::mem::take(&mut cost), request.deadline).await;
            }
        }
        tokio::select! {
            () = request.all_settled() => {}
            () = self.closed.cancelled() => {}
        }
    }

    async fn send(&self, chunk: Vec<Row>, cost: u32, deadline: Instant) {
        let sent = async {
            let room = self.room.acquire_many(cost).await.ok()?;
            let place = self.inbox.reserve().await.ok()?;
            room.forget();
            self.telemetry.queued(cost);
            Some(place)
        };
        match timeout_at(deadline, sent).await {
            Ok(Some(place)) => place.send(chunk),
            // The queue stayed full for as long as a row may wait, or the writer is gone.
            Err(_) | Ok(None) => settle_rows(&chunk, |_| Outcome::Failed(Trouble::Unavailable)),
        }
    }
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueRoom {
    pub(crate) max_queued_bytes: u64,
    pub(crate) max_row_bytes: u64,
}

impl QueueRoom {
    /// A chunk ends with the row that fills it; so much must fit, or the row could never be queued.
    pub(super) fn permits(self) -> usize {
        let largest_chunk = self.max_row_bytes.saturating_add(2 * u64::from(MAX_CHUNK));
        usize::try_from(self.max_queued_bytes.max(largest_chunk)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
    }
}
