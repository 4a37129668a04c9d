//! Records against lines of objects.

use std::collections::{BTreeMap, VecDeque};

use penstock_api::plan::ObjectStoreTarget;
use penstock_api::plan::StartAt;
use penstock_contract::{Position, Record, ShardId};
use penstock_raw_storage::{MemoryBudget, RawStorageSink};

use super::Told;
use super::repeats::Judged;
use crate::audit::chain::{Found, Gap};
use crate::audit::report::Verdict;
use crate::audit::{Audit, Evidence};
use crate::lake;

/// How far ahead a record's line is looked for, when another one stands in its place.
const LOOK_AHEAD: usize = 1_000;

/// The objects of a sink.
pub(super) struct Lines<'a> {
    audit: &'a Audit<'a>,
    target: &'a ObjectStoreTarget,
    evidence: &'a Evidence,
    gaps: &'a BTreeMap<ShardId, Vec<Gap>>,
    sink: RawStorageSink,
    open: Option<Open<'a>>,
    other_recipe_told: bool,
}

/// The range whose records come now.
struct Open<'a> {
    range: &'a Found,
    objects: BTreeMap<String, Object>,
    /// Another recipe made it, which nobody has any more.
    other_recipe: bool,
    /// The stream has deleted its first records, and nothing has matched yet.
    trimmed: bool,
}

#[derive(Default)]
struct Object {
    lines: VecDeque<Vec<u8>>,
    /// The number of the line that comes next.
    number: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(
        audit: &'a Audit<'a>,
        target: &'a ObjectStoreTarget,
        evidence: &'a Evidence,
        gaps: &'a BTreeMap<ShardId, Vec<Gap>>,
    ) -> anyhow::Result<Self> {
        let (pipeline, name) = (&audit.config.pipeline, &audit.config.name);
        let client = audit.clients.s3.clone();
        let sink = RawStorageSink::new(pipeline, name, audit.sink, client, MemoryBudget::default())?;
        Ok(Self { audit, target, evidence, gaps, sink, open: None, other_recipe_told: false })
    }

    /// The next record of the shard, which was committed.
    pub(super) async fn take(
        &mut self,
        record: &Record,
        shard: &ShardId,
        judged: Judged,
        told: &mut Told<'_>,
    ) -> anyhow::Result<()> {
        self.enter(record, shard, told).await?;
        if self.open.as_ref().is_some_and(|open| open.other_recipe) || self.is_before_the_start(record, shard) {
            return Ok(());
        }
        let is_letter = self.evidence.letters.get(shard).is_some_and(|letters| letters.contains(&record.position));
        let may_be_absent = is_letter || judged != Judged::New;
        let place = format!("record {}", record.position);
        let rendered = match self.sink.render(record, shard) {
            Ok(rendered) => rendered,
            Err(_) if may_be_absent => return Ok(()),
            Err(rejection) => {
                let what = format!("it cannot be stored ({}), and is not among the dead letters", rejection.message);
                told.say(Verdict::Wrong, Some(shard), place, what);
                return Ok(());
            }
        };
        let Some(open) = &mut self.open else {
            if !may_be_absent {
                told.say(Verdict::Wrong, Some(shard), place, "it is in no object".to_owned());
            }
            return Ok(());
        };
        let Some((key, object)) = open.objects.iter_mut().find(|(key, _)| is_at(key, &rendered.prefix, self.audit))
        else {
            if !may_be_absent {
                let what = format!("its object, with the prefix {:?}, is missing", rendered.prefix);
                told.say(Verdict::Wrong, Some(shard), place, what);
            }
            return Ok(());
        };
        if object.lines.front() == Some(&rendered.line) {
            object.advance(1);
            open.trimmed = false;
            if judged == Judged::Repeat {
                let what = format!("its id came before within the window, and it is stored again in {key}");
                told.say(Verdict::Wrong, Some(shard), place, what);
            }
            return Ok(());
        }
        if may_be_absent && judged != Judged::Either {
            return Ok(());
        }
        match object.lines.iter().take(LOOK_AHEAD).position(|line| *line == rendered.line) {
            Some(extra) => {
                if !open.trimmed {
                    let what = format!("{extra} lines from here on are no records of its range, or were altered");
                    told.say(Verdict::Wrong, Some(shard), format!("{key}, line {}", object.number + 1), what);
                }
                open.trimmed = false;
                object.advance(extra + 1);
            }
            None if may_be_absent => {}
            None => {
                let what = format!("it is not in {key}; line {} holds something else", object.number + 1);
                told.say(Verdict::Wrong, Some(shard), place, what);
            }
        }
        Ok(())
    }

