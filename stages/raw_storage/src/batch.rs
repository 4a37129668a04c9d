//! A range in the making: its objects, and when it should be closed.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use penstock_contract::{Applied, Batch, Position, Pushed, Range, Record, Rejection, ShardId, SinkError};

use crate::budget::Entered;
use crate::key;
use crate::line::{LastPrefix, Line};
use crate::object::{Object, Surroundings, compression};
use crate::sink::Plan;
use crate::stamp::Stamp;
use crate::upload::MAX_PARTS;

/// Objects of one range; above it the range is closed. It bounds requests when a key template sorts
/// records by a field of many values; the memory of few large ones and of many small ones is bounded by the budget. A bound below the number
/// of values would close ranges before their objects hold more than a record or two, and requests are what costs.
const MAX_OBJECTS: usize = 10_000;
/// Objects of one range that are written at one time.
const WRITES_IN_FLIGHT: usize = 32;
/// After so many failures in one application no more objects are begun: the consumer waits before the next.
const MAX_FAILURES: usize = 8;

/// A range of one shard on its way into objects.
pub struct ObjectBatch {
    plan: Arc<Plan>,
    shard: ShardId,
    /// The range's first record, which may be gone from the stream when the range is applied again.
    first: Position,
    rotate_bytes: u64,
    begun: Option<Begun>,
    objects: Vec<Object>,
    by_prefix: HashMap<Arc<str>, usize>,
    last_prefix: LastPrefix,
    /// What the objects hold in memory, without parts on their way.
    footprint: usize,
    /// An object has outgrown a bound of its own.
    grown: bool,
    /// False while a push is under way: one that failed or was dropped may have lost lines.
    whole: bool,
}

/// What is known from the first record on.
struct Begun {
    stamp: Stamp,
    file_name: String,
    last: Position,
    _entered: Entered,
}

impl ObjectBatch {
    pub(crate) fn new(plan: Arc<Plan>, shard: ShardId, first: Position, rotate_bytes: u64) -> Self {
        Self {
            plan,
            shard,
            first,
            rotate_bytes,
            begun: None,
            objects: Vec::new(),
            by_prefix: HashMap::new(),
            last_prefix: LastPrefix::default(),
            footprint: 0,
            grown: false,
            whole: true,
        }
    }

    /// Notes how far the range goes. Records that are rejected count: all who apply the range push them.
    fn begin(&mut self, first: &Position, last: &Position) {
        if let Some(begun) = &mut self.begun {
            begun.last = last.clone();
            return;
        }
        self.begun = Some(Begun {
            stamp: self.plan.stamp(&self.shard, &self.first, *first > self.first),
            file_name: self.plan.file_name(&self.shard, &self.first),
            last: last.clone(),
            _entered: self.plan.around.budget.enter(),
        });
    }

