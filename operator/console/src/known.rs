//! What is known of one Pipeline: its last hour, and how its stages are, from what their processes say.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::exposition::samples;
use crate::history::{History, SeriesKey, TICK, TICKS};
use crate::measure::{API, Kind, Measure, SINK, SOURCE, STORED_AFTER, WAITED};
use crate::scrape::{Condition, Said};
use crate::subject::{StageAt, Subject};

/// How many ticks what is found out holds backwards at most, where a look came late.
const HOLDS: usize = 15;

/// What is known of one Pipeline.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) subject: Option<Arc<Subject>>,
    pub(crate) history: History,
    /// How each stage is, and since when, in milliseconds since the Unix epoch. A stage that could not be looked for
    /// is not in it.
    pub(crate) health: BTreeMap<String, (Health, u64)>,
    /// When it was seen for the first time, in milliseconds since the Unix epoch.
    pub(crate) watched_since: Option<u64>,
    /// Why nothing newer is known, where that is so.
    pub(crate) trouble: Option<String>,
    /// The last value of each number that grows, and when it was that, by process and series.
    counters: BTreeMap<(String, SeriesKey), (f64, Instant)>,
    seen: Option<Instant>,
}

/// What a process of a stage said, by the names of both.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) stage: String,
    pub(crate) process: String,
    pub(crate) said: Said,
}

/// How a stage is, over all its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// All processes are ready.
    Ready,
    /// It has no process, and should have none.
    Rests,
    /// One answers and waits for something.
    Waits(String),
    /// It has no process.
    Absent,
    /// One does not answer.
    Silent(String),
}

impl Known {
    /// Takes what all processes said in one tick.
    pub(crate) fn take(&mut self, subject: Arc<Subject>, heard: &[Heard]) {
        let now = Instant::now();
        let missed = self.seen.map_or(0, |seen| missed_ticks(now.duration_since(seen)));
        self.seen = Some(now);
        self.watched_since.get_or_insert_with(millis_now);
        self.trouble = None;
        let mut measured = BTreeMap::new();
        for Heard { stage, process, said } in heard {
            let spec = &subject.pipeline.spec;
            let is_source = spec.sources.iter().any(|source| source.name == *stage);
            let is_api = spec.apis.iter().flatten().any(|api| api.name == *stage);
            let (label, measures) = match (is_source, is_api) {
                (true, _) => ("source", SOURCE),
                (_, true) => ("api", API),
                _ => ("sink", SINK),
            };
            self.read(stage, process, label, measures, &said.metrics, now, &mut measured);
        }
        // Where processes could not be looked for, none of them is known to be gone.
        if subject.trouble.is_none() {
            self.counters.retain(|(process, _), _| heard.iter().any(|heard| heard.process == *process));
        }
        for stage in &subject.stages {
            show_mean_wait(&stage.name, &mut measured);
        }
        for _ in HOLDS..missed {
            self.history.tick(&BTreeMap::new());
        }
        // What was found out late holds for the time that it took.
        for _ in 0..=missed.min(HOLDS) {
            self.history.tick(&measured);
        }
        for stage in &subject.stages {
            self.see(stage, heard, subject.trouble.is_none());
        }
        self.health.retain(|name, _| subject.stages.iter().any(|stage| stage.name == *name));
        self.subject = Some(subject);
    }

