//! Looking again until a resource is ready: how long to wait between looks, and when to give up.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::error::{CallError, Kind, ProvisionError};

/// How long one call may take with all of the SDK's attempts. A backstop: the clients have limits of their own.
const CALL_LIMIT: Duration = Duration::from_secs(90);

/// How often to look, and for how long.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first_wait: Duration,
    longest_wait: Duration,
    deadline: Duration,
}

/// AWS makes a stream or a table in seconds, on a bad day in minutes; engines make them at once.
const PACE: Pace = Pace {
    first_wait: Duration::from_millis(20),
    longest_wait: Duration::from_secs(5),
    deadline: Duration::from_secs(300),
};

/// What one look at a resource came to.
pub(crate) enum Look<T> {
    /// It is ready.
    Ready(T),
    /// It works, and a change of it is still to come: AWS does not let it happen yet, or it would lose something.
    Deferred(T),
    /// Something was done, or is on its way; the words say what it waits for.
    Again(&'static str),
}

/// Looks until the resource is ready, with growing waits.
pub(crate) async fn until_ready<T, F>(kind: Kind, name: &str, look: impl FnMut() -> F) -> Result<T, ProvisionError>
where
    F: Future<Output = Result<Look<T>, CallError>>,
{
    until_ready_at(PACE, kind, name, look).await
}

async fn until_ready_at<T, F>(
    pace: Pace,
    kind: Kind,
    name: &str,
    mut look: impl FnMut() -> F,
) -> Result<T, ProvisionError>
where
    F: Future<Output = Result<Look<T>, CallError>>,
{
    let begun = Instant::now();
    let mut wait = pace.first_wait;
    loop {
        let (state, source): (_, Option<Box<dyn Error + Send + Sync>>) = match look().await {
            Ok(Look::Ready(ready) | Look::Deferred(ready)) => return Ok(ready),
            Ok(Look::Again(state)) => (state, None),
            Err(CallError::NotFound) => ("it was there and is gone", None),
            Err(CallError::Passing(error) | CallError::InUse(error) | CallError::Limited(error)) => {
                ("AWS fails or throttles", Some(error))
            }
            Err(CallError::Lasting(error)) => return Err(error),
        };
        if begun.elapsed() + wait > pace.deadline {
            let (name, state) = (name.to_owned(), state.to_owned());
            return Err(ProvisionError::NotReady { kind, name, state, after: begun.elapsed(), source });
        }
        sleep(wait).await;
        wait = (wait * 2).min(pace.longest_wait);
    }
}

/// The call with a time limit. Boxed at once, because the SDK's futures are large.
pub(crate) fn limited<F: Future>(call: F) -> impl Future<Output = Result<F::Output, CallError>> {
    let call = Box::pin(call);
    async move { timeout(CALL_LIMIT, call).await.map_err(|elapsed| CallError::Passing(Box::new(elapsed))) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const QUICK: Pace = Pace {
        first_wait: Duration::from_micros(10),
        longest_wait: Duration::from_millis(1),
        deadline: Duration::from_millis(20),
    };

    #[tokio::test]
    async fn it_looks_until_the_resource_is_ready() {
        let mut looks = 0;
        let ready = until_ready_at(Pace { deadline: PACE.deadline, ..QUICK }, Kind::Stream, "s", || {
            looks += 1;
            let answer = match looks {
                1 => Err(CallError::Passing("throttled".into())),
                2 => Err(CallError::NotFound),
                3 => Ok(Look::Again("it is being created")),
                _ => Ok(Look::Ready(looks)),
            };
            std::future::ready(answer)
        });
        assert_eq!(ready.await.unwrap(), 4);
    }

    #[tokio::test]
    async fn it_gives_up_in_the_end_and_says_what_it_waited_for() {
        let look = || std::future::ready(Ok(Look::<()>::Again("it is being created")));
        let error = until_ready_at(QUICK, Kind::Table, "t", look).await.unwrap_err();
        assert_eq!(error.reason(), "resource_not_ready");
        assert!(error.to_string().contains("it is being created"), "{error}");
    }
}
