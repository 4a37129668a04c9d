//! When a watch that has failed works again. It does not say so: what it says is what it brings, and where nothing happens it
//! brings nothing. So one that fails no more, for longer than its next try could have waited, counts as working.

use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use kube::runtime::watcher;
use tokio::time::{Instant, timeout_at};

/// The longest that a watch waits after its first failure, twice as long after the second, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(1600);
/// The longest that it waits at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the try itself may take.
const TRY: Duration = Duration::from_secs(5);

/// What is seen of a watch.
pub(crate) enum Seen<T> {
    Brought(T),
    Failed(watcher::Error),
    /// It has failed, and works again.
    Calm,
}

/// The watch, and when it works again after a failure.
pub(crate) fn with_calm<T: Send + 'static>(
    watch: impl Stream<Item = watcher::Result<T>> + Send + 'static,
) -> impl Stream<Item = Seen<T>> + Send {
    let watch = Watch { events: watch.boxed(), failures: 0, calm_at: None };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) })
}

struct Watch<T> {
    events: BoxStream<'static, watcher::Result<T>>,
    /// Since it worked.
    failures: u32,
    /// When it works if it has not failed again.
    calm_at: Option<Instant>,
}

impl<T> Watch<T> {
    async fn next(&mut self) -> Option<Seen<T>> {
        let next = match self.calm_at {
            None => self.events.next().await,
            Some(at) => match timeout_at(at, self.events.next()).await {
                Ok(next) => next,
                Err(_) => {
                    (self.failures, self.calm_at) = (0, None);
                    return Some(Seen::Calm);
                }
            },
        };
        Some(match next? {
            Ok(event) => Seen::Brought(event),
            Err(error) => {
                self.calm_at = Some(Instant::now() + patience(self.failures));
                self.failures = self.failures.saturating_add(1);
                Seen::Failed(error)
            }
        })
    }
}

/// How long to wait for the next failure, after so many before this one.
fn patience(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE) + TRY
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_brings_nothing_after_a_failure_works_again() {
        let (watch, events) = unbounded();
        let mut seen = Box::pin(with_calm(events));
        let fail = || watch.unbounded_send(Err::<u32, _>(watcher::Error::NoResourceVersion));
        assert!(fail().is_ok());
        assert!(matches!(seen.next().await, Some(Seen::Failed(_))));
        assert!(matches!(seen.next().await, Some(Seen::Calm)));
        // Then it is not said again.
        assert!(watch.unbounded_send(Ok(1)).is_ok());
        assert!(matches!(seen.next().await, Some(Seen::Brought(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_at_every_try_does_not_work() {
        let (watch, events) = unbounded();
        let mut seen = Box::pin(with_calm(events));
        for failures in 0..12 {
            assert!(watch.unbounded_send(Err::<u32, _>(watcher::Error::NoResourceVersion)).is_ok());
            assert!(matches!(seen.next().await, Some(Seen::Failed(_))));
            // Its next try is as late as may be.
            let pause = FIRST_PAUSE.saturating_mul(1 << failures).min(LONGEST_PAUSE);
            let quiet = tokio::time::timeout(pause, seen.next()).await;
            assert!(quiet.is_err(), "after failure {failures}");
        }
    }
}
