//! What a seed stands for: the world's size, its weather, and what happens when.

use fastrand::Rng;

use crate::Millis;
use crate::net::Service;
use crate::record::{Content, Fate};
use crate::sink::Kind;

/// A schedule.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) shards: usize,
    pub(crate) sinks: Vec<SinkPlan>,
    /// Processes for each sink.
    pub(crate) workers: usize,
    pub(crate) failover: Millis,
    pub(crate) puts: Vec<Put>,
    pub(crate) weather: Weather,
    pub(crate) actions: Vec<(Millis, Action)>,
    /// From then on nothing goes wrong any more, and everything must come to rest.
    pub(crate) calm_at: Millis,
    pub(crate) retention: Option<Millis>,
    pub(crate) iterator_life: Millis,
    pub(crate) rows_a_page: usize,
    pub(crate) shards_a_page: usize,
    pub(crate) table_from: Millis,
    pub(crate) stream_from: Millis,
    /// How much one read asks for, and how much all shards of a worker may have read ahead.
    pub(crate) read_bytes: usize,
    pub(crate) worker_prefetch_bytes: usize,
    /// A difference in throughput that is not worth a move, in bytes a second.
    pub(crate) least_imbalance: u64,
    /// How far back a record makes another one a repeat; `None` when each one counts.
    pub(crate) window: Option<Window>,
    pub(crate) start: Start,
    /// Each place begins with a recipe of its own, as when a deployment is under way.
    pub(crate) mixed_recipes: bool,
    /// The clocks of processes go wrong.
    pub(crate) wrong_clocks: bool,
    /// Records are pushed instead of asked for.
    pub(crate) fan_out: Option<Subscriptions>,
    /// At the end the workers are told to end at the tip, instead of to drain.
    pub(crate) ends_at_tip: bool,
}

/// One sink.
#[derive(Debug)]
pub(crate) struct SinkPlan {
    pub(crate) kind: Kind,
    pub(crate) range_records: usize,
    pub(crate) max_age: Millis,
}

/// A stream record that is put.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) at: Millis,
    /// What is in it; more than one make an aggregate.
    pub(crate) records: Vec<Content>,
}

/// How far back a record with the same id makes a record a repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) millis: Millis,
    pub(crate) records: u64,
}

/// How long the subscriptions of registered consumers last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscriptions {
    /// Then the consumer begins another.
    pub(crate) renewed_after: Millis,
    /// Then the service ends one.
    pub(crate) live: Millis,
}

/// Where reading of the stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the oldest record.
    TrimHorizon,
    /// With what comes from then on.
    Latest,
    /// As `Latest`, and a KCL application that had not read anything yet left a lease of each shard.
    LatestOfKcl,
}

/// One process's place: which sink it works for, and which of its workers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) sink: usize,
    pub(crate) worker: usize,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Start {
        slot: Slot,
    },
    /// The process dies, and another takes its place after a while.
    Crash {
        slot: Slot,
        back: Millis,
        same_id: bool,
    },
    /// The process does not run for a while.
    Pause {
        slot: Slot,
        lasts: Millis,
    },
    /// As `Pause`, and another process with the same id runs beside it when it wakes up.
    Twin {
        slot: Slot,
        lasts: Millis,
        lives: Millis,
    },
    /// The process is told to drain; another takes its place, perhaps with another recipe.
    Deploy {
        slot: Slot,
        back: Millis,
        same_id: bool,
        new_recipe: bool,
    },
    /// The process cannot reach a service for a while.
    Partition {
        slot: Slot,
        service: Service,
        lasts: Millis,
    },
    Split {
        pick: usize,
    },
    Merge {
        pick: usize,
    },
    /// All open shards are split, or merged two by two.
    Resize {
        up: bool,
    },
    /// The stream is deleted, and after a while there is another one of its name.
    Recreate {
        shards: usize,
        back: Millis,
    },
}

/// What calls meet, each in so many of ten thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) crash: u32,
    pub(crate) lost_request: u32,
    pub(crate) lost_answer: u32,
    pub(crate) throttled: u32,
    pub(crate) failed: u32,
    pub(crate) slow: u32,
    pub(crate) very_slow: u32,
    /// Of a sink's batches, so many are spoiled.
    pub(crate) spoiled: u32,
    /// Of a thousand pushes, so many fail.
    pub(crate) failing_pushes: u32,
    /// Answers of the stream that are odd, and yet allowed or known.
    pub(crate) odd_reads: u32,
}

