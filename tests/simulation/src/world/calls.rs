//! Calls on their way: what becomes of each, by the weather and the seed.

use serde_json::json;
use tokio::sync::oneshot;

use super::{Event, Partition, World, describe, table_name};
use crate::Millis;
use crate::dynamodb::{Checkpoint, Table};
use crate::kinesis::{EPOCH, Mood, Push, Shard};
use crate::mutation::Mutation;
use crate::net::{Answer, Call, Reply, Sent, Service};
use crate::plan::Start;
use crate::sink::{SinkAnswer, SinkCall};

/// A call on its way to a service.
pub(super) struct Flight {
    /// When it was sent.
    pub(super) sent: Millis,
    process: usize,
    call: Call,
    answer: oneshot::Sender<Reply>,
    fate: Fate,
}

/// An answer on its way back.
pub(super) struct Delivery {
    answer: oneshot::Sender<Reply>,
    reply: Reply,
}

/// What is to become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// Nothing happens.
    LostRequest {
        resets: bool,
    },
    /// It has its effect, and nobody is told.
    LostAnswer {
        resets: bool,
    },
    /// The service does not do it now.
    Throttled,
    /// The service fails, with or without the effect.
    Failed {
        effect: bool,
    },
    /// The process dies, before or after the effect.
    Crash {
        effect: bool,
    },
}

impl Fate {
    fn has_effect(self) -> bool {
        match self {
            Self::Fine | Self::LostAnswer { .. } => true,
            Self::LostRequest { .. } | Self::Throttled => false,
            Self::Failed { effect } | Self::Crash { effect } => effect,
        }
    }
}

impl World {
    /// A process has sent a call.
    pub(super) fn send(&mut self, process: usize, sent: Sent) {
        let Sent { at, call, answer } = sent;
        let fate = self.fate(at, process, call.service());
        let delay = self.delay();
        self.count(match call.service() {
            Service::Kinesis => "calls to Kinesis",
            Service::DynamoDb => "calls to DynamoDB",
            Service::S3 => "calls to S3",
            Service::Sink => "calls to sinks",
        });
        self.at(at + delay, Event::Arrive(Box::new(Flight { sent: at, process, call, answer, fate })));
    }

    fn fate(&mut self, at: Millis, process: usize, service: Service) -> Fate {
        let slot = self.processes.get(&process).map(|running| running.slot);
        let cut = self.partitions.iter().find(|cut| Some(cut.slot) == slot && cut.service == service && at < cut.until);
        if let Some(cut) = cut {
            return Fate::LostRequest { resets: cut.resets };
        }
        let weather = self.weather;
        let mut roll = self.rng.u32(0..10_000);
        let (resets, effect) = (self.rng.bool(), self.rng.bool());
        // Reads are many and mean little.
        let rarer = if service == Service::Kinesis { 4 } else { 1 };
        let fates = [
            (weather.crash, Fate::Crash { effect }),
            (weather.lost_request, Fate::LostRequest { resets }),
            (weather.lost_answer, Fate::LostAnswer { resets }),
            (weather.throttled, Fate::Throttled),
            (weather.failed, Fate::Failed { effect }),
        ];
        for (weight, fate) in fates {
            let weight = weight / rarer;
            if roll < weight {
                return fate;
            }
            roll -= weight;
        }
        Fate::Fine
    }

    fn delay(&mut self) -> Millis {
        let roll = self.rng.u32(0..10_000);
        if roll < self.weather.very_slow {
            return self.rng.u64(5_000..45_000);
        }
        if roll < self.weather.very_slow + self.weather.slow {
            return self.rng.u64(50..3_000);
        }
        self.rng.u64(1..12)
    }

