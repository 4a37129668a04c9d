//! Looking at all stages of all Pipelines, tick by tick.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::stream::{self, StreamExt as _};
use parking_lot::RwLock;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::exposition::samples;
use crate::history::{History, SeriesKey, TICK};
use crate::measure::{API, Kind, Measure, SINK, SOURCE};
use crate::scrape::{Asker, Condition, Said};
use crate::subject::{StageAt, Subject, Subjects};

/// Processes that are asked at the same time.
const AT_ONCE: usize = 32;

/// What is known of one Pipeline.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) subject: Option<Arc<Subject>>,
    pub(crate) history: History,
    /// How each stage is, and since when, in milliseconds since the Unix epoch.
    pub(crate) health: BTreeMap<String, (Health, u64)>,
    /// The last value of each number that grows, by process and series.
    counters: BTreeMap<(String, SeriesKey), f64>,
    seen: Option<Instant>,
}

/// How a stage is, over all its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// All processes are ready.
    Ready,
    /// One answers and waits for something.
    Waits(String),
    /// One does not answer.
    Silent(String),
    /// It has no process.
    Absent,
}

/// What is known of all Pipelines, by namespace and name.
pub(crate) type All = Arc<RwLock<BTreeMap<(String, String), Known>>>;

/// Looks until told to end.
pub(crate) async fn watch(subjects: Arc<dyn Subjects>, all: All, stop: CancellationToken) {
    let asker = Asker::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = subjects.all();
        let keys: Vec<_> = now.iter().map(|subject| subject.key()).collect();
        all.write().retain(|key, _| keys.contains(key));
        for subject in now {
            let said = ask(&asker, &subject).await;
            all.write().entry(subject.key()).or_default().take(subject, &said);
        }
    }
}

/// What each process of each stage says.
async fn ask(asker: &Asker, subject: &Subject) -> Vec<(String, String, Said)> {
    let mut processes = Vec::new();
    for stage in &subject.stages {
        processes.extend(stage.admin.iter().map(|admin| (stage.name.clone(), admin.clone())));
    }
    let ask = |(stage, admin): (String, String)| async move {
        let said = asker.ask(&admin).await;
        (stage, admin, said)
    };
    stream::iter(processes).map(ask).buffer_unordered(AT_ONCE).collect().await
}

impl Known {
    /// Takes what all processes said in one tick.
    fn take(&mut self, subject: Arc<Subject>, said: &[(String, String, Said)]) {
        let now = Instant::now();
        let seconds = self.seen.map(|seen| now.duration_since(seen).as_secs_f64());
        self.seen = Some(now);
        let mut measured = BTreeMap::new();
        for (stage, admin, said) in said {
            let spec = &subject.pipeline.spec;
            let is_source = spec.sources.iter().any(|source| source.name == *stage);
            let is_api = spec.apis.iter().flatten().any(|api| api.name == *stage);
            let (label, measures) = match (is_source, is_api) {
                (true, _) => ("source", SOURCE),
                (_, true) => ("api", API),
                _ => ("sink", SINK),
            };
            self.read(stage, admin, label, measures, &said.metrics, seconds, &mut measured);
        }
        self.counters.retain(|(admin, _), _| said.iter().any(|(_, known, _)| known == admin));
        self.history.tick(&measured);
        for stage in &subject.stages {
            self.see(stage, said);
        }
        self.health.retain(|name, _| subject.stages.iter().any(|stage| stage.name == *name));
        self.subject = Some(subject);
    }

    /// Reads the metrics of one process.
    #[allow(clippy::too_many_arguments, reason = "all of them are what the process and the moment are")]
    fn read(
        &mut self,
        stage: &str,
        admin: &str,
        label: &str,
        measures: &[Measure],
        metrics: &str,
        seconds: Option<f64>,
        measured: &mut BTreeMap<SeriesKey, f64>,
    ) {
        // A counter comes in lines of several labels, which are one number here.
        let mut sums: BTreeMap<SeriesKey, (Kind, f64)> = BTreeMap::new();
        for sample in samples(metrics) {
            let Some(measure) = measures.iter().find(|measure| measure.metric == sample.name) else { continue };
            if sample.label(label) != Some(stage) {
                continue;
            }
            let of = measure.by.and_then(|by| sample.label(by)).map(str::to_owned);
            let key = SeriesKey { stage: stage.to_owned(), measure: measure.id, of };
            let (_, sum) = sums.entry(key).or_insert((measure.kind, 0.0));
            *sum = if measure.kind == Kind::Greatest { sum.max(sample.value) } else { *sum + sample.value };
        }
        for (key, (kind, value)) in sums {
            let value = match kind {
                Kind::Rate => match self.grown(admin, &key, value).zip(seconds) {
                    Some((more, seconds)) if seconds > 0.0 => more / seconds,
                    _ => continue,
                },
                Kind::Sum | Kind::Greatest => value,
            };
            let so_far = measured.entry(key).or_default();
            *so_far = if kind == Kind::Greatest { so_far.max(value) } else { *so_far + value };
        }
    }

