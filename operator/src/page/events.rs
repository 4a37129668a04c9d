//! From the events of a Pipeline to what the page shows of them. Pure.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;

/// How many are shown.
const SHOWN: usize = 20;

/// The newest events, newest first.
pub(super) fn newest(events: &[Event]) -> Vec<penstock_console::Event> {
    let mut by_time: Vec<_> = events.iter().filter_map(|event| Some((last(event)?, event))).collect();
    by_time.sort_by(|(a, _), (b, _)| b.cmp(a));
    by_time.iter().take(SHOWN).map(|(at, event)| shown(*at, event)).collect()
}

/// When it was told last. A series begins with the second time.
fn last(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    series.or_else(|| event.event_time.as_ref().map(|time| time.0))
}

fn shown(at: Timestamp, event: &Event) -> penstock_console::Event {
    let times = event.series.as_ref().map_or(1, |series| series.count);
    penstock_console::Event {
        last: at.to_string(),
        times: u32::try_from(times).unwrap_or(1),
        is_warning: event.type_.as_deref() == Some("Warning"),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.note.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_are_shown_first_by_when_they_were_told_last() {
        let event = |reason: &str, time: &str, series: Option<(&str, i32)>| -> Event {
            let series = series.map(|(last, count)| json!({ "count": count, "lastObservedTime": last }));
            serde_json::from_value(json!({
                "metadata": { "name": reason }, "eventTime": time, "reason": reason, "type": "Warning", "note": "said",
                "series": series,
            }))
            .unwrap()
        };
        let mut events = vec![
            event("Old", "2026-11-27T08:00:00.000000Z", None),
            event("Again", "2026-11-27T07:00:00.000000Z", Some(("2026-11-27T09:00:00.000000Z", 4))),
        ];
        let seen = newest(&events);
        let told: Vec<_> = seen.iter().map(|event| (event.reason.as_str(), event.times, event.last.as_str())).collect();
        assert_eq!(told, [("Again", 4, "2026-11-27T09:00:00Z"), ("Old", 1, "2026-11-27T08:00:00Z")]);
        assert!(seen[0].is_warning);
        events.extend((0..SHOWN).map(|_| event("New", "2026-11-27T10:00:00.000000Z", None)));
        assert!(newest(&events).iter().all(|event| event.reason == "New"));
    }
}
