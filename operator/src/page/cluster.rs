//! Looking at the Pipelines of the cluster: a watch of them, and of each that is looked at closely, its pods and events.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use penstock_api::spec::{self, Metadata, PipelineSpec};
use penstock_console::{CannotTell, Events, Listing, Look, Outline, Subject, Subjects};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::lists::{Answered, Lists};
use super::{events, pods};
use crate::control::calm::{Seen, with_calm};
use crate::control::words;
use crate::names::{MANAGED_BY, MANAGED_BY_LABEL, PIPELINE_LABEL};
use crate::pipeline::Pipeline;

/// Pipelines in one answer of the API server: what is held of it for a moment is small that way.
const PAGE: u32 = 100;
/// How long the first list may take.
const FIRST_LIST: Duration = Duration::from_secs(8);
/// How long a list of pods holds.
const PODS_HOLD: Duration = Duration::from_secs(3);
/// Pods of a Pipeline that are looked at.
const MOST_PODS: u32 = 256;
/// How long a list of events holds.
const EVENTS_HOLD: Duration = Duration::from_secs(10);
/// Events of a Pipeline that are looked at: as many as there may be reasons within the hour that they are kept.
const MOST_EVENTS: u32 = 100;

/// The Pipelines of the cluster.
pub(super) struct Cluster {
    client: Client,
    /// All when empty.
    namespaces: Vec<String>,
}

impl Cluster {
    pub(super) fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }
}

impl Subjects for Cluster {
    fn look(&self) -> Arc<dyn Look> {
        Arc::new(Watched::begin(&self.client, &self.namespaces))
    }

    fn are_always_watched(&self) -> bool {
        false
    }
}

/// The Pipelines as a watch brings them, and pods and events that were listed just now. All of it ends when it is dropped.
struct Watched {
    client: Client,
    scopes: Vec<Scope>,
    pods: Lists<Pod>,
    events: Lists<Event>,
    _watches: JoinSet<()>,
}

/// The Pipelines of a namespace, or of all.
struct Scope {
    store: Store<Pipeline>,
    /// Why the store may be old.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Watched {
    fn begin(client: &Client, namespaces: &[String]) -> Self {
        let mut watches = JoinSet::new();
        let everywhere = [String::new()];
        let namespaces = if namespaces.is_empty() { &everywhere[..] } else { namespaces };
        let begin = |namespace: &String| {
            let api: Api<Pipeline> = match namespace.as_str() {
                "" => Api::all(client.clone()),
                namespace => Api::namespaced(client.clone(), namespace),
            };
            let (store, writer) = reflector::store();
            let trouble = Arc::default();
            watches.spawn(watch(api, writer, Arc::clone(&trouble)));
            Scope { store, trouble }
        };
        let scopes = namespaces.iter().map(begin).collect();
        let (pods, events) = (Lists::that_hold(PODS_HOLD), Lists::that_hold(EVENTS_HOLD));
        Self { client: client.clone(), scopes, pods, events, _watches: watches }
    }

    /// Waits until all Pipelines were listed once.
    async fn listed(&self) -> Result<(), CannotTell> {
        for Scope { store, trouble } in &self.scopes {
            if !matches!(timeout(FIRST_LIST, store.wait_until_ready()).await, Ok(Ok(()))) {
                let because = trouble.lock().as_ref().map(|because| format!(": {because}")).unwrap_or_default();
                return Err(CannotTell(format!("the Pipelines have not been listed yet{because}")));
            }
        }
        Ok(())
    }

    async fn listing(&self) -> Result<Listing, CannotTell> {
        self.listed().await?;
        let all = self.scopes.iter().flat_map(|scope| scope.store.state());
        let pipelines = all.map(|pipeline| outline(&pipeline)).collect();
        Ok(Listing { pipelines, trouble: self.old() })
    }

