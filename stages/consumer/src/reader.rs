//! Reading a shard ahead of whoever works on it, bounded by bytes.
//!
//! Records are asked for (`polling`) or pushed (`pushed`); everything else is the same for both. What is not taken, because
//! whoever works on the shard is slow, is not asked for, and not taken from the connection either. How much may be held is
//! bounded by shard, and by worker (`ahead`).

pub(crate) mod ahead;
mod polling;
mod pushed;

use std::sync::Arc;
use std::time::Duration;

use penstock_contract::{Sequence, ShardId, Sink};
use penstock_runtime::Backoff;
use penstock_stream::{ChildShard, ErrorKind, ShardFilter, StartingAt, StreamError, StreamRecord, list_shards};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::metrics::ShardMetrics;
use crate::pace::Reaction;
use crate::shared::Shared;
use crate::trouble::Concern;
use ahead::{Room, Rooms};
use polling::Polling;
use pushed::Pushed;

/// Answers that wait to be worked on, beside the bound by bytes: empty ones weigh nothing.
const QUEUE: usize = 16;
/// The wait after a failure that somebody has to mend.
const HOLD: Duration = Duration::from_secs(10);
/// After so many answers without a next iterator and without children, the listing is asked for children.
const ENDS_WITHOUT_CHILDREN: u32 = 3;

/// What reading brought.
#[derive(Debug)]
pub(crate) enum Event {
    /// Records, perhaps none.
    Answer(Answer),
    /// The shard has ended; these follow it.
    End(Vec<ChildShard>),
    /// The shard is gone: retention has deleted it, or the stream was deleted and another has its name.
    Gone,
    /// The reader panicked.
    Died,
}

/// The records of one answer. They count as read ahead until it is dropped.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) records: Vec<StreamRecord>,
    /// There was nothing, and there was nothing to come.
    pub(crate) at_tip: bool,
    /// It was asked for after everybody was told to end at the tip.
    pub(crate) asked_for_tip: bool,
    ahead: Held,
}

/// What must be held as long as an answer counts as read ahead.
#[derive(Debug)]
pub(crate) struct Held {
    _by_worker: Room,
    _by_shard: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// The records, and what must be held as long as they count as read ahead.
    pub(crate) fn into_parts(self) -> (Vec<StreamRecord>, Held) {
        (self.records, self.ahead)
    }
}

/// A reader at work. Dropping it ends it.
pub(crate) struct Reader {
    events: mpsc::Receiver<Event>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    /// Starts reading what the sink has not had yet, as it was told to: by asking, or as a registered consumer.
    pub(crate) fn start<S: Sink>(shared: Arc<Shared<S>>, shard: ShardId, starting_at: StartingAt) -> Self {
        let source = match shared.registration {
            Some(_) => Source::Pushed(Pushed::default()),
            None => Source::Polling(Polling::new()),
        };
        Self::with(source, shared, shard, starting_at, true)
    }

    /// Starts reading what was read before. By asking: a shard has one subscription at a time for each consumer. It
    /// is no part of what the shard weighs: who takes it over reads it again, and would pass it on for that. Nor does it say
    /// how far reading is behind.
    pub(crate) fn again<S: Sink>(shared: Arc<Shared<S>>, shard: ShardId, starting_at: StartingAt) -> Self {
        Self::with(Source::Polling(Polling::new()), shared, shard, starting_at, false)
    }

    fn with<S: Sink>(
        source: Source,
        shared: Arc<Shared<S>>,
        shard: ShardId,
        starting_at: StartingAt,
        is_first: bool,
    ) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let reading = async move {
            let reading = Reading {
                source,
                rooms: Rooms::new(Arc::clone(&shared.ahead), shared.config.read_bytes),
                ahead: Arc::new(Semaphore::new(shared.config.prefetch_bytes.clamp(1, Semaphore::MAX_PERMITS))),
                metrics: shared.metrics.shard(&shard),
                shard,
                starting_at,
                is_first,
                received: None,
                ends_without_children: 0,
                sender,
                shared,
            };
            // Nobody waits for more, or there is no more: either way it is over.
            let (Ok(()) | Err(Unwanted)) = reading.run().await;
        };
        let task = tokio::spawn(reading.in_current_span());
        Self { events, _task: AbortOnDropHandle::new(task) }
    }

    /// What comes next. Nothing does after the end of the shard.
    pub(crate) async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap_or(Event::Died)
    }
}

/// Where records come from.
enum Source {
    Polling(Polling),
    Pushed(Pushed),
}

/// What a source brought.
struct Brought {
    records: Vec<StreamRecord>,
    /// The service does not say where to go on.
    is_last: bool,
    child_shards: Vec<ChildShard>,
    millis_behind_latest: Option<i64>,
}

