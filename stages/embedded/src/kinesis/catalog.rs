//! The streams as readers see them: a snapshot per stream that the writer replaces, and the ends of its logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::error::ApiError;
use super::model::Millis;
use super::model::hash::HashKey;
use super::model::rates::ReadRate;
use super::model::stream::{Shard, Status, Stream};
use super::store::Extent;

/// The ends of a log, as far as they are durable. Only the writer moves them.
#[derive(Debug)]
pub(super) struct Log {
    first: AtomicU64,
    next: AtomicU64,
    last_arrival: AtomicU64,
    /// Tells subscribers that the log grew or was closed.
    grown: watch::Sender<()>,
    pub(super) reads: Mutex<ReadRate>,
}

impl Log {
    pub(super) fn new(extent: Extent) -> Self {
        Self {
            first: AtomicU64::new(extent.first),
            next: AtomicU64::new(extent.next),
            last_arrival: AtomicU64::new(extent.last_arrival),
            grown: watch::Sender::new(()),
            reads: Mutex::new(ReadRate::new()),
        }
    }

    pub(super) fn empty() -> Self {
        Self::new(Extent { first: 1, next: 1, last_arrival: 0 })
    }

    /// The ends of the log. What lies between them is in every snapshot of the store that is taken afterwards.
    pub(super) fn extent(&self) -> Extent {
        Extent {
            first: self.first.load(Ordering::Acquire),
            next: self.next.load(Ordering::Acquire),
            last_arrival: self.last_arrival.load(Ordering::Acquire),
        }
    }

    /// Publishes records that are durable now.
    pub(super) fn publish(&self, next: u64, last_arrival: Millis) {
        self.last_arrival.store(last_arrival, Ordering::Release);
        self.next.store(next, Ordering::Release);
        self.grown.send_replace(());
    }

    /// Publishes that records before `first` are gone.
    pub(super) fn publish_trim(&self, first: u64) {
        self.first.store(first, Ordering::Release);
    }

    /// Wakes subscribers without news of records.
    pub(super) fn wake(&self) {
        self.grown.send_replace(());
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }
}

/// A stream with its logs.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) stream: Stream,
    /// Parallel to `stream.shards`.
    pub(super) logs: Vec<Arc<Log>>,
    /// Places of open shards in `stream.shards`, by their first hash key.
    open: Vec<(HashKey, usize)>,
}

impl Live {
    pub(super) fn new(stream: Stream, mut log_of: impl FnMut(&Shard) -> Arc<Log>) -> Self {
        let logs = stream.shards.iter().map(&mut log_of).collect();
        let mut open: Vec<_> = stream
            .shards
            .iter()
            .enumerate()
            .filter(|(_, shard)| shard.is_open())
            .map(|(at, shard)| (shard.hashes.start, at))
            .collect();
        open.sort_unstable();
        Self { stream, logs, open }
    }

    /// The open shard that takes a hash key, as a place in `stream.shards`.
    pub(super) fn route(&self, key: HashKey) -> Option<usize> {
        let after = self.open.partition_point(|(start, _)| *start <= key);
        let (_, at) = self.open[..after].last()?;
        Some(*at)
    }

    /// A shard and its log, by the shard's index.
    pub(super) fn shard(&self, index: u32) -> Option<(&Shard, &Arc<Log>)> {
        let at = self.stream.shards.binary_search_by_key(&index, |shard| shard.index).ok()?;
        Some((&self.stream.shards[at], &self.logs[at]))
    }
}

/// All streams.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    streams: RwLock<BTreeMap<String, Arc<Live>>>,
}

impl Catalog {
    pub(super) fn new(streams: BTreeMap<String, Arc<Live>>) -> Self {
        Self { streams: RwLock::new(streams) }
    }

    /// A stream that is there at all, in whatever state.
    pub(super) fn get(&self, name: &str, now: Millis) -> Result<Arc<Live>, ApiError> {
        self.find(name).filter(|live| live.stream.status(now).is_some()).ok_or_else(|| ApiError::no_stream(name))
    }

    /// A stream whose records can be written and read.
    pub(super) fn get_usable(&self, name: &str, now: Millis) -> Result<Arc<Live>, ApiError> {
        let live = self.get(name, now)?;
        match live.stream.status(now) {
            Some(Status::Active | Status::Updating) => Ok(live),
            _ => Err(ApiError::no_stream(name)),
        }
    }

    /// The entry of a name, also of a stream that has been deleted but not yet taken out.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Live>> {
        self.streams.read().get(name).cloned()
    }

    /// The names of streams after one, in order.
    pub(super) fn names_after(&self, after: Option<&str>, now: Millis, limit: usize) -> Vec<Arc<Live>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.streams
            .read()
            .range::<str, _>((start, Unbounded))
            .map(|(_, live)| live)
            .filter(|live| live.stream.status(now).is_some())
            .take(limit)
            .cloned()
            .collect()
    }

    /// All entries.
    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        self.streams.read().values().cloned().collect()
    }

    /// Shows a stream as it is now.
    pub(super) fn publish(&self, live: Arc<Live>) {
        live.logs.iter().for_each(|log| log.wake());
        self.streams.write().insert(live.stream.name.clone(), live);
    }

    /// Takes a stream out.
    pub(super) fn retire(&self, name: &str) {
        if let Some(live) = self.streams.write().remove(name) {
            live.logs.iter().for_each(|log| log.wake());
        }
    }
}
