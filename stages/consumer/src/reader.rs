//! Reading a shard ahead of whoever works on it, bounded by bytes.

use std::sync::Arc;
use std::time::Duration;

use penstock_contract::{Sequence, ShardId, Sink};
use penstock_stream::{
    ChildShard, ReadAnswer, ShardFilter, ShardIterator, StartingAt, StreamError, StreamRecord, get_records,
    get_shard_iterator, list_shards,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::metrics::ShardMetrics;
use crate::pace::{Pace, Reaction};
use crate::shared::Shared;
use crate::trouble::Concern;

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
    /// The shard is gone from the stream: retention has deleted it.
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
    ahead: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// The records, and what must be held as long as they count as read ahead.
    pub(crate) fn into_parts(self) -> (Vec<StreamRecord>, Option<OwnedSemaphorePermit>) {
        (self.records, self.ahead)
    }
}

/// A reader at work. Dropping it ends it.
pub(crate) struct Reader {
    events: mpsc::Receiver<Event>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    /// Starts reading.
    pub(crate) fn start<S: Sink>(shared: Arc<Shared<S>>, shard: ShardId, starting_at: StartingAt) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let reading = async move {
            let reading = Reading {
                pace: Pace::new(shared.config.read_bytes),
                ahead: Arc::new(Semaphore::new(shared.config.prefetch_bytes.clamp(1, Semaphore::MAX_PERMITS))),
                metrics: shared.metrics.shard(&shard),
                shard,
                starting_at,
                received: None,
                ends_without_children: 0,
                sender,
                shared,
            };
            reading.run().await;
        };
        let task = tokio::spawn(reading.in_current_span());
        Self { events, _task: AbortOnDropHandle::new(task) }
    }

    /// What comes next. Nothing does after the end of the shard.
    pub(crate) async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap_or(Event::Died)
    }
}

struct Reading<S> {
    shared: Arc<Shared<S>>,
    shard: ShardId,
    starting_at: StartingAt,
    /// The last record that was received: a new iterator begins after it.
    received: Option<Sequence>,
    pace: Pace,
    ahead: Arc<Semaphore>,
    metrics: ShardMetrics,
    ends_without_children: u32,
    sender: mpsc::Sender<Event>,
}

/// Nobody waits for records any more.
struct Unwanted;

impl<S: Sink> Reading<S> {
    async fn run(mut self) {
        let mut iterator = None;
        let mut backoff = Concern::Stream.backoff();
        loop {
            let asked_for_tip = self.shared.stop.at_tip.is_cancelled();
            match self.read(&mut iterator).await {
                Ok(answer) => {
                    backoff.reset();
                    self.shared.troubles.over(Concern::Stream, self.shard.as_str());
                    match self.take(answer, asked_for_tip, &mut iterator).await {
                        Ok(false) => {}
                        Ok(true) | Err(Unwanted) => return,
                    }
                }
                Err(error) => {
                    let reaction = Reaction::to(error.kind());
                    if reaction == Reaction::NewIterator {
                        iterator = None;
                    }
                    if reaction == Reaction::LookUp && self.is_gone().await {
                        // Nobody waiting for it is as good as its being delivered.
                        drop(self.sender.send(Event::Gone).await);
                        return;
                    }
                    let wait = match reaction {
                        Reaction::SlowDown => self.pace.throttled(fastrand::f64()),
                        Reaction::Hold | Reaction::LookUp => HOLD.mul_f64(0.5 + fastrand::f64()),
                        Reaction::NewIterator | Reaction::TryAgain => backoff.next_wait(),
                    };
                    self.shared.troubles.note(Concern::Stream, self.shard.as_str(), &error, wait);
                    sleep(wait).await;
                }
            }
        }
    }

    async fn read(&self, iterator: &mut Option<ShardIterator>) -> Result<ReadAnswer, StreamError> {
        let from = match iterator {
            Some(iterator) => iterator,
            None => {
                let after = self.received.clone().map(StartingAt::After);
                let starting_at = after.as_ref().unwrap_or(&self.starting_at);
                let stream = &self.shared.config.stream;
                iterator.insert(get_shard_iterator(&self.shared.kinesis, stream, &self.shard, starting_at).await?)
            }
        };
        get_records(&self.shared.kinesis, from, self.pace.limit()).await
    }

    /// Hands an answer on; says whether the shard has ended.
    async fn take(
        &mut self,
        answer: ReadAnswer,
        asked_for_tip: bool,
        iterator: &mut Option<ShardIterator>,
    ) -> Result<bool, Unwanted> {
        let end = answer.is_end_of_shard();
        let ReadAnswer { records, next_iterator, child_shards, millis_behind_latest } = answer;
        let (count, bytes) = (records.len(), records.iter().map(|record| record.data.len()).sum());
        self.metrics.read_bytes.increment(bytes as u64);
        if let Some(behind) = millis_behind_latest {
            #[allow(clippy::cast_precision_loss, reason = "2^52 milliseconds are longer than any retention")]
            self.metrics.behind.set(behind as f64);
        }
        if let Some(last) = records.last() {
            self.received = Some(last.sequence.clone());
        }
        let is_last = next_iterator.is_none();
        *iterator = next_iterator;
        let at_tip = millis_behind_latest == Some(0);
        let ahead = self.wait_for_room(bytes).await?;
        let answer = Answer { at_tip: at_tip && count == 0 && !is_last, records, asked_for_tip, ahead };
        self.send(Event::Answer(answer)).await?;
        if end {
            self.send(Event::End(child_shards)).await?;
            return Ok(true);
        }
        let wait = self.pace.answered(count, bytes, at_tip || is_last);
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

    /// Whether the stream is there and the shard is not.
    async fn is_gone(&self) -> bool {
        let listed = list_shards(&self.shared.kinesis, &self.shared.config.stream, &ShardFilter::FromTrimHorizon);
        listed.await.is_ok_and(|shards| !shards.is_empty() && shards.iter().all(|shard| shard.id != self.shard))
    }

    /// An answer that is larger than all the room there is waits until it is the only one.
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
