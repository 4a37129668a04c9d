//! The task that starts the calls which the lanes decide on, and answers the requests whose rows are in them.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::StalledStreamProtectionConfig;
use aws_sdk_kinesis::config::retry::RetryConfig;
use penstock_api::spec::Aggregation;
use penstock_runtime::{Backoff, Health};
use penstock_stream::{PutAck, Shard, ShardFilter, ShardMap, list_shards};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::astray::{Astray, Verdict};
use super::call::{Answered, Ended, FailedCall, Failure, calls_of, make};
use super::lanes::{Ending, Lanes};
use super::pending::{Outcome, Row, Trouble, settle_rows};
use super::queue::{Queue, QueueRoom};
use crate::telemetry::Telemetry;

/// Messages on their way to the writer; what they hold is bounded by the queue. While rows are gathered they wait here.
const INBOX: usize = 1024;
/// The shards are listed again after this long at the earliest.
const REFRESH_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How often failing calls are told of in the log.
const WARNING_PAUSE: Duration = Duration::from_secs(5);
/// Why rows of an aggregate are put again that went to a shard which does not take them.
const WRONG_SHARD: Failure = Failure { trouble: Trouble::Unavailable, reason: "wrong_shard" };
/// The name under which the stream stands in the stage's health.
const CONCERN: &str = "stream";

/// The one task that puts rows into the stream.
pub(crate) struct Writer {
    client: Client,
    stream: Arc<str>,
    lanes: Lanes,
    inbox: mpsc::Receiver<Vec<Row>>,
    room: Arc<Semaphore>,
    health: Health,
    telemetry: Telemetry,
    calls: JoinSet<Ended>,
    /// Aggregates that wait until it is known what the shard takes in which they are.
    astray: Vec<Astray>,
    refresh: JoinSet<Result<Listed, String>>,
    refresh_pause: Backoff,
    /// When the shards are to be listed again.
    refresh_at: Option<Instant>,
    last_refresh: Option<Instant>,
    /// A record went to another shard than expected: nothing is put until the shards are listed again, or
    /// aggregates would be made for shards that are gone.
    map_is_old: bool,
    /// When a failing call was last told of in the log.
    last_warning: Option<Instant>,
    _closed: DropGuard,
}

impl Writer {
    pub(crate) fn new(
        client: &Client,
        stream: &str,
        aggregation: Aggregation,
        room: QueueRoom,
        health: Health,
        telemetry: Telemetry,
    ) -> (Self, Queue) {
        // The writer repeats calls itself, where it can be seen, and only what failed.
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        // Each call has its own time limit, so nobody needs to watch how fast it moves.
        let config = config.stalled_stream_protection(StalledStreamProtectionConfig::disabled()).build();
        let (sender, inbox) = mpsc::channel(INBOX);
        let closed = CancellationToken::new();
        let room = Arc::new(Semaphore::new(room.permits()));
        health.waits(CONCERN, "the shards of the stream are not listed yet");
        let writer = Self {
            client: Client::from_conf(config),
            stream: stream.into(),
            lanes: Lanes::new(aggregation),
            inbox,
            room: room.clone(),
            health,
            telemetry: telemetry.clone(),
            calls: JoinSet::new(),
            astray: Vec::new(),
            refresh: JoinSet::new(),
            refresh_pause: Backoff::new(REFRESH_PAUSE, LONGEST_REFRESH_PAUSE),
            refresh_at: Some(Instant::now()),
            last_refresh: None,
            map_is_old: false,
            last_warning: None,
            _closed: closed.clone().drop_guard(),
        };
        (writer, Queue { inbox: sender, room, closed, telemetry })
    }

