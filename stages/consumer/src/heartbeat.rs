//! A worker's sign of life: one row that moves while the worker lives, however many leases it has.

use std::sync::atomic::{AtomicBool, Ordering};

use penstock_contract::Sink;
use tokio::sync::Notify;

use crate::shared::Shared;
use crate::trouble::Concern;

/// How often to try to delete the own heartbeat at the end. When that fails, the others find out by themselves.
const RETIRE_ATTEMPTS: u32 = 3;

/// Whether the worker gives its leases back: the others then count without it.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    flag: AtomicBool,
    changed: Notify,
}

impl Draining {
    /// From now on it does.
    pub(crate) fn begin(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// Moves the heartbeat until the future is dropped.
pub(crate) async fn beat<S: Sink>(shared: &Shared<S>, draining: &Draining) {
    loop {
        once(shared, draining.flag.load(Ordering::Relaxed)).await;
        tokio::select! {
            biased;
            () = tokio::time::sleep(shared.config.round()) => {}
            () = draining.changed.notified() => {}
        }
    }
}

/// Moves the heartbeat once; tries until it succeeds.
pub(crate) async fn once<S: Sink>(shared: &Shared<S>, draining: bool) {
    let worker = &shared.config.worker_id;
    let load = shared.loads.load(shared.now());
    let beat = || shared.table.heartbeat(worker, &shared.recipe, draining, load);
    shared.troubles.insist(Concern::Leases, "heartbeat", beat).await;
    shared.metrics.heartbeat(worker);
}

/// Takes the heartbeat away: the worker owns nothing any more.
pub(crate) async fn retire<S: Sink>(shared: &Shared<S>) {
    for _ in 0..RETIRE_ATTEMPTS {
        match shared.table.retire(&shared.config.worker_id).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the worker's heartbeat stays until it expires"),
        }
    }
}
