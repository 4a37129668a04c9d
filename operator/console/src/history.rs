//! What was measured in the last hour: one number for each tick and series.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How often is looked.
pub(crate) const TICK: Duration = Duration::from_secs(2);
/// An hour of ticks.
pub(crate) const TICKS: usize = 1_800;

/// A number of a stage: the stage, the measure, and what it is shown apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    pub(crate) stage: String,
    pub(crate) measure: &'static str,
    pub(crate) of: Option<String>,
}

/// The last hour. Ticks have numbers that only grow, so that a reader can ask for what is new.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The number of the tick that comes next.
    next: u64,
    series: BTreeMap<SeriesKey, VecDeque<f32>>,
    /// All that was ever counted, for numbers that grow.
    totals: BTreeMap<(String, &'static str), f64>,
}

impl History {
    /// Adds a tick. What was not measured in it has a gap there.
    pub(crate) fn tick(&mut self, measured: &BTreeMap<SeriesKey, f64>) {
        let ticks = usize::try_from(self.next).unwrap_or(TICKS).min(TICKS);
        for key in measured.keys() {
            if !self.series.contains_key(key) {
                self.series.insert(key.clone(), std::iter::repeat_n(f32::NAN, ticks).collect());
            }
        }
        for (key, values) in &mut self.series {
            #[allow(clippy::cast_possible_truncation, reason = "seven digits are enough for a picture")]
            values.push_back(measured.get(key).map_or(f32::NAN, |value| *value as f32));
            if values.len() > TICKS {
                values.pop_front();
            }
        }
        self.series.retain(|_, values| values.iter().any(|value| !value.is_nan()));
        self.next += 1;
    }

    /// Adds to what was counted in all.
    pub(crate) fn count(&mut self, stage: &str, measure: &'static str, more: f64) {
        *self.totals.entry((stage.to_owned(), measure)).or_default() += more;
    }

    /// What was counted since the console started.
    pub(crate) fn total(&self, stage: &str, measure: &'static str) -> f64 {
        self.totals.get(&(stage.to_owned(), measure)).copied().unwrap_or(0.0)
    }

    /// The number of the tick that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The latest value, summed over what it is shown apart by, or the greatest of it.
    pub(crate) fn latest(&self, stage: &str, measure: &str, greatest: bool) -> Option<f32> {
        let last = self.series.iter().filter(|(key, _)| key.stage == stage && key.measure == measure);
        let values = last.filter_map(|(_, values)| values.back().copied()).filter(|value| !value.is_nan());
        values.reduce(|a, b| if greatest { a.max(b) } else { a + b })
    }

    /// The values since a tick, of each series of a measure, by stage and what they are shown apart by.
    pub(crate) fn since(&self, measure: &str, tick: u64) -> impl Iterator<Item = (&SeriesKey, Vec<Option<f32>>)> {
        let wanted = usize::try_from(self.next.saturating_sub(tick)).unwrap_or(TICKS);
        self.series.iter().filter(move |(key, _)| key.measure == measure).map(move |(key, values)| {
            let skip = values.len().saturating_sub(wanted);
            (key, values.iter().skip(skip).map(|value| (!value.is_nan()).then_some(*value)).collect())
        })
    }

    /// The first tick that is still known.
    pub(crate) fn first(&self) -> u64 {
        self.next.saturating_sub(TICKS as u64)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the very numbers that were put in")]
mod tests {
    use super::*;

    fn key(of: Option<&str>) -> SeriesKey {
        SeriesKey { stage: "raw".into(), measure: "lag", of: of.map(str::to_owned) }
    }

    #[test]
    fn what_was_not_measured_is_a_gap() {
        let mut history = History::default();
        history.tick(&BTreeMap::new());
        history.tick(&BTreeMap::from([(key(Some("a")), 1.0)]));
        history.tick(&BTreeMap::from([(key(Some("b")), 5.0)]));
        let seen: Vec<_> = history.since("lag", 0).map(|(_, values)| values).collect();
        assert_eq!(seen, [vec![None, Some(1.0), None], vec![None, None, Some(5.0)]]);
        assert_eq!(history.latest("raw", "lag", true), Some(5.0));
        assert_eq!(history.since("lag", 2).map(|(_, values)| values.len()).max(), Some(1));
    }

    #[test]
    fn an_hour_is_kept_and_what_is_older_goes() {
        let mut history = History::default();
        history.tick(&BTreeMap::from([(key(None), 1.0)]));
        for _ in 0..TICKS {
            history.tick(&BTreeMap::new());
        }
        assert_eq!(history.since("lag", 0).count(), 0);
        assert_eq!(history.first(), 1);
    }
}
