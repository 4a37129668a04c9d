//! The operator dies after any write, and before the answer to any write: what comes of it is the same.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use penstock_control_plane::{Inventory, Manifest, Outcome, Plane, Target, Wire, World, children, masked, shared};
use serde_json::{Value, json};

use crate::full;

/// Crashes that are tried at one time.
const AT_ONCE: usize = 4;
/// In the short form, every so many writes there is a crash.
const STEP: usize = 3;

/// What a life came to. Two lives of the same Pipeline are alike, whatever happened in them.
#[derive(Debug)]
struct Life {
    /// The children when everything ran.
    running: BTreeMap<String, Value>,
    /// Those after a sink was taken away.
    smaller: BTreeMap<String, Value>,
    /// How many Deployments were left when the Pipeline was gone.
    deployments: usize,
    /// What was in AWS when everything ran.
    made: Inventory,
    /// What was left there when the Pipeline was gone.
    left: Inventory,
    /// What was made and what was deleted, and how often.
    made_and_deleted: BTreeMap<String, usize>,
}

impl Life {
    /// What is different in another life, in words.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, one: Value, other: Value| {
            let maps = [&one, &other].into_iter().filter_map(Value::as_object);
            let all: BTreeSet<String> = maps.flat_map(|map| map.keys().cloned()).collect();
            let differing = all.into_iter().filter(|key| one.get(key) != other.get(key));
            differences
                .extend(differing.map(|key| format!("{what}, {key}: {:?} => {:?}", one.get(&key), other.get(&key))));
        };
        compare("running", json!(self.running), json!(other.running));
        compare("smaller", json!(self.smaller), json!(other.smaller));
        compare("in AWS", json!(self.made), json!(other.made));
        compare("left in AWS", json!(self.left), json!(other.left));
        compare("how often", json!(self.made_and_deleted), json!(other.made_and_deleted));
        compare("left", json!({ "deployments": self.deployments }), json!({ "deployments": other.deployments }));
        differences
    }
}

/// Makes a Pipeline, takes a sink from it, deletes it. The operator is ended when the wire strikes, and another one goes on.
async fn live(plane: &Plane, wire: Wire) -> anyhow::Result<Life> {
    let world = World::new(plane, "crash").await?;
    let mut operator = Some(world.operator(&wire).await?);
    let second = Wire::default();
    let takes_over = async {
        wire.struck().await;
        if let Some(operator) = operator.take() {
            operator.crash().await;
        }
        // Until the life is over.
        let _second = world.operator(&second).await?;
        std::future::pending::<anyhow::Result<_>>().await
    };
    let life = tokio::select! {
        life = story(&world) => life?,
        failed = takes_over => failed?,
    };
    let carried_out = wire.writes().into_iter().chain(second.writes());
    Ok(Life { made_and_deleted: made_and_deleted(carried_out, &world.namespace), ..life })
}

async fn story(world: &World) -> anyhow::Result<Life> {
    let everything_goes = Manifest::example("ecommerce")?
        .with("/spec/buffers/0/kinesis/deletionPolicy", "Delete")?
        .with("/spec/sinks/1/dynamodb/tables/0/deletionPolicy", "Delete")?
        .with("/spec/sinks/1/dynamodb/tables/1/deletionPolicy", "Delete")?;
    world.apply(&everything_goes).await?;
    let uid = world.ready("ecommerce").await?.uid().context("no UID")?;
    let running = masked(&world.client, &world.namespace, &uid).await?;
    let made = inventory(world).await?;

    world.apply(&everything_goes.with("/spec/sinks/0", Value::Null)?).await?;
    world.ready("ecommerce").await?;
    let smaller = penstock_control_plane::eventually("what is superfluous is pruned", async || {
        let there = masked(&world.client, &world.namespace, &uid).await?;
        ensure!(!there.keys().any(|name| name.ends_with("ecommerce-raw")), "{:?}", there.keys());
        Ok(there)
    })
    .await?;

    world.delete("ecommerce").await?;
    world.gone("ecommerce").await?;
    let left = children(&world.client, &world.namespace).await?;
    let deployments = left.keys().filter(|name| name.starts_with("Deployment/")).count();
    let left = inventory(world).await?;
    Ok(Life { running, smaller, deployments, made, left, made_and_deleted: BTreeMap::new() })
}

/// What is in AWS, with the namespace masked.
async fn inventory(world: &World) -> anyhow::Result<Inventory> {
    let mask = |text: String| text.replace(&world.namespace, "NAMESPACE");
    let there = world.account.inventory().await?.into_iter();
    Ok(there
        .map(|(name, tags)| (mask(name), tags.into_iter().map(|(tag, value)| (tag, mask(value))).collect()))
        .collect())
}

/// Creates and deletes that had an effect. Events do not count: one may be lost or said twice.
fn made_and_deleted(writes: impl Iterator<Item = Outcome>, namespace: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for Outcome { call, status } in writes {
        let done = match (call.target, call.verb.as_str(), status) {
            (Target::Kubernetes, "PATCH", Some(201)) => "made",
            (Target::Kubernetes, "DELETE", Some(200..300)) => "deleted",
            (Target::Aws, verb, Some(200..300)) if verb.starts_with("Create") => "made",
            (Target::Aws, verb, Some(200..300)) if verb.starts_with("Delete") => "deleted",
            _ => continue,
        };
        let mut subject = call.path.replace(namespace, "NAMESPACE");
        if subject.contains("/configmaps/") {
            // Its name ends with the hash of its content.
            subject.truncate(subject.rfind('-').unwrap_or(subject.len()));
        }
        // AWS tells streams by name or by ARN.
        let subject = subject.rsplit('/').next().map_or(subject.clone(), |name| match call.target {
            Target::Aws => name.to_owned(),
            Target::Kubernetes => subject.clone(),
        });
        *counts.entry(format!("{done} {subject}")).or_insert(0) += 1;
    }
    counts
}

#[tokio::test]
async fn a_crash_at_any_write_changes_nothing_of_what_comes_of_it() {
    let Some(plane) = shared().unwrap() else { return };
    let wire = Wire::default();
    let unharmed = live(plane, wire.clone()).await.unwrap();
    assert!(unharmed.made_and_deleted.values().all(|count| *count == 1), "{:?}", unharmed.made_and_deleted);
    let left: Vec<_> = unharmed.left.keys().map(String::as_str).collect();
    // Also the leases of the sink that was taken away are gone.
    assert_eq!((unharmed.deployments, left), (0, vec!["bucket/acme-lake"]));
    let writes = wire.writes().len();
    assert!(writes > 30, "{writes} writes");

    let unharmed = &unharmed;
    let points = (0..writes).flat_map(|write| [(write, true), (write, false)]);
    // In the short form by turns before and after the write is carried out.
    let points = points.filter(|(write, committed)| full() || write % (2 * STEP) == if *committed { 0 } else { STEP });
    let struck = stream::iter(points)
        .map(|(write, committed)| async move {
            let wire = Wire::crash_at(write, committed);
            let harmed = live(plane, wire.clone()).await.with_context(|| format!("a crash at {write}, {committed}"))?;
            let last = wire.writes().last().map(|outcome| outcome.call.to_string());
            let differences = unharmed.differences(&harmed);
            assert!(differences.is_empty(), "a crash at write {write} ({committed}), {last:?}: {differences:#?}");
            anyhow::Ok(usize::from(wire.is_struck()))
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, one| async move { anyhow::Ok(sum + one) })
        .await
        .unwrap();
    assert!(struck * STEP >= writes / 2, "only {struck} of the crashes came to be, of {writes} writes");
}
