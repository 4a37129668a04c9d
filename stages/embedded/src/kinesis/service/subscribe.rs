//! `SubscribeToShard`: records pushed as an event stream for up to five minutes.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::read::{ReadPlan, Start, write_children};
use super::{Answer, Service};
use crate::Limits;
use crate::kinesis::error::ApiError;
use crate::kinesis::model::Millis;
use crate::kinesis::protocol::events::Message;
use crate::kinesis::protocol::parse;
use crate::kinesis::protocol::requests::SubscribeToShard;
use crate::kinesis::protocol::required;

/// How long a subscription lasts. Its stream then ends without an error, and the consumer subscribes again.
const LIFETIME: Millis = 300_000;
/// A second call for the same consumer and shard is refused this long, then it takes over.
const TAKE_OVER_AFTER: Millis = 5_000;
/// How often an event is sent when there are no records.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Bytes of records per event.
const EVENT_BYTES: usize = 1024 * 1024;
/// Events that wait for a slow reader.
const EVENTS: usize = 2;
/// What one consumer gets of a shard per second, where rates are enforced.
const BYTES_PER_SECOND: u64 = 2 * 1024 * 1024;

/// A running subscription: events to be sent.
pub(crate) struct Subscription {
    pub(in super::super) events: mpsc::Receiver<Message>,
}

/// Subscriptions by consumer and shard.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    active: Mutex<HashMap<(String, String), Active>>,
}

#[derive(Debug)]
struct Active {
    started: Millis,
    cancel: CancellationToken,
}

impl Subscriptions {
    /// Makes room for a subscription: refuses it while an earlier one is young, ends the earlier one otherwise.
    fn begin(&self, consumer: &str, shard: &str, now: Millis) -> Result<CancellationToken, ApiError> {
        let mut active = self.active.lock();
        let key = (consumer.to_owned(), shard.to_owned());
        if let Some(earlier) = active.get(&key) {
            if now.saturating_sub(earlier.started) < TAKE_OVER_AFTER {
                return Err(ApiError::in_use(format!(
                    "Another active subscription exists for this consumer: {consumer} and shard {shard}. It can be taken \
                     over {TAKE_OVER_AFTER} milliseconds after it began."
                )));
            }
            earlier.cancel.cancel();
        }
        let cancel = CancellationToken::new();
        active.insert(key, Active { started: now, cancel: cancel.clone() });
        // Entries of long ago only take memory.
        active.retain(|_, entry| now.saturating_sub(entry.started) < 2 * LIFETIME);
        Ok(cancel)
    }
}

/// What a subscription's task needs.
struct Feed {
    service: Arc<Service>,
    stream: String,
    shard: String,
    from: u64,
    sender: mpsc::Sender<Message>,
}

impl Service {
    pub(super) async fn subscribe_to_shard(self: &Arc<Self>, body: &[u8]) -> Result<Answer, ApiError> {
        let request: SubscribeToShard = parse(body)?;
        let arn = required(request.consumer_arn, "consumerARN")?;
        let shard_id = required(request.shard_id, "shardId")?;
        let position = required(request.starting_position, "startingPosition")?;
        let kind = required(position.kind, "startingPosition.type")?;
        let start = Start::parse(&kind, position.sequence_number, position.timestamp, "startingPosition.type")?;
        let now = self.now();
        let (stream, consumer) = self.consumer_by_arn(&arn)?;
        if consumer.status(now) != "ACTIVE" {
            return Err(ApiError::in_use(format!("Consumer {arn} is not ACTIVE.")));
        }
        let live = self.catalog.get_usable(&stream, now)?;
        let (shard, log) = self.readable_shard(&live, &shard_id, now)?;
        let from = self.resolve(&live, &shard, &log, start, now).await?;
        let cancel = self.subscriptions.begin(&arn, &shard_id, now)?;
        let (sender, events) = mpsc::channel(EVENTS);
        let feed = Feed { service: Arc::clone(self), stream, shard: shard_id, from, sender };
        let clock = self.clock.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = clock.reach(now + LIFETIME) => {}
                () = feed.run() => {}
            }
        });
        Ok(Answer::Events(Subscription { events }))
    }
}

impl Feed {
    async fn run(mut self) {
        if self.sender.send(Message::InitialResponse).await.is_err() {
            return;
        }
        let mut last_sent: Option<Instant> = None;
        loop {
            let step = match self.step(last_sent).await {
                Ok(step) => step,
                Err(refusal) => {
                    // The reader may be gone; then nobody needs to know why.
                    drop(self.sender.send(Message::Exception(refusal)).await);
                    return;
                }
            };
            if let Some(event) = step.event {
                if self.sender.send(event).await.is_err() {
                    return;
                }
                last_sent = Some(Instant::now());
            }
            if step.at_end {
                return;
            }
            self.pause(step.bytes).await;
            if step.caught_up && !self.wait_for_news(step.news).await {
                return;
            }
        }
    }

    /// Reads once and makes an event of it, when there is anything to say.
    async fn step(&mut self, last_sent: Option<Instant>) -> Result<Step, ApiError> {
        let now = self.service.now();
        let live = self.service.catalog.get_usable(&self.stream, now)?;
        let (shard, log) = self.service.readable_shard(&live, &self.shard, now)?;
        // Subscribed before the read, so that nothing which comes after it is missed.
        let news = log.subscribe();
        let plan = ReadPlan { live, shard, log, from: self.from, max_records: u32::MAX, max_bytes: EVENT_BYTES, now };
        let (plan, mut json, end, permit) = self.service.run(plan).await?;
        self.from = end.next;
        let due = last_sent.is_none_or(|sent| sent.elapsed() >= HEARTBEAT);
        let event = (end.records > 0 || end.at_end || due).then(|| {
            if end.at_end {
                write_children(&mut json, &plan.live, &plan.shard);
            } else {
                json.sequence("ContinuationSequenceNumber", plan.shard.sequence(end.next - 1));
            }
            json.number("MillisBehindLatest", end.millis_behind);
            Message::Event { kind: "SubscribeToShardEvent", payload: json.finish() }
        });
        drop(permit);
        Ok(Step {
            event,
            bytes: end.bytes as u64,
            at_end: end.at_end,
            caught_up: end.next >= plan.log.extent().next,
            news,
        })
    }

    /// Keeps to the rate of a consumer.
    async fn pause(&self, bytes: u64) {
        if self.service.limits == Limits::Enforced && bytes > 0 {
            tokio::time::sleep(Duration::from_millis(bytes * 1000 / BYTES_PER_SECOND)).await;
        }
    }

    /// Waits for records, or for the time of the next heartbeat; false when the reader is gone.
    async fn wait_for_news(&self, mut news: tokio::sync::watch::Receiver<()>) -> bool {
        tokio::select! {
            () = self.sender.closed() => false,
            _ = news.changed() => true,
            () = tokio::time::sleep(HEARTBEAT) => true,
        }
    }
}

struct Step {
    event: Option<Message>,
    bytes: u64,
    at_end: bool,
    caught_up: bool,
    news: tokio::sync::watch::Receiver<()>,
}
