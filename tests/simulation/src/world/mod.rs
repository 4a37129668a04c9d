//! A world: processes, services, a network between them and one clock.
//!
//! What happens next is always the earliest event. Before it happens every process runs until its own clock is
//! there; whatever it sends on the way becomes an event. Nothing arrives in the millisecond in which it was sent,
//! so no process can be late for anything.

mod actions;
mod calls;
mod describe;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fastrand::Rng;
use penstock_stream::HashKey;
use penstock_stream::aggregate::Aggregator;
use tokio::sync::oneshot;

use crate::Millis;
use crate::dynamodb::{DynamoDb, Table};
use crate::kinesis::Kinesis;
use crate::letters::Letters;
use crate::mutation::Mutation;
use crate::net::{Reply, Service};
use crate::plan::{Action, Plan, Put, Slot, Start, Weather};
use crate::process::{Ended, Process};
use crate::sink::SinkCall;
use crate::store::Store;
use calls::{Delivery, Flight};

/// How long it may take until everything is at rest, once nothing goes wrong any more. Calls that hang are given
/// up after 30 seconds each, twice at most in one operation, and waits grow to 20 seconds.
const PATIENCE: Millis = 240_000;
/// How long ending may take.
const END_PATIENCE: Millis = 120_000;
/// How often to look whether everything is at rest.
const LOOK_EVERY: Millis = 500;

/// How a seed went.
#[derive(Debug)]
pub struct Outcome {
    /// What must not be; empty when all is well.
    pub violations: Vec<String>,
    /// How often what happened.
    pub coverage: BTreeMap<&'static str, u64>,
    /// Who called what and what came of it; only when asked for.
    pub trace: Vec<String>,
}

/// Runs a seed's schedule.
#[must_use]
pub fn run(seed: u64, mutation: Option<Mutation>, traced: bool) -> Outcome {
    // The consumer's own jitter, and the SDK's.
    fastrand::seed(seed ^ 0x5EED);
    let mut world = World::new(Rng::with_seed(seed), mutation, traced);
    world.go();
    world.outcome()
}

enum Event {
    Act(Action),
    Put(usize),
    Arrive(Box<Flight>),
    Deliver(Box<Delivery>),
    /// Records are pushed to a process that has subscribed.
    Push {
        process: usize,
        subscription: u64,
    },
    Resume(usize),
    Kill(usize),
    /// A mutation: what the sink said was done.
    LateEffect(usize, Box<SinkCall>),
    Calm,
    Look,
}

/// A process with what the world knows about it.
struct Running {
    process: Process,
    slot: Slot,
    name: String,
    is_paused: bool,
    /// It may end, and then this follows.
    then: Option<Then>,
}

/// What follows when a process ends.
#[derive(Clone, Copy)]
enum Then {
    Nothing,
    Restart { after: Millis, same_id: bool, new_recipe: bool },
}

/// Where a process runs, one after the other.
#[derive(Default)]
struct Place {
    current: Option<usize>,
    generation: u32,
    name: String,
    /// The recipe: in how many parts objects are written.
    parts: u64,
}

struct Partition {
    slot: Slot,
    service: Service,
    until: Millis,
    /// Connections break at once, instead of hanging.
    resets: bool,
}

struct World {
    rng: Rng,
    /// Of its own, so that the schedules without it stay what they were.
    luck: Rng,
    plan: Plan,
    weather: Weather,
    mutation: Option<Mutation>,
    now: Millis,
    events: BTreeMap<(Millis, u64), Event>,
    next_event: u64,
    kinesis: Kinesis,
    dynamodb: DynamoDb,
    letters: Letters,
    stores: Vec<Store>,
    processes: BTreeMap<usize, Running>,
    next_process: usize,
    places: BTreeMap<Slot, Place>,
    partitions: Vec<Partition>,
    /// Nobody will ever answer these.
    hung: Vec<oneshot::Sender<Reply>>,
    /// When records were deleted by retention.
    trimmed: BTreeMap<u64, Millis>,
    is_calm: bool,
    /// When everybody was told to end.
    ending_since: Option<Millis>,
    /// Who ended then, and of which sink it was a worker.
    left: Vec<(usize, String)>,
    is_over: bool,
    violations: Vec<String>,
    coverage: BTreeMap<&'static str, u64>,
    traced: bool,
    trace: Vec<String>,
}