    /// A call is at its service.
    pub(super) fn arrive(&mut self, flight: Flight) {
        let Flight { process, call, answer, fate, .. } = flight;
        let value = if fate.has_effect() { self.serve(process, &call) } else { Answer::Reset };
        let who = self.processes.get(&process).map_or_else(|| "a dead one".to_owned(), |running| running.name.clone());
        self.tell(&who, || describe::call(&call, &value, fate.has_effect(), &format!("{fate:?}")));
        let value = match fate {
            Fate::Fine => value,
            Fate::Throttled => {
                self.count("calls throttled");
                throttled(call.service())
            }
            Fate::Failed { .. } => {
                self.count("calls failed");
                failed(call.service())
            }
            Fate::LostRequest { resets: true } | Fate::LostAnswer { resets: true } => {
                self.count(if fate.has_effect() { "answers lost" } else { "requests lost" });
                Answer::Reset
            }
            Fate::LostRequest { resets: false } | Fate::LostAnswer { resets: false } => {
                self.count(if fate.has_effect() { "answers that never came" } else { "requests that hung" });
                self.hung.push(answer);
                return;
            }
            Fate::Crash { effect } => return self.crash_at_call(process, effect),
        };
        let delay = self.delay();
        let reply = Reply { answer: value, date: self.date(process) };
        self.after(delay, Event::Deliver(Box::new(Delivery { answer, reply })));
    }

    /// The time at the services.
    fn date(&self, process: usize) -> Millis {
        let now = EPOCH + self.now;
        match self.processes.get(&process) {
            Some(running) if self.mutation == Some(Mutation::MachineTime) => {
                now.saturating_add_signed(running.process.rate.wall_error)
            }
            _ => now,
        }
    }

    fn crash_at_call(&mut self, process: usize, effect: bool) {
        let Some(slot) = self.processes.get(&process).map(|running| running.slot) else { return };
        let is_current = self.places.get(&slot).is_some_and(|place| place.current == Some(process));
        self.count(if effect { "crashes after a call whose answer was lost" } else { "crashes before a call" });
        self.kill(process, "crashes at this call");
        if is_current {
            let (back, same_id) = (self.rng.u64(0..2 * self.plan.failover), self.rng.bool());
            self.comes_back(slot, back, same_id);
        }
    }

    fn push_later(&mut self, process: usize, subscription: u64) {
        let wait = self.rng.u64(10..300);
        self.after(wait, Event::Push { process, subscription });
    }

    /// Something may be pushed, or a subscription may end.
    pub(super) fn push(&mut self, process: usize, subscription: u64) {
        let Some(running) = self.processes.get(&process) else { return };
        let (slot, name, weather) = (running.slot, running.name.clone(), self.weather);
        let is_cut = |cut: &&Partition| cut.slot == slot && cut.service == Service::Kinesis && self.now < cut.until;
        let cut = self.partitions.iter().find(is_cut).map(|cut| cut.resets);
        let roll = self.rng.u32(0..10_000);
        // Few at a time, so that subscriptions end while there is more to come.
        let most = self.rng.usize(1..8);
        let push = match cut {
            Some(false) => return self.push_later(process, subscription),
            Some(true) => Push::Breaks,
            None if roll < weather.lost_answer / 4 => Push::Breaks,
            None if roll < (weather.lost_answer + weather.failed) / 4 => Push::Fails,
            None => Push::Records(most),
        };
        let pushed = self.kinesis.push(self.now, subscription, push);
        self.count(if pushed.is_some() { "pushes" } else { "subscriptions that ended" });
        match pushed {
            Some((_, 0)) => {}
            Some((shard, records)) => self.tell(&name, || format!("is pushed {records} records of {shard}")),
            None => return self.tell(&name, || format!("has no subscription any more: {push:?}")),
        }
        self.push_later(process, subscription);
    }

