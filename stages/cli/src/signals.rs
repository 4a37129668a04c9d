//! Ctrl-C and SIGTERM: the first asks to drain, the second ends at once.

use penstock_runtime::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that a second signal ended (128 + SIGINT, as shells have it).
const INTERRUPTED: i32 = 130;

/// Drains `stop` at the first signal; at the second the process ends, which is like a crash and as safe.
///
/// # Errors
/// When the system does not let signals be caught.
pub(crate) fn drain_on_signals(stop: &Stop) -> std::io::Result<()> {
    let mut signals =
        Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    let stop = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("draining; a second signal ends at once");
        stop.drain.cancel();
        signals.next().await;
        tracing::warn!("ended by a second signal; the next start goes on where this one was");
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
