//! A sink that remembers what it was told to apply, checks that a range always has the same records, and
//! fails where it is told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use penstock_contract::{Applied, Batch, Position, Pushed, Range, Recipe, Record, Rejection, ShardId, Sink, SinkError};

/// What one range came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) data: Vec<String>,
    pub(crate) recipe: String,
}

/// Everything that was applied, in the order of first application.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store(Arc<Mutex<Vec<(Range, Entry, u32)>>>);

impl Store {
    fn apply(&self, range: &Range, entry: Entry) {
        let mut entries = self.0.lock();
        // Of the first ranges of two shards that have one name, each in its own stream.
        let others = |known: &Entry| {
            range.start_exclusive.is_none()
                && !known.data.is_empty()
                && known.data.iter().all(|data| !entry.data.contains(data))
        };
        let known = entries.iter_mut().find(|(known, stored, _)| {
            known.shard == range.shard && known.start_exclusive == range.start_exclusive && !others(stored)
        });
        match known {
            Some((known, stored, times)) => {
                assert_eq!(known, range, "a range that was applied has another end now");
                assert_eq!(*stored, entry, "a range that is applied again has other records or another recipe");
                *times += 1;
            }
            None => entries.push((range.clone(), entry, 1)),
        }
    }

    pub(crate) fn entries(&self) -> Vec<(Range, Entry)> {
        self.0.lock().iter().map(|(range, entry, _)| (range.clone(), entry.clone())).collect()
    }

    /// How often ranges were applied again.
    pub(crate) fn repetitions(&self) -> u32 {
        self.0.lock().iter().map(|(_, _, times)| times - 1).sum()
    }

    pub(crate) fn records(&self) -> usize {
        self.0.lock().iter().map(|(_, entry, _)| entry.data.len()).sum()
    }
}

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// So many pushes fail.
    pub(crate) pushes: AtomicU32,
    /// So many applications fail, half of them after they had their effect.
    pub(crate) applies: AtomicU32,
    /// So many applications spoil their batch.
    pub(crate) spoils: AtomicU32,
    /// How many records were pushed.
    pub(crate) pushed: AtomicU64,
    /// Applying panics.
    pub(crate) panic: AtomicBool,
    /// Applying takes until this is false.
    pub(crate) hang: AtomicBool,
    /// Applying what is of this shard takes until it is another.
    pub(crate) held: Mutex<Option<ShardId>>,
}

/// The sink. Data that begins with `bad` is rejected when it is pushed, `refused` when it is applied.
pub(crate) struct TestSink {
    pub(crate) store: Store,
    pub(crate) recipe: String,
    pub(crate) range_records: usize,
    pub(crate) max_age: Duration,
    pub(crate) faults: Arc<Faults>,
}

impl TestSink {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            recipe: "first".to_owned(),
            range_records: 50,
            max_age: Duration::from_secs(60),
            faults: Arc::default(),
        }
    }

    pub(crate) fn recipe(mut self, recipe: &str) -> Self {
        self.recipe = recipe.to_owned();
        self
    }

    pub(crate) fn range_records(mut self, records: usize) -> Self {
        self.range_records = records;
        self
    }

    pub(crate) fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }
}

pub(crate) struct TestBatch {
    store: Store,
    recipe: String,
    range_records: usize,
    faults: Arc<Faults>,
    data: Vec<String>,
    refused: Vec<(Position, Rejection)>,
    pushed: HashMap<Position, ()>,
    first: Position,
    spoiled: bool,
}

impl Sink for TestSink {
    type Batch = TestBatch;

    fn recipe(&self) -> Recipe {
        Recipe(Bytes::from(self.recipe.clone()))
    }

    fn with_recipe(&self, recipe: &Recipe) -> Result<Self, SinkError> {
        let recipe = String::from_utf8(recipe.0.to_vec()).map_err(|error| SinkError::Fatal {
            reason: "recipe",
            doing: "reading a recipe".to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self {
            store: self.store.clone(),
            recipe,
            range_records: self.range_records,
            max_age: self.max_age,
            faults: Arc::clone(&self.faults),
        })
    }

    fn open(&self, _shard: &ShardId, first: &Position) -> TestBatch {
        TestBatch {
            store: self.store.clone(),
            recipe: self.recipe.clone(),
            range_records: self.range_records,
            faults: Arc::clone(&self.faults),
            data: Vec::new(),
            refused: Vec::new(),
            pushed: HashMap::new(),
            first: first.clone(),
            spoiled: false,
        }
    }

    fn max_age(&self) -> Duration {
        self.max_age
    }
}

impl Batch for TestBatch {
    async fn push(&mut self, records: &[Record]) -> Result<Pushed, SinkError> {
        // Somebody else gets a turn at every push, so that crashes land anywhere.
        tokio::task::yield_now().await;
        if take_one(&self.faults.pushes) {
            return Err(failure("pushing"));
        }
        if self.pushed.is_empty() {
            // Later, where the range begins with repeats.
            assert!(records[0].position >= self.first, "a range begins before the record that it was opened with");
        }
        let mut pushed = Pushed::default();
        for (index, record) in records.iter().enumerate() {
            assert!(self.pushed.insert(record.position.clone(), ()).is_none(), "a record was pushed twice");
            let data = String::from_utf8(record.data.to_vec()).expect("tests send text");
            if data.starts_with("bad") {
                pushed.rejected.push((index, Rejection::new("bad", "it is bad")));
            } else if data.starts_with("refused") {
                self.refused.push((record.position.clone(), Rejection::new("refused", "it is refused")));
            } else {
                self.data.push(data);
            }
        }
        self.faults.pushed.fetch_add(records.len() as u64, Ordering::Relaxed);
        pushed.full = self.pushed.len() >= self.range_records;
        Ok(pushed)
    }

    async fn apply(&mut self, range: &Range) -> Result<Applied, SinkError> {
        tokio::task::yield_now().await;
        assert!(!self.faults.panic.load(Ordering::Relaxed), "it was told to panic");
        let is_held = || self.faults.held.lock().as_ref() == Some(&range.shard);
        while self.faults.hang.load(Ordering::Relaxed) || is_held() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!self.spoiled, "a spoiled batch is applied again");
        if take_one(&self.faults.spoils) {
            self.spoiled = true;
            return Err(SinkError::Spoiled {
                reason: "test",
                doing: "applying".to_owned(),
                message: "so told".to_owned(),
            });
        }
        let fails = take_one(&self.faults.applies);
        if fails && self.faults.applies.load(Ordering::Relaxed).is_multiple_of(2) {
            return Err(failure("applying"));
        }
        self.store.apply(range, Entry { data: self.data.clone(), recipe: self.recipe.clone() });
        if fails {
            return Err(failure("applying"));
        }
        tokio::task::yield_now().await;
        Ok(Applied { records: self.data.len() as u64, rejected: self.refused.clone() })
    }
}

fn take_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
}

fn failure(doing: &str) -> SinkError {
    SinkError::Service { reason: "test", doing: doing.to_owned(), source: "it was told to fail".into() }
}
