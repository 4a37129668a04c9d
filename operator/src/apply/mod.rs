//! Makes the cluster be as built. I/O around [`decide`] and [`diff`].

pub mod decide;
pub mod diff;
pub mod error;
pub mod moved;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};

pub use error::ApplyError;

use crate::build::{Child, Desired};
use crate::context::Context;
use crate::names::{FIELD_MANAGER, FINALIZER};
use crate::observe::{Children, Kind, Live};
use crate::pipeline::{Identity, Pipeline};
use decide::{Step, step};

/// What became of the children: only this may be reported.
#[derive(Debug, Default)]
pub struct Applied {
    /// The children as they are now, as far as is known.
    pub children: Children,
    /// Deployments that were left as they are, by stage.
    pub held: Vec<String>,
    /// What did not work.
    pub failures: Vec<ApplyError>,
}

/// Applies what is not as built. I/O: a call for each child that differs, and none for others.
pub async fn apply(
    desired: &Desired,
    mut children: Children,
    pipeline: &Pipeline,
    resources_ready: bool,
    context: &Context,
) -> Applied {
    let mut applied = Applied::default();
    let mut broken = BTreeSet::new();
    for child in &desired.children {
        // A stage's children build on each other: pods without their configuration help nobody.
        if broken.contains(child.stage.as_str()) {
            continue;
        }
        let key = (child.kind, child.name.clone());
        match one(child, children.get(&key), pipeline, resources_ready, context).await {
            Ok(Outcome::AsItWas(found)) => children.extend(found.map(|live| (key, live))),
            Ok(Outcome::Held(found)) => {
                applied.held.push(child.stage.clone());
                children.extend(found.map(|live| (key, live)));
            }
            Ok(Outcome::Now(live)) => {
                context.children.answered(child.kind, &live);
                children.insert(key, live);
            }
            // The Pipeline as it is now will be reconciled, too.
            Err(ApplyError::Outdated) => {
                broken.insert(child.stage.as_str());
            }
            Err(error) => {
                broken.insert(child.stage.as_str());
                applied.failures.push(error);
            }
        }
    }
    applied.children = children;
    applied
}

/// What became of one child, and how it is now.
enum Outcome {
    AsItWas(Option<Arc<Live>>),
    Held(Option<Arc<Live>>),
    Now(Arc<Live>),
}

async fn one(
    child: &Child,
    cached: Option<&Arc<Live>>,
    pipeline: &Pipeline,
    resources_ready: bool,
    context: &Context,
) -> Result<Outcome, ApplyError> {
    let identity = &pipeline.identity();
    let api = api(&context.client, child.kind, &identity.namespace);
    let failed = |source| ApplyError::call("applying", child.kind, &child.name, source);
    // What carries no label of ours is in no cache, nor is what no watch has brought yet: an unknown name is asked for.
    let found = match cached {
        Some(live) => Some(Arc::clone(live)),
        None => api.get_opt(&child.name).await.map_err(failed)?.map(Arc::new),
    };
    match step(child, found.as_deref(), identity, resources_ready) {
        Step::Nothing => Ok(Outcome::AsItWas(found)),
        Step::Hold => Ok(Outcome::Held(found)),
        Step::Taken(by) => Err(ApplyError::Taken { kind: child.kind, name: child.name.clone(), by }),
        Step::MakeRoom => {
            if let Some(live) = found.filter(|live| !live.is_going()) {
                unchanged(pipeline, context).await?;
                delete(child.kind, &live, identity, context).await?;
            }
            Err(ApplyError::Going { kind: child.kind, name: child.name.clone() })
        }
        Step::Apply => {
            let live = put(child, found.as_deref(), &api).await.map_err(failed)?;
            tracing::info!(kind = child.kind.as_str(), child = child.name, "a child has been applied");
            Ok(Outcome::Now(Arc::new(live)))
        }
    }
}

/// Applies a child, and takes away what of it somebody has given another key. I/O: a call, and one or two more for the latter.
async fn put(child: &Child, found: Option<&Live>, api: &Api<Live>) -> kube::Result<Live> {
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let object = Patch::Apply(&child.object);
    let apply = || api.patch(&child.name, &parameters, &object);
    // What a former apply has put there goes by this one.
    let Some(found) = found.filter(|live| decide::was_applied(child, live)) else { return apply().await };
    let moved = moved::moved(&found.value(), &child.object);
    match take_away(child, found, &moved, api).await {
        Ok(()) => apply().await,
        // There has to be one, or it is another by now: ours comes first.
        Err(error) if error::of_call(&error) == error::Verdict::Rejected => {
            let live = apply().await?;
            take_away(child, &live, &moved, api).await?;
            Ok(live)
        }
        Err(error) => Err(error),
    }
}

