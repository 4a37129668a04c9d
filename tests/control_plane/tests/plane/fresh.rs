//! What a Pipeline comes to when it is the first and only one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use kube::ResourceExt as _;
use penstock_control_plane::{Manifest, Plane, Wire, World, eventually, masked};
use serde_json::Value;

/// Children without what differs from one run to the next.
pub(crate) type Children = BTreeMap<String, Value>;

/// The children of a Pipeline that is deployed by itself.
pub(crate) async fn fresh(plane: &Plane, manifest: &Manifest) -> anyhow::Result<Children> {
    let world = World::new(plane, "fresh").await?;
    let _operator = world.operator(&Wire::default()).await?;
    world.apply(manifest).await?;
    let pipeline = world.settled(manifest.name()).await.context("deployed by itself")?;
    masked(&world.client, &world.namespace, &pipeline.uid().context("no UID")?).await
}

/// Waits until a Pipeline has come to the same as when it is deployed by itself.
pub(crate) async fn is_as_fresh(world: &World, manifest: &Manifest, fresh: &Children) -> anyhow::Result<()> {
    eventually("it is as if deployed by itself", async || {
        let uid = world.settled(manifest.name()).await?.uid().context("no UID")?;
        let there = masked(&world.client, &world.namespace, &uid).await?;
        let all: BTreeSet<_> = fresh.keys().chain(there.keys()).collect();
        let differing: Vec<_> = all.into_iter().filter(|name| fresh.get(*name) != there.get(*name)).collect();
        let first = differing.first().map(|name| (fresh.get(*name), there.get(*name)));
        ensure!(differing.is_empty(), "{differing:?} differ, the first by itself and here: {first:?}");
        Ok(())
    })
    .await
}