impl World {
    fn new(mut rng: Rng, mutation: Option<Mutation>, traced: bool) -> Self {
        let luck = Rng::with_seed(rng.get_seed() ^ 0x00C1_0CC5);
        let plan = Plan::of(&mut rng);
        let mut kinesis = Kinesis::new(plan.shards);
        kinesis.retention = plan.retention;
        kinesis.iterator_life = plan.iterator_life;
        kinesis.page = plan.shards_a_page;
        kinesis.exists_from = plan.stream_from;
        kinesis.window = plan.window;
        kinesis.fan_out.lives = plan.fan_out.map_or(0, |subscriptions| subscriptions.live);
        // Where reading begins at a time, it would not be the window that is noticed.
        kinesis.mutation = mutation.filter(|_| plan.start == Start::TrimHorizon);
        let kcl_leases = if plan.start == Start::LatestOfKcl { kinesis.open_shards() } else { Vec::new() };
        let table = |sink| {
            let mut table = Table::existing_from(plan.table_from);
            table.leases_of_kcl(&kcl_leases);
            (table_name(sink), table)
        };
        let tables = (0..plan.sinks.len()).map(table).collect();
        let dynamodb = DynamoDb { tables, page: plan.rows_a_page, mutation, stale_reads: 0 };
        let stores = plan.sinks.iter().map(|_| Store::new(mutation)).collect();
        let mut world = Self {
            weather: plan.weather,
            mutation,
            now: 0,
            events: BTreeMap::new(),
            next_event: 0,
            kinesis,
            dynamodb,
            letters: Letters::default(),
            stores,
            processes: BTreeMap::new(),
            next_process: 0,
            places: BTreeMap::new(),
            partitions: Vec::new(),
            hung: Vec::new(),
            trimmed: BTreeMap::new(),
            is_calm: false,
            ending_since: None,
            left: Vec::new(),
            is_over: false,
            violations: Vec::new(),
            coverage: BTreeMap::new(),
            traced,
            trace: Vec::new(),
            rng,
            luck,
            plan,
        };
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        let puts: Vec<_> = self.plan.puts.iter().map(|put| put.at.max(self.plan.stream_from)).collect();
        for (n, at) in puts.into_iter().enumerate() {
            self.at(at, Event::Put(n));
        }
        for (at, action) in self.plan.actions.clone() {
            self.at(at, Event::Act(action));
        }
        self.at(self.plan.calm_at, Event::Calm);
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    fn after(&mut self, wait: Millis, event: Event) {
        self.at(self.now + wait, event);
    }

    fn go(&mut self) {
        while let Some((at, _)) = self.events.first_key_value().map(|(key, _)| *key) {
            if self.advance(at) {
                // There may be something earlier now.
                continue;
            }
            let Some((_, event)) = self.events.pop_first() else { return };
            self.now = at;
            self.happen(event);
            self.collect();
            if self.is_over || !self.violations.is_empty() {
                return;
            }
        }
    }

    /// Lets the processes run up to the moment; says whether one of them sent something, or ended.
    fn advance(&mut self, until: Millis) -> bool {
        let behind = |running: &Running| !running.is_paused && running.process.clock < until;
        let behind: Vec<_> = self.processes.iter().filter(|(_, running)| behind(running)).map(|(id, _)| *id).collect();
        for id in behind {
            let Some(running) = self.processes.get_mut(&id) else { continue };
            let sent = running.process.run_until(until);
            let ended = running.process.ended();
            let stirred = !sent.is_empty() || ended.is_some();
            for call in sent {
                self.send(id, call);
            }
            if let Some(ended) = ended {
                self.process_ended(id, ended);
            }
            if stirred {
                return true;
            }
        }
        false
    }

    fn happen(&mut self, event: Event) {
        for number in self.kinesis.trim(self.now) {
            self.trimmed.insert(number, self.now);
        }
        match event {
            Event::Act(action) => self.act(action),
            Event::Put(n) => self.put(n),
            Event::Arrive(flight) => self.arrive(*flight),
            Event::Deliver(delivery) => self.deliver(*delivery),
            Event::Push { process, subscription } => self.push(process, subscription),
            Event::Resume(id) => self.resume(id),
            Event::Kill(id) => self.kill(id, "a twin is killed"),
            Event::LateEffect(id, call) => {
                if self.processes.contains_key(&id) {
                    self.store(id, &call);
                }
            }
            Event::Calm => self.calm(),
            Event::Look => self.look(),
        }
    }

    fn put(&mut self, n: usize) {
        if self.now < self.kinesis.exists_from {
            // A producer waits for the stream.
            return self.at(self.kinesis.exists_from, Event::Put(n));
        }
        let Put { records, .. } = &self.plan.puts[n];
        let mut aggregator = Aggregator::new(1 << 20);
        for content in records {
            let data = Bytes::from(content.write());
            if aggregator.push(&content.key.as_str().into(), None, data).is_err() {
                self.violations.push("an aggregate is too large".to_owned());
            }
        }
        let numbers = format!("{:?}", records.iter().map(|content| content.number).collect::<Vec<_>>());
        let Some(aggregate) = aggregator.finish() else { return };
        let entry = aggregate.entry;
        let hash = entry.explicit_hash_key.unwrap_or_else(|| HashKey::of_partition_key(&entry.partition_key));
        match self.kinesis.put(self.now, hash.0, &entry.partition_key, entry.data) {
            Some(shard) => self.tell("producer", || format!("puts {numbers} into {shard}")),
            None => self.violations.push("no shard takes a record".to_owned()),
        }
        self.count("stream records");
    }

    /// Nothing goes wrong any more.
    fn calm(&mut self) {
        self.tell("world", || "nothing goes wrong any more".to_owned());
        self.is_calm = true;
        self.weather = Weather::default();
        self.partitions.clear();
        self.kinesis.retention = None;
        let ids: Vec<_> = self.processes.keys().copied().collect();
        for id in ids {
            self.resume(id);
            let is_current = self.places.values().any(|place| place.current == Some(id));
            if !is_current {
                self.kill(id, "a twin is killed");
            }
        }
        for sink in 0..self.plan.sinks.len() {
            self.start(Slot { sink, worker: 0 }, true, false);
        }
        self.look();
    }

    fn process_ended(&mut self, id: usize, ended: Ended) {
        let Some(running) = self.processes.remove(&id) else { return };
        let place = self.places.entry(running.slot).or_default();
        if place.current == Some(id) {
            place.current = None;
        }
        self.tell(&running.name, || format!("ended: {}", describe::ended(&ended)));
        match (ended, running.then) {
            (Ok(Ok(_)), Some(Then::Nothing)) => self.left.push((running.slot.sink, running.name)),
            (Ok(Ok(_)), Some(Then::Restart { after, same_id, new_recipe })) => {
                self.count("workers drained and replaced");
                let back = Action::Start { slot: running.slot };
                if let Some(place) = self.places.get_mut(&running.slot) {
                    place.parts = if new_recipe { place.parts % 3 + 1 } else { place.parts };
                    if !same_id {
                        place.name.clear();
                    }
                }
                self.after(after, Event::Act(back));
            }
            (ended, _) => {
                self.violations.push(format!("{} ended by itself: {}", running.name, describe::ended(&ended)));
            }
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
    }

    fn tell(&mut self, who: &str, what: impl FnOnce() -> String) {
        if self.traced {
            let (seconds, millis) = (self.now / 1000, self.now % 1000);
            self.trace.push(format!("{seconds:4}.{millis:03}  {who:<10} {}", what()));
        }
    }
}

/// The lease table of a sink.
fn table_name(sink: usize) -> String {
    format!("leases-{sink}")
}

/// A sink's name.
fn sink_name(sink: usize) -> String {
    format!("sink-{sink}")
}

/// Numbers that are in both.
type Lost = BTreeSet<u64>;
