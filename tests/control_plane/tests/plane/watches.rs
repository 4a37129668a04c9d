//! What watches and lists do not tell, tell late, or tell twice: nothing is ever deleted wrongly, and what comes of it is the
//! same.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use penstock_control_plane::{Lists, Manifest, Operator, Target, Wire, World, children, eventually, shared, steady};
use serde_json::{Value, json};

use crate::fresh::{fresh, is_as_fresh};

const QUIET: Duration = Duration::from_secs(2);
const NAME: &str = "ecommerce";

struct Started {
    world: World,
    wire: Wire,
    operator: Operator,
    manifest: Manifest,
}

async fn started(prefix: &str) -> Option<Started> {
    let plane = shared().unwrap()?;
    let world = World::new(plane, prefix).await.unwrap();
    let wire = Wire::default();
    let operator = world.operator(&wire).await.unwrap();
    let manifest = Manifest::example(NAME).unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(NAME).await.unwrap();
    comes_to_rest(&wire).await;
    Some(Started { world, wire, operator, manifest })
}

async fn comes_to_rest(wire: &Wire) {
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
}

/// With a sink less, and another one changed.
fn smaller(manifest: &Manifest) -> Manifest {
    let changed = manifest.clone().with("/spec/sinks/1/process", ".Amount = 1.0\n").unwrap();
    changed.with("/spec/sinks/0", Value::Null).unwrap()
}

async fn comes_to_what_it_is_by_itself(world: &World, manifest: &Manifest) {
    let by_itself = fresh(shared().unwrap().unwrap(), manifest).await.unwrap();
    is_as_fresh(world, manifest, &by_itself).await.unwrap();
}

/// The deletions that were carried out, each with how often.
fn deletions(wire: &Wire) -> BTreeMap<String, usize> {
    let mut deletions = BTreeMap::new();
    for outcome in wire.writes() {
        let deletes = outcome.call.verb.to_lowercase().starts_with("delete");
        if deletes && outcome.status.is_some_and(|status| (200..300).contains(&status)) {
            *deletions.entry(outcome.call.to_string()).or_default() += 1;
        }
    }
    deletions
}

/// Writes to children, and to AWS.
fn writes(wire: &Wire) -> Vec<String> {
    let writes = wire.writes().into_iter();
    let counts = writes.filter(|outcome| {
        outcome.call.target == Target::Aws
            || !(outcome.call.path.contains("/pipelines/") || outcome.call.path.contains("/events"))
    });
    counts.map(|outcome| outcome.call.to_string()).collect()
}

#[tokio::test]
async fn what_is_told_late_comes_to_the_same() {
    let Some(Started { world, wire, operator: _operator, manifest }) = started("late").await else { return };
    wire.hold_watches();
    let smaller = smaller(&manifest);
    world.apply(&manifest.clone().with("/spec/sinks/0/s3/compression", "none").unwrap()).await.unwrap();
    world.apply(&smaller).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    deployments.delete("ecommerce-tables", &DeleteParams::default()).await.unwrap();
    comes_to_rest(&wire).await;
    assert!(deployments.get_opt("ecommerce-tables").await.unwrap().is_none(), "nobody has told the operator");
    wire.release_watches();
    comes_to_what_it_is_by_itself(&world, &smaller).await;
    assert!(deletions(&wire).values().all(|times| *times == 1), "{:?}", deletions(&wire));
}

#[tokio::test]
async fn what_is_never_told_comes_to_the_same_after_the_next_list() {
    let Some(Started { world, wire, operator: _operator, manifest }) = started("untold").await else { return };
    wire.hold_watches();
    let smaller = smaller(&manifest);
    world.apply(&smaller).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    deployments.delete("ecommerce-orders", &DeleteParams::default()).await.unwrap();
    wire.break_watches();
    comes_to_what_it_is_by_itself(&world, &smaller).await;
    assert!(deletions(&wire).values().all(|times| *times == 1), "{:?}", deletions(&wire));
}

#[tokio::test]
async fn what_is_told_twice_deletes_nothing_and_comes_to_the_same() {
    let Some(Started { world, wire, operator: _operator, manifest }) = started("twice").await else { return };
    let smaller = smaller(&manifest);
    world.apply(&smaller).await.unwrap();
    world.ready(NAME).await.unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(NAME).await.unwrap();
    comes_to_rest(&wire).await;
    let deleted = deletions(&wire);
    for _ in 0..2 {
        wire.replay_watches();
        comes_to_rest(&wire).await;
    }
    assert_eq!(deletions(&wire), deleted);
    comes_to_what_it_is_by_itself(&world, &manifest).await;
}

#[tokio::test]
async fn a_change_and_its_reversal_unseen_come_to_nothing() {
    let Some(Started { world, wire, operator: _operator, manifest }) = started("reversal").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let scale = async |replicas: i32| {
        let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        let patch = json!({ "spec": { "replicas": replicas } });
        deployments.patch("ecommerce-raw", &parameters, &Patch::Merge(&patch)).await.unwrap();
    };
    wire.hold_watches();
    world.apply(&smaller(&manifest)).await.unwrap();
    world.apply(&manifest).await.unwrap();
    scale(7).await;
    scale(1).await;
    let before = writes(&wire).len();
    wire.break_watches();
    world.ready(NAME).await.unwrap();
    comes_to_rest(&wire).await;
    assert_eq!(writes(&wire)[before..], [] as [String; 0]);
    comes_to_what_it_is_by_itself(&world, &manifest).await;
}

