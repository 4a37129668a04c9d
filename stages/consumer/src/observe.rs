//! What a worker has seen of the lease table, and for how long it has not changed.
//!
//! Time is the observer's own monotonic clock, never a time that somebody wrote into a row. Something has
//! stood still for as long as lies between the *end* of the first reading that showed it and the *begin* of
//! the latest one, which is never more than it really stood still.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use penstock_contract::{ArrivalMillis, ShardId};

use crate::lease::{Lease, Pending, WorkerId};
use crate::pin::RecipeHash;
use crate::row::{Row, WorkerRow};

/// Time since some moment in the life of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Duration);

impl Moment {
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The rows of a lease table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) leases: BTreeMap<ShardId, Lease>,
    /// Leases that cannot be read, with what is wrong.
    pub(crate) broken: BTreeMap<ShardId, String>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerRow>,
    /// When reading of the stream began, where it began with what came next.
    pub(crate) start: Option<ArrivalMillis>,
    /// Recipes, with the counter that moves when somebody makes sure of them.
    pub(crate) recipes: BTreeMap<RecipeHash, u64>,
}

impl Rows {
    /// Whether there is a lease of the shard, be it readable or not.
    pub(crate) fn knows(&self, shard: &ShardId) -> bool {
        self.leases.contains_key(shard) || self.broken.contains_key(shard)
    }

    /// Recipes that somebody pins ranges with, or has pinned one with.
    fn recipes_in_use(&self) -> BTreeSet<&RecipeHash> {
        let pinned = self.leases.values().filter_map(|lease| match &lease.pending {
            Some(Pending::Pin(pin)) => Some(&pin.recipe),
            _ => None,
        });
        pinned.chain(self.workers.values().map(|worker| &worker.recipe)).collect()
    }
}

impl FromIterator<Row> for Rows {
    fn from_iter<T: IntoIterator<Item = Row>>(rows: T) -> Self {
        let mut all = Self::default();
        for row in rows {
            match row {
                Row::Lease(lease) => drop(all.leases.insert(lease.shard.clone(), lease)),
                Row::Broken { shard, problem } => drop(all.broken.insert(shard, problem)),
                Row::Worker(worker) => drop(all.workers.insert(worker.id.clone(), worker)),
                Row::Recipe { hash, touched } => drop(all.recipes.insert(hash, touched)),
                Row::Start(at) => all.start = Some(at),
                Row::Foreign => {}
            }
        }
        all
    }
}

/// What has stood still for how long, as of the latest reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stillness {
    leases: BTreeMap<ShardId, Still>,
    workers: BTreeMap<WorkerId, Still>,
    /// How long nobody has used the recipe nor made sure of it.
    recipes: BTreeMap<RecipeHash, Still>,
}

#[derive(Debug, Clone, Copy)]
struct Still {
    /// For how long it has been there at all.
    known: Duration,
    stood: Duration,
    /// When it was seen to move; `None` when it never was.
    moved: Option<Moment>,
}

impl Stillness {
    /// For how long the row of the lease has not changed.
    pub(crate) fn lease(&self, shard: &ShardId) -> Duration {
        self.leases.get(shard).map(|still| still.stood).unwrap_or_default()
    }

    /// For how long the worker's heartbeat has not moved; `None` for a worker without a heartbeat.
    pub(crate) fn worker(&self, worker: &WorkerId) -> Option<Duration> {
        self.workers.get(worker).map(|still| still.stood)
    }

    /// For how long the worker has had a heartbeat.
    pub(crate) fn worker_known(&self, worker: &WorkerId) -> Duration {
        self.workers.get(worker).map(|still| still.known).unwrap_or_default()
    }

    /// Whether the worker's heartbeat was seen to move after the moment.
    pub(crate) fn worker_moved_after(&self, worker: &WorkerId, moment: Moment) -> bool {
        self.workers.get(worker).and_then(|still| still.moved).is_some_and(|moved| moved > moment)
    }

    /// For how long nobody has used the recipe.
    pub(crate) fn recipe(&self, recipe: &RecipeHash) -> Duration {
        self.recipes.get(recipe).map(|still| still.stood).unwrap_or_default()
    }
}

/// Remembers since when each row looks as it does.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    leases: Memory<ShardId, (u64, Option<WorkerId>)>,
    workers: Memory<WorkerId, u64>,
    recipes: Memory<RecipeHash, u64>,
}