    async fn push_all(&mut self, records: &[Record]) -> Result<Vec<(usize, Rejection)>, SinkError> {
        let plan = Arc::clone(&self.plan);
        let mut rejected = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let placed = plan
                .lines
                .line(record, &self.shard, &mut self.last_prefix)
                .and_then(|line| Ok((self.object(&line)?, line)));
            let (object, line) = match placed {
                Ok(placed) => placed,
                Err(rejection) => {
                    rejected.push((index, rejection));
                    continue;
                }
            };
            if self.add(object, &line)? {
                // Boxed, because the future of an upload is large and nearly no record needs one.
                Box::pin(self.ship(object)).await?;
            }
        }
        Ok(rejected)
    }

    /// The object that takes the line.
    fn object(&mut self, line: &Line<'_>) -> Result<usize, Rejection> {
        if let Some(index) = self.by_prefix.get(&line.prefix) {
            return Ok(*index);
        }
        let file_name = self.begun.as_ref().map_or("", |begun| &begun.file_name);
        let key = key::object_key(&line.prefix, file_name)?;
        let object = Object::new(key, &self.plan.around);
        self.footprint += object.footprint();
        self.objects.push(object);
        self.by_prefix.insert(Arc::clone(&line.prefix), self.objects.len() - 1);
        Ok(self.objects.len() - 1)
    }

    /// Adds the line to the object. True when the object should be shipped.
    fn add(&mut self, index: usize, line: &Line<'_>) -> Result<bool, SinkError> {
        let Some(object) = self.objects.get_mut(index) else { return Ok(false) };
        let before = object.footprint();
        let pushed = object.push(&line.document);
        self.footprint = self.footprint - before + object.footprint();
        self.grown |= object.lines_bytes() >= self.rotate_bytes || object.parts() >= MAX_PARTS;
        pushed.map_err(|error| compression(&error, format!("compressing lines of a range of {}", self.shard)))
    }

    async fn ship(&mut self, index: usize) -> Result<(), SinkError> {
        let (Some(object), Some(begun)) = (self.objects.get_mut(index), &self.begun) else { return Ok(()) };
        let before = object.footprint();
        let shipped = object.ship(&self.plan.around, &begun.stamp).await;
        self.footprint = self.footprint - before + object.footprint();
        shipped
    }

    fn is_full(&self) -> bool {
        self.grown || self.objects.len() >= MAX_OBJECTS || self.plan.around.budget.must_close(self.footprint)
    }

    fn show_memory(&self) {
        let budget = &self.plan.around.budget;
        #[allow(clippy::cast_precision_loss, reason = "a gauge; exact up to 8 PiB")]
        self.plan.around.telemetry.buffered.set(budget.used() as f64);
    }

    fn check(&self, begun: &Begun, range: &Range) -> Result<(), SinkError> {
        let fatal = |reason, message: &str| SinkError::Fatal {
            reason,
            doing: format!("applying a range of {}", self.shard),
            message: message.to_owned(),
        };
        if !self.whole {
            return Err(SinkError::Spoiled {
                reason: "incomplete_batch",
                doing: format!("applying a range of {}", self.shard),
                message: "a push did not end well".to_owned(),
            });
        }
        let inside = range.shard == self.shard && range.contains(&begun.stamp.first) && range.contains(&begun.last);
        if !inside {
            return Err(fatal("range_mismatch", "the records that were pushed are not those of the range"));
        }
        Ok(())
    }
}

/// Writes the objects, several at a time, and sees those through that have begun. Dropped half-way, it goes on
/// with what is missing when it is called again.
async fn store_all(
    objects: &mut [Object],
    around: &Surroundings,
    stamp: &Stamp,
    range: &Range,
) -> Result<(), SinkError> {
    let mut objects = objects.iter_mut();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        while running.len() < WRITES_IN_FLIGHT && failures.len() < MAX_FAILURES {
            let Some(object) = objects.next() else { break };
            running.push(object.store(around, stamp, range));
        }
        match running.next().await {
            None => break,
            Some(Ok(())) => {}
            Some(Err(failure)) => failures.push(failure),
        }
    }
    most_telling(failures).map_or(Ok(()), Err)
}

/// The failure to report: one that needs somebody's hand, else one that a new batch cures, else any.
fn most_telling(failures: Vec<SinkError>) -> Option<SinkError> {
    failures.into_iter().min_by_key(|failure| match failure {
        SinkError::Fatal { .. } => 0,
        SinkError::Spoiled { .. } => 1,
        SinkError::Service { .. } => 2,
    })
}

impl Batch for ObjectBatch {
    /// Large objects are uploaded meanwhile; it waits only for an upload that is behind.
    async fn push(&mut self, records: &[Record]) -> Result<Pushed, SinkError> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(Pushed::default()) };
        self.begin(&first.position, &last.position);
        let was_whole = std::mem::replace(&mut self.whole, false);
        let rejected = self.push_all(records).await?;
        self.whole = was_whole;
        self.show_memory();
        Ok(Pushed { full: self.is_full(), rejected })
    }

    async fn apply(&mut self, range: &Range) -> Result<Applied, SinkError> {
        let Some(begun) = &self.begun else { return Ok(Applied::default()) };
        self.check(begun, range)?;
        store_all(&mut self.objects, &self.plan.around, &begun.stamp, range).await?;
        self.show_memory();
        Ok(Applied { records: self.objects.iter().map(Object::records).sum(), rejected: Vec::new() })
    }
}