#[tokio::test]
async fn a_pipeline_that_was_deleted_and_made_again_unseen_gets_children_of_its_own() {
    let Some(Started { world, wire, operator: _operator, manifest }) = started("again").await else { return };
    for told in ["late", "never"] {
        wire.hold_watches();
        world.delete(NAME).await.unwrap();
        let smaller = smaller(&manifest);
        world.apply(&smaller).await.unwrap();
        let before = deletions(&wire);
        if told == "late" {
            wire.release_watches()
        } else {
            wire.break_watches()
        }
        comes_to_what_it_is_by_itself(&world, &smaller).await;
        let uid = world.pipelines().get(NAME).await.unwrap().uid().unwrap();
        for (name, child) in children(&world.client, &world.namespace).await.unwrap() {
            assert!(child.owner_references().iter().all(|owner| owner.uid == uid), "{told}: {name} is a former one's");
        }
        for (deletion, times) in deletions(&wire) {
            let times = times - before.get(&deletion).copied().unwrap_or_default();
            assert!(times <= 1, "{told}: {deletion} {times} times: one of them was no leftover");
        }
        world.apply(&manifest).await.unwrap();
        comes_to_what_it_is_by_itself(&world, &manifest).await;
    }
}

#[tokio::test]
async fn a_child_in_whose_place_somebody_has_put_his_own_unseen_is_not_touched() {
    let Some(Started { world, wire, operator: _operator, .. }) = started("usurped").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    wire.hold_watches();
    let mut theirs = deployments.get("ecommerce-raw").await.unwrap();
    deployments.delete("ecommerce-raw", &DeleteParams::default()).await.unwrap();
    theirs.metadata =
        serde_json::from_value(json!({ "name": "ecommerce-raw", "labels": { "team": "other" } })).unwrap();
    let theirs = deployments.create(&PostParams::default(), &theirs).await.unwrap();
    wire.break_watches();
    world.said(NAME, "False", "NameTaken").await.unwrap();
    comes_to_rest(&wire).await;
    let now = deployments.get("ecommerce-raw").await.unwrap();
    assert_eq!((now.uid(), &now.spec), (theirs.uid(), &theirs.spec));
    deployments.delete("ecommerce-raw", &DeleteParams::default()).await.unwrap();
    world.ready(NAME).await.unwrap();
}

#[tokio::test]
async fn a_pipeline_that_went_unseen_is_not_brought_back() {
    let Some(Started { world, wire, operator: _operator, .. }) = started("vanished").await else { return };
    wire.hold_watches();
    world.delete(NAME).await.unwrap();
    world.gone(NAME).await.unwrap();
    let before = writes(&wire).len();
    wire.break_watches();
    comes_to_rest(&wire).await;
    assert!(world.pipelines().get_opt(NAME).await.unwrap().is_none());
    assert_eq!(writes(&wire)[before..], [] as [String; 0], "its children are Kubernetes' business");
}

/// Which of the lists are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Old {
    Pipelines,
    Children,
    Both,
}

/// An operator that starts with lists of a former time, and hears of nothing since. Meanwhile the Pipeline has got
/// another sink and lost one, or was deleted and made again so.
async fn starts_in_the_past(prefix: &str, old: Old, made_again: bool) {
    let Some(Started { world, wire, operator, manifest }) = started(prefix).await else { return };
    // The first lists were empty.
    wire.break_watches();
    comes_to_rest(&wire).await;
    let lists: Lists = wire.lists().into_iter().filter(|(path, _)| old.covers(path)).collect();
    assert!(!lists.is_empty(), "{:?}", wire.lists().keys());
    let sink = json!({ "name": "extra", "from": "events", "s3": { "bucket": "acme-lake", "key": "extra/" } });
    let now = smaller(&manifest).with("/spec/sinks/-", sink).unwrap();
    if made_again {
        world.delete(NAME).await.unwrap();
        world.gone(NAME).await.unwrap();
    }
    world.apply(&now).await.unwrap();
    let by_itself = fresh(shared().unwrap().unwrap(), &now).await.unwrap();
    is_as_fresh(&world, &now, &by_itself).await.unwrap();
    operator.crash().await;

    let wire = Wire::default();
    wire.answer_lists(lists);
    wire.hold_watches();
    let _operator = world.operator(&wire).await.unwrap();
    eventually("it has looked at the Secrets", async || {
        ensure!(wire.calls().iter().any(|outcome| outcome.call.path.contains("/secrets/")));
        Ok(())
    })
    .await
    .unwrap();
    comes_to_rest(&wire).await;
    assert_eq!(deletions(&wire), BTreeMap::new(), "{old:?}: what it deletes is not superfluous");
    wire.release_watches();
    is_as_fresh(&world, &now, &by_itself).await.unwrap();
}

impl Old {
    fn covers(self, path: &str) -> bool {
        match self {
            Self::Both => true,
            Self::Pipelines => path.ends_with("/pipelines"),
            Self::Children => !path.ends_with("/pipelines"),
        }
    }
}

#[tokio::test]
async fn older_pipelines_after_a_restart_delete_nothing() {
    starts_in_the_past("old-pipelines", Old::Pipelines, false).await;
}

#[tokio::test]
async fn older_children_after_a_restart_delete_nothing() {
    starts_in_the_past("old-children", Old::Children, false).await;
}

#[tokio::test]
async fn older_lists_after_a_restart_delete_nothing() {
    starts_in_the_past("old-lists", Old::Both, false).await;
}

#[tokio::test]
async fn older_lists_of_a_pipeline_that_was_made_again_delete_nothing() {
    starts_in_the_past("old-life", Old::Both, true).await;
}
