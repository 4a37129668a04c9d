//! A Secret whose content changes under the Pipelines that name it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use penstock_control_plane::{Manifest, Wire, World, children, eventually, shared, steady};
use serde_json::{Value, json};

use crate::events::look;

const QUIET: Duration = Duration::from_secs(3);

/// The pod templates of all stages: a stage rolls when its template is another.
async fn templates(world: &World) -> anyhow::Result<BTreeMap<String, Value>> {
    let children = children(&world.client, &world.namespace).await?;
    let deployments = children.into_iter().filter(|(name, _)| name.starts_with("Deployment/"));
    Ok(deployments.map(|(name, child)| (name, child.data["spec"]["template"].clone())).collect())
}

#[tokio::test]
async fn a_changed_secret_rolls_the_stages_that_use_it_and_no_other() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "secrets").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let before = templates(&world).await.unwrap();

    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let another = Patch::Merge(json!({ "stringData": { "shop": "another-key" } }));
    secrets.patch("ecommerce-keys", &PatchParams::default(), &another).await.unwrap();
    // The operator may not list Secrets, so it does not watch them.
    look(&world, "another").await;
    eventually("the source has other pods", async || {
        let source = "Deployment/ecommerce-orders";
        ensure!(templates(&world).await?.get(source) != before.get(source), "they are as they were");
        Ok(())
    })
    .await
    .unwrap();
    world.ready("ecommerce").await.unwrap();
    let after = steady("the templates", QUIET, async || templates(&world).await).await.unwrap();
    let rolled: Vec<_> = before.keys().filter(|name| before.get(*name) != after.get(*name)).collect();
    assert_eq!(rolled, ["Deployment/ecommerce-orders", "Deployment/ecommerce-shop"], "of {:?}", before.keys());
}
