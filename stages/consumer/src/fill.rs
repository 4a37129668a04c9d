//! From the shard into ranges: reads, opens aggregates, pushes, and closes ranges.

use std::sync::Arc;
use std::time::Duration;

use penstock_contract::{ArrivalMillis, Position, Sequence, ShardId, Sink, SinkError};
use penstock_stream::{ChildShard, HashRange, ShardFilter, StartingAt, StreamRecord, list_shards, user_records};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::metrics::ShardMetrics;
use crate::range::{Closed, Open};
use crate::reader::{Answer, Event, Reader};
use crate::repeats::Judge;
use crate::shared::Shared;
use crate::trouble::Concern;

/// Ranges of one shard in memory: one is applied while the next is filled.
pub(crate) const RANGES_IN_MEMORY: usize = 2;

/// No range is open for longer, whatever the sink says.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Why filling ended. Everything that was read is in closed ranges by then.
#[derive(Debug)]
pub(crate) enum Filled {
    /// The shard has ended, and these follow it.
    Ended(Vec<ChildShard>),
    /// The shard is gone from the stream.
    Gone,
    /// Everything is read, and to end there was asked for.
    AtTip,
    /// It was told to finish.
    Told,
}

/// Why filling broke off.
#[derive(Debug)]
pub(crate) enum FillFailed {
    /// The reader panicked.
    Reader,
    /// Nobody commits ranges any more: whoever did knows why.
    Committer,
}

enum PassFailed {
    Push(SinkError),
    Other(FillFailed),
}

impl From<FillFailed> for PassFailed {
    fn from(failed: FillFailed) -> Self {
        Self::Other(failed)
    }
}

/// Fills the ranges of one shard.
pub(crate) struct Filler<S: Sink> {
    shared: Arc<Shared<S>>,
    shard: ShardId,
    takes: HashRange,
    finish: CancellationToken,
    closed: mpsc::Sender<Closed<S::Batch>>,
    rooms: Arc<Semaphore>,
    /// Where reading begins as long as no position is known.
    starting_at: StartingAt,
    /// The end of the last closed range, or the checkpoint.
    start_exclusive: Option<Position>,
    open: Option<Open<S::Batch>>,
    judge: Judge,
    metrics: ShardMetrics,
}

/// What a filler is given beside what it shares.
pub(crate) struct Beginning {
    /// Where reading begins as long as no position is known.
    pub(crate) starting_at: StartingAt,
    /// The checkpoint.
    pub(crate) start_exclusive: Option<Position>,
    /// Has judged everything up to the checkpoint that was read here.
    pub(crate) judge: Judge,
}