    /// Reads the metrics of one process.
    #[allow(clippy::too_many_arguments, reason = "all of them are what the process and the moment are")]
    fn read(
        &mut self,
        stage: &str,
        process: &str,
        label: &str,
        measures: &[Measure],
        metrics: &str,
        now: Instant,
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
                Kind::Rate => match self.grown(process, &key, value, now) {
                    Some((more, seconds)) if seconds > 0.0 => more / seconds,
                    _ => continue,
                },
                Kind::Sum | Kind::Greatest => value,
            };
            let so_far = measured.entry(key).or_default();
            *so_far = if kind == Kind::Greatest { so_far.max(value) } else { *so_far + value };
        }
    }

    /// How much a number has grown since its process told it last, and in how many seconds; `None` when it is seen for the
    /// first time. One that is less than it was began again with its process.
    fn grown(&mut self, process: &str, key: &SeriesKey, value: f64, now: Instant) -> Option<(f64, f64)> {
        let before = self.counters.insert((process.to_owned(), key.clone()), (value, now));
        let (more, since) = match before {
            Some((before, since)) if value >= before => (value - before, since),
            Some((_, since)) => (value, since),
            None => {
                self.history.count(&key.stage, key.measure, value);
                return None;
            }
        };
        self.history.count(&key.stage, key.measure, more);
        Some((more, now.duration_since(since).as_secs_f64()))
    }

    /// Notes how a stage is; since when changes only when that does.
    fn see(&mut self, stage: &StageAt, heard: &[Heard], was_looked_for: bool) {
        let of_stage = heard.iter().filter(|heard| heard.stage == stage.name);
        let health = of_stage.map(|heard| Health::of(&heard.process, &heard.said.condition));
        let health = match health.max_by_key(Health::trouble) {
            Some(health) => health,
            None if !was_looked_for => {
                self.health.remove(&stage.name);
                return;
            }
            None if stage.rests => Health::Rests,
            None => Health::Absent,
        };
        let is_same = |(before, _): &&(Health, u64)| discriminant(before) == discriminant(&health);
        let since = self.health.get(&stage.name).filter(is_same).map_or_else(millis_now, |(_, at)| *at);
        self.health.insert(stage.name.clone(), (health, since));
    }

    /// The stage that is worst off, how it is, and since when.
    pub(crate) fn worst(&self) -> Option<(&str, &Health, u64)> {
        let worst = self.health.iter().max_by_key(|(_, (health, _))| health.trouble());
        worst.map(|(stage, (health, since))| (stage.as_str(), health, *since))
    }
}

/// Ticks that a look came late for: each has its place on the axis of time, at most the whole of it.
fn missed_ticks(since_last: Duration) -> usize {
    let ticks = since_last.as_millis().saturating_add(TICK.as_millis() / 2) / TICK.as_millis();
    usize::try_from(ticks).unwrap_or(TICKS).min(TICKS).saturating_sub(1)
}

/// The mean of all processes, in place of what it is made of. None where nothing was stored.
fn show_mean_wait(stage: &str, measured: &mut BTreeMap<SeriesKey, f64>) {
    let key = |measure| SeriesKey { stage: stage.to_owned(), measure, of: None };
    let of_both = measured.remove(&key(WAITED.0)).zip(measured.remove(&key(WAITED.1)));
    if let Some((seconds, ranges)) = of_both.filter(|(_, ranges)| *ranges > 0.0) {
        measured.insert(key(STORED_AFTER), seconds / ranges * 1_000.0);
    }
}

impl Health {
    fn of(process: &str, condition: &Condition) -> Self {
        match condition {
            Condition::Ready => Self::Ready,
            Condition::Waits(because) => Self::Waits(because.clone()),
            Condition::Silent(error) => Self::Silent(format!("{process} does not answer: {error}")),
            Condition::Starting(because) => Self::Waits(format!("{process} starts: {because}")),
            Condition::Broken(because) => Self::Silent(format!("{process}: {because}")),
        }
    }

    /// How bad it is.
    pub(crate) fn trouble(&self) -> u8 {
        match self {
            Self::Ready | Self::Rests => 0,
            Self::Waits(_) => 1,
            Self::Absent => 2,
            Self::Silent(_) => 3,
        }
    }

    /// As the page's style and pictures call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Rests => "rests",
            Self::Waits(_) => "waits",
            Self::Absent => "absent",
            Self::Silent(_) => "silent",
        }
    }

    /// What there is to say beside the name.
    pub(crate) fn because(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Rests => Some("it rests as asked"),
            Self::Waits(because) | Self::Silent(because) => Some(because),
            Self::Absent => Some("it has no process"),
        }
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::unwrap_used, reason = "whole numbers, and tests")]
mod tests {
    use super::*;
    use crate::subject::Events;

    fn read(known: &mut Known, metrics: &str, now: Instant) -> BTreeMap<SeriesKey, f64> {
        let mut measured = BTreeMap::new();
        known.read("raw", "http://a", "sink", SINK, metrics, now, &mut measured);
        measured
    }

    #[test]
    fn a_look_that_comes_late_leaves_room_for_those_before_it() {
        assert_eq!([1, 2, 3, 12].map(|seconds| missed_ticks(Duration::from_secs(seconds))), [0, 0, 1, 5]);
        assert_eq!(missed_ticks(Duration::from_secs(1 << 40)), TICKS - 1);
    }

