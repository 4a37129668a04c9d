//! What the sinks' calls come to, and the books about it: each record in one range, each range with one end,
//! each effect once.

use std::collections::{BTreeMap, BTreeSet};

use penstock_contract::{Position, Range};

use crate::Millis;
use crate::kinesis::Kinesis;
use crate::mutation::Mutation;
use crate::record::{Fate, UserRecord};
use crate::sink::{SinkAnswer, SinkCall, Write};

/// The store behind one sink.
#[derive(Debug, Default)]
pub(crate) struct Store {
    mutation: Option<Mutation>,
    /// Objects by key.
    objects: BTreeMap<String, Vec<u64>>,
    items: BTreeMap<String, Item>,
    /// The ranges of each shard by their start, as they were applied first.
    pub(crate) ranges: BTreeMap<String, BTreeMap<Option<Position>, Applied>>,
    /// The range that each record is in.
    range_of: BTreeMap<u64, (String, Option<Position>)>,
    /// How often each record had its effect.
    effects: BTreeMap<u64, u32>,
    pub(crate) violations: Vec<String>,
    pub(crate) replays: u64,
    pub(crate) answered_again: u64,
}

/// An item of sums.
#[derive(Debug, Default)]
struct Item {
    total: i64,
    lines: u64,
    /// The end of the last range that was added, by shard.
    guards: BTreeMap<String, String>,
}

/// A range that was applied.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) end: Position,
    records: BTreeSet<u64>,
    /// Which process wrote it last.
    by: usize,
}