impl<S: Sink> Filler<S> {
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        shard: ShardId,
        finish: CancellationToken,
        closed: mpsc::Sender<Closed<S::Batch>>,
        Beginning { starting_at, start_exclusive, judge }: Beginning,
    ) -> Self {
        Self {
            metrics: shared.metrics.shard(&shard),
            takes: shared.hash_range(&shard),
            rooms: Arc::new(Semaphore::new(RANGES_IN_MEMORY)),
            shared,
            shard,
            finish,
            closed,
            starting_at,
            start_exclusive,
            open: None,
            judge,
        }
    }

    /// Fills ranges until there is a reason to end. A push that fails costs the open range, which is read again.
    pub(crate) async fn run(mut self) -> Result<Filled, FillFailed> {
        let mut backoff = Concern::Sink.backoff();
        loop {
            let before = self.start_exclusive.clone();
            let error = match self.pass().await {
                Ok(filled) => return Ok(filled),
                Err(PassFailed::Other(failed)) => return Err(failed),
                Err(PassFailed::Push(error)) => error,
            };
            self.open = None;
            self.judge.rewind();
            if self.start_exclusive != before {
                backoff.reset();
            }
            let wait = backoff.next_wait();
            self.shared.troubles.note(Concern::Sink, self.shard.as_str(), &error, wait);
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                () = self.finish.cancelled() => return Ok(Filled::Told),
            }
        }
    }

    /// Reads from the end of the last closed range on.
    async fn pass(&mut self) -> Result<Filled, PassFailed> {
        let from = self.start_exclusive.as_ref().map(|start| start.sequence.clone());
        // At the record itself, not after it: a KCL application may have stopped inside of an aggregate.
        let starting_at = from.clone().map_or_else(|| self.starting_at.clone(), StartingAt::At);
        let mut reader = Reader::start(Arc::clone(&self.shared), self.shard.clone(), starting_at);
        let mut resumed_at = from;
        loop {
            let deadline = self.open.as_ref().map(|open| open.deadline);
            tokio::select! {
                biased;
                () = self.finish.cancelled() => {
                    self.close().await?;
                    return Ok(Filled::Told);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.close().await?,
                event = reader.next() => match event {
                    Event::Answer(answer) => {
                        if let (Some(expected), Some(first)) = (&resumed_at, answer.records.first()) {
                            self.check_resumed(expected, first);
                            resumed_at = None;
                        }
                        let tip = answer.at_tip && answer.asked_for_tip;
                        if !self.take(answer).await? {
                            self.close().await?;
                            return Ok(Filled::Told);
                        }
                        if tip && self.is_shard_open().await {
                            self.close().await?;
                            return Ok(Filled::AtTip);
                        }
                    }
                    Event::End(children) => {
                        self.close().await?;
                        return Ok(Filled::Ended(children));
                    }
                    Event::Gone => {
                        self.close().await?;
                        return Ok(Filled::Gone);
                    }
                    Event::Died => return Err(FillFailed::Reader.into()),
                },
            }
        }
    }

    /// Pushes an answer; says whether to go on.
    async fn take(&mut self, answer: Answer) -> Result<bool, PassFailed> {
        // By value, so that each record's bytes go as soon as the sink has no more use for them; the answer's
        // place in the bound on reading ahead is held until all of it is pushed.
        let (records, _ahead) = answer.into_parts();
        for record in records {
            if self.finish.is_cancelled() {
                return Ok(false);
            }
            if self.open.as_ref().is_some_and(|open| open.deadline <= Instant::now()) {
                self.close().await?;
            }
            if !self.push(record).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pushes one stream record; says whether to go on.
    async fn push(&mut self, record: StreamRecord) -> Result<bool, PassFailed> {
        let mut records = user_records(&self.shard, &self.takes, record);
        if records.is_empty() {
            self.metrics.astray_aggregates.increment(1);
        }
        if let Some(start) = &self.start_exclusive {
            records.retain(|record| record.position > *start);
        }
        let arrival = records.first().map(|record| record.arrival);
        let judged = tokio::select! {
            biased;
            // Reading the window may take long.
            () = self.finish.cancelled() => return Ok(false),
            judged = self.judge.judge(&self.shared, &self.shard, records) => judged,
        };
        let Some(part) = judged.map_err(|_| FillFailed::Reader)? else { return Ok(true) };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.open(part.first(), arrival.unwrap_or(ArrivalMillis(0))).await {
                Some(open) => open,
                None => return Ok(false),
            },
        };
        self.metrics.read_records.increment(part.count());
        let full = open.push(&self.shared.letters.origin, &self.shard, part).await.map_err(PassFailed::Push)?;
        let full = full || open.dead_letter_bytes() >= self.shared.config.dead_letter_bytes;
        self.open = Some(open);
        if full {
            self.shared.troubles.over(Concern::Sink, self.shard.as_str());
            self.close().await?;
        }
        Ok(true)
    }

    /// Opens a range that begins with a record, as soon as there is room for one; `None` when told to finish meanwhile.
    async fn open(&mut self, first: &Position, arrival: ArrivalMillis) -> Option<Open<S::Batch>> {
        let room = tokio::select! {
            biased;
            () = self.finish.cancelled() => return None,
            // The semaphore is never closed.
            room = Arc::clone(&self.rooms).acquire_owned() => room.ok()?,
        };
        let deadline = Instant::now() + self.shared.sink.max_age().min(MAX_AGE);
        let waiting = self.metrics.unapplied.begin(arrival);
        Some(Open::new(self.shared.sink.open(&self.shard, first), deadline, room, waiting))
    }

    /// Closes the open range, if there is one, and hands it on.
    async fn close(&mut self) -> Result<(), FillFailed> {
        let (start, recipe) = (self.start_exclusive.clone(), self.shared.recipe.clone());
        let repeats = self.shared.config.repeats.clone();
        let closed = self.open.take().and_then(|open| open.close(start, recipe, repeats));
        if let Some(closed) = closed {
            self.judge.settle();
            self.start_exclusive = Some(closed.pin.end.clone());
            self.closed.send(closed).await.map_err(|_| FillFailed::Committer)?;
        }
        Ok(())
    }

    /// Resuming at a record that is not there any more: what came after it may be gone unread, too.
    fn check_resumed(&self, expected: &Sequence, first: &StreamRecord) {
        if first.sequence > *expected {
            self.shared.metrics.trimmed_checkpoint();
            tracing::error!(
                shard = %self.shard, checkpoint = %expected, first = %first.sequence,
                "the record at the checkpoint is gone from the stream: records after it may have been deleted unread"
            );
        }
    }

    /// A closed shard may look as if read to the tip just before its end shows.
    async fn is_shard_open(&mut self) -> bool {
        let shards = list_shards(&self.shared.kinesis, &self.shared.config.stream, &ShardFilter::FromTrimHorizon);
        match shards.await {
            Ok(shards) => shards.iter().any(|shard| shard.id == self.shard && shard.is_open()),
            Err(error) => {
                self.shared.troubles.note(Concern::Stream, self.shard.as_str(), &error, Duration::ZERO);
                false
            }
        }
    }
}
