//! One lane: its batches one after the other, each until every row of it is settled. One request of a lane is on its
//! way at a time, so rows of one key never overtake each other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answer::{Fates, Problem};
use super::backoff::pause;
use super::batch::{Batch, BatchLimits};
use super::endpoint::{Endpoint, Reply, Trouble};
use super::ledger::Entry;
use super::rejects::Reject;
use crate::error::SendError;
use crate::input::charset::Decoding;
use crate::progress::{Count, Progress};

/// What all lanes share.
pub(crate) struct Shared {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: BatchLimits,
    pub(crate) progress: Arc<Progress>,
    pub(crate) decoding: Decoding,
    pub(crate) give_up_after: Option<Duration>,
    /// Set when nothing new may be begun.
    pub(crate) stop: CancellationToken,
}

/// Why a lane ended before its last batch was settled.
#[derive(Debug)]
pub(crate) enum LaneEnd {
    /// It was told to stop, or nobody keeps the ledger any more.
    Stopped,
    /// Nothing was settled for as long as the caller wanted to try.
    GaveUp {
        /// What went wrong the last time.
        trouble: String,
    },
    /// Going on makes no sense.
    Failed(SendError),
}

/// Sends the lane's batches until there are no more.
pub(crate) async fn run_lane(
    shared: Arc<Shared>,
    mut batches: mpsc::Receiver<Batch>,
    ledger: mpsc::Sender<Entry>,
) -> Result<(), LaneEnd> {
    loop {
        let batch = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(LaneEnd::Stopped),
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { return Ok(()) };
        Delivery { shared: &shared, ledger: &ledger, batch: &batch, patience: Patience::new(shared.give_up_after) }
            .run()
            .await?;
    }
}

/// One batch on its way.
struct Delivery<'a> {
    shared: &'a Shared,
    ledger: &'a mpsc::Sender<Entry>,
    batch: &'a Batch,
    patience: Patience,
}

/// Rows of a batch for one request, in their order.
struct Part {
    rows: Vec<usize>,
    /// They reached the endpoint before.
    again: bool,
}

impl Delivery<'_> {
    async fn run(mut self) -> Result<(), LaneEnd> {
        let whole = Part { rows: (0..self.batch.len()).collect(), again: false };
        // What is left, in order; a part whose rows must come again goes before what is behind it.
        let mut parts = VecDeque::from([whole]);
        while let Some(mut part) = parts.pop_front() {
            let reply = self.post(&part).await.map_err(LaneEnd::Failed)?;
            let reached = !matches!(&reply, Reply::Later(trouble) if !trouble.reached);
            part.again |= reached;
            match reply {
                Reply::Answered(fates) => {
                    if let Some(rest) = self.settle(fates.of(&part.rows)).await? {
                        parts.push_front(rest);
                    }
                }
                Reply::TooLarge(problem) if part.rows.len() == 1 => self.refuse(part.rows[0], &problem).await?,
                Reply::TooLarge(_) => {
                    let bytes = self.batch.body(&part.rows).len();
                    self.shared.limits.too_large(part.rows.len(), bytes);
                    let behind = part.rows.split_off(part.rows.len() / 2);
                    parts.push_front(Part { rows: behind, again: true });
                    parts.push_front(part);
                }
                Reply::Later(trouble) => {
                    if trouble.doubtful {
                        self.shared.progress.add(Count::Doubtful, part.rows.len() as u64);
                    }
                    self.wait(&trouble).await?;
                    parts.push_front(part);
                }
            }
        }
        Ok(())
    }

    async fn post(&self, part: &Part) -> Result<Reply<Fates>, SendError> {
        let rows = part.rows.len() as u64;
        let packed = self.shared.endpoint.pack(self.batch.body(&part.rows));
        let body = packed.map_err(|error| SendError::Defect(format!("a request cannot be compressed: {error}")))?;
        let bytes = body.len() as u64;
        let reply = self.shared.endpoint.post(body, part.rows.len()).await?;
        if !matches!(&reply, Reply::Later(trouble) if !trouble.reached) {
            let progress = &self.shared.progress;
            progress.add(Count::Requests, 1);
            progress.add(Count::BytesSent, bytes);
            progress.add(if part.again { Count::SentAgain } else { Count::Sent }, rows);
        }
        Ok(reply)
    }

    /// Notes what became of the rows of a request. Gives those that must be sent again, after a pause.
    async fn settle(&mut self, fates: Fates) -> Result<Option<Part>, LaneEnd> {
        let settled = !fates.accepted.is_empty() || !fates.refused.is_empty();
        let progress = &self.shared.progress;
        progress.add(Count::Accepted, fates.accepted.len() as u64);
        progress.add(Count::Refused, fates.refused.len() as u64);
        if settled {
            self.patience.settled();
            progress.trouble(None);
            let refused = fates.refused.into_iter().map(|refused| {
                let reject = self.reject(refused.row, refused.code, refused.field, refused.reason);
                (self.batch.ordinal(refused.row), reject)
            });
            let entry = Entry {
                accepted: fates.accepted.iter().map(|row| self.batch.ordinal(*row)).collect(),
                refused: refused.collect(),
                bad: Vec::new(),
            };
            self.note(entry).await?;
        }
        if fates.retry.is_empty() {
            return Ok(None);
        }
        progress.add(Count::Doubtful, fates.retry_doubtful);
        let reason = fates.retry_reason.unwrap_or_default();
        let what = format!("the endpoint cannot take {} rows for now: {reason}", fates.retry.len());
        self.wait(&Trouble { what, after: None, reached: true, doubtful: false }).await?;
        Ok(Some(Part { rows: fates.retry, again: true }))
    }

    /// A single row that is too large for the endpoint.
    async fn refuse(&mut self, row: usize, problem: &Problem) -> Result<(), LaneEnd> {
        self.patience.settled();
        self.shared.progress.add(Count::Refused, 1);
        let reject = self.reject(row, "too_large".to_owned(), None, problem.detail());
        self.note(Entry { refused: vec![(self.batch.ordinal(row), reject)], ..Entry::default() }).await
    }

    fn reject(&self, row: usize, code: String, field: Option<String>, reason: String) -> Reject {
        let original = self.shared.decoding.lossy(self.batch.raw(row)).into_owned();
        Reject { line: self.batch.line(row), code, field, reason, original }
    }

    async fn note(&self, entry: Entry) -> Result<(), LaneEnd> {
        self.ledger.send(entry).await.map_err(|_| LaneEnd::Stopped)
    }

    /// Pauses after a failure, unless there is no patience left or somebody wants to stop.
    async fn wait(&mut self, trouble: &Trouble) -> Result<(), LaneEnd> {
        let (failures, left) = self.patience.failed();
        let pause = pause(failures, trouble.after, fastrand::f64());
        tracing::debug!(error = %trouble.what, failures, pause_millis = pause.as_millis(), "a request failed and is sent again");
        self.shared.progress.trouble(Some(trouble.what.clone()));
        if left.is_some_and(|left| left <= pause) {
            return Err(LaneEnd::GaveUp { trouble: trouble.what.clone() });
        }
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(LaneEnd::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// How long to go on without anything being settled.
pub(crate) struct Patience {
    limit: Option<Duration>,
    failures: u32,
    since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, failures: 0, since: None }
    }

    fn settled(&mut self) {
        self.failures = 0;
        self.since = None;
    }

    /// How many failures that makes in a row, and how much patience is left where it is limited.
    pub(crate) fn failed(&mut self) -> (u32, Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        (self.failures, self.limit.map(|limit| limit.saturating_sub(since.elapsed())))
    }
}
