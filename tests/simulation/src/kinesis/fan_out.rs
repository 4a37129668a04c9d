//! Enhanced fan-out: consumers are registered with the stream, and records are pushed to who subscribed as one of them.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::api::{Refusal, StartingPlace, children, no_shard, record};
use super::{Kinesis, events};
use crate::Millis;
use crate::mutation::Mutation;
use crate::net::{Answer, Pushed};

const STREAM_ARN: &str = "arn:aws:kinesis:eu-west-1:000000000000:stream/events";
/// Until a consumer that was registered may subscribe.
const BECOMES_ACTIVE: Millis = 700;
/// A subscription that is younger is not taken over.
const TAKE_OVER_AFTER: Millis = 5_000;
/// Subscriptions of one consumer to one shard are not closer together.
const BETWEEN_SUBSCRIPTIONS: Millis = 1_000;
/// How long nothing is pushed when there is nothing.
const SILENCE: Millis = 2_000;

/// Consumers and their subscriptions.
#[derive(Default)]
pub(crate) struct FanOut {
    /// How long a subscription lasts.
    pub(crate) lives: Millis,
    /// By name: the ARN, and when it is active.
    consumers: BTreeMap<String, (String, Millis)>,
    subscriptions: BTreeMap<u64, Subscription>,
    /// When somebody subscribed last, and by what, for each consumer and shard.
    latest: BTreeMap<(String, String), (Millis, u64)>,
    next: u64,
    /// Subscriptions that have begun since somebody asked.
    pub(crate) begun: Vec<u64>,
    pub(crate) taken_over: u64,
}

struct Subscription {
    shard: String,
    index: usize,
    until: Millis,
    pushed_at: Millis,
    pipe: UnboundedSender<Pushed>,
}

/// What is to become of a subscription next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Push {
    /// At most so many records.
    Records(usize),
    /// The connection breaks.
    Breaks,
    /// The service says that it fails.
    Fails,
}

impl FanOut {
    /// The stream is gone, and all that was registered with it.
    pub(super) fn clear(&mut self) {
        self.consumers.clear();
        self.subscriptions.clear();
        self.latest.clear();
    }

    fn end(&mut self, id: u64, last: Option<Pushed>) {
        let Some(subscription) = self.subscriptions.remove(&id) else { return };
        if let Some(last) = last {
            drop(subscription.pipe.send(last));
        }
    }
}

impl Kinesis {
    pub(super) fn describe_stream_summary(&self) -> Value {
        json!({ "StreamDescriptionSummary": {
            "StreamName": "events", "StreamARN": STREAM_ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 0, "EnhancedMonitoring": [], "OpenShardCount": self.open_shards().len(),
        }})
    }

    pub(super) fn describe_stream_consumer(&self, now: Millis, body: &Value) -> Result<Result<Value, Refusal>, String> {
        let name = body["ConsumerName"].as_str().ok_or("a consumer without a name")?;
        let Some((arn, active_from)) = self.fan_out.consumers.get(name) else {
            return Ok(Err(no_consumer(name)));
        };
        let status = if now >= *active_from { "ACTIVE" } else { "CREATING" };
        Ok(Ok(json!({ "ConsumerDescription": {
            "ConsumerName": name, "ConsumerARN": arn, "ConsumerStatus": status, "StreamARN": STREAM_ARN,
            "ConsumerCreationTimestamp": 0,
        }})))
    }

    pub(super) fn register_stream_consumer(
        &mut self,
        now: Millis,
        body: &Value,
    ) -> Result<Result<Value, Refusal>, String> {
        let name = body["ConsumerName"].as_str().ok_or("a consumer without a name")?;
        if self.fan_out.consumers.contains_key(name) {
            return Ok(Err(in_use(format!("Consumer {name} already exists"))));
        }
        self.fan_out.next += 1;
        let arn = format!("{STREAM_ARN}/consumer/{name}:{}", self.fan_out.next);
        self.fan_out.consumers.insert(name.to_owned(), (arn.clone(), now + BECOMES_ACTIVE));
        Ok(Ok(json!({ "Consumer": {
            "ConsumerName": name, "ConsumerARN": arn, "ConsumerStatus": "CREATING", "ConsumerCreationTimestamp": 0,
        }})))
    }