impl Store {
    /// An empty one.
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        Self { mutation, ..Self::default() }
    }

    /// Takes a call. What arrived in the shard before `start` is not read.
    pub(crate) fn take(
        &mut self,
        now: Millis,
        by: usize,
        call: &SinkCall,
        stream: &Kinesis,
        start: Millis,
    ) -> SinkAnswer {
        self.check_records(call, stream, start);
        self.note_range(now, by, call, stream);
        match &call.write {
            Write::Put { key, records } => self.put(key, records),
            Write::Add { item, records } => self.add(item, &call.range, records),
            Write::Nothing => {}
        }
        SinkAnswer::Done
    }

    fn put(&mut self, key: &str, records: &[UserRecord]) {
        let numbers: Vec<_> = records.iter().map(|record| record.number).collect();
        if self.objects.contains_key(key) && self.mutation != Some(Mutation::SinkForgets) {
            self.answered_again += 1;
            return;
        }
        self.objects.insert(key.to_owned(), numbers);
        self.effect(records);
    }

    fn add(&mut self, item: &str, range: &Range, records: &[UserRecord]) {
        let entry = self.items.entry(item.to_owned()).or_default();
        let end = range.end_inclusive.sortable();
        let guard = entry.guards.get(range.shard.as_str());
        if guard.is_some_and(|guard| *guard >= end) && self.mutation != Some(Mutation::SinkForgets) {
            self.answered_again += 1;
            return;
        }
        entry.guards.insert(range.shard.as_str().to_owned(), end);
        entry.total += records.iter().map(|record| record.value).sum::<i64>();
        entry.lines += records.len() as u64;
        self.effect(records);
    }

    fn effect(&mut self, records: &[UserRecord]) {
        for record in records {
            let times = self.effects.entry(record.number).or_default();
            *times += 1;
            if *times > 1 {
                self.violations.push(format!("record {} at {} is stored twice", record.number, record.position));
            }
        }
    }

    /// The records of a range are all those of its interval that the stream has, but repeats.
    fn check_records(&mut self, call: &SinkCall, stream: &Kinesis, start: Millis) {
        let range = &call.range;
        let records: BTreeSet<_> = call.records.iter().map(|record| record.number).collect();
        let counts = |record: &&&UserRecord| record.arrival >= start && !stream.repeats.contains(&record.number);
        let there = stream.holds(range.shard.as_str(), range.start_exclusive.as_ref(), &range.end_inclusive);
        let mut wrong = |record: &UserRecord, what: &str| {
            self.violations.push(format!("{} {what} record {} at {}", text(range), record.number, record.position));
        };
        if let Some(missing) = there.iter().filter(counts).find(|record| !records.contains(&record.number)) {
            wrong(missing, "lacks");
        }
        if let Some(alien) = call.records.iter().find(|record| !range.contains(&record.position)) {
            wrong(alien, "has");
        }
        if let Some(early) = call.records.iter().find(|record| record.arrival < start) {
            wrong(early, "has, from before reading began,");
        }
        if let Some(repeat) = call.records.iter().find(|record| stream.repeats.contains(&record.number)) {
            wrong(repeat, "has, though it repeats another,");
        }
    }

    fn note_range(&mut self, now: Millis, by: usize, call: &SinkCall, stream: &Kinesis) {
        let Range { shard, start_exclusive: start, end_inclusive: end } = &call.range;
        let records: BTreeSet<_> = call.records.iter().map(|record| record.number).collect();
        let shard_name = stream.shard_with(shard.as_str(), end);
        let ranges = self.ranges.entry(shard_name).or_default();
        let more: BTreeSet<_> = match ranges.get_mut(start) {
            Some(known) if known.end != *end => {
                let (range, before) = (text(&call.range), &known.end);
                let message = format!("{range} is applied at {now}, and was applied before with the end {before}");
                return self.violations.push(message);
            }
            Some(known) => {
                let more: BTreeSet<_> = records.difference(&known.records).copied().collect();
                // A call may have hung since before retention deleted what another application did not find any more.
                let there = stream.holds(shard.as_str(), start.as_ref(), end);
                if there.iter().any(|record| more.contains(&record.number)) {
                    self.violations.push(format!("{} is applied again with other records", text(&call.range)));
                }
                self.replays += u64::from(std::mem::replace(&mut known.by, by) != by);
                known.records.extend(&more);
                more
            }
            None => {
                ranges.insert(start.clone(), Applied { end: end.clone(), records: records.clone(), by });
                records
            }
        };
        self.note_records(&call.range, &more);
    }

    /// A record is in one range.
    fn note_records(&mut self, range: &Range, records: &BTreeSet<u64>) {
        for number in records {
            let place = (range.shard.as_str().to_owned(), range.start_exclusive.clone());
            if let Some((shard, start)) = self.range_of.insert(*number, place) {
                let (range, start) = (text(range), start.map(|start| start.to_string()));
                self.violations.push(format!(
                    "{range} has record {number}, which is in the range of {shard} after {start:?} already"
                ));
            }
        }
    }

    /// What is wrong when everything is over. `lost` are records that retention deleted unread, `left_out` those that
    /// must not be stored.
    pub(crate) fn check(
        &self,
        all: &[(&str, &UserRecord)],
        lost: &BTreeSet<u64>,
        left_out: &BTreeSet<u64>,
    ) -> Vec<String> {
        let mut wrong = self.gaps(all, &lost.union(left_out).copied().collect());
        let mut sums: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
        for (_, record) in all {
            let (number, effects) = (record.number, self.effects.get(&record.number).copied().unwrap_or(0));
            let expected = u32::from(record.fate == Fate::Stored && !left_out.contains(&number));
            if effects != expected && !lost.contains(&number) {
                wrong.push(format!("record {number} at {} is stored {effects} times, not {expected}", record.position));
            }
            if effects > 0 {
                let (total, lines) = sums.entry(&record.key).or_default();
                *total += record.value;
                *lines += 1;
            }
        }
        // Applied one after the other, once each, the records make just these sums.
        for (key, item) in &self.items {
            let expected = sums.get(key.as_str()).copied().unwrap_or_default();
            if (item.total, item.lines) != expected {
                wrong.push(format!("{key} is {:?}, not {expected:?}", (item.total, item.lines)));
            }
        }
        // No object was written over another.
        let objects: BTreeSet<_> = self.objects.values().flatten().collect();
        if !self.objects.is_empty() && objects.len() != self.effects.len() {
            wrong.push(format!("{} records are in objects, and {} were stored", objects.len(), self.effects.len()));
        }
        wrong
    }

    /// Ranges join, but where nothing between them was to be stored: nothing is applied there.
    fn gaps(&self, all: &[(&str, &UserRecord)], nothing: &BTreeSet<u64>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (shard, ranges) in &self.ranges {
            let mut reached: Option<Position> = None;
            for (start, range) in ranges {
                let between = |(of, record): &&(&str, &UserRecord)| {
                    *of == shard
                        && Some(&record.position) > reached.as_ref()
                        && Some(&record.position) <= start.as_ref()
                };
                let mut between = all.iter().filter(between).peekable();
                let is_gone = between.peek().is_some() && between.all(|(_, record)| nothing.contains(&record.number));
                if *start != reached && !is_gone {
                    let (start, reached) = (start.as_ref().map(short), reached.as_ref().map(short));
                    wrong
                        .push(format!("a range of {shard} begins after {start:?}, the one before ends at {reached:?}"));
                }
                reached = Some(range.end.clone());
            }
        }
        wrong
    }
}

/// A range for people.
pub(crate) fn text(range: &Range) -> String {
    let start = range.start_exclusive.as_ref().map_or_else(|| "begin".to_owned(), short);
    format!("{} ({start}, {}]", range.shard, short(&range.end_inclusive))
}

/// A position for people: the last digits say it all.
pub(crate) fn short(position: &Position) -> String {
    let digits = position.sequence.as_str();
    format!("…{}:{}", &digits[digits.len().saturating_sub(6)..], position.sub_sequence)
}
