//! One worker of one sink: looks at the lease table in rounds, does what was decided, minds its shards.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use penstock_api::plan::StartAt;
use penstock_contract::{ShardId, Sink};
use penstock_stream::{ShardFilter, StreamError, list_shards, service_time};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::balance::HandOver;
use crate::decide::{Actions, Me, Take, decide, is_free};
use crate::error::ConsumerError;
use crate::heartbeat::{self, Pulse};
use crate::lease::{Lease, WorkerId};
use crate::lease_table::{LeaseTableError, Write};
use crate::observe::{Moment, Observer, Rows, Stillness};
use crate::recreated::{self, Change};
use crate::rounds::pause;
use crate::shard_loop::{self, Outcome, Signals};
use crate::shard_sync::{Start, begins_at};
use crate::shared::Shared;
use crate::trouble::Concern;

/// Rounds are not closer together than this, however much happens.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(20);
/// How long giving back what is left may take at the end.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(5);

/// Works until told to end.
pub(crate) async fn run<S: Sink>(shared: Arc<Shared<S>>) -> Result<(), ConsumerError> {
    let pulse = Pulse::default();
    let worked = async {
        let worked = work(&shared, &pulse).await;
        pulse.end();
        worked
    };
    let (worked, ()) = tokio::select! {
        biased;
        both = async { tokio::join!(worked, heartbeat::beat(&shared, &pulse)) } => both,
        never = shared.lags.keep_showing() => match never {},
    };
    if worked.is_ok() && pulse.has_begun() {
        heartbeat::retire(&shared).await;
    }
    worked
}

async fn work<S: Sink>(shared: &Arc<Shared<S>>, pulse: &Pulse) -> Result<(), ConsumerError> {
    // Before the first lease is taken: whoever owns a lease has a heartbeat.
    tokio::select! {
        biased;
        () = shared.stop.drain.cancelled() => return Ok(()),
        () = pulse.begun() => {}
    }
    let mut worker = Worker::new(Arc::clone(shared));
    worker.work().await?;
    pulse.drain();
    worker.finish().await
}

struct Worker<S: Sink> {
    shared: Arc<Shared<S>>,
    observer: Observer,
    running: BTreeMap<ShardId, Signals>,
    tasks: JoinSet<(ShardId, Outcome)>,
    ending: CancellationToken,
    synced: Option<Instant>,
    /// The end of the first look at the table after ending at the tip was asked for.
    told_at: Option<Moment>,
    /// Leases that were complained about already.
    unusable: BTreeSet<ShardId>,
    /// Whether it was said that nobody can tell where reading began.
    complained_of_start: bool,
    told_of_waiting: bool,
}

/// Why a round broke off.
enum RoundFailed {
    Table(LeaseTableError),
    Stream(StreamError),
}

impl From<LeaseTableError> for RoundFailed {
    fn from(error: LeaseTableError) -> Self {
        Self::Table(error)
    }
}

impl From<StreamError> for RoundFailed {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl<S: Sink> Worker<S> {
    fn new(shared: Arc<Shared<S>>) -> Self {
        Self {
            shared,
            observer: Observer::default(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            ending: CancellationToken::new(),
            synced: None,
            told_at: None,
            unusable: BTreeSet::new(),
            complained_of_start: false,
            told_of_waiting: false,
        }
    }

    /// Rounds until draining is asked for, or until everything is at its tip when that is asked for.
    async fn work(&mut self) -> Result<(), ConsumerError> {
        let shared = Arc::clone(&self.shared);
        let (drain, at_tip) = (&shared.stop.drain, &shared.stop.at_tip);
        let (mut due, mut is_first) = (Instant::now(), true);
        let mut luck = luck_of(&shared.config.worker_id);
        loop {
            tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                Some(ended) = self.tasks.join_next() => self.shard_ended(ended)?,
                () = shared.wake.notified() => {}
                () = at_tip.cancelled(), if self.told_at.is_none() => {}
                () = sleep_until(due) => {
                    due = Instant::now() + pause(shared.config.round(), is_first, luck.f64());
                    is_first = false;
                }
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                done = self.round() => match done {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(failed) => self.note(&failed),
                },
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                () = sleep(BETWEEN_ROUNDS) => {}
            }
        }
    }