    /// Runs until every queue is dropped and nothing waits any more.
    pub(crate) async fn run(mut self) {
        let mut open = true;
        let mut messages = Vec::new();
        loop {
            self.take_what_came();
            let now = Instant::now();
            self.fail_expired(now);
            self.start_refresh(now);
            self.start_calls(now);
            if !open && self.lanes.is_empty() && self.calls.is_empty() && self.astray.is_empty() {
                return;
            }
            // Rows that come while others are gathered need not wake this task, each by itself.
            // While an old map of the shards keeps calls back nothing is gathered, and rows must not wait unseen.
            let listens = open && (self.map_is_old || self.lanes.gathering_until().is_none());
            let wakeup = self.next_wakeup();
            tokio::select! {
                biased;
                Some(ended) = self.calls.join_next() => match ended {
                    Ok(ended) => self.ended(ended),
                    // A call that panics is a defect; its rows are answered when the writer is gone.
                    Err(error) => {
                        tracing::error!(%error, "a call to the stream broke off, which is a defect; the stage must restart");
                        self.health.dead(CONCERN, "a call to the stream broke off");
                        return;
                    }
                },
                Some(listed) = self.refresh.join_next() => {
                    self.refreshed(listed.unwrap_or_else(|error| Err(error.to_string())));
                }
                count = self.inbox.recv_many(&mut messages, INBOX), if listens => {
                    open = count > 0;
                    messages.drain(..).flatten().for_each(|row| self.lanes.push(row));
                }
                () = sleep_until(wakeup.unwrap_or(now)), if wakeup.is_some() => {}
            }
        }
    }

    /// Takes the rows that came meanwhile.
    fn take_what_came(&mut self) {
        while let Ok(rows) = self.inbox.try_recv() {
            rows.into_iter().for_each(|row| self.lanes.push(row));
        }
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let astray = self.astray.iter().filter_map(Astray::deadline);
        // Nothing starts before the shards are listed again.
        let start = self.lanes.next_start().filter(|_| !self.map_is_old);
        let all = self.lanes.next_deadline().into_iter().chain(start).chain(self.refresh_due()).chain(astray);
        all.min()
    }

    fn start_calls(&mut self, now: Instant) {
        if self.map_is_old {
            return;
        }
        for batches in calls_of(self.lanes.take_batches(now)) {
            let (client, stream) = (self.client.clone(), self.stream.clone());
            self.calls.spawn(make(client, stream, batches, self.telemetry.clone()));
        }
    }

    fn ended(&mut self, ended: Ended) {
        self.telemetry.put_ended(ended.seconds, ended.result.is_ok());
        match ended.result {
            Ok(answered) => answered.into_iter().for_each(|batch| self.answered(batch)),
            Err(FailedCall { failure, message, batches }) => {
                self.warn(&message);
                self.refresh_after_pause();
                for (shard, rows) in batches {
                    let mut ending = Ending::default();
                    self.did_not(failure, rows, &mut ending);
                    self.lanes.call_ended(&shard, ending, Instant::now());
                }
            }
        }
    }

    fn answered(&mut self, Answered { shard, entries }: Answered) {
        let mut ending = Ending::default();
        for (outcome, rows) in entries {
            match outcome {
                // A row by itself went where its key belongs; an aggregate is the only one in its batch.
                Ok(ack) if ack.shard != shard && rows.len() > 1 => {
                    self.refresh_at_once();
                    self.astray.push(Astray { made_for: shard, ack, rows });
                    return;
                }
                Ok(ack) => {
                    ending.stored_any = true;
                    if ack.shard != shard {
                        self.refresh_at_once();
                    }
                    self.stored(&ack, &rows);
                }
                Err(failure) => self.did_not(failure, rows, &mut ending),
            }
        }
        self.lanes.call_ended(&shard, ending, Instant::now());
    }

    /// The shards are known anew: so is what became of aggregates that went elsewhere.
    fn judge_astray(&mut self, listed: &[Shard]) {
        for astray in std::mem::take(&mut self.astray) {
            let mut ending = Ending::default();
            match astray.verdict(listed) {
                Some(Verdict::Counts) => {
                    ending.stored_any = true;
                    self.stored(&astray.ack, &astray.rows);
                }
                Some(Verdict::Void) => self.did_not(WRONG_SHARD, astray.rows, &mut ending),
                // The listing is older than the shard.
                None => {
                    self.astray.push(astray);
                    self.refresh_after_pause();
                    continue;
                }
            }
            self.lanes.call_ended(&astray.made_for, ending, Instant::now());
        }
    }

    fn stored(&self, ack: &PutAck, rows: &[Row]) {
        settle_rows(rows, |place| Outcome::Stored {
            shard: ack.shard.clone(),
            sequence: ack.sequence.clone(),
            // An aggregate holds far fewer rows than 2^32.
            sub_sequence: u32::try_from(place).unwrap_or(u32::MAX),
        });
        self.leave_queue(rows);
    }

