//! The engine's clock, so that tests can let days pass.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::model::Millis;

/// How often a clock is looked at by those who wait for a time, in milliseconds: it may be set meanwhile.
const LOOK_AGAIN: Millis = 500;

/// Reads the time.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// The system's.
    pub(super) fn system() -> Self {
        Self::from_fn(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    pub(super) fn from_fn(read: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn now(&self) -> Millis {
        (self.0)()
    }

    /// Waits until it is that time.
    pub(super) async fn reach(&self, time: Millis) {
        loop {
            match time.saturating_sub(self.now()) {
                0 => return,
                left => tokio::time::sleep(Duration::from_millis(left.min(LOOK_AGAIN))).await,
            }
        }
    }
}
