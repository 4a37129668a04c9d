//! How long to wait before the next attempt.

use std::time::Duration;

use chrono::{DateTime, Utc};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// An endpoint that asks for more patience is asked again after this.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// The pause after the `failures`-th failure in a row (counted from 1): a random part of a time that doubles, so that
/// clients which failed together do not come back together. What the endpoint asked for is never undercut.
/// `random` is from 0 to 1.
pub(crate) fn pause(failures: u32, asked: Option<Duration>, random: f64) -> Duration {
    let most = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST);
    match asked {
        Some(asked) => asked.min(LONGEST_ASKED) + FIRST.mul_f64(random),
        None => most.mul_f64(0.5 + 0.5 * random),
    }
}

/// Reads a `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        assert_eq!(pause(1, None, 1.0), FIRST);
        assert_eq!(pause(1, None, 0.0), FIRST / 2);
        assert_eq!(pause(3, None, 1.0), FIRST * 4);
        assert_eq!(pause(1_000_000, None, 1.0), LONGEST);
    }

    #[test]
    fn what_the_endpoint_asks_for_is_kept_within_reason() {
        assert_eq!(pause(1, Some(Duration::from_secs(7)), 0.0), Duration::from_secs(7));
        assert_eq!(pause(1, Some(Duration::from_secs(86_400)), 0.0), LONGEST_ASKED);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Fri, 02 Jan 2026 03:04:15 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Fri, 02 Jan 2026 03:04:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