    fn did_not(&self, failure: Failure, rows: Vec<Row>, ending: &mut Ending) {
        self.telemetry.retried(failure.reason);
        if failure.trouble == Trouble::Invalid {
            settle_rows(&rows, |_| Outcome::Failed(Trouble::Invalid));
            self.leave_queue(&rows);
            return;
        }
        ending.failed.extend(rows);
        // Throttling is the better explanation where both occur.
        if ending.trouble != Some(Trouble::Throttled) {
            ending.trouble = Some(failure.trouble);
        }
    }

    /// A stream that is away fails every call of every shard: it is told of now and then.
    fn warn(&mut self, error: &str) {
        let now = Instant::now();
        if self.last_warning.is_none_or(|last| now - last >= WARNING_PAUSE) {
            self.last_warning = Some(now);
            tracing::warn!(stream = %self.stream, error, "a call to the stream failed; it is tried again");
        }
    }

    fn fail_expired(&mut self, now: Instant) {
        for (trouble, rows) in self.lanes.take_expired(now) {
            settle_rows(&rows, |_| Outcome::Failed(trouble));
            self.leave_queue(&rows);
        }
        let is_late = |astray: &mut Astray| astray.deadline().is_some_and(|deadline| deadline <= now);
        for late in self.astray.extract_if(.., is_late).collect::<Vec<_>>() {
            settle_rows(&late.rows, |_| Outcome::Failed(Trouble::Unavailable));
            self.leave_queue(&late.rows);
            self.lanes.call_ended(&late.made_for, Ending::default(), now);
        }
    }

    fn leave_queue(&self, rows: &[Row]) {
        let cost: usize = rows.iter().map(|row| row.cost() as usize).sum();
        self.room.add_permits(cost);
        self.telemetry.unqueued(cost);
    }

    /// A call failed: the shard may be gone.
    fn refresh_after_pause(&mut self) {
        if self.refresh_at.is_none() && self.refresh.is_empty() {
            self.refresh_at = Some(Instant::now() + self.refresh_pause.next_wait());
        }
    }

    /// The stream was resharded for certain; but a listing may be a moment behind.
    fn refresh_at_once(&mut self) {
        let now = Instant::now();
        if self.last_refresh.is_none_or(|last| now - last >= REFRESH_PAUSE) {
            self.map_is_old = true;
            self.refresh_at = Some(now);
        } else {
            self.refresh_after_pause();
        }
    }

    fn refresh_due(&self) -> Option<Instant> {
        self.refresh_at.filter(|_| self.refresh.is_empty())
    }

    fn start_refresh(&mut self, now: Instant) {
        if self.refresh_due().is_some_and(|due| due <= now) {
            self.refresh_at = None;
            self.last_refresh = Some(now);
            let (client, stream) = (self.client.clone(), self.stream.clone());
            // The shard of an aggregate that went astray may be gone again.
            let filter = if self.astray.is_empty() { ShardFilter::AtLatest } else { ShardFilter::FromTrimHorizon };
            self.refresh.spawn(async move { list(&client, &stream, &filter).await });
        }
    }

    fn refreshed(&mut self, listed: Result<Listed, String>) {
        // Also after a failure: an old map puts records all the same.
        self.map_is_old = false;
        match listed {
            Ok(Listed { map, shards }) => {
                tracing::debug!(stream = %self.stream, shards = map.shards().len(), "the shards of the stream are known");
                self.refresh_pause.reset();
                self.health.fine(CONCERN);
                self.lanes.set_map(map);
                self.judge_astray(&shards);
            }
            Err(error) => {
                tracing::warn!(stream = %self.stream, error, "the shards of the stream cannot be listed; it is tried again");
                self.refresh_after_pause();
            }
        }
    }
}

/// What a listing says.
struct Listed {
    /// The open shards.
    map: ShardMap,
    /// All that were listed.
    shards: Vec<Shard>,
}

async fn list(client: &Client, stream: &str, filter: &ShardFilter) -> Result<Listed, String> {
    let shards = list_shards(client, stream, filter).await.map_err(|error| error.to_string())?;
    let map = ShardMap::new(&shards).map_err(|error| error.to_string())?;
    Ok(Listed { map, shards })
}
