//! Waiting for a condition, with a deadline that says what was waited for.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long anything may take on a busy machine. Nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(240);

/// Looks until `look` gives something; when that takes too long, says what it said last.
///
/// # Errors
/// When the deadline has passed.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(not_yet) if Instant::now() > deadline => bail!("{what}: not within {DEADLINE:?}: {not_yet:#}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Looks until `look` gives the same for `quiet`; gives that.
///
/// # Errors
/// When a look fails, or it does not come to rest before the deadline.
pub async fn steady<T: PartialEq>(
    what: &str,
    quiet: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    let mut seen = look().await?;
    let mut since = Instant::now();
    while since.elapsed() < quiet {
        if Instant::now() > deadline {
            bail!("{what}: still changing after {DEADLINE:?}");
        }
        sleep(PAUSE).await;
        let now = look().await?;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(seen)
}