    pub(super) fn subscribe_to_shard(&mut self, now: Millis, body: &Value) -> Result<Answer, String> {
        let arn = body["ConsumerARN"].as_str().ok_or("a subscription of no consumer")?;
        let id = body["ShardId"].as_str().ok_or("a subscription to no shard")?;
        let is_active = |(known, active_from): &(String, Millis)| known == arn && now >= *active_from;
        if !self.fan_out.consumers.values().any(is_active) {
            return Ok(no_consumer(arn).into());
        }
        let Some(shard) = self.shards.get(id) else { return Ok(no_shard(id).into()) };
        let position = &body["StartingPosition"];
        let place = StartingPlace {
            kind: position["Type"].as_str().ok_or("a subscription from no place")?,
            sequence: position["SequenceNumber"].as_str(),
            time: &position["Timestamp"],
            // The place that an event named is none of a record.
            is_of_a_record: false,
        };
        let index = match self.index(shard, &place)? {
            Ok(index) => index,
            Err(refusal) => return Ok(refusal.into()),
        };
        let key = (arn.to_owned(), id.to_owned());
        if let Some((since, earlier)) = self.fan_out.latest.get(&key).copied() {
            if now < since + BETWEEN_SUBSCRIPTIONS {
                return Ok(Refusal("LimitExceededException", "one call a second".to_owned()).into());
            }
            if now < since + TAKE_OVER_AFTER && self.fan_out.subscriptions.contains_key(&earlier) {
                return Ok(in_use("Another active subscription exists for this consumer".to_owned()).into());
            }
            self.fan_out.taken_over += u64::from(self.fan_out.subscriptions.contains_key(&earlier));
            self.fan_out.end(earlier, None);
        }
        let (pipe, events) = unbounded_channel();
        drop(pipe.send(Ok(events::initial_response())));
        let fan_out = &mut self.fan_out;
        fan_out.next += 1;
        let until = now + fan_out.lives;
        let subscription = Subscription { shard: key.1.clone(), index, until, pushed_at: now, pipe };
        fan_out.subscriptions.insert(fan_out.next, subscription);
        fan_out.latest.insert(key, (now, fan_out.next));
        fan_out.begun.push(fan_out.next);
        Ok(Answer::Events(events))
    }

    /// Pushes what comes next; says how many records of which shard, or `None` when the subscription is over.
    pub(crate) fn push(&mut self, now: Millis, id: u64, push: Push) -> Option<(String, usize)> {
        let subscription = self.fan_out.subscriptions.get(&id)?;
        let last = match push {
            _ if now > subscription.until => Some(None),
            Push::Breaks => Some(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset)))),
            Push::Fails => Some(Some(Ok(events::exception("InternalFailureException", "failed")))),
            Push::Records(_) if !self.shards.contains_key(&subscription.shard) => {
                Some(Some(Ok(events::exception("ResourceNotFoundException", "the shard is gone"))))
            }
            Push::Records(_) => None,
        };
        if let Some(last) = last {
            self.fan_out.end(id, last);
            return None;
        }
        let Push::Records(most) = push else { return None };
        self.push_records(now, id, most)
    }

    fn push_records(&mut self, now: Millis, id: u64, most: usize) -> Option<(String, usize)> {
        let subscription = self.fan_out.subscriptions.get(&id)?;
        let shard = self.shards.get(&subscription.shard)?;
        let from = subscription.index.max(shard.trimmed);
        let to = from.saturating_add(most).min(shard.log.len());
        let is_end = to == shard.log.len() && !shard.is_open();
        if from == to && !is_end && now < subscription.pushed_at + SILENCE {
            return Some((subscription.shard.clone(), 0));
        }
        let records: Vec<_> = shard.log[from..to].iter().map(record).collect();
        let behind = shard.log.get(to).map_or(0, |next| now.saturating_sub(next.arrival).max(1));
        let mut event = json!({ "Records": records, "MillisBehindLatest": behind });
        if is_end {
            event["ChildShards"] = children(&self.shards, &subscription.shard).into();
        } else {
            let named = if self.mutation == Some(Mutation::OtherContinuation) { shard.log.len() } else { to };
            let last = named.checked_sub(1).and_then(|last| shard.log.get(last)).map(|entry| entry.sequence);
            // There is no record at it.
            event["ContinuationSequenceNumber"] = (last.unwrap_or(shard.first_sequence) + 8).to_string().into();
        }
        let told = Some((subscription.shard.clone(), to - from));
        let subscription = self.fan_out.subscriptions.get_mut(&id)?;
        (subscription.index, subscription.pushed_at) = (to, now);
        if subscription.pipe.send(Ok(events::event(&event))).is_err() || is_end {
            self.fan_out.end(id, None);
        }
        told
    }
}

fn no_consumer(which: &str) -> Refusal {
    Refusal("ResourceNotFoundException", format!("Consumer {which} not found."))
}

fn in_use(message: String) -> Refusal {
    Refusal("ResourceInUseException", message)
}