impl Observer {
    /// Takes a reading of the table that began and ended at these moments.
    pub(crate) fn observe(&mut self, rows: &Rows, began: Moment, ended: Moment) -> Stillness {
        let leases = rows.leases.values().map(|lease| (&lease.shard, (lease.counter, lease.owner.clone())));
        let workers = rows.workers.values().map(|worker| (&worker.id, worker.heartbeat));
        let used = rows.recipes_in_use();
        let unused = rows.recipes.iter().filter(|(hash, _)| !used.contains(hash)).map(|(hash, seen)| (hash, *seen));
        Stillness {
            leases: self.leases.update(leases, began, ended),
            workers: self.workers.update(workers, began, ended),
            recipes: self.recipes.update(unused, began, ended),
        }
    }
}

/// Since when each key is there and has the value that it has, and whether it was seen to get it.
#[derive(Debug)]
struct Memory<K, V>(BTreeMap<K, Seen<V>>);

#[derive(Debug)]
struct Seen<V> {
    value: V,
    first: Moment,
    since: Moment,
    moved: bool,
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: PartialEq> Memory<K, V> {
    fn update<'a>(&mut self, now: impl Iterator<Item = (&'a K, V)>, began: Moment, ended: Moment) -> BTreeMap<K, Still>
    where
        K: 'a,
    {
        let mut before = std::mem::take(&mut self.0);
        let mut still = BTreeMap::new();
        for (key, value) in now {
            let seen = match before.remove(key) {
                Some(old) if old.value == value => old,
                Some(old) => Seen { value, first: old.first, since: ended, moved: true },
                None => Seen { value, first: ended, since: ended, moved: false },
            };
            let moved = seen.moved.then_some(seen.since);
            let (known, stood) = (began.since(seen.first), began.since(seen.since));
            still.insert(key.clone(), Still { known, stood, moved });
            self.0.insert(key.clone(), seen);
        }
        still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn heartbeat(worker: &str, heartbeat: u64, recipe: &str) -> Row {
        let recipe = RecipeHash::from_text(recipe);
        Row::Worker(WorkerRow { id: WorkerId::new(worker), heartbeat, draining: false, recipe, load: None })
    }

    #[test]
    fn stillness_is_counted_from_the_end_of_the_first_to_the_begin_of_the_last_reading() {
        let mut observer = Observer::default();
        let worker = WorkerId::new("w");
        let rows: Rows = [heartbeat("w", 1, "r")].into_iter().collect();
        assert_eq!(observer.observe(&rows, moment(0), moment(5)).worker(&worker), Some(Duration::ZERO));
        let still = observer.observe(&rows, moment(12), moment(20)).worker(&worker);
        assert_eq!(still, Some(Duration::from_secs(7)));
        let moved: Rows = [heartbeat("w", 2, "r")].into_iter().collect();
        assert_eq!(observer.observe(&moved, moment(21), moment(22)).worker(&worker), Some(Duration::ZERO));
        assert_eq!(observer.observe(&Rows::default(), moment(23), moment(24)).worker(&worker), None);
    }

    #[test]
    fn a_worker_lives_when_its_heartbeat_was_seen_to_move_not_when_it_was_seen() {
        let mut observer = Observer::default();
        let worker = WorkerId::new("w");
        let mut see = |beat, at| {
            let rows: Rows = [heartbeat("w", beat, "r")].into_iter().collect();
            observer.observe(&rows, moment(at), moment(at))
        };
        assert!(!see(1, 5).worker_moved_after(&worker, moment(0)));
        let moved = see(2, 6);
        assert!(moved.worker_moved_after(&worker, moment(5)) && !moved.worker_moved_after(&worker, moment(6)));
        assert!(see(2, 9).worker_moved_after(&worker, moment(5)));
    }

    #[test]
    fn a_recipe_is_unused_only_while_no_worker_and_no_pin_names_it() {
        let mut observer = Observer::default();
        let recipe = RecipeHash::from_text("old");
        let row = || Row::Recipe { hash: RecipeHash::from_text("old"), touched: 3 };
        let unused: Rows = [row(), heartbeat("w", 1, "new")].into_iter().collect();
        let used: Rows = [row(), heartbeat("w", 1, "old")].into_iter().collect();
        observer.observe(&unused, moment(0), moment(0));
        assert_eq!(observer.observe(&unused, moment(9), moment(9)).recipe(&recipe), Duration::from_secs(9));
        assert_eq!(observer.observe(&used, moment(10), moment(10)).recipe(&recipe), Duration::ZERO);
        assert_eq!(observer.observe(&unused, moment(11), moment(11)).recipe(&recipe), Duration::ZERO);
    }
}