impl Plan {
    /// The seed's schedule.
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let shards = rng.usize(1..=4);
        let sinks = if rng.u32(0..8) == 0 { 2 } else { 1 };
        let workers = if sinks == 2 { 2 } else { rng.usize(2..=4) };
        let failover = [1_000, 2_000, 4_000, 10_000][rng.usize(0..4)];
        let window = rng.u64(6_000..16_000);
        // Of its own luck, so that the schedules without it stay what they were.
        let mut room = Rng::with_seed(rng.get_seed() ^ 0x00A4_EAD5);
        let mut late_start = if rng.u32(0..5) == 0 { rng.u64(0..window / 2) } else { 0 };
        let mut plan = Self {
            shards,
            sinks: (0..sinks).map(|n| SinkPlan::of(rng, n)).collect(),
            workers,
            failover,
            puts: puts(rng, window),
            weather: Weather::of(rng),
            actions: Vec::new(),
            calm_at: window + rng.u64(0..3 * failover),
            retention: (rng.u32(0..8) == 0).then(|| rng.u64(4_000..15_000)),
            iterator_life: if rng.u32(0..4) == 0 { rng.u64(1_500..6_000) } else { 300_000 },
            rows_a_page: if rng.u32(0..4) == 0 { rng.usize(2..6) } else { 1_000 },
            shards_a_page: if rng.bool() { rng.usize(1..4) } else { 1_000 },
            table_from: if rng.u32(0..10) == 0 { rng.u64(0..8_000) } else { 0 },
            stream_from: if rng.u32(0..10) == 0 { rng.u64(0..8_000) } else { 0 },
            ends_at_tip: rng.u32(0..3) == 0,
            read_bytes: [1_000, 1 << 20][room.usize(0..2)],
            least_imbalance: [1, 64 << 10][room.usize(0..2)],
            worker_prefetch_bytes: [1, 1_000, 4_000, 1 << 20][room.usize(0..4)],
            window: None,
            start: Start::TrimHorizon,
            mixed_recipes: false,
            wrong_clocks: false,
            fan_out: None,
        };
        // Of its own luck, so that the schedules without it stay what they were.
        let mut luck = Rng::with_seed(rng.get_seed() ^ 0x0DE1_E7ED);
        if plan.retention.is_none() && luck.u32(0..6) == 0 {
            let recreate = Action::Recreate { shards: luck.usize(1..=4), back: luck.u64(0..8_000) };
            plan.actions.push((luck.u64(window / 4..window), recreate));
        }
        plan.vary(&mut Rng::with_seed(rng.get_seed() ^ 0x0005_7A27), &mut late_start, window);
        for slot in plan.slots() {
            let at = late_start + if slot.worker == 0 { 0 } else { rng.u64(0..window) * rng.u64(0..2) };
            plan.actions.push((at, Action::Start { slot }));
        }
        for _ in 0..rng.usize(0..10) {
            let at = rng.u64(0..plan.calm_at);
            let action = Action::of(rng, &plan);
            plan.actions.push((at, action));
        }
        plan
    }

    /// Where reading begins, what producers put again, how clocks go: with luck of their own.
    fn vary(&mut self, luck: &mut Rng, late_start: &mut Millis, until: Millis) {
        self.mixed_recipes = luck.bool();
        self.wrong_clocks = luck.u32(0..3) == 0;
        let loses = self.retention.is_some() || self.actions.iter().any(|(_, action)| action.is_recreate());
        // What is a repeat, and where reading began, is to be known from a stream that has all of its records.
        if !loses && luck.u32(0..5) < 2 {
            let window = Window {
                millis: [300, 2_000, 8_000, 3_600_000][luck.usize(0..4)],
                records: [3, 20, 100_000][luck.usize(0..3)],
            };
            self.window = Some(window);
            put_again(luck, &mut self.puts, window, until);
        }
        if !loses && luck.u32(0..5) == 0 {
            self.start = [Start::Latest, Start::Latest, Start::LatestOfKcl][luck.usize(0..3)];
            *late_start = luck.u64(0..until / 2);
        }
        if luck.u32(0..6) == 0 {
            let (renewed_after, live) = (luck.u64(1_500..15_000), luck.u64(2_000..30_000));
            self.fan_out = Some(Subscriptions { renewed_after, live });
        }
    }

    /// All places for processes.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let of = |sink| (0..self.workers).map(move |worker| Slot { sink, worker });
        (0..self.sinks.len()).flat_map(of).collect()
    }
}

