//! The life of a Pipeline from its beginning to its end, told so that two of them can be compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use kube::ResourceExt as _;
use penstock_control_plane::{Inventory, Manifest, Outcome, Target, Wire, World, children, eventually, masked};
use serde_json::{Value, json};

/// What a life came to. Two lives of the same Pipeline are alike, whatever happened in them.
#[derive(Debug)]
pub(crate) struct Life {
    /// The children when everything ran.
    pub(crate) running: BTreeMap<String, Value>,
    /// Those after a sink was taken away.
    pub(crate) smaller: BTreeMap<String, Value>,
    /// How many Deployments were left when the Pipeline was gone.
    pub(crate) deployments: usize,
    /// What was in AWS when everything ran.
    pub(crate) made: Inventory,
    /// What was left there when the Pipeline was gone.
    pub(crate) left: Inventory,
    /// What was made and what was deleted, and how often.
    pub(crate) made_and_deleted: BTreeMap<String, usize>,
}

impl Life {
    /// What is different in another life, in words.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
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

/// Makes a Pipeline, takes a sink from it, deletes it; whatever operators do meanwhile, what they did is on these wires.
pub(crate) async fn story(world: &World, wires: &[&Wire]) -> anyhow::Result<Life> {
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
    let smaller = eventually("what is superfluous is pruned", async || {
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
    let writes = wires.iter().flat_map(|wire| wire.writes());
    let made_and_deleted = made_and_deleted(writes, &world.namespace);
    Ok(Life { running, smaller, deployments, made, left, made_and_deleted })
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
