//! An Application: what Argo CD is to keep as a repository has it, and what it says of that.

use std::sync::Arc;

use anyhow::{Context, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use penstock_control_plane::eventually;
use penstock_manifests::{documents, read};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::argo::Argo;

const REFRESH: &str = "argocd.argoproj.io/refresh";
/// Some seconds.
const LOOKS_BETWEEN_REFRESHES: u32 = 50;
const SERVER_SIDE_APPLY: &str = "ServerSideApply=true";

/// The Application of `examples/argocd`.
///
/// # Errors
/// When it cannot be read.
pub fn example() -> anyhow::Result<Value> {
    Ok(documents(&read("examples/argocd/application.yaml")?)?.remove(0))
}

/// The example with these sources, for a namespace, with or without server-side apply.
///
/// # Errors
/// When the example cannot be read or is not as it was.
pub fn application(name: &str, namespace: &str, sources: Value, server_side: bool) -> anyhow::Result<Value> {
    let mut application = example()?;
    application["metadata"]["name"] = name.into();
    application["spec"]["destination"]["namespace"] = namespace.into();
    application["spec"]["sources"] = sources;
    let options = application.pointer_mut("/spec/syncPolicy/syncOptions").and_then(Value::as_array_mut);
    let options = options.context("the example has no options")?;
    options.retain(|option| option != SERVER_SIDE_APPLY);
    if server_side {
        options.push(SERVER_SIDE_APPLY.into());
    }
    Ok(application)
}

/// What Argo CD says of an Application at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub sync: String,
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    pub health: String,
    /// The commit that it was compared with.
    pub revision: String,
    /// When the last sync began, and how it stands.
    pub operation: String,
    /// The objects that it keeps: kind, name, and whether they are as the repository has them.
    pub resources: Vec<(String, String, String)>,
    /// What it complains of.
    pub complaints: String,
}

impl View {
    fn of(application: &DynamicObject) -> Self {
        let status = &application.data["status"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resources = status["resources"].as_array().into_iter().flatten();
        let resources = resources.map(|it| (text(&it["kind"]), text(&it["name"]), text(&it["status"])));
        let first = |revisions: &Value| text(&revisions[0]);
        let operation = &status["operationState"];
        Self {
            sync: text(&status["sync"]["status"]),
            health: text(&status["health"]["status"]),
            revision: first(&status["sync"]["revisions"]),
            operation: format!("{} {}", text(&operation["startedAt"]), text(&operation["phase"])),
            resources: resources.collect(),
            complaints: format!("{} {}", text(&operation["message"]), status["conditions"]),
        }
    }

    /// Whether a commit was synced, and it is as healthy as this.
    fn is(&self, revision: &str, health: &str) -> bool {
        self.sync == "Synced" && self.health == health && self.revision == revision
    }
}

/// An Application that is there.
#[allow(missing_debug_implementations, reason = "a client has none")]
pub struct Application<'a> {
    argo: &'a Argo,
    api: Api<DynamicObject>,
    name: String,
}

impl<'a> Application<'a> {
    /// Makes it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(argo: &'a Argo, application: Value) -> anyhow::Result<Self> {
        let api = argo.applications();
        let application: DynamicObject = serde_json::from_value(application)?;
        api.create(&PostParams::default(), &application).await?;
        Ok(Self { argo, api, name: application.name_any() })
    }

    /// What Argo CD says of it now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn view(&self) -> anyhow::Result<View> {
        Ok(View::of(&self.api.get(&self.name).await?))
    }

    /// Asks Argo CD to look at the repository, as its page's button and a repository's hook do.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn refresh(&self) -> anyhow::Result<()> {
        let patch = json!({ "metadata": { "annotations": { (REFRESH): "normal" } } });
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until it has synced a commit and is as healthy as this.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn shows(&self, revision: &str, health: &str) -> anyhow::Result<View> {
        let what = format!("{} has synced {revision} and is {health}", self.name);
        let mut looks = 0;
        let shown = eventually(&what, async || {
            // Asked in the middle of a look, Argo CD forgets it.
            if looks % LOOKS_BETWEEN_REFRESHES == 0 {
                self.refresh().await?;
            }
            looks += 1;
            let view = self.view().await?;
            if !view.is(revision, health) {
                bail!("{view:#?}");
            }
            Ok(view)
        });
        shown.await.with_context(|| self.argo.said())
    }

    /// Notes everything that is said of it from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let events = watcher(self.api.clone(), only).default_backoff().applied_objects();
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut events = events.into_stream().boxed();
            // After a failure the watch begins again.
            while let Ok(Some(_)) | Err(_) = events.try_next().await.inspect(|event| {
                noted.lock().extend(event.as_ref().map(View::of));
            }) {}
        });
        Watch { seen, task }
    }

    /// Deletes it; what it keeps goes first.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn begin_to_delete(&self) -> anyhow::Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until it is gone.
    ///
    /// # Errors
    /// When it stays.
    pub async fn gone(&self) -> anyhow::Result<()> {
        let what = format!("the Application {} is gone", self.name);
        let gone = eventually(&what, async || match self.api.get_opt(&self.name).await? {
            None => Ok(()),
            Some(application) => bail!("{}", application.data["status"]),
        });
        gone.await.with_context(|| self.argo.said())
    }
}

/// Everything that was said of an Application since.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Vec<View>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// What was said, in its order.
    #[must_use]
    pub fn seen(&self) -> Vec<View> {
        self.seen.lock().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
