//! Leader election by a Lease: one replica controls, the others wait.
//!
//! The lease is coordination, not a fence: so the leader stops by its own clock well before anybody else may start, and what it
//! does is dropped in the middle. Its client is another one than the controller's, without repeats.

mod decide;
mod lease;

use std::future::Future;
use std::time::Duration;

use kube::Client;
use penstock_runtime::Health;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

pub use decide::{Decision, decide, must_stop};

use crate::metrics;
use crate::settings::ElectionSettings;
use lease::{Attempt, Elector};

const CONCERN: &str = "lease";

/// Runs `lead` whenever and as long as the lease is held, until `stop`; then gives the lease back.
///
/// `lead` is dropped at once when the lease is lost.
pub async fn while_leading<Lead, Leading>(
    client: Client,
    settings: ElectionSettings,
    health: Health,
    stop: CancellationToken,
    lead: Lead,
) where
    Lead: Fn() -> Leading,
    Leading: Future<Output = ()>,
{
    let mut elector = Elector::new(client, settings.clone());
    health.waits(CONCERN, "the lease has not been looked at yet");
    loop {
        let Some(held_since) = stop.run_until_cancelled(acquire(&mut elector, &settings, &health)).await else {
            return;
        };
        tracing::info!(identity = settings.identity, "leading");
        metrics::leading(true);
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Asked,
            () = renew_until_lost(&mut elector, &settings, held_since, &health) => Ended::Lost,
            () = lead() => Ended::ByItself,
        };
        metrics::leading(false);
        match ended {
            Ended::Lost => {
                tracing::warn!(identity = settings.identity, "the lease is lost; the controller has been stopped")
            }
            Ended::Asked | Ended::ByItself => {
                elector.release().await;
                if matches!(ended, Ended::Asked) {
                    return;
                }
            }
        }
    }
}

enum Ended {
    Asked,
    Lost,
    ByItself,
}

/// Waits until the lease is ours; gives when the attempt that took it began.
async fn acquire(elector: &mut Elector, settings: &ElectionSettings, health: &Health) -> Instant {
    loop {
        let begun = Instant::now();
        match elector.attempt().await {
            Attempt::Held => {
                health.fine(CONCERN);
                return begun;
            }
            Attempt::Anothers => health.fine(CONCERN),
            Attempt::Failed(because) => {
                tracing::warn!(because, "the lease could not be looked at");
                health.waits(CONCERN, because);
            }
        }
        sleep(jittered(settings.retry)).await;
    }
}

/// Renews until the lease is lost: it is another's, or there was no success for too long.
async fn renew_until_lost(elector: &mut Elector, settings: &ElectionSettings, held_since: Instant, health: &Health) {
    let mut renewed = held_since;
    loop {
        let deadline = renewed + settings.renew_deadline;
        if timeout_at(deadline, sleep(settings.retry)).await.is_err() {
            return;
        }
        let begun = Instant::now();
        // The deadline also ends an attempt that is under way.
        match timeout_at(deadline, elector.attempt()).await {
            Ok(Attempt::Held) => {
                health.fine(CONCERN);
                renewed = begun;
            }
            Ok(Attempt::Anothers) | Err(_) => return,
            Ok(Attempt::Failed(because)) => tracing::warn!(because, "the lease could not be renewed"),
        }
        if must_stop(renewed.elapsed(), settings.renew_deadline) {
            return;
        }
    }
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.75 + fastrand::f64() / 4.0)
}

#[cfg(test)]
mod tests;