    async fn subject(&self, namespace: &str, name: &str) -> Result<Option<Arc<Subject>>, CannotTell> {
        self.listed().await?;
        let wanted = ObjectRef::<Pipeline>::new(name).within(namespace);
        let Some(pipeline) = self.scopes.iter().find_map(|scope| scope.store.get(&wanted)) else {
            self.pods.forget(&wanted);
            self.events.forget(&wanted);
            return Ok(None);
        };
        let spec: PipelineSpec = serde_json::from_str(&pipeline.spec).map_err(|error| {
            CannotTell(format!(
                "the spec of {name:?} cannot be read: {error}. `penstock validate` says where the fault is"
            ))
        })?;
        let (pods, events) = tokio::join!(self.pods_of(&wanted, namespace), self.events_of(&wanted, namespace));
        let (pods, trouble) = match pods {
            Ok(pods) => (pods, None),
            Err(because) => (Arc::default(), Some(because)),
        };
        let status = pipeline.status().unwrap_or_default();
        let stages = pods::stages(&spec, &status.stages, &pods);
        Ok(Some(Arc::new(Subject {
            pipeline: Arc::new(whole(namespace, name, spec)),
            stages,
            conditions: status.conditions,
            events,
            trouble: self.old().or(trouble),
            stores: None,
        })))
    }

    async fn pods_of(&self, key: &ObjectRef<Pipeline>, namespace: &str) -> Answered<Pod> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let of_it = format!("{MANAGED_BY_LABEL}={MANAGED_BY},{PIPELINE_LABEL}={}", key.name);
        let listed = self.pods.of(key, &pods, &ListParams::default().labels(&of_it).limit(MOST_PODS)).await;
        listed.map_err(|because| {
            format!(
                "the pods could not be listed, so the stages are not asked and it is not known how they are: {because}. The \
                 chart's role allows it"
            )
        })
    }

    async fn events_of(&self, key: &ObjectRef<Pipeline>, namespace: &str) -> Events {
        let events = Api::<Event>::namespaced(self.client.clone(), namespace);
        let about_it = format!("regarding.kind={},regarding.name={}", spec::KIND, key.name);
        match self.events.of(key, &events, &ListParams::default().fields(&about_it).limit(MOST_EVENTS)).await {
            Ok(listed) => Events { newest: events::newest(&listed), trouble: None },
            Err(because) => Events {
                newest: Vec::new(),
                trouble: Some(format!(
                    "the events could not be listed: {because}. The chart's role allows it (`page.enabled`)"
                )),
            },
        }
    }

    /// Why what is shown may be old, where it may.
    fn old(&self) -> Option<String> {
        let because = self.scopes.iter().find_map(|scope| scope.trouble.lock().clone())?;
        Some(format!("The watch of the Pipelines fails, so this may be old: {because}"))
    }
}

impl Look for Watched {
    fn all(&self) -> BoxFuture<'_, Result<Listing, CannotTell>> {
        Box::pin(self.listing())
    }

    fn one<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<Subject>>, CannotTell>> {
        Box::pin(self.subject(namespace, name))
    }
}

/// Fills a store, and notes when that does not work, for as long as it lives.
async fn watch(api: Api<Pipeline>, writer: reflector::store::Writer<Pipeline>, trouble: Arc<Mutex<Option<String>>>) {
    let watcher = watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff();
    let mut all = std::pin::pin!(with_calm(reflector::reflector(writer, watcher)));
    while let Some(seen) = all.next().await {
        *trouble.lock() = match seen {
            // A list that has only begun has not succeeded yet.
            Seen::Brought(watcher::Event::Init | watcher::Event::InitApply(_)) => continue,
            Seen::Brought(_) | Seen::Calm => None,
            Seen::Failed(error) => Some(words(&error)),
        };
    }
}

fn outline(pipeline: &Pipeline) -> Outline {
    let identity = pipeline.identity();
    let status = pipeline.status().unwrap_or_default();
    let is_ready = |stage: &&spec::StageStatus| stage.ready_replicas >= stage.replicas;
    Outline {
        namespace: identity.namespace,
        name: identity.name,
        stages: status.stages.len(),
        ready: status.stages.iter().filter(is_ready).count(),
        conditions: status.conditions,
    }
}

/// The Pipeline as people write it.
fn whole(namespace: &str, name: &str, spec: PipelineSpec) -> spec::Pipeline {
    spec::Pipeline {
        api_version: format!("{}/{}", spec::GROUP, spec::VERSION),
        kind: spec::KIND.to_owned(),
        metadata: Metadata { name: name.to_owned(), namespace: Some(namespace.to_owned()), ..Metadata::default() },
        spec,
    }
}
