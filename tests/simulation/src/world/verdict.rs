//! Whether everything is at rest, and whether it is as it must be.

use std::collections::BTreeMap;

use penstock_contract::Position;

use super::calls::{Flight, has_passed};
use super::{END_PATIENCE, Event, LOOK_EVERY, Lost, Outcome, PATIENCE, Running, Then, World, sink_name, table_name};
use crate::dynamodb::{Checkpoint, Item, Table, checkpoint, known_sequence};
use crate::kinesis::Shard;
use crate::plan::Start;
use crate::record::{Fate, UserRecord};

impl World {
    /// Looks whether everything is at rest; if so, ends, and judges when that is done.
    pub(super) fn look(&mut self) {
        match self.ending_since {
            None => self.look_for_rest(),
            Some(_) if self.processes.is_empty() && self.under_way().next().is_none() => {
                self.judge();
                self.is_over = true;
            }
            Some(since) if self.now > since + END_PATIENCE => {
                let names: Vec<_> = self.processes.values().map(|running| running.name.clone()).collect();
                self.violations.push(format!("{names:?} were told to end and did not"));
            }
            Some(_) => {}
        }
        self.after(LOOK_EVERY, Event::Look);
    }

    fn look_for_rest(&mut self) {
        let restless = self.restless();
        let Some(restless) = restless else {
            *self.coverage.entry("milliseconds until rest").or_default() += self.now - self.plan.calm_at;
            return self.end();
        };
        if self.now > self.plan.calm_at + PATIENCE {
            self.violations.push(format!("nothing went wrong for {PATIENCE} ms, and still {restless}"));
        }
    }

    fn end(&mut self) {
        self.tell("world", || "everything is at rest; all are told to end".to_owned());
        self.ending_since = Some(self.now);
        for running in self.processes.values_mut() {
            running.then = Some(Then::Nothing);
            let stop = &running.process.stop;
            if self.plan.ends_at_tip { stop.at_tip.cancel() } else { stop.drain.cancel() }
        }
    }

    /// Calls that are not at their services yet.
    fn under_way(&self) -> impl Iterator<Item = &Flight> {
        self.events.values().filter_map(|event| match event {
            Event::Arrive(flight) => Some(&**flight),
            _ => None,
        })
    }

    /// What is not at rest yet.
    fn restless(&self) -> Option<String> {
        let is_new = |running: &&Running| self.now < running.process.born + self.plan.failover;
        if let Some(new) = self.processes.values().find(is_new) {
            return Some(format!("{} has only just started", new.name));
        }
        if self.now < self.kinesis.exists_from {
            return Some("the stream is not there".to_owned());
        }
        if self.events.values().any(|event| matches!(event, Event::Put(_))) {
            return Some("there are records to be put".to_owned());
        }
        if self.under_way().any(|flight| flight.sent < self.plan.calm_at) {
            return Some("a call is under way that was slow before".to_owned());
        }
        (0..self.stores.len()).find_map(|sink| {
            let table = self.dynamodb.tables.get(&table_name(sink))?;
            if let Some(left_over) = self.left_over(table) {
                return Some(left_over);
            }
            self.kinesis.shards.keys().find_map(|shard| self.restless_shard(table, sink, shard))
        })
    }

    /// A lease that waits to be read although the stream does not have its shard.
    fn left_over(&self, table: &Table) -> Option<String> {
        let is_left_over = |key: &str, row: &Item| {
            key.starts_with("shardId-")
                && !self.kinesis.shards.contains_key(key)
                && checkpoint(row) != Ok(Checkpoint::ShardEnd)
        };
        let (key, _) = table.rows.iter().find(|(key, row)| is_left_over(key, row))?;
        Some(format!("there is a lease of {key}, which is gone"))
    }

