//! What the schedule makes happen.

use std::time::Duration;

use penstock_api::plan::PipelineRef;
use penstock_api::plan::StartAt;
use penstock_consumer::{ConsumerConfig, FanOut, RepeatWindow, WorkerId};

use super::{Event, Partition, Running, Then, World, sink_name, table_name};
use crate::Millis;
use crate::mutation::Mutation;
use crate::plan::{Action, Slot, Start, Window};
use crate::process::{Clock, Process};
use crate::record::ID_FIELD;
use crate::sink::SimSink;

impl World {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Start { slot } => self.start(slot, true, false),
            Action::Crash { slot, back, same_id } => self.crash(slot, back, same_id),
            Action::Pause { slot, lasts } => {
                if let Some(id) = self.pause(slot) {
                    self.after(lasts, Event::Resume(id));
                }
            }
            Action::Twin { slot, lasts, lives } => self.twin(slot, lasts, lives),
            Action::Deploy { slot, back, same_id, new_recipe } => {
                self.drain(slot, Then::Restart { after: back, same_id, new_recipe });
            }
            Action::Partition { slot, service, lasts } => {
                let resets = self.rng.bool();
                self.count("partitions");
                let who = self.name_of(slot);
                self.tell("world", || format!("{who} cannot reach {service:?} for {lasts} ms"));
                let until = self.now + lasts;
                self.partitions.push(Partition { slot, service, until, resets });
            }
            Action::Split { .. } | Action::Merge { .. } | Action::Resize { .. } => self.reshard(&action),
            Action::Recreate { shards, back } => self.recreate(shards, back),
        }
    }

    fn name_of(&self, slot: Slot) -> String {
        self.places.get(&slot).map(|place| place.name.clone()).unwrap_or_default()
    }

    /// Starts a process in its place, if there is none.
    pub(super) fn start(&mut self, slot: Slot, same_id: bool, beside: bool) {
        let place = self.places.entry(slot).or_default();
        if self.ending_since.is_some() || (place.current.is_some() && !beside) {
            return;
        }
        place.generation += 1;
        if place.parts == 0 {
            place.parts = if self.plan.mixed_recipes { 1 + slot.worker as u64 % 3 } else { 1 };
        }
        if place.name.is_empty() || !same_id {
            place.name = format!("s{}w{}.{}", slot.sink, slot.worker, place.generation);
        }
        let (name, parts, id) = (place.name.clone(), place.parts, self.next_process);
        place.current = Some(id);
        self.next_process += 1;
        let (config, weather, plan) = (self.config(slot, &name), self.weather, &self.plan.sinks[slot.sink]);
        let sink = |line| SimSink {
            line,
            sink: slot.sink,
            kind: plan.kind,
            parts,
            range_records: plan.range_records,
            max_age: Duration::from_millis(plan.max_age),
            failing_pushes: weather.failing_pushes,
            ignores_recipes: self.mutation == Some(Mutation::OtherRecipe),
        };
        let clock = if self.plan.wrong_clocks { Clock::wrong(&mut self.luck) } else { Clock::right() };
        if let Some(table) = self.dynamodb.tables.get_mut(&table_name(slot.sink)) {
            table.books.first_worker.get_or_insert(self.now);
        }
        match Process::start(self.now, clock, config, sink) {
            Ok(process) => {
                self.tell(&name, || format!("starts, recipe {parts}, {clock}"));
                self.count("workers started");
                if self.plan.wrong_clocks {
                    self.count("workers with wrong clocks");
                }
                self.processes.insert(id, Running { process, slot, name, is_paused: false, then: None });
            }
            Err(error) => self.violations.push(format!("a process cannot be started: {error}")),
        }
    }

    fn config(&self, slot: Slot, name: &str) -> ConsumerConfig {
        ConsumerConfig {
            pipeline: PipelineRef { namespace: "sim".to_owned(), name: "world".to_owned() },
            sink: sink_name(slot.sink),
            stream: "events".to_owned(),
            lease_table: table_name(slot.sink),
            worker_id: WorkerId::new(name),
            start_at: if self.plan.start == Start::TrimHorizon { StartAt::TrimHorizon } else { StartAt::Latest },
            fan_out: self.plan.fan_out.map(|subscriptions| FanOut {
                renew_after: Duration::from_millis(subscriptions.renewed_after),
                ..FanOut::new(sink_name(slot.sink))
            }),
            repeats: self.plan.window.map(|Window { millis, records }| RepeatWindow {
                id_field: ID_FIELD.to_owned(),
                millis,
                records,
            }),
            dead_letters_bucket: "letters".to_owned(),
            dead_letters_prefix: "dead/".to_owned(),
            failover: Duration::from_millis(self.plan.failover),
            least_imbalance: self.plan.least_imbalance,
            shard_sync: Duration::from_millis(6 * self.plan.failover),
            drain_limit: Duration::from_secs(25),
            read_bytes: self.plan.read_bytes,
            prefetch_bytes: 2_000,
            worker_prefetch_bytes: self.plan.worker_prefetch_bytes,
            dead_letter_bytes: 600,
        }
    }

    /// The process is gone with everything in it.
    pub(super) fn kill(&mut self, id: usize, why: &str) {
        let Some(running) = self.processes.remove(&id) else { return };
        if let Some(place) = self.places.get_mut(&running.slot).filter(|place| place.current == Some(id)) {
            place.current = None;
        }
        self.tell(&running.name, || why.to_owned());
    }

    fn crash(&mut self, slot: Slot, back: Millis, same_id: bool) {
        let Some(id) = self.places.get(&slot).and_then(|place| place.current) else { return };
        self.count("crashes");
        self.kill(id, "crashes");
        self.comes_back(slot, back, same_id);
    }

    /// Another process in the place of one that is gone.
    pub(super) fn comes_back(&mut self, slot: Slot, back: Millis, same_id: bool) {
        if let Some(place) = self.places.get_mut(&slot).filter(|_| !same_id) {
            place.name.clear();
        }
        self.count(if same_id { "restarts under the same id" } else { "restarts under another id" });
        self.after(back, Event::Act(Action::Start { slot }));
    }

    fn pause(&mut self, slot: Slot) -> Option<usize> {
        let id = self.places.get(&slot)?.current?;
        let running = self.processes.get_mut(&id).filter(|running| !running.is_paused)?;
        running.is_paused = true;
        let name = running.name.clone();
        self.count("pauses");
        self.tell(&name, || "does not run for a while".to_owned());
        Some(id)
    }

    pub(super) fn resume(&mut self, id: usize) {
        let Some(running) = self.processes.get_mut(&id).filter(|running| running.is_paused) else { return };
        running.is_paused = false;
        running.process.wake_up(self.now);
        let name = running.name.clone();
        self.tell(&name, || "runs again".to_owned());
    }

    /// A process stands still, another with its id takes its place, and then it wakes up.
    fn twin(&mut self, slot: Slot, lasts: Millis, lives: Millis) {
        let Some(id) = self.pause(slot) else { return };
        self.count("twins");
        self.after(lasts, Event::Resume(id));
        self.after(lasts + lives, Event::Kill(id));
        self.start(slot, true, true);
    }

    /// The process is asked to drain.
    pub(super) fn drain(&mut self, slot: Slot, then: Then) {
        let Some(id) = self.places.get(&slot).and_then(|place| place.current) else { return };
        let Some(running) = self.processes.get_mut(&id).filter(|running| running.then.is_none()) else { return };
        running.then = Some(then);
        running.process.stop.drain.cancel();
        let name = running.name.clone();
        self.tell(&name, || "is asked to drain".to_owned());
    }

    fn recreate(&mut self, shards: usize, back: Millis) {
        if self.now < self.kinesis.exists_from {
            return;
        }
        self.count("streams created again");
        self.tell("world", || format!("the stream is deleted; after {back} ms there is another, with {shards} shards"));
        for number in self.kinesis.recreate(self.now + back, shards) {
            self.trimmed.insert(number, self.now);
        }
        let begin = self.kinesis.first_sequence();
        self.dynamodb.tables.values_mut().for_each(|table| table.books.stream_is_another(begin));
    }

    fn reshard(&mut self, action: &Action) {
        if self.now < self.kinesis.exists_from {
            return;
        }
        let (open, now) = (self.kinesis.open_shards(), self.now);
        match *action {
            Action::Split { pick } if open.len() < 12 => {
                self.kinesis.split(now, &open[pick % open.len()]);
                self.count("splits");
            }
            Action::Merge { pick } if open.len() > 1 => {
                let left = pick % (open.len() - 1);
                self.kinesis.merge(now, &open[left], &open[left + 1]);
                self.count("merges");
            }
            Action::Resize { up: true } if open.len() <= 4 => {
                open.iter().for_each(|id| self.kinesis.split(now, id));
                self.count("resizes");
            }
            Action::Resize { up: false } => {
                for pair in open.chunks(2).filter(|pair| pair.len() == 2) {
                    self.kinesis.merge(now, &pair[0], &pair[1]);
                }
                self.count("resizes");
            }
            _ => {}
        }
        let open = self.kinesis.open_shards();
        self.tell("world", || format!("{action:?}: open shards are {open:?}"));
    }
}
