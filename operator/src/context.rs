//! What all reconciles share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use parking_lot::Mutex;
use penstock_api::spec::PipelineStatus;

use crate::aws::{Accounts, AwsClients};
use crate::client::{Limits, limited};
use crate::control::queue::Queue;
use crate::metrics;
use crate::observe::ChildCache;
use crate::pipeline::StatusText;
use crate::report::allowance::Allowance;
use crate::settings::Settings;

/// What all reconciles share. Nothing in it outlives the leadership.
pub struct Context {
    /// The way to Kubernetes, with its limits.
    pub client: Client,
    /// The way to AWS, with its limits.
    pub aws: Accounts,
    /// The children of all Pipelines.
    pub children: ChildCache,
    /// What the operator was told.
    pub settings: Settings,
    /// Publishes events.
    pub events: Recorder,
    /// Which Pipelines wait for their turn.
    pub queue: Queue,
    /// By UID.
    memories: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of one Pipeline.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// Reconciles in a row after which it had to be tried again.
    attempts: u32,
    /// The status that was written last: the cached one may be older.
    written: Option<StatusText>,
    /// Since when its sources have no pods, in a Pipeline that drains.
    sources_gone: Option<Instant>,
    /// Its state, for the metric.
    state: Option<&'static str>,
    /// The events that it may have.
    events: Option<Allowance>,
}

/// The states that the metric tells apart.
const STATES: [&str; 4] = ["ready", "reconciling", "stalled", "suspended"];

impl Context {
    /// One for a new leadership.
    #[must_use]
    pub fn new(client: Client, aws: Arc<dyn AwsClients>, settings: Settings) -> Arc<Self> {
        let client = limited(client, Limits::default());
        let reporter =
            Reporter { controller: "penstock-operator".to_owned(), instance: Some(settings.instance.clone()) };
        Arc::new(Self {
            events: Recorder::new(client.clone(), reporter),
            children: ChildCache::waiting_for(&settings.namespaces),
            aws: Accounts::new(aws, &settings),
            client,
            settings,
            queue: Queue::default(),
            memories: Mutex::default(),
        })
    }

    /// How long to wait before the Pipeline is tried again: longer each time, with jitter.
    pub fn back_off(&self, uid: &str, first: Duration, longest: Duration) -> Duration {
        let mut memories = self.memories.lock();
        let memory = memories.entry(uid.to_owned()).or_default();
        let bound = backoff_bound(memory.attempts, first, longest);
        memory.attempts = memory.attempts.saturating_add(1);
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The Pipeline is as it should be: the next trouble begins with short waits.
    pub fn calm(&self, uid: &str) {
        if let Some(memory) = self.memories.lock().get_mut(uid) {
            memory.attempts = 0;
        }
    }

    /// The status that was written last by this leadership.
    #[must_use]
    pub fn written(&self, uid: &str) -> Option<PipelineStatus> {
        let written = self.memories.lock().get(uid)?.written.clone()?;
        Some(written.status())
    }

    /// Remembers the status that was written.
    pub fn remember_written(&self, uid: &str, status: &PipelineStatus) {
        self.memories.lock().entry(uid.to_owned()).or_default().written = Some(StatusText::from(status));
    }

    /// Notes whether the sources have no pods; says since when.
    pub(crate) fn sources_gone(&self, uid: &str, gone: bool) -> Duration {
        let mut memories = self.memories.lock();
        let memory = memories.entry(uid.to_owned()).or_default();
        if !gone {
            memory.sources_gone = None;
            return Duration::ZERO;
        }
        memory.sources_gone.get_or_insert_with(Instant::now).elapsed()
    }

    /// Notes the Pipeline's state for the metric.
    pub(crate) fn count(&self, uid: &str, state: &'static str) {
        let mut memories = self.memories.lock();
        if memories.entry(uid.to_owned()).or_default().state.replace(state) != Some(state) {
            gauge_states(&memories);
        }
    }

    /// Whether the Pipeline may have another event now; if so, it counts as told.
    pub(crate) fn may_tell(&self, uid: &str) -> bool {
        let now = Instant::now();
        let mut memories = self.memories.lock();
        memories.entry(uid.to_owned()).or_default().events.get_or_insert_with(|| Allowance::new(now)).take(now)
    }

    /// The Pipeline is gone.
    pub fn forget(&self, uid: &str) {
        let mut memories = self.memories.lock();
        memories.remove(uid);
        gauge_states(&memories);
        drop(memories);
        self.aws.forget(uid);
    }
}

/// Who leads no more says nothing of Pipelines: the next leader does.
impl Drop for Context {
    fn drop(&mut self) {
        gauge_states(&HashMap::new());
    }
}

fn gauge_states(memories: &HashMap<String, Memory>) {
    for state in STATES {
        metrics::pipelines(state, memories.values().filter(|memory| memory.state == Some(state)).count());
    }
}

fn backoff_bound(attempts: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(attempts.min(30)).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ::metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
    };
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::aws::SdkClients;

    /// Gauges, by name and labels.
    #[derive(Default)]
    struct Gauges(Mutex<HashMap<String, Arc<AtomicU64>>>);

    impl Gauges {
        fn of(&self, state: &str) -> Option<f64> {
            let gauges = self.0.lock();
            let gauge = gauges.iter().find(|(key, _)| key.contains("operator_pipelines") && key.contains(state))?.1;
            Some(f64::from_bits(gauge.load(Ordering::Relaxed)))
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Arc::clone(self.0.lock().entry(key.to_string()).or_default()))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[tokio::test]
    async fn with_the_leadership_ends_what_was_said_of_pipelines() {
        let nowhere =
            tower::service_fn(|_: Request<Body>| async { Response::builder().status(503).body(Body::empty()) });
        let gauges = Gauges::default();
        with_local_recorder(&gauges, || {
            let client = Client::new(nowhere, "default");
            let context = Context::new(client, Arc::new(SdkClients), Settings::new("image"));
            context.count("uid", "stalled");
            assert_eq!(gauges.of("stalled"), Some(1.0));
            drop(context);
            assert_eq!(gauges.of("stalled"), Some(0.0));
        });
    }

    #[test]
    fn waits_grow_to_the_longest() {
        let bound = |attempts| backoff_bound(attempts, Duration::from_secs(1), Duration::from_secs(300)).as_secs();
        assert_eq!([0, 1, 2, 8, 9, 40].map(bound), [1, 2, 4, 256, 300, 300]);
    }
}