    /// How much a number has grown since the last tick; `None` when it is seen for the first time. One that is less
    /// than it was began again with its process.
    fn grown(&mut self, admin: &str, key: &SeriesKey, value: f64) -> Option<f64> {
        let before = self.counters.insert((admin.to_owned(), key.clone()), value);
        let more = match before {
            Some(before) if value >= before => value - before,
            Some(_) => value,
            None => {
                self.history.count(&key.stage, key.measure, value);
                return None;
            }
        };
        self.history.count(&key.stage, key.measure, more);
        Some(more)
    }

    /// Notes how a stage is; since when changes only when that does.
    fn see(&mut self, stage: &StageAt, said: &[(String, String, Said)]) {
        let of_stage = said.iter().filter(|(name, _, _)| *name == stage.name);
        let health = of_stage.map(|(_, admin, said)| Health::of(admin, &said.condition)).max_by_key(Health::trouble);
        let health = health.unwrap_or(Health::Absent);
        let is_same = |(before, _): &(Health, u64)| before.trouble() == health.trouble();
        let since =
            self.health.get(&stage.name).filter(|before| is_same(before)).map_or_else(millis_now, |(_, at)| *at);
        self.health.insert(stage.name.clone(), (health, since));
    }
}

impl Health {
    fn of(admin: &str, condition: &Condition) -> Self {
        match condition {
            Condition::Ready => Self::Ready,
            Condition::Waits(because) => Self::Waits(because.clone()),
            Condition::Silent(error) => Self::Silent(format!("{admin} does not answer: {error}")),
        }
    }

    /// How bad it is.
    pub(crate) fn trouble(&self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Waits(_) => 1,
            Self::Absent => 2,
            Self::Silent(_) => 3,
        }
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "whole numbers")]
mod tests {
    use super::*;

    fn read(known: &mut Known, metrics: &str, seconds: Option<f64>) -> BTreeMap<SeriesKey, f64> {
        let mut measured = BTreeMap::new();
        known.read("raw", "http://a", "sink", SINK, metrics, seconds, &mut measured);
        measured
    }

    #[test]
    fn what_grows_becomes_a_rate_and_begins_again_with_its_process() {
        let mut known = Known::default();
        let line = |count: u32| {
            format!(
                "penstock_consumer_applied_records_total{{sink=\"raw\",shard=\"0\"}} {count}\n\
                 penstock_consumer_applied_records_total{{sink=\"raw\",shard=\"1\"}} {count}\n\
                 penstock_consumer_applied_records_total{{sink=\"other\",shard=\"1\"}} 99\n"
            )
        };
        assert!(read(&mut known, &line(100), None).is_empty());
        let rate = |measured: BTreeMap<SeriesKey, f64>| measured.into_values().next();
        assert_eq!(rate(read(&mut known, &line(150), Some(2.0))), Some(50.0));
        assert_eq!(rate(read(&mut known, &line(10), Some(2.0))), Some(10.0));
        assert_eq!(known.history.total("raw", "rows"), 200.0 + 100.0 + 20.0);
    }

    #[test]
    fn what_stands_is_shown_apart_by_its_label() {
        let text = "penstock_consumer_behind_latest_milliseconds{sink=\"raw\",shard=\"0\"} 7\n\
                    penstock_consumer_behind_latest_milliseconds{sink=\"raw\",shard=\"1\"} 9\n";
        let measured = read(&mut Known::default(), text, None);
        let seen: Vec<_> = measured.into_iter().map(|(key, value)| (key.of, value)).collect();
        assert_eq!(seen, [(Some("0".to_owned()), 7.0), (Some("1".to_owned()), 9.0)]);
    }
}
