//! Two sinks that keep the sink's promise as the real ones do, over the same network as everything else: one
//! writes objects whose keys are made from the range, unless they are there already; the other adds up sums on
//! items, each guarded by the end of the last range that was added to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use penstock_contract::{Applied, Batch, Position, Pushed, Range, Recipe, Record, Rejection, ShardId, Sink, SinkError};
use tokio::time::timeout;

use crate::net::{Answer, Call, Line};
use crate::record::{Fate, UserRecord};

/// How long a sink waits for an answer.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// What the sink writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Objects by range, each in as many parts as the recipe says.
    Objects,
    /// Sums by key.
    Sums,
}

/// A call to the sink's store.
#[derive(Debug, Clone)]
pub(crate) struct SinkCall {
    pub(crate) sink: usize,
    pub(crate) range: Range,
    /// All records of the range, for the books.
    pub(crate) records: Arc<Vec<UserRecord>>,
    pub(crate) write: Write,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// An object, unless there is one.
    Put { key: String, records: Vec<UserRecord> },
    /// A sum on an item, unless a range with this end or a later one was added to it.
    Add { item: String, records: Vec<UserRecord> },
    /// A range of which nothing is stored: only for the books.
    Nothing,
}

/// What the store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkAnswer {
    /// Written, now or before.
    Done,
    /// Not now.
    Throttled,
    /// It failed, before or after the effect.
    Failed,
    /// What was prepared for the batch is gone: as when an upload was cleaned up.
    Gone,
}

/// The sink of one process.
pub(crate) struct SimSink {
    pub(crate) line: Line,
    pub(crate) sink: usize,
    pub(crate) kind: Kind,
    /// How many objects a range is spread over.
    pub(crate) parts: u64,
    pub(crate) range_records: usize,
    pub(crate) max_age: Duration,
    /// Of a thousand pushes, so many fail.
    pub(crate) failing_pushes: u32,
    /// A mutation: ranges are applied with the recipe of today, whatever they were pinned with.
    pub(crate) ignores_recipes: bool,
}

/// A range in the making.
pub(crate) struct SimBatch {
    line: Line,
    sink: usize,
    kind: Kind,
    parts: u64,
    range_records: usize,
    failing_pushes: u32,
    records: Vec<UserRecord>,
    spoiled: bool,
}

impl Sink for SimSink {
    type Batch = SimBatch;

    fn recipe(&self) -> Recipe {
        Recipe(Bytes::from(self.parts.to_string()))
    }

    fn with_recipe(&self, recipe: &Recipe) -> Result<Self, SinkError> {
        let parts = std::str::from_utf8(&recipe.0).ok().and_then(|text| text.parse().ok());
        let parts = parts.ok_or_else(|| SinkError::Fatal {
            reason: "recipe",
            doing: "reading a recipe".to_owned(),
            message: format!("it is {recipe:?}"),
        })?;
        let parts = if self.ignores_recipes { self.parts } else { parts };
        Ok(Self { line: self.line.clone(), parts, ..*self })
    }

    fn open(&self, _shard: &ShardId, _first: &Position) -> SimBatch {
        SimBatch {
            line: self.line.clone(),
            sink: self.sink,
            kind: self.kind,
            parts: self.parts,
            range_records: self.range_records,
            failing_pushes: self.failing_pushes,
            records: Vec::new(),
            spoiled: false,
        }
    }

    fn max_age(&self) -> Duration {
        self.max_age
    }
}

impl Batch for SimBatch {
    async fn push(&mut self, records: &[Record]) -> Result<Pushed, SinkError> {
        if fastrand::u32(0..1000) < self.failing_pushes {
            return Err(failure("pushing", "no room"));
        }
        let mut pushed = Pushed::default();
        for (index, record) in records.iter().enumerate() {
            let record = UserRecord::read(record).map_err(|problem| failure("reading a record", &problem))?;
            if record.fate == Fate::Rejected {
                pushed.rejected.push((index, Rejection::new("bad", "it is bad")));
            }
            self.records.push(record);
        }
        pushed.full = self.records.len() >= self.range_records;
        Ok(pushed)
    }

    async fn apply(&mut self, range: &Range) -> Result<Applied, SinkError> {
        assert!(!self.spoiled, "a spoiled batch is applied again");
        let records = Arc::new(self.records.clone());
        for write in self.writes(range) {
            let call = SinkCall { sink: self.sink, range: range.clone(), records: Arc::clone(&records), write };
            match timeout(CALL_LIMIT, self.line.call(Call::Sink(call))).await.map(|reply| reply.answer) {
                Ok(Answer::Sink(SinkAnswer::Done)) => {}
                Ok(Answer::Sink(SinkAnswer::Gone)) => {
                    self.spoiled = true;
                    let (doing, message) = ("applying a range".to_owned(), "its upload is gone".to_owned());
                    return Err(SinkError::Spoiled { reason: "gone", doing, message });
                }
                Ok(answer) => return Err(failure("applying a range", &format!("{answer:?}"))),
                Err(_) => return Err(failure("applying a range", "no answer")),
            }
        }
        let refused = self.records.iter().filter(|record| record.fate == Fate::Refused);
        let rejected = refused.map(|record| (record.position.clone(), Rejection::new("refused", "it is refused")));
        Ok(Applied { records: self.stored().count() as u64, rejected: rejected.collect() })
    }
}

impl SimBatch {
    fn stored(&self) -> impl Iterator<Item = &UserRecord> {
        self.records.iter().filter(|record| record.fate == Fate::Stored)
    }

    fn writes(&self, range: &Range) -> Vec<Write> {
        let mut groups: BTreeMap<String, Vec<UserRecord>> = BTreeMap::new();
        match self.kind {
            Kind::Objects => {
                // Each part, also an empty one: the range shows by its objects.
                for part in 0..self.parts {
                    groups.insert(object_key(range, part, self.parts), Vec::new());
                }
                for record in self.stored() {
                    let key = object_key(range, record.number % self.parts, self.parts);
                    groups.entry(key).or_default().push(record.clone());
                }
                groups.into_iter().map(|(key, records)| Write::Put { key, records }).collect()
            }
            Kind::Sums => {
                for record in self.stored() {
                    groups.entry(record.key.clone()).or_default().push(record.clone());
                }
                let writes: Vec<_> = groups.into_iter().map(|(item, records)| Write::Add { item, records }).collect();
                if writes.is_empty() { vec![Write::Nothing] } else { writes }
            }
        }
    }
}

fn object_key(range: &Range, part: u64, parts: u64) -> String {
    let start = range.start_exclusive.as_ref().map_or_else(|| "0".to_owned(), Position::sortable);
    format!("{}/{start}-{}.{part}of{parts}", range.shard, range.end_inclusive.sortable())
}

fn failure(doing: &str, why: &str) -> SinkError {
    SinkError::Service { reason: "simulated", doing: doing.to_owned(), source: why.into() }
}
