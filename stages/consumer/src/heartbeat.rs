//! A worker's sign of life: one row that moves while the worker lives, however many leases it has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use penstock_contract::Sink;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::trouble::Concern;

/// How often to try to delete the own heartbeat at the end. When that fails, the others find out by themselves.
const RETIRE_ATTEMPTS: u32 = 3;
/// How long a heartbeat that is under way is waited for at the end.
const LAST_CALL_LIMIT: Duration = Duration::from_secs(5);

/// What the worker and its heartbeat know of each other.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    begun: CancellationToken,
    /// The worker gives its leases back: the others then count without it.
    draining: AtomicBool,
    changed: Notify,
    ended: CancellationToken,
}

impl Pulse {
    /// Waits until there is a heartbeat.
    pub(crate) async fn begun(&self) {
        self.begun.cancelled().await;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// From now on the heartbeat says that the worker gives its leases back.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// The heartbeat is to move no more.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }
}

/// Moves the heartbeat until that is to end. A call that is under way then is waited for: else it might have its effect
/// after the heartbeat is taken away.
pub(crate) async fn beat<S: Sink>(shared: &Shared<S>, pulse: &Pulse) {
    let too_long = async {
        pulse.ended.cancelled().await;
        sleep(LAST_CALL_LIMIT).await;
    };
    tokio::select! {
        biased;
        () = beats(shared, pulse) => {}
        () = too_long => tracing::warn!("a heartbeat is still under way at the end; it may stay until it expires"),
    }
}

async fn beats<S: Sink>(shared: &Shared<S>, pulse: &Pulse) {
    while !pulse.ended.is_cancelled() {
        once(shared, pulse.draining.load(Ordering::Relaxed)).await;
        pulse.begun.cancel();
        tokio::select! {
            biased;
            () = pulse.ended.cancelled() => {}
            () = pulse.changed.notified() => {}
            () = sleep(shared.config.round()) => {}
        }
    }
}

/// Moves the heartbeat once; tries until it succeeds.
async fn once<S: Sink>(shared: &Shared<S>, draining: bool) {
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
