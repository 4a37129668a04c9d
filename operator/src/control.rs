//! The controller: watches fill the caches and ask for reconciles; reconciles run, a bounded number at one time.

pub(crate) mod calm;
pub mod queue;
mod triggers;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{Config, Error as ControllerError, ReconcileRequest, applier};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event, watcher};
use penstock_runtime::Health;

use crate::apply::error::{Verdict, of_call, said};
use crate::context::Context;
use crate::metrics;
use crate::names;
use crate::observe::{Kind, Live};
use crate::pipeline::Pipeline;
use crate::reconcile::{after_error, reconcile};
use calm::{Seen, with_calm};
use triggers::Triggers;

type Queue = BoxStream<'static, Result<ReconcileRequest<Pipeline>, Infallible>>;

/// Objects in one answer of the API server when a kind is listed: an answer is in memory as a whole, and that of each kind at
/// the same time.
const PAGE: u32 = 100;

/// What the watch of Pipelines is called beside those of the kinds of children.
const PIPELINE: &str = "Pipeline";
/// What the controller says about its health.
const CONCERN: &str = "watches";

/// Controls until it is dropped.
pub fn control(context: Arc<Context>, health: Health) -> impl Future<Output = ()> + Send {
    let everywhere = [String::new()];
    let scopes = if context.settings.namespaces.is_empty() { &everywhere[..] } else { &context.settings.namespaces };
    let controllers: Vec<_> = scopes.iter().map(|scope| in_scope(scope, &context, &health)).collect();
    let concern = Concern(health.clone());
    health.waits(CONCERN, "the Pipelines and their children have not been listed yet");
    async move {
        let _concern = concern;
        stream::select_all(controllers).for_each(|()| std::future::ready(())).await;
    }
}

/// The controller of one namespace, or (with an empty name) of all.
fn in_scope(scope: &str, context: &Arc<Context>, health: &Health) -> BoxStream<'static, ()> {
    let (store, writer) = reflector::store();
    let pipelines = pipelines(scope, writer, context, health);
    let children = Kind::ALL.map(|kind| children(kind, scope, context, health));
    let queue: Queue = stream::select_all([pipelines].into_iter().chain(children)).boxed();
    let config = Config::default().concurrency(context.settings.concurrency);
    let waiting = Arc::clone(context);
    let queue = queue
        .inspect(move |request| {
            if let Ok(ReconcileRequest { obj_ref, .. }) = request {
                waiting.queue.ask(obj_ref.namespace.as_deref().unwrap_or_default(), &obj_ref.name);
            }
        })
        .boxed();
    let begun = Arc::clone(context);
    applier(
        |pipeline, context| Box::pin(reconcile(pipeline, context)),
        after_error,
        Arc::clone(context),
        store,
        queue,
        config,
    )
    .map(move |outcome| match outcome {
        // The Pipeline of a child is gone, and so will be the child.
        Err(ControllerError::ObjectNotFound(object)) => {
            begun.queue.take(object.namespace.as_deref().unwrap_or_default(), &object.name);
        }
        // What else fails has been told of where it did.
        Ok(_) | Err(ControllerError::ReconcilerFailed(..)) => {}
        Err(error) => tracing::error!(%error, "the controller's queue failed"),
    })
    .boxed()
}

/// Pipelines: kept in the store, and asking to be reconciled when something about them is new.
fn pipelines(
    scope: &str,
    writer: reflector::store::Writer<Pipeline>,
    context: &Arc<Context>,
    health: &Health,
) -> Queue {
    let api = match scope {
        "" => Api::all(context.client.clone()),
        namespace => Api::namespaced(context.client.clone(), namespace),
    };
    let (context, health, scope) = (Arc::clone(context), health.clone(), scope.to_owned());
    let mut triggers = Triggers::default();
    with_calm(reflector::reflector(writer, watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff()))
        .flat_map(move |seen| {
            let requests = match seen {
                Seen::Brought(event) => {
                    let listed = matches!(event, Event::InitDone);
                    let turned = triggers.take(&event);
                    turned.gone.iter().for_each(|uid| context.forget(uid));
                    if listed {
                        context.children.opens(PIPELINE, &scope);
                        tell_health(&context, &health);
                    }
                    turned.asks
                }
                Seen::Failed(error) => {
                    watch_failed(PIPELINE, &scope, &error, &context);
                    if is_forbidden(&error) {
                        tell_health(&context, &health);
                    } else {
                        health.waits(CONCERN, words(&error));
                    }
                    Vec::new()
                }
                Seen::Calm => {
                    context.children.opens(PIPELINE, &scope);
                    tell_health(&context, &health);
                    Vec::new()
                }
            };
            metrics::triggers(PIPELINE, requests.len());
            stream::iter(requests.into_iter().map(Ok))
        })
        .boxed()
}

/// Children of a kind: kept in the cache, and asking for their Pipeline to be reconciled.
fn children(kind: Kind, scope: &str, context: &Arc<Context>, health: &Health) -> Queue {
    let api: Api<Live> = match scope {
        "" => Api::all_with(context.client.clone(), &kind.api()),
        namespace => Api::namespaced_with(context.client.clone(), namespace, &kind.api()),
    };
    let config = watcher::Config::default().labels(&names::selector()).page_size(PAGE);
    let (context, health, scope) = (Arc::clone(context), health.clone(), scope.to_owned());
    with_calm(watcher(api, config).default_backoff())
        .flat_map(move |seen| {
            let touched = match seen {
                Seen::Brought(event) => {
                    let listed = matches!(event, Event::InitDone);
                    let touched = context.children.take(kind, &scope, event);
                    if listed {
                        context.children.opens(kind.as_str(), &scope);
                        tell_health(&context, &health);
                    }
                    touched
                }
                Seen::Failed(error) => {
                    watch_failed(kind.as_str(), &scope, &error, &context);
                    context.children.fails(kind, &scope, words(&error));
                    tell_health(&context, &health);
                    Vec::new()
                }
                Seen::Calm => {
                    context.children.works(kind, &scope);
                    context.children.opens(kind.as_str(), &scope);
                    tell_health(&context, &health);
                    Vec::new()
                }
            };
            metrics::triggers(kind.as_str(), touched.len());
            let requests =
                touched.into_iter().map(|(namespace, name)| ObjectRef::<Pipeline>::new(&name).within(&namespace));
            stream::iter(requests.map(ReconcileRequest::from).map(Ok).collect::<Vec<_>>())
        })
        .boxed()
}

/// Ready once every kind was listed, and no watch fails.
fn tell_health(context: &Context, health: &Health) {
    match context.children.waits_for() {
        Some(because) => health.waits(CONCERN, because),
        None => health.fine(CONCERN),
    }
}

fn watch_failed(kind: &'static str, scope: &str, error: &watcher::Error, context: &Context) {
    metrics::watch_failure(kind);
    tracing::warn!(kind, namespace = scope, because = words(error), "a watch has failed; it begins again");
    if is_forbidden(error) {
        context.children.shuts(kind, scope, words(error));
    }
}

/// Whether the operator lacks the right. In a namespace that is gone it has none.
fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => of_call(source) == Verdict::Forbidden,
        watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    }
}

/// What the API server said, where it said something.
pub(crate) fn words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => said(source),
        watcher::Error::WatchError(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// A controller that is dropped waits for nothing any more.
struct Concern(Health);

impl Drop for Concern {
    fn drop(&mut self) {
        self.0.fine(CONCERN);
    }
}