impl SinkPlan {
    fn of(rng: &mut Rng, n: usize) -> Self {
        let kind = if (n == 0) == rng.bool() { Kind::Objects } else { Kind::Sums };
        Self { kind, range_records: rng.usize(2..40), max_age: rng.u64(200..4_000) }
    }
}

impl Weather {
    fn of(rng: &mut Rng) -> Self {
        if rng.u32(0..8) == 0 {
            return Self::default();
        }
        let mut up_to = |most: u32| if rng.bool() { rng.u32(0..=most) } else { 0 };
        Self {
            crash: up_to(120),
            lost_request: up_to(200),
            lost_answer: up_to(300),
            throttled: up_to(400),
            failed: up_to(300),
            slow: up_to(600),
            very_slow: up_to(60),
            spoiled: up_to(800),
            failing_pushes: up_to(30),
            odd_reads: up_to(2_000),
        }
    }
}

impl Action {
    fn is_recreate(&self) -> bool {
        matches!(self, Self::Recreate { .. })
    }

    fn of(rng: &mut Rng, plan: &Plan) -> Self {
        let slot = Slot { sink: rng.usize(0..plan.sinks.len()), worker: rng.usize(0..plan.workers) };
        let failover = plan.failover;
        let back = rng.u64(0..2 * failover);
        match rng.u32(0..16) {
            0..4 => Self::Crash { slot, back, same_id: rng.bool() },
            4..6 => Self::Pause { slot, lasts: rng.u64(failover / 2..4 * failover) },
            6 => Self::Twin { slot, lasts: rng.u64(failover / 2..2 * failover), lives: rng.u64(0..2 * failover) },
            7..9 => Self::Deploy { slot, back: back / 4, same_id: rng.bool(), new_recipe: rng.bool() },
            9..11 => {
                let service = [Service::Kinesis, Service::DynamoDb, Service::Sink, Service::S3][rng.usize(0..4)];
                Self::Partition { slot, service, lasts: rng.u64(failover / 2..4 * failover) }
            }
            11..13 => Self::Split { pick: rng.usize(0..8) },
            13..15 => Self::Merge { pick: rng.usize(0..8) },
            _ => Self::Resize { up: rng.bool() },
        }
    }
}

fn puts(rng: &mut Rng, window: Millis) -> Vec<Put> {
    let records = rng.u64(50..=300);
    let keys = rng.usize(1..=30);
    let (aggregated, bad) = (rng.u32(0..100), if rng.bool() { rng.u32(0..8) } else { 0 });
    let mut puts = Vec::new();
    let mut number = 0;
    while number < records {
        let members = if rng.u32(0..100) < aggregated { rng.u64(2..10) } else { 1 };
        let mut record = |number| {
            let fate = match rng.u32(0..200) {
                roll if roll < bad => Fate::Rejected,
                roll if roll < 2 * bad => Fate::Refused,
                _ => Fate::Stored,
            };
            let key = format!("key-{}", rng.usize(0..keys));
            Content { number, id: number, key, value: rng.i64(-50..100), fate }
        };
        let records = (number..number + members).map(&mut record).collect();
        puts.push(Put { at: rng.u64(0..window), records });
        number += members;
    }
    puts
}

/// Producers put some records again: all that were put together, since the answer was lost, or one of them alone.
fn put_again(luck: &mut Rng, puts: &mut Vec<Put>, window: Window, until: Millis) {
    let share = luck.u32(1..50);
    let mut number: u64 = puts.iter().map(|put| put.records.len() as u64).sum();
    for place in 0..puts.len() {
        let mut at = puts[place].at;
        while luck.u32(0..100) < share {
            at += if luck.bool() { luck.u64(0..500) } else { luck.u64(0..2 * window.millis.min(6_000)) };
            if at >= until {
                break;
            }
            let all = &puts[place].records;
            let some = if luck.bool() { &all[..] } else { std::slice::from_ref(&all[luck.usize(0..all.len())]) };
            let again = |content: &Content| {
                number += 1;
                Content { number: number - 1, ..content.clone() }
            };
            let records = some.iter().map(again).collect();
            puts.push(Put { at, records });
        }
    }
}