impl Source {
    /// The next records after the place where reading is, about so many bytes, or the wait for them.
    async fn next<S: Sink>(
        &mut self,
        shared: &Shared<S>,
        shard: &ShardId,
        place: &StartingAt,
        bytes: usize,
    ) -> Result<Brought, StreamError> {
        match (&mut *self, &shared.registration) {
            (Self::Polling(polling), _) => polling.next(shared, shard, place, bytes).await,
            (Self::Pushed(pushed), Some(registration)) => pushed.next(shared, registration, shard, place).await,
            // There is no such reader: it is made of the registration.
            (Self::Pushed(_), None) => std::future::pending().await,
        }
    }

    fn renew(&mut self) {
        match self {
            Self::Polling(polling) => polling.renew(),
            Self::Pushed(pushed) => pushed.renew(),
        }
    }

    /// How long to wait before the next records are asked for.
    fn pause(&mut self, records: usize, bytes: usize, at_tip: bool) -> Duration {
        match self {
            Self::Polling(polling) => polling.pause(records, bytes, at_tip),
            Self::Pushed(_) => Duration::ZERO,
        }
    }

    fn throttled(&mut self) -> Duration {
        match self {
            Self::Polling(polling) => polling.throttled(),
            Self::Pushed(_) => HOLD.mul_f64(fastrand::f64()),
        }
    }

    fn least_wait(&self, kind: ErrorKind) -> Duration {
        match self {
            Self::Polling(_) => Duration::ZERO,
            Self::Pushed(_) => Pushed::least_wait(kind),
        }
    }
}

struct Reading<S> {
    shared: Arc<Shared<S>>,
    shard: ShardId,
    source: Source,
    starting_at: StartingAt,
    /// The shard is read for the first time here, not once more.
    is_first: bool,
    /// The last record that was received: reading goes on after it.
    received: Option<Sequence>,
    rooms: Rooms,
    ahead: Arc<Semaphore>,
    metrics: ShardMetrics,
    ends_without_children: u32,
    sender: mpsc::Sender<Event>,
}

/// Nobody waits for records any more.
struct Unwanted;

