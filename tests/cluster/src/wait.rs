//! Waiting for a condition, with a deadline that says what was waited for.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// How long anything may take on a busy machine. Nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(240);

/// Looks until `look` gives something; when that takes too long, says what it said last.
///
/// # Errors
/// When the deadline has passed.
pub fn eventually<T>(what: &str, look: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    within(DEADLINE, what, look)
}

/// As [`eventually`], with a deadline of one's own.
///
/// # Errors
/// When the deadline has passed.
pub fn within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(not_yet) if begun.elapsed() > deadline => bail!("{what}: not within {deadline:?}: {not_yet:#}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