    fn restless_shard(&self, table: &Table, sink: usize, id: &str) -> Option<String> {
        let shard = &self.kinesis.shards[id];
        let Some(row) = table.rows.get(id) else {
            // What it should have had is judged at the end.
            let is_passed_over = self.plan.start == Start::Latest && !shard.is_open() && table.books.begin.is_some();
            return (!is_passed_over).then(|| format!("{id} has no lease"));
        };
        let checkpoint = checkpoint(row).unwrap_or(Checkpoint::Begin);
        if row.contains_key("pendingCheckpoint") {
            return Some(format!("{id} has a range pinned"));
        }
        if known_sequence(row).is_some_and(|known| known < shard.first_sequence) && checkpoint == Checkpoint::ShardEnd {
            return Some(format!("the lease of {id} is one of an earlier stream"));
        }
        if !shard.is_open() && checkpoint != Checkpoint::ShardEnd {
            return Some(format!("{id} is not processed to its end: {checkpoint:?}"));
        }
        let owner = row.get("leaseOwner").and_then(|owner| owner["S"].as_str());
        let mut living = self.processes.values().filter(|running| running.slot.sink == sink);
        if shard.is_open() && !living.any(|running| Some(running.name.as_str()) == owner) {
            return Some(format!("{id} is with nobody who lives: {owner:?}"));
        }
        let start = table.books.start(id).unwrap_or(0);
        let mut waiting = shard.untrimmed().filter(|record| record.arrival >= start);
        let next = waiting.find(|record| !has_passed(checkpoint, &record.position))?;
        Some(format!("record {} of {id} at {} is not committed", next.number, next.position))
    }