/// What has been taken away is nobody's any more: it leaves no trace in who manages what. I/O.
async fn take_away(child: &Child, live: &Live, moved: &[Value], api: &Api<Live>) -> kube::Result<()> {
    let removal = moved::removal(&live.value(), &child.object, moved);
    if removal.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    let patch = serde_json::from_value(removal).map_err(kube::Error::SerdeError)?;
    api.patch(&child.name, &PatchParams::default(), &Patch::<()>::Json(patch)).await?;
    tracing::info!(
        kind = child.kind.as_str(),
        child = child.name,
        "what somebody had given another key was taken away"
    );
    Ok(())
}

/// Deletes children. I/O: reads the Pipeline again first, since what was observed may be old; then a call each.
///
/// # Errors
/// When the Pipeline is another one by now, or a call fails.
pub async fn prune(
    superfluous: &[(Kind, String)],
    children: &Children,
    pipeline: &Pipeline,
    context: &Context,
) -> Result<(), ApplyError> {
    if superfluous.is_empty() {
        return Ok(());
    }
    unchanged(pipeline, context).await?;
    let identity = pipeline.identity();
    for (kind, name) in superfluous {
        if let Some(live) = children.get(&(*kind, name.clone())) {
            delete(*kind, live, &identity, context).await?;
        }
    }
    Ok(())
}

/// Reads the Pipeline again and sees to it that it is what was reconciled: before anything is deleted.
///
/// # Errors
/// When it is another one by now, or cannot be read.
pub async fn unchanged(pipeline: &Pipeline, context: &Context) -> Result<(), ApplyError> {
    let identity = pipeline.identity();
    let api: Api<Pipeline> = Api::namespaced(context.client.clone(), &identity.namespace);
    let now = api.get_opt(&identity.name).await.map_err(ApplyError::reading_pipeline)?;
    let same = now.is_some_and(|now| {
        now.identity() == identity && now.generation() == pipeline.generation() && now.is_going() == pipeline.is_going()
    });
    if same { Ok(()) } else { Err(ApplyError::Outdated) }
}

/// Deletes this very object, and none that has its name by then.
async fn delete(kind: Kind, live: &Live, identity: &Identity, context: &Context) -> Result<(), ApplyError> {
    let uid = Preconditions { uid: Some(live.uid().to_owned()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(uid), ..DeleteParams::background() };
    match api(&context.client, kind, &identity.namespace).delete(live.name(), &parameters).await {
        Ok(_) => {
            tracing::info!(kind = kind.as_str(), child = live.name(), "a child has been deleted");
            Ok(())
        }
        Err(source) if error::is_gone(&source) => Ok(()),
        Err(source) => Err(ApplyError::call("deleting", kind, live.name(), source)),
    }
}

/// Puts the finalizer on the Pipeline, or takes it off. I/O: one call, which names the UID, so that it never makes a Pipeline.
///
/// # Errors
/// When the call fails.
pub async fn set_finalizer(pipeline: &Pipeline, wanted: bool, context: &Context) -> Result<(), ApplyError> {
    let identity = pipeline.identity();
    let api: Api<Pipeline> = Api::namespaced(context.client.clone(), &identity.namespace);
    let finalizers = if wanted { vec![FINALIZER] } else { Vec::new() };
    let metadata = json!({
        "apiVersion": format!("{}/{}", penstock_api::spec::GROUP, penstock_api::spec::VERSION),
        "kind": penstock_api::spec::KIND,
        "metadata": { "name": identity.name, "uid": identity.uid, "finalizers": finalizers },
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch(&identity.name, &parameters, &Patch::Apply(&metadata)).await {
        Ok(_) => Ok(()),
        Err(source) if !wanted && error::is_gone(&source) => Ok(()),
        Err(source) => Err(ApplyError::Finalizer { source: Box::new(source) }),
    }
}

/// Deletes the Pipeline's Deployments; gives how many are still there. I/O.
///
/// # Errors
/// When a call fails.
pub async fn stop_stages(pipeline: &Pipeline, children: &Children, context: &Context) -> Result<usize, ApplyError> {
    let identity = pipeline.identity();
    let ours = |live: &Live| decide::whose(live, &identity) == decide::Whose::Ours;
    let deployments: Vec<_> = children
        .iter()
        .filter(|((kind, _), live)| *kind == Kind::Deployment && ours(live))
        .map(|(_, live)| live)
        .collect();
    for live in deployments.iter().filter(|live| !live.is_going()) {
        delete(Kind::Deployment, live, &identity, context).await?;
    }
    Ok(deployments.len())
}

fn api(client: &Client, kind: Kind, namespace: &str) -> Api<Live> {
    Api::namespaced_with(client.clone(), namespace, &kind.api())
}