    #[test]
    fn what_was_counted_is_not_counted_again_when_processes_could_not_be_looked_for() {
        let mut known = Known::default();
        let pipeline = serde_json::json!({
            "apiVersion": "penstock.dev/v1alpha1", "kind": "Pipeline", "metadata": { "name": "shop" },
            "spec": { "aws": { "region": "eu-west-1" }, "sources": [], "buffers": [], "sinks": [] },
        });
        let subject = |trouble: Option<&str>| {
            let pipeline = Arc::new(serde_json::from_value(pipeline.clone()).unwrap());
            let trouble = trouble.map(str::to_owned);
            Arc::new(Subject {
                pipeline,
                stages: Vec::new(),
                conditions: Vec::new(),
                events: Events::default(),
                trouble,
                stores: None,
            })
        };
        let said = |count: u32| {
            let metrics = format!("penstock_consumer_applied_records_total{{sink=\"raw\"}} {count}\n");
            [Heard {
                stage: "raw".into(),
                process: "raw-1".into(),
                said: Said { condition: Condition::Ready, metrics },
            }]
        };
        known.take(subject(None), &said(1_000));
        known.take(subject(Some("the pods could not be listed")), &[]);
        known.take(subject(None), &said(1_010));
        assert_eq!(known.history.total("raw", "rows"), 1_010.0);
        known.take(subject(None), &[]);
        known.take(subject(None), &said(5));
        assert_eq!(known.history.total("raw", "rows"), 1_015.0, "one that is gone is forgotten");
    }

    #[test]
    fn how_long_ranges_waited_is_the_mean_of_those_that_were_stored_since_the_last_tick() {
        let mut known = Known::default();
        let lines = |sum: f64, count: u32| {
            format!(
                "penstock_consumer_stored_seconds_sum{{sink=\"raw\"}} {sum}\n\
                 penstock_consumer_stored_seconds_count{{sink=\"raw\"}} {count}\n"
            )
        };
        let mean = |mut measured: BTreeMap<SeriesKey, f64>| {
            show_mean_wait("raw", &mut measured);
            measured.into_iter().map(|(key, value)| (key.measure, value)).collect::<Vec<_>>()
        };
        let began = Instant::now();
        assert!(mean(read(&mut known, &lines(100.0, 10), began)).is_empty());
        assert_eq!(mean(read(&mut known, &lines(101.0, 14), began + TICK)), [(STORED_AFTER, 250.0)]);
        assert!(mean(read(&mut known, &lines(101.0, 14), began + TICK * 2)).is_empty());
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
        let began = Instant::now();
        assert!(read(&mut known, &line(100), began).is_empty());
        let rate = |measured: BTreeMap<SeriesKey, f64>| measured.into_values().next();
        assert_eq!(rate(read(&mut known, &line(150), began + TICK)), Some(50.0));
        // It did not answer for three ticks.
        assert_eq!(rate(read(&mut known, &line(10), began + TICK * 5)), Some(2.5));
        assert_eq!(known.history.total("raw", "rows"), 200.0 + 100.0 + 20.0);
    }

    #[test]
    fn what_stands_is_shown_apart_by_its_label() {
        let text = "penstock_consumer_behind_latest_milliseconds{sink=\"raw\",shard=\"0\"} 7\n\
                    penstock_consumer_behind_latest_milliseconds{sink=\"raw\",shard=\"1\"} 9\n";
        let measured = read(&mut Known::default(), text, Instant::now());
        let seen: Vec<_> = measured.into_iter().map(|(key, value)| (key.of, value)).collect();
        assert_eq!(seen, [(Some("0".to_owned()), 7.0), (Some("1".to_owned()), 9.0)]);
    }

    fn heard(condition: Condition) -> Heard {
        Heard { stage: "raw".into(), process: "raw-1".into(), said: Said { condition, metrics: String::new() } }
    }

    #[test]
    fn a_stage_is_as_its_worst_process_is_and_rests_only_when_it_has_none() {
        let stage = |rests| StageAt { name: "raw".into(), rests, ..StageAt::default() };
        let mut known = Known::default();
        let mut see = |rests, heard: &[Heard], was_looked_for| {
            known.see(&stage(rests), heard, was_looked_for);
            known.health.get("raw").map(|(health, _)| health.name())
        };
        assert_eq!(see(false, &[], false), None, "nobody could look");
        assert_eq!(see(true, &[], true), Some("rests"));
        assert_eq!(see(false, &[], true), Some("absent"));
        let dead = Condition::Broken("CrashLoopBackOff".into());
        assert_eq!(see(true, &[heard(Condition::Ready), heard(dead)], true), Some("silent"));
        assert_eq!(see(false, &[heard(Condition::Ready)], true), Some("ready"));
    }
}