impl<S: Sink> Reading<S> {
    async fn run(mut self) -> Result<(), Unwanted> {
        let shared = Arc::clone(&self.shared);
        let at_tip = &shared.stop.at_tip;
        let mut backoff = Concern::Stream.backoff();
        loop {
            let asked_for_tip = at_tip.is_cancelled();
            let is_pushed = matches!(self.source, Source::Pushed(_));
            if asked_for_tip && is_pushed {
                // What is pushed may have been on its way since before: the tip is found by asking.
                self.source = Source::Polling(Polling::new());
                continue;
            }
            let room = self.room(!is_pushed).await?;
            let place = self.place();
            let brought = tokio::select! {
                biased;
                brought = self.source.next(&shared, &self.shard, &place, room.asks()) => brought,
                () = at_tip.cancelled(), if is_pushed => continue,
            };
            match brought {
                Ok(brought) => {
                    backoff.reset();
                    shared.troubles.over(Concern::Stream, self.shard.as_str());
                    if self.take(brought, room, asked_for_tip).await? {
                        return Ok(());
                    }
                }
                Err(error) => {
                    drop(room);
                    if self.failed(&error, &mut backoff).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits as the failure asks for; says whether the shard is gone.
    async fn failed(&mut self, error: &StreamError, backoff: &mut Backoff) -> Result<bool, Unwanted> {
        let reaction = Reaction::to(error.kind());
        if reaction.renews() {
            self.source.renew();
        }
        if reaction.looks_up() && self.is_gone(reaction).await {
            self.send(Event::Gone).await?;
            return Ok(true);
        }
        let wait = match reaction {
            Reaction::SlowDown => self.source.throttled(),
            Reaction::Hold | Reaction::LookUp => HOLD.mul_f64(0.5 + fastrand::f64()),
            Reaction::NewIterator | Reaction::Doubt | Reaction::TryAgain => backoff.next_wait(),
        };
        let wait = wait.max(self.source.least_wait(error.kind()));
        self.shared.troubles.note(Concern::Stream, self.shard.as_str(), error, wait);
        sleep(wait).await;
        Ok(false)
    }

    /// Hands an answer on; says whether the shard has ended.
    async fn take(&mut self, brought: Brought, mut room: Room, asked_for_tip: bool) -> Result<bool, Unwanted> {
        let Brought { records, is_last, child_shards, millis_behind_latest } = brought;
        let end = is_last && !child_shards.is_empty();
        let (count, bytes) = (records.len(), records.iter().map(|record| record.data.len()).sum());
        self.metrics.read_bytes.increment(bytes as u64);
        if self.is_first {
            self.shared.loads.add(&self.shard, count, bytes);
        }
        if let Some(behind) = millis_behind_latest.and_then(|behind| u64::try_from(behind).ok())
            && self.is_first
        {
            self.shared.lags.read(&self.shard, Duration::from_millis(behind));
        }
        if let Some(last) = records.last() {
            self.received = Some(last.sequence.clone());
        }
        let at_tip = millis_behind_latest == Some(0);
        room.holds(bytes);
        let ahead = Held { _by_worker: room, _by_shard: self.wait_for_room(bytes).await? };
        let answer = Answer { at_tip: at_tip && count == 0 && !is_last, records, asked_for_tip, ahead };
        self.send(Event::Answer(answer)).await?;
        if end {
            self.send(Event::End(child_shards)).await?;
            return Ok(true);
        }
        let wait = self.source.pause(count, bytes, at_tip || is_last);
        if is_last {
            return self.end_without_children(wait).await;
        }
        self.ends_without_children = 0;
        let at_tip_token = &self.shared.stop.at_tip;
        tokio::select! {
            biased;
            () = sleep(wait) => {}
            // Being told to end at the tip is worth a look at once.
            () = at_tip_token.cancelled(), if !asked_for_tip => {}
        }
        Ok(false)
    }

    /// An answer without a next iterator and without children breaks the service's rules. Reading goes on with
    /// a new iterator, as in the KCL; when it stays so, the listing knows the children.
    async fn end_without_children(&mut self, wait: Duration) -> Result<bool, Unwanted> {
        self.ends_without_children += 1;
        if self.ends_without_children < ENDS_WITHOUT_CHILDREN {
            sleep(wait.max(HOLD / 10)).await;
            return Ok(false);
        }
        let children = match self.children().await {
            Ok(children) => children,
            Err(error) => {
                self.shared.troubles.note(Concern::Stream, self.shard.as_str(), &error, HOLD);
                Vec::new()
            }
        };
        if children.is_empty() {
            sleep(HOLD).await;
            return Ok(false);
        }
        self.send(Event::End(children)).await?;
        Ok(true)
    }

    async fn children(&self) -> Result<Vec<ChildShard>, StreamError> {
        let listed = list_shards(&self.shared.kinesis, &self.shared.config.stream, &ShardFilter::FromTrimHorizon);
        let children = listed.await?.into_iter().filter(|shard| shard.parents.contains(&self.shard));
        Ok(children.map(|shard| ChildShard { id: shard.id, parents: shard.parents }).collect())
    }

    /// Where reading goes on.
    fn place(&self) -> StartingAt {
        self.received.clone().map_or_else(|| self.starting_at.clone(), StartingAt::After)
    }

    /// Whether the stream is there and the shard is not, but at most another of its name, which begins after the place
    /// where reading is.
    async fn is_gone(&self, reaction: Reaction) -> bool {
        let reached = match self.place() {
            StartingAt::At(sequence) | StartingAt::After(sequence) => Some(sequence),
            StartingAt::TrimHorizon | StartingAt::Latest | StartingAt::AtTimestamp(_) => None,
        };
        let listed = list_shards(&self.shared.kinesis, &self.shared.config.stream, &ShardFilter::FromTrimHorizon);
        let Ok(listed) = listed.await else { return false };
        match listed.iter().find(|shard| shard.id == self.shard) {
            Some(shard) => reached.is_some_and(|reached| reached < shard.starting_sequence),
            // Of a shard that it does not have, the service says so.
            None => reaction == Reaction::LookUp && !listed.is_empty(),
        }
    }

    /// Room among all shards. What is pushed may be waited for without end.
    async fn room(&self, is_asked_for: bool) -> Result<Room, Unwanted> {
        tokio::select! {
            biased;
            room = self.rooms.next(is_asked_for) => Ok(room),
            () = self.sender.closed() => Err(Unwanted),
        }
    }

    /// Room of the shard. An answer that is larger than all there is waits until it is the only one.
    async fn wait_for_room(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Unwanted> {
        let room = self.shared.config.prefetch_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let wanted = u32::try_from(bytes.min(room)).unwrap_or(u32::MAX);
        if wanted == 0 {
            return Ok(None);
        }
        tokio::select! {
            biased;
            permit = Arc::clone(&self.ahead).acquire_many_owned(wanted) => permit.map(Some).map_err(|_| Unwanted),
            () = self.sender.closed() => Err(Unwanted),
        }
    }

    async fn send(&self, event: Event) -> Result<(), Unwanted> {
        self.sender.send(event).await.map_err(|_| Unwanted)
    }
}