    /// An answer is at its process, which may be dead or may have given up.
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        drop(delivery.answer.send(delivery.reply));
    }

    fn serve(&mut self, process: usize, call: &Call) -> Answer {
        let served = match call {
            Call::Sink(call) => Ok(self.serve_sink(process, call)),
            Call::Http(call) => match call.service {
                Service::Kinesis => {
                    let mood = self.mood();
                    let answer = self.kinesis.answer(self.now, &call.operation, &call.body, mood);
                    for subscription in std::mem::take(&mut self.kinesis.fan_out.begun) {
                        self.push_later(process, subscription);
                    }
                    answer
                }
                Service::DynamoDb => {
                    let stale_by = self.rng.u64(0..3_000);
                    self.dynamodb.answer(self.now, &call.operation, &call.body, stale_by)
                }
                Service::S3 | Service::Sink => self.letters.answer(call),
            },
        };
        served.unwrap_or_else(|problem| {
            self.violations.push(format!("a call that nobody may make: {problem}"));
            Answer::Reset
        })
    }

    fn serve_sink(&mut self, process: usize, call: &SinkCall) -> Answer {
        self.check_parents(call);
        if self.mutation == Some(Mutation::CommitFirst) {
            self.after(2_000, Event::LateEffect(process, Box::new(call.clone())));
            return Answer::Sink(SinkAnswer::Done);
        }
        if self.rng.u32(0..10_000) < self.weather.spoiled {
            self.count("batches spoiled");
            if self.rng.bool() {
                self.store(process, call);
            }
            return Answer::Sink(SinkAnswer::Gone);
        }
        Answer::Sink(self.store(process, call))
    }

    pub(super) fn store(&mut self, process: usize, call: &SinkCall) -> SinkAnswer {
        let table = self.dynamodb.tables.get(&table_name(call.sink));
        let start = table.and_then(|table| table.books.start(call.range.shard.as_str())).unwrap_or(0);
        self.stores[call.sink].take(self.now, process, call, &self.kinesis, start)
    }

    /// No child's first apply before all its parents' ends.
    fn check_parents(&mut self, call: &SinkCall) {
        let shard = call.range.shard.as_str();
        let Some(table) = self.dynamodb.tables.get(&table_name(call.sink)) else { return };
        for parent in self.kinesis.parents(shard, &call.range.end_inclusive) {
            // What was left of a parent that retention has deleted, nobody can read.
            let is_gone = !self.kinesis.shards.contains_key(&parent);
            let is_before_the_start = !table.rows.contains_key(&parent) && self.ended_before_reading(table, &parent);
            if !table.books.ended.contains_key(&parent) && !is_gone && !is_before_the_start {
                self.violations.push(format!("{shard} is applied before its parent {parent} is at its end"));
            }
        }
    }

    /// Whether a shard had ended when somebody began with the newest record of the stream.
    pub(super) fn ended_before_reading(&self, table: &Table, shard: &str) -> bool {
        let ended = self.kinesis.shards.get(shard).and_then(Shard::ended);
        self.plan.start == Start::Latest
            && ended.is_some_and(|ended| table.books.begin.is_some_and(|begin| ended <= begin))
    }

    fn mood(&mut self) -> Mood {
        if self.rng.u32(0..10_000) >= self.weather.odd_reads {
            return Mood { at_most: Some(1_000), ..Mood::default() };
        }
        self.count("odd answers of the stream");
        Mood {
            stale_by: self.rng.u64(0..3_000),
            empty: self.rng.bool(),
            at_most: Some(self.rng.usize(1..5)),
            childless_end: self.rng.u32(0..4) == 0,
        }
    }

    /// What the services' books say is wrong.
    pub(super) fn collect(&mut self) {
        for table in self.dynamodb.tables.values_mut() {
            self.violations.append(&mut table.books.violations);
        }
        for store in &mut self.stores {
            self.violations.append(&mut store.violations);
        }
        self.violations.append(&mut self.letters.violations);
    }
}

/// Whether a checkpoint has passed a position.
pub(super) fn has_passed(checkpoint: Checkpoint, position: &penstock_contract::Position) -> bool {
    match checkpoint {
        Checkpoint::Begin => false,
        Checkpoint::ShardEnd => true,
        Checkpoint::At(sequence, sub) => position
            .sequence
            .as_str()
            .parse::<u128>()
            .is_ok_and(|number| (number, position.sub_sequence) <= (sequence, sub)),
    }
}

fn throttled(service: Service) -> Answer {
    let json =
        |code: &str| Answer::Http { status: 400, body: json!({ "__type": code, "message": "slower" }).to_string() };
    match service {
        Service::Kinesis => json("ProvisionedThroughputExceededException"),
        Service::DynamoDb => json("ThrottlingException"),
        Service::S3 => Answer::Http { status: 503, body: "<Error><Code>SlowDown</Code></Error>".to_owned() },
        Service::Sink => Answer::Sink(SinkAnswer::Throttled),
    }
}

fn failed(service: Service) -> Answer {
    match service {
        Service::Kinesis | Service::DynamoDb => Answer::Http {
            status: 500,
            body: json!({ "__type": "InternalServerError", "message": "failed" }).to_string(),
        },
        Service::S3 => Answer::Http { status: 500, body: "<Error><Code>InternalError</Code></Error>".to_owned() },
        Service::Sink => Answer::Sink(SinkAnswer::Failed),
    }
}
