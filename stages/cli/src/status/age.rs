//! How long ago something was, as `kubectl` writes it.

use std::time::{Duration, SystemTime};

use chrono::DateTime;

/// The time since then; `?` when it is no time.
pub(super) fn since(then: &str, now: SystemTime) -> String {
    let Ok(then) = DateTime::parse_from_rfc3339(then) else { return "?".to_owned() };
    // A clock here that is behind the cluster's makes it now.
    short(now.duration_since(then.into()).unwrap_or_default())
}

fn short(age: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match age.as_secs() {
        seconds if seconds < 2 * MINUTE => format!("{seconds}s"),
        seconds if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        seconds => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_short() {
        let of = |seconds| short(Duration::from_secs(seconds));
        assert_eq!([of(5), of(119), of(120), of(10_800), of(172_800)], ["5s", "119s", "2m", "3h", "2d"]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(90);
        assert_eq!(since("1970-01-01T00:00:30Z", now), "60s");
        assert_eq!(since("1970-01-01T00:05:00Z", now), "0s");
        assert_eq!(since("yesterday", now), "?");
    }
}