    /// Every shard closes and commits its open range and gives its lease back.
    async fn finish(&mut self) -> Result<(), ConsumerError> {
        self.ending.cancel();
        for signals in self.running.values() {
            signals.finish.cancel();
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.shard_ended(ended)?;
        }
        if timeout(GIVE_BACK_LIMIT, self.give_back()).await.is_err() {
            tracing::warn!("some leases may stay owned by this worker until its heartbeat expires");
        }
        Ok(())
    }

    /// Leases that are still owned: taken in a round that was broken off, or kept by a shard that gave up.
    async fn give_back(&self) {
        let shared = &self.shared;
        let rows = shared.troubles.insist(Concern::Leases, "worker", || shared.table.rows()).await;
        let mine = rows.leases.values().filter(|lease| lease.owner.as_ref() == Some(&shared.config.worker_id));
        for lease in mine {
            let released = lease.released(None);
            let give_back = || shared.table.replace(lease, &released);
            // Lost is as good as given back.
            let (Write::Done | Write::Lost) =
                shared.troubles.insist(Concern::Leases, lease.shard.as_str(), give_back).await;
        }
    }

    /// Looks, decides, acts. Says whether to end at the tip was asked for and everything is there.
    async fn round(&mut self) -> Result<bool, RoundFailed> {
        let (mut rows, mut still) = self.look().await?;
        let is_to_be_decided = self.shared.config.start_at != StartAt::TrimHorizon && rows.start.is_none();
        if is_to_be_decided && self.decide_start(&rows).await? {
            (rows, still) = self.look().await?;
            if rows.start.is_none() && !std::mem::replace(&mut self.complained_of_start, true) {
                tracing::error!(
                    table = %self.shared.config.lease_table,
                    "the row of the lease table that says when reading began cannot be read, so no shard is begun with: delete it, \
                     and it is written anew"
                );
            }
        }
        let mut is_in_step = true;
        if self.sync_is_due(&rows) {
            match self.sync_shards(&rows, &still).await {
                Ok(true) => (rows, still) = self.look().await?,
                Ok(false) => {}
                // Leases that are there change hands all the same, or nobody would go on for a worker that crashes meanwhile.
                Err(failed @ RoundFailed::Stream(_)) => {
                    self.note(&failed);
                    is_in_step = false;
                }
                Err(failed @ RoundFailed::Table(_)) => return Err(failed),
            }
        }
        self.complain(&rows);
        let shared = &self.shared;
        let running = self.running.keys().cloned().collect();
        let is_leaving = |(shard, signals): (&ShardId, &Signals)| signals.finish.is_cancelled().then(|| shard.clone());
        let leaving = self.running.iter().filter_map(is_leaving).collect();
        let weights = shared.loads.measured(shared.now());
        let me = Me {
            id: &shared.config.worker_id,
            running: &running,
            leaving: &leaving,
            weights: &weights,
            least_imbalance: shared.config.least_imbalance,
            draining: false,
        };
        let actions = decide(&rows, &still, me, shared.config.failover);
        let nothing_to_take = actions.take.is_empty();
        self.act(actions).await?;
        self.shared.troubles.over(Concern::Leases, "worker");
        self.shared.troubles.fine(Concern::Leases);
        self.shared.metrics.leases(self.running.len());
        Ok(is_in_step && nothing_to_take && self.is_done(&rows, &still))
    }

    async fn look(&mut self) -> Result<(Rows, Stillness), LeaseTableError> {
        let told = self.shared.stop.at_tip.is_cancelled();
        let began = self.shared.now();
        let rows = self.shared.table.rows().await?;
        let ended = self.shared.now();
        if told {
            // Not earlier: this look may show a heartbeat that moved before, by a worker that has stopped since.
            self.told_at.get_or_insert(ended);
        }
        let still = self.observer.observe(&rows, began, ended);
        Ok((rows, still))
    }

    fn sync_is_due(&self, rows: &Rows) -> bool {
        rows.leases.is_empty() || self.synced.is_none_or(|synced| synced.elapsed() >= self.shared.config.shard_sync)
    }