    fn judge(&mut self) {
        for sink in 0..self.stores.len() {
            let (lost, left_out) = (self.lost(sink), self.left_out(sink));
            let full = |(id, record): (&str, &'_ UserRecord)| self.kinesis.shard_with(id, &record.position);
            let names: Vec<_> = self.kinesis.everything().map(full).collect();
            let all: Vec<_> =
                self.kinesis.everything().zip(&names).map(|((_, record), name)| (name.as_str(), record)).collect();
            let mut wrong = self.stores[sink].check(&all, &lost, &left_out);
            wrong.extend(self.wrong_leases(sink));
            wrong.extend(self.wrong_heartbeats(sink));
            wrong.extend(self.wrong_letters(sink, &lost, &left_out));
            *self.coverage.entry("records").or_default() += all.len() as u64;
            *self.coverage.entry("records deleted unread").or_default() += lost.len() as u64;
            *self.coverage.entry("records from before reading began").or_default() +=
                left_out.difference(&self.kinesis.repeats).count() as u64;
            self.violations.extend(wrong.into_iter().map(|what| format!("{}: {what}", sink_name(sink))));
        }
    }

    /// Records that retention deleted before the checkpoint had passed them.
    fn lost(&self, sink: usize) -> Lost {
        let moves = self.dynamodb.tables.get(&table_name(sink)).map(|table| &table.books.moves);
        let is_lost = |shard: &str, record: &&UserRecord| {
            let passed =
                moves.into_iter().flatten().find(|(_, id, to)| id == shard && has_passed(*to, &record.position));
            let trimmed = self.trimmed.get(&record.number);
            trimmed.is_some_and(|trimmed| passed.is_none_or(|(passed, ..)| trimmed <= passed))
        };
        self.kinesis.everything().filter(|(id, record)| is_lost(id, record)).map(|(_, record)| record.number).collect()
    }

    /// Repeats, and records that arrived before reading began.
    fn left_out(&self, sink: usize) -> Lost {
        let table = self.dynamodb.tables.get(&table_name(sink));
        let is_early = |(id, record): &(&str, &UserRecord)| {
            table.is_some_and(|table| match (table.books.start(id), table.books.begin) {
                // Whoever wrote the first lease decided where reading begins, for all shards.
                (Some(start), Some(begin)) if self.plan.start == Start::Latest => record.arrival < start.min(begin),
                (Some(start), _) => record.arrival < start,
                (None, _) => !table.rows.contains_key(*id) && self.ended_before_reading(table, id),
            })
        };
        let early = self.kinesis.everything().filter(is_early).map(|(_, record)| record.number);
        early.chain(self.kinesis.repeats.iter().copied()).collect()
    }

    /// Everybody has gone, so nobody owns anything; and a checkpoint is where the applied ranges end.
    fn wrong_leases(&self, sink: usize) -> Vec<String> {
        let Some(table) = self.dynamodb.tables.get(&table_name(sink)) else { return Vec::new() };
        let leases = table.rows.iter().filter(|(key, _)| key.starts_with("shardId-"));
        let wrong = |(key, row): (&String, &Item)| {
            if let Some(owner) = row.get("leaseOwner") {
                return Some(format!("{key} still belongs to {owner}"));
            }
            let checkpoint = checkpoint(row).ok()?;
            let Checkpoint::At(sequence, sub) = checkpoint else { return None };
            let end = self.stores[sink]
                .ranges
                .get(key.as_str())
                .filter(|_| self.kinesis.first_sequence() <= sequence)
                .and_then(|ranges| ranges.values().last())
                .map(|range| &range.end);
            let reached = end.map(|end| (end.sequence.as_str().to_owned(), end.sub_sequence));
            let expected = (sequence.to_string(), sub);
            let is_right = reached.as_ref() == Some(&expected) || self.are_repeats(key, end, checkpoint);
            (!is_right && self.trimmed.is_empty())
                .then(|| format!("the checkpoint of {key} is {expected:?}, its last range ends at {reached:?}"))
        };
        leases.filter_map(wrong).collect()
    }

    /// Who has gone in order has no heartbeat, and none comes later.
    fn wrong_heartbeats(&self, sink: usize) -> Vec<String> {
        let Some(table) = self.dynamodb.tables.get(&table_name(sink)) else { return Vec::new() };
        let left = self.left.iter().filter(|(of, _)| *of == sink).map(|(_, name)| format!("penstock.worker.{name}"));
        left.filter(|key| table.rows.contains_key(key)).map(|key| format!("{key} is there after its worker")).collect()
    }

    /// Whether all between the end of the last range and the checkpoint are repeats: nothing is applied for them.
    fn are_repeats(&self, shard: &str, end: Option<&Position>, checkpoint: Checkpoint) -> bool {
        let is_between =
            |record: &&UserRecord| Some(&record.position) > end && has_passed(checkpoint, &record.position);
        let records = self.kinesis.shards.get(shard).into_iter().flat_map(Shard::records);
        let mut between = records.filter(is_between).peekable();
        between.peek().is_some() && between.all(|record| self.kinesis.repeats.contains(&record.number))
    }

    fn wrong_letters(&self, sink: usize, lost: &Lost, left_out: &Lost) -> Vec<String> {
        let name = sink_name(sink);
        let letter = |record: &&UserRecord| {
            let position = &record.position;
            let key = (name.clone(), position.sequence.to_string(), position.sub_sequence);
            let letters = self.letters.letters.get(&key).copied().unwrap_or(0);
            let expected = u32::from(record.fate != Fate::Stored && !left_out.contains(&record.number));
            (letters != expected && !lost.contains(&record.number))
                .then(|| format!("record {} ({:?}) has {letters} dead letters", record.number, record.fate))
        };
        self.kinesis.everything().filter_map(|(_, record)| letter(&record)).collect()
    }

    pub(super) fn outcome(mut self) -> Outcome {
        let mut coverage = std::mem::take(&mut self.coverage);
        let mut add = |what, count| *coverage.entry(what).or_default() += count;
        for table in self.dynamodb.tables.values() {
            table.books.counts.iter().for_each(|(what, count)| add(*what, *count));
        }
        for store in &self.stores {
            add("ranges", store.ranges.values().map(BTreeMap::len).sum::<usize>() as u64);
            add("ranges applied again by another process", store.replays);
            add("writes that were there already", store.answered_again);
        }
        add("dead letters", self.letters.letters.len() as u64);
        add("dead letters that were there already", self.letters.refused);
        add("stale reads", self.dynamodb.stale_reads);
        add("iterators that ran out", self.kinesis.expired_iterators);
        add("reads beyond the shard's throughput", self.kinesis.exceeded);
        add("repeats", self.kinesis.repeats.len() as u64);
        add("repeats of a record in a shard before", self.kinesis.inherited_repeats);
        add("schedules that begin with the newest record", u64::from(self.plan.start == Start::Latest));
        add("schedules with leases of a KCL application", u64::from(self.plan.start == Start::LatestOfKcl));
        add("subscriptions that were taken over", self.kinesis.fan_out.taken_over);
        add("schedules with retention", u64::from(self.plan.retention.is_some()));
        add("simulated milliseconds", self.now);
        add("schedules", 1);
        Outcome { violations: self.violations, coverage, trace: self.trace }
    }
}