    /// Nothing more comes of the shard that was committed.
    pub(super) async fn end_of_shard(&mut self, shard: &ShardId, told: &mut Told<'_>) -> anyhow::Result<()> {
        self.leave(shard, told);
        Ok(())
    }

    /// Opens the range that the record is in, and closes the one before.
    async fn enter(&mut self, record: &Record, shard: &ShardId, told: &mut Told<'_>) -> anyhow::Result<()> {
        let ranges = self.evidence.stored.as_ref().and_then(|stored| stored.get(shard)).map_or(&[][..], Vec::as_slice);
        let range = range_of(ranges, &record.position);
        if self.open.as_ref().map(|open| &open.range.first) == range.map(|range| &range.first) {
            return Ok(());
        }
        self.leave(shard, told);
        let Some(range) = range else { return Ok(()) };
        let other_recipe = range.recipe != self.sink.fingerprint();
        if other_recipe && !self.other_recipe_told {
            self.other_recipe_told = true;
            let what = "the Pipeline was changed since it was written: its lines are counted and not compared";
            told.say(Verdict::Unknown, Some(shard), range.keys.first().cloned().unwrap_or_default(), what.to_owned());
        }
        let mut objects = BTreeMap::new();
        for key in range.keys.iter().filter(|_| !other_recipe) {
            let mut object = Object::default();
            let take = |line: &[u8]| object.lines.push_back(line.to_vec());
            lake::each_line(&self.audit.clients.s3, &self.target.bucket, key, self.target.compression, take).await?;
            objects.insert(key.clone(), object);
        }
        self.open = Some(Open { range, objects, other_recipe, trimmed: record.position > range.first });
        Ok(())
    }

    fn leave(&mut self, shard: &ShardId, told: &mut Told<'_>) {
        let Some(open) = self.open.take() else { return };
        if open.trimmed || open.other_recipe {
            return;
        }
        for (key, object) in open.objects.iter().filter(|(_, object)| !object.lines.is_empty()) {
            let what =
                format!("{} lines from here on are no records of its range, or were altered", object.lines.len());
            told.say(Verdict::Wrong, Some(shard), format!("{key}, line {}", object.number + 1), what);
        }
    }

    /// A sink that began with what came next has nothing of what was there.
    fn is_before_the_start(&self, record: &Record, shard: &ShardId) -> bool {
        let from_the_oldest = self.audit.sink.start_at == StartAt::TrimHorizon;
        let gaps = self.gaps.get(shard).map_or(&[][..], Vec::as_slice);
        !from_the_oldest
            && self.open.is_none()
            && (gaps.iter().any(|gap| gap.start.is_none() && gap.contains(&record.position)) || gaps.is_empty())
    }
}

impl Object {
    fn advance(&mut self, lines: usize) {
        self.lines.drain(..lines.min(self.lines.len()));
        self.number += lines as u64;
    }
}

/// The range that holds the position: of those that begin before it, the last, unless that ends before it.
fn range_of<'a>(ranges: &'a [Found], position: &Position) -> Option<&'a Found> {
    let begun = ranges.partition_point(|range| range.first <= *position);
    let range = ranges.get(begun.checked_sub(1)?)?;
    range.span.as_ref().is_none_or(|(_, end)| position <= end).then_some(range)
}

/// Whether the key is that prefix with the object's name behind it.
fn is_at(key: &str, prefix: &str, audit: &Audit<'_>) -> bool {
    let pipeline = &audit.config.pipeline;
    let owner = format!("{}.{}.{}.", pipeline.namespace, pipeline.name, audit.config.name);
    key.strip_prefix(prefix).is_some_and(|name| name.starts_with(&owner))
}