    /// Compares the leases with the stream's shards; says whether anything was changed.
    async fn sync_shards(&mut self, rows: &Rows, still: &Stillness) -> Result<bool, RoundFailed> {
        let (shared, config) = (&self.shared, &self.shared.config);
        // Before the listing: a shard that is made in between is one that is not known yet.
        let Some(start) = self.where_to_begin(rows).await? else { return Ok(false) };
        let listed = list_shards(&shared.kinesis, &config.stream, &ShardFilter::FromTrimHorizon).await?;
        let is_left = |lease: &Lease| {
            let was_mine = lease.owner.as_ref() == Some(&config.worker_id) && !self.running.contains_key(&lease.shard);
            was_mine || is_free(lease, rows, still, &config.worker_id, config.failover)
        };
        let changes = recreated::changes(&listed, rows, is_left, &start);
        for change in &changes {
            self.change(change).await?;
        }
        shared.troubles.over(Concern::Stream, &config.stream);
        shared.troubles.fine(Concern::Stream);
        self.synced = Some(Instant::now());
        Ok(!changes.is_empty())
    }

    /// When reading begins is decided once, before the first lease is written: workers that start together, or after one that
    /// stopped on the way, would each know another time, and what came between would be read of some shards only. Says
    /// whether it is decided: the service takes no time that is still to come.
    async fn decide_start(&mut self, rows: &Rows) -> Result<bool, RoundFailed> {
        let shared = &self.shared;
        let now = service_time(&shared.kinesis, &shared.config.stream).await?;
        let Some(time) = begins_at(shared.config.start_at, rows, now) else {
            if !std::mem::replace(&mut self.told_of_waiting, true) {
                tracing::info!(stream = %shared.config.stream, "reading begins at a time that is still to come");
            }
            return Ok(false);
        };
        shared.table.start(time).await?;
        Ok(true)
    }

    /// Where reading begins; `None` when that is not decided yet.
    async fn where_to_begin(&self, rows: &Rows) -> Result<Option<Start>, RoundFailed> {
        let config = &self.shared.config;
        if config.start_at == StartAt::TrimHorizon {
            return Ok(Some(Start::TrimHorizon));
        }
        let Some(time) = rows.start else { return Ok(None) };
        let since = list_shards(&self.shared.kinesis, &config.stream, &ShardFilter::FromTimestamp(time)).await?;
        Ok(Some(Start::At { time, shards: since.into_iter().map(|shard| shard.id).collect() }))
    }

    async fn change(&self, change: &Change<'_>) -> Result<(), LeaseTableError> {
        let shared = &self.shared;
        match change {
            Change::Create(lease) => {
                shared.table.create(lease).await?;
                tracing::info!(shard = %lease.shard, checkpoint = ?lease.checkpoint, "a lease is written");
            }
            Change::Delete(lease) => {
                shared.table.delete(lease).await?;
                tracing::info!(
                    shard = %lease.shard, checkpoint = ?lease.checkpoint,
                    "the lease of a shard that the stream does not have any more is deleted"
                );
            }
            Change::Restart { seen, lease } => {
                shared.table.restart(seen, lease).await?;
                tracing::warn!(
                    shard = %lease.shard, before = ?seen.checkpoint,
                    "the stream was deleted and created again: its new shard is read from the first record on"
                );
            }
            Change::Mend { seen, lease } => {
                shared.table.restart(seen, lease).await?;
                tracing::warn!(
                    shard = %lease.shard, before = ?seen.parents, parents = ?lease.parents,
                    "the stream was deleted and created again: a lease that described the old shard is mended"
                );
            }
        }
        Ok(())
    }

    async fn act(&mut self, actions: Actions) -> Result<(), LeaseTableError> {
        for shard in &actions.lost {
            if let Some(signals) = self.running.get(shard) {
                signals.lost.cancel();
            }
        }
        for shard in &actions.release {
            if let Some(signals) = self.running.get(shard) {
                signals.finish.cancel();
            }
        }
        if let Some(HandOver { shards, to }) = &actions.hand_over {
            for signals in shards.iter().filter_map(|shard| self.running.get(shard)) {
                // Whoever was told first is told for good.
                signals.intended.get_or_init(|| to.clone());
                signals.finish.cancel();
            }
            tracing::info!(?shards, %to, "leases are handed over to a worker that has less to do");
        }
        for take in actions.take {
            // Earlier work of ours on the shard may still be on its way out: never two at once, of which only one would
            // be told to finish.
            if !self.running.contains_key(&take.lease.shard) {
                self.take(take).await?;
            }
        }
        for worker in &actions.forget_workers {
            self.shared.table.forget_worker(worker).await?;
            tracing::info!(worker = %worker.id, "the heartbeat of a worker that is gone is deleted");
        }
        for (recipe, touched) in &actions.forget_recipes {
            self.shared.table.forget_recipe(recipe, *touched).await?;
        }
        Ok(())
    }

