//! What others do to our objects: ours is repaired, theirs is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use penstock_control_plane::{Manifest, Wire, World, eventually, shared, steady};
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_secs(3);

async fn started(prefix: &str) -> Option<(World, Wire, penstock_control_plane::Operator)> {
    let plane = shared().unwrap()?;
    let world = World::new(plane, prefix).await.unwrap();
    let wire = Wire::default();
    let operator = world.operator(&wire).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    Some((world, wire, operator))
}

fn edit(value: Value) -> (PatchParams, Patch<Value>) {
    let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    (parameters, Patch::Strategic(value))
}

#[tokio::test]
async fn our_fields_are_repaired_and_a_deleted_child_is_made_again() {
    let Some((world, _wire, _operator)) = started("drift").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let configurations: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let before = deployments.get("ecommerce-raw").await.unwrap();
    // Its name ends with the hash of its content.
    let all = configurations.list(&ListParams::default()).await.unwrap().items;
    let configuration = all.into_iter().find(|one| one.name_any().starts_with("ecommerce-raw-")).unwrap();
    let its_name = configuration.name_any();

    let image =
        json!([{ "name": before.spec.clone().unwrap().template.spec.unwrap().containers[0].name, "image": "evil" }]);
    let (parameters, patch) =
        edit(json!({ "spec": { "replicas": 7, "template": { "spec": { "containers": image } } } }));
    deployments.patch("ecommerce-raw", &parameters, &patch).await.unwrap();
    // It cannot be changed, but be deleted.
    configurations.delete(&its_name, &DeleteParams::default()).await.unwrap();
    services.delete("ecommerce-orders", &DeleteParams::default()).await.unwrap();

    eventually("everything is repaired", async || {
        let deployment = deployments.get("ecommerce-raw").await?.spec.unwrap_or_default();
        let wanted = before.spec.clone().unwrap_or_default();
        ensure!(deployment.replicas == wanted.replicas, "{:?} pods", deployment.replicas);
        ensure!(deployment.template.spec == wanted.template.spec, "{:?}", deployment.template.spec);
        ensure!(configurations.get(&its_name).await?.data == configuration.data, "the configuration differs");
        services.get("ecommerce-orders").await?;
        Ok(())
    })
    .await
    .unwrap();
}

/// To the API server a port with another number, or a container with another name, is another one.
#[tokio::test]
async fn an_item_whose_key_was_changed_gets_it_back_and_one_that_was_added_stays() {
    let Some((world, _wire, _operator)) = started("moved").await else { return };
    let parameters = PostParams { field_manager: Some("somebody".to_owned()), ..PostParams::default() };
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut service = services.get("ecommerce-orders").await.unwrap();
    let ports = service.spec.as_mut().unwrap().ports.as_mut().unwrap();
    let extra = ServicePort { name: Some("extra".to_owned()), port: 9999, ..ports[0].clone() };
    let expected = BTreeMap::from_iter(ports.iter().chain([&extra]).map(|port| (port.name.clone(), port.port)));
    ports[0].port += 1;
    ports.push(extra);
    services.replace("ecommerce-orders", &parameters, &service).await.unwrap();
    eventually("the Service has its ports, and the one that was added", async || {
        let ports = services.get("ecommerce-orders").await?.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let ports = BTreeMap::from_iter(ports.into_iter().map(|port| (port.name, port.port)));
        ensure!(ports == expected, "{ports:?}");
        Ok(())
    })
    .await
    .unwrap();

    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut deployment = deployments.get("ecommerce-raw").await.unwrap();
    let before = deployment.spec.clone().unwrap().template.spec;
    let containers = &mut deployment.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers;
    containers[0].name = "renamed".to_owned();
    deployments.replace("ecommerce-raw", &parameters, &deployment).await.unwrap();
    eventually("the container has its name", async || {
        let now = deployments.get("ecommerce-raw").await?.spec.unwrap_or_default().template.spec;
        ensure!(now == before, "{now:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn foreign_fields_labels_and_annotations_survive() {
    let Some((world, wire, _operator)) = started("foreign").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let (parameters, patch) = edit(json!({
        "metadata": { "labels": { "team": "shop" }, "annotations": { "example.com/note": "ours" } },
        "spec": { "minReadySeconds": 5, "template": { "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": "now" } } } },
    }));
    deployments.patch("ecommerce-raw", &parameters, &patch).await.unwrap();
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    // Something of ours is written to the same object.
    let edited = Manifest::example("ecommerce").unwrap().with("/spec/sinks/0/s3/rotate/age", "9m").unwrap();
    world.apply(&edited).await.unwrap();
    world.ready("ecommerce").await.unwrap();

    let deployment = deployments.get("ecommerce-raw").await.unwrap();
    assert_eq!(deployment.labels()["team"], "shop");
    assert_eq!(deployment.annotations()["example.com/note"], "ours");
    let spec = deployment.spec.unwrap();
    assert_eq!(spec.min_ready_seconds, Some(5));
    assert_eq!(spec.template.metadata.unwrap().annotations.unwrap()["kubectl.kubernetes.io/restartedAt"], "now");
}

#[tokio::test]
async fn the_replicas_of_a_foreign_autoscaler_survive() {
    let Some((world, wire, _operator)) = started("scaled").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let scaled = json!({ "spec": { "replicas": 4 } });
    let parameters = PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
    deployments.patch_scale("ecommerce-tables", &parameters, &Patch::Merge(&scaled)).await.unwrap();
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    let edited = Manifest::example("ecommerce").unwrap();
    let edited = edited.with("/spec/sinks/1/process", ".Amount = 1.0\n").unwrap();
    world.apply(&edited).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    assert_eq!(deployments.get("ecommerce-tables").await.unwrap().spec.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn a_new_number_in_the_pipeline_counts_after_somebody_has_scaled() {
    let Some((world, wire, _operator)) = started("rescaled").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let parameters = PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
    let scale = async |replicas: i32| {
        let scaled = json!({ "spec": { "replicas": replicas } });
        deployments.patch_scale("ecommerce-tables", &parameters, &Patch::Merge(&scaled)).await.unwrap();
        steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    };
    let replicas = async || deployments.get("ecommerce-tables").await.unwrap().spec.unwrap().replicas;
    scale(4).await;
    assert_eq!(replicas().await, Some(4));
    let edited = Manifest::example("ecommerce").unwrap().with("/spec/sinks/1/replicas", 2).unwrap();
    world.apply(&edited).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    assert_eq!(replicas().await, Some(2));
    scale(5).await;
    assert_eq!(replicas().await, Some(5), "who still scales does so again");
}

#[tokio::test]
async fn an_autoscaler_scales_again_after_the_pipeline_has_rested() {
    let Some((world, wire, _operator)) = started("rested").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let parameters = PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
    let scale = async |replicas: i32| {
        let scaled = json!({ "spec": { "replicas": replicas } });
        deployments.patch_scale("ecommerce-tables", &parameters, &Patch::Merge(&scaled)).await.unwrap();
        steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    };
    let replicas = async || deployments.get("ecommerce-tables").await.unwrap().spec.unwrap().replicas;
    scale(4).await;
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest.clone().with("/spec/suspend", "Now").unwrap()).await.unwrap();
    world.said("ecommerce", "False", "Suspended").await.unwrap();
    assert_eq!(replicas().await, Some(0), "who rests has no pods, whoever scales");
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    assert_eq!(replicas().await, Some(1));
    scale(5).await;
    assert_eq!(replicas().await, Some(5));
}