    async fn take(&mut self, take: Take) -> Result<(), LeaseTableError> {
        let shared = &self.shared;
        for parent in &take.confirm_absent {
            if shared.table.lease(parent).await?.is_some_and(|parent| !parent.is_finished()) {
                return Ok(());
            }
        }
        let taken = take.lease.taken_by(&shared.config.worker_id);
        if shared.table.replace(&take.lease, &taken).await? == Write::Lost {
            // Somebody was faster.
            return Ok(());
        }
        shared.metrics.lease_taken();
        let before = take.lease.owner.as_ref().map(ToString::to_string);
        tracing::info!(shard = %taken.shard, before, checkpoint = ?taken.checkpoint, "a lease is taken");
        self.start(taken);
        Ok(())
    }

    fn start(&mut self, lease: Lease) {
        let signals = Signals { ending: self.ending.clone(), ..Signals::default() };
        self.shared.loads.begin(&lease.shard, self.shared.now());
        let (shared, shard) = (Arc::clone(&self.shared), lease.shard.clone());
        self.running.insert(shard.clone(), signals.clone());
        // Whatever is logged about the shard says which one it is.
        let span = tracing::error_span!("shard", %shard);
        let work = async move { (shard, shard_loop::run(shared, lease, signals).await) };
        self.tasks.spawn(work.instrument(span));
    }

    fn shard_ended(&mut self, ended: Result<(ShardId, Outcome), JoinError>) -> Result<(), ConsumerError> {
        match ended {
            Ok((shard, Outcome::Panicked)) => Err(ConsumerError::Panicked { shard: Some(shard) }),
            Ok((shard, outcome)) => {
                match outcome {
                    Outcome::Lost => self.shared.metrics.lease_lost(),
                    Outcome::Released | Outcome::GaveUp => self.shared.metrics.lease_given_back(),
                    // The next round writes its lease anew.
                    Outcome::Replaced => self.synced = None,
                    Outcome::Ended | Outcome::Panicked => {}
                }
                self.running.remove(&shard);
                self.shared.loads.end(&shard);
                self.shared.metrics.leases(self.running.len());
                Ok(())
            }
            Err(_) => Err(ConsumerError::Panicked { shard: None }),
        }
    }

    /// Nothing is left that this worker would have to wait for: each shard is at its end, or read to the tip
    /// here, or the business of another worker that has shown since then that it lives.
    fn is_done(&self, rows: &Rows, still: &Stillness) -> bool {
        let Some(told_at) = self.told_at else { return false };
        let shared = &self.shared;
        let is_with_another =
            |lease: &Lease| lease.owner.as_ref().is_some_and(|owner| still.worker_moved_after(owner, told_at));
        let is_done = |lease: &Lease| {
            let is_mine = lease.owner.as_ref() == Some(&shared.config.worker_id);
            lease.is_finished() || if is_mine { shared.is_parked(&lease.shard) } else { is_with_another(lease) }
        };
        !rows.leases.is_empty() && rows.broken.is_empty() && rows.leases.values().all(is_done)
    }

    fn complain(&mut self, rows: &Rows) {
        let newer = rows.leases.values().filter_map(|lease| match &lease.pending {
            Some(crate::lease::Pending::Newer { version }) => {
                Some((&lease.shard, format!("a later version of Penstock (format {version}) pinned a range of it")))
            }
            _ => None,
        });
        let broken = rows.broken.iter().map(|(shard, problem)| (shard, problem.clone()));
        let unusable: BTreeMap<_, _> = newer.chain(broken).map(|(shard, why)| (shard.clone(), why)).collect();
        for (shard, why) in unusable.iter().filter(|(shard, _)| !self.unusable.contains(*shard)) {
            tracing::error!(%shard, why, "a lease cannot be used; its shard is not read");
        }
        self.unusable = unusable.into_keys().collect();
    }

    fn note(&self, failed: &RoundFailed) {
        let (shared, wait) = (&self.shared, self.shared.config.round());
        match failed {
            RoundFailed::Table(error) => shared.troubles.note(Concern::Leases, "worker", error, wait),
            RoundFailed::Stream(error) => {
                shared.troubles.note(Concern::Stream, &shared.config.stream, error, wait);
            }
        }
    }
}

/// Each worker's own: by its name alone, so that what is simulated can be repeated.
fn luck_of(worker: &WorkerId) -> fastrand::Rng {
    let mut hasher = DefaultHasher::new();
    worker.hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish())
}
