//! A Pipeline from its beginning to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use penstock_control_plane::{Manifest, Wire, World, children, condition, eventually, shared, steady};
use penstock_operator::names;
use serde_json::{Value, json};

/// How long nothing may happen before it counts as quiet.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_pipeline_gets_its_children_its_stream_and_its_tables_and_says_so() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "create").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    let pipeline = world.ready("ecommerce").await.unwrap();

    let children = children(&world.client, &world.namespace).await.unwrap();
    // The name of a ConfigMap goes on with the hash of its content.
    let stage = |name: &str| name.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
    let there: BTreeSet<_> = children.keys().map(|name| stage(name)).collect();
    let mut expected = BTreeSet::from(["orders", "shop"].map(|stage| format!("Service/ecommerce-{stage}")));
    for kind in ["ServiceAccount", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Deployment"] {
        expected.extend(["orders", "raw", "tables", "shop"].map(|stage| format!("{kind}/ecommerce-{stage}")));
    }
    assert_eq!((children.len(), there), (expected.len(), expected));
    for (name, child) in &children {
        let owners = child.owner_references();
        assert!(
            matches!(owners, [owner] if owner.uid == pipeline.uid().unwrap()
            && owner.controller == Some(true) && owner.block_owner_deletion == Some(true)),
            "{name}: {owners:?}"
        );
    }

    let inventory = world.account.inventory().await.unwrap();
    let prefix = format!("{}.ecommerce", world.namespace);
    let ours: BTreeSet<_> = inventory.keys().map(|name| name.replace(&prefix, "ME")).collect();
    let expected = [
        "bucket/acme-lake",
        "stream/ME.events",
        "table/ME.raw.leases",
        "table/ME.tables.leases",
        "table/ecommerce-customers",
        "table/ecommerce-invoices",
    ];
    assert_eq!(ours, expected.map(str::to_owned).into());
    for (name, tags) in inventory.iter().filter(|(name, _)| !name.starts_with("bucket/")) {
        assert_eq!(tags.get("penstock.dev/namespace"), Some(&world.namespace), "{name}");
        assert_eq!(tags.get("penstock.dev/pipeline").map(String::as_str), Some("ecommerce"), "{name}");
    }

    let status = world.status("ecommerce").await.unwrap();
    let said: Vec<_> = status.conditions.iter().map(|condition| condition.condition_type.as_str()).collect();
    assert_eq!(said, ["Ready", "Reconciling", "Stalled", "Streams", "Tables", "Stages", "Access"]);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == pipeline.metadata.generation));
    assert_eq!(status.stages_ready.as_deref(), Some("4/4"));
    assert!(pipeline.finalizers().is_empty(), "nothing is to be deleted with it");
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written_again_by_a_request_nor_by_another_operator() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "quiet").await.unwrap();
    let first = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let before = steady("the versions", QUIET, async || world.versions("ecommerce").await).await.unwrap();
    first.crash().await;

    let wire = Wire::default();
    let second = world.operator(&wire).await.unwrap();
    eventually("the second operator has reconciled", async || {
        let health = second.health.not_ready();
        ensure!(
            health.is_empty() && wire.calls().iter().any(|outcome| outcome.call.path.contains("/secrets/")),
            "{health:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    steady("the second operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    assert_eq!(wire.writes(), []);
    assert_eq!(world.versions("ecommerce").await.unwrap(), before);

    let annotation = json!({ "metadata": { "annotations": { (names::REQUEST_ANNOTATION): "now" } } });
    let patched =
        world.pipelines().patch("ecommerce", &PatchParams::default(), &Patch::Merge(&annotation)).await.unwrap();
    eventually("the request is echoed", async || {
        let echoed = world.status("ecommerce").await?.observed_request;
        ensure!(echoed.as_deref() == Some("now"), "{echoed:?}");
        Ok(())
    })
    .await
    .unwrap();
    steady("the second operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    let writes: Vec<_> = wire.writes().iter().map(|outcome| outcome.call.to_string()).collect();
    let status = format!("PATCH /apis/penstock.dev/v1alpha1/namespaces/{}/pipelines/ecommerce/status", world.namespace);
    assert_eq!(writes, [status], "only the echo");
    assert_eq!(patched.metadata.generation, world.pipelines().get("ecommerce").await.unwrap().metadata.generation);
}

#[tokio::test]
async fn an_edit_of_one_sink_rolls_that_sink_alone() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "edit").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let before = children(&world.client, &world.namespace).await.unwrap();

    world.apply(&manifest.with("/spec/sinks/0/s3/rotate/age", "7m").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let after = children(&world.client, &world.namespace).await.unwrap();
    let untouched = |name: &str| {
        before.get(name).map(|child| child.resource_version()) == after.get(name).map(|child| child.resource_version())
    };
    let touched: Vec<_> = before.keys().filter(|name| !untouched(name)).map(|name| name.as_str()).collect();
    assert!(touched.contains(&"Deployment/ecommerce-raw"));
    assert!(touched.iter().all(|name| name.contains("/ecommerce-raw")), "{touched:?}");
}

#[tokio::test]
async fn another_secret_takes_the_place_of_the_former_in_one_step() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "secret").await.unwrap();
    let wire = Wire::default();
    let _operator = world.operator(&wire).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let other = json!({ "metadata": { "name": "other-keys" }, "stringData": { "shop": "another-key" } });
    secrets.create(&PostParams::default(), &serde_json::from_value(other).unwrap()).await.unwrap();
    let before = wire.writes().len();
    world.apply(&manifest.with("/spec/sources/0/http/auth/apiKeys/secretName", "other-keys").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    // A step in between would roll the pods twice.
    let writes = wire.writes()[before..].iter().map(|outcome| outcome.call.to_string()).collect::<Vec<_>>();
    let of_pods: Vec<_> = writes.iter().filter(|call| call.ends_with("/deployments/ecommerce-orders")).collect();
    assert_eq!(of_pods.len(), 1, "{writes:#?}");
}

#[tokio::test]
async fn a_pipeline_that_is_suspended_has_no_pods_and_comes_back() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "suspend").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();

    for how in ["Now", "Drain"] {
        world.apply(&manifest.clone().with("/spec/suspend", how).unwrap()).await.unwrap();
        world.said("ecommerce", "False", "Suspended").await.unwrap();
        for (name, child) in children(&world.client, &world.namespace).await.unwrap() {
            assert!(!name.starts_with("Deployment/") || child.data["spec"]["replicas"] == 0, "{how}: {name}");
        }
        world.apply(&manifest).await.unwrap();
        world.ready("ecommerce").await.unwrap();
    }
}

#[tokio::test]
async fn with_retain_a_pipeline_goes_at_once_and_its_data_stays() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "retain").await.unwrap();
    let wire = Wire::default();
    let _operator = world.operator(&wire).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let before = world.account.inventory().await.unwrap();
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    let writes = wire.writes().len();

    world.delete("ecommerce").await.unwrap();
    world.gone("ecommerce").await.unwrap();
    steady("the operator's calls", QUIET, async || Ok(wire.calls().len())).await.unwrap();
    assert_eq!(wire.writes().len(), writes, "{:?}", &wire.writes()[writes..]);
    assert_eq!(world.account.inventory().await.unwrap(), before);
}

#[tokio::test]
async fn with_delete_everything_that_is_ours_goes_and_nothing_else() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "delete").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    let manifest = manifest.with("/spec/buffers/0/kinesis/deletionPolicy", "Delete").unwrap();
    let manifest = manifest.with("/spec/sinks/1/dynamodb/tables/0/deletionPolicy", "Delete").unwrap();
    world.apply(&manifest).await.unwrap();
    let pipeline = world.ready("ecommerce").await.unwrap();
    assert_eq!(pipeline.finalizers(), [names::FINALIZER]);

    world.delete("ecommerce").await.unwrap();
    world.gone("ecommerce").await.unwrap();
    let left: Vec<_> = world.account.inventory().await.unwrap().into_keys().collect();
    assert_eq!(left, ["bucket/acme-lake", "table/ecommerce-customers"], "the second table is to stay");
}

/// Makes a pod of a stage. Nothing runs it; what holds it is a finalizer of the test's.
async fn pod_of(world: &World, stage: &str) -> Api<Pod> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let labels = json!({
        (names::MANAGED_BY_LABEL): names::MANAGED_BY, (names::PIPELINE_LABEL): "ecommerce", (names::STAGE_LABEL): stage,
    });
    let pod = json!({
        "metadata": { "name": stage, "labels": labels, "finalizers": ["penstock.dev/test"] },
        "spec": { "containers": [{ "name": names::CONTAINER, "image": "penstock:test" }] },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    pods
}

#[tokio::test]
async fn what_a_pod_still_works_with_is_deleted_once_it_has_ended() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "ending").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest.with("/spec/buffers/0/kinesis/deletionPolicy", "Delete").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let pods = pod_of(&world, "raw").await;
    pods.delete("raw", &DeleteParams::default()).await.unwrap();

    world.delete("ecommerce").await.unwrap();
    eventually("the Pipeline says that it waits for the pod", async || {
        let pipeline = world.pipelines().get("ecommerce").await?;
        let message = condition(&pipeline, "Ready").map(|ready| ready["message"].to_string()).unwrap_or_default();
        ensure!(message.contains("1 pods"), "{message}");
        Ok(())
    })
    .await
    .unwrap();
    let there = world.account.inventory().await.unwrap();
    assert!(there.keys().any(|name| name.starts_with("stream/")), "{:?}", there.keys());
    let ended = json!({ "metadata": { "finalizers": null } });
    pods.patch("raw", &PatchParams::default(), &Patch::Merge(&ended)).await.unwrap();
    world.gone("ecommerce").await.unwrap();
    let left = world.account.inventory().await.unwrap();
    assert!(!left.keys().any(|name| name.starts_with("stream/")), "{:?}", left.keys());
}

#[tokio::test]
async fn a_stage_that_was_ready_and_whose_pods_crash_is_told_of_with_the_cure() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "crashing").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    world.roll_out.abort();
    let pods = pod_of(&world, "raw").await;
    let crashed = json!({ "status": { "containerStatuses": [{
        "name": names::CONTAINER, "image": "penstock:test", "imageID": "", "ready": false, "restartCount": 5,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    }] } });
    pods.patch_status("raw", &PatchParams::default(), &Patch::Merge(&crashed)).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let ready = async |count: i32| {
        let status = json!({ "status": { "readyReplicas": count, "availableReplicas": count } });
        deployments.patch_status("ecommerce-raw", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    };
    ready(0).await;
    let pipeline = world.said("ecommerce", "False", "StageFailed").await.unwrap();
    let stalled = condition(&pipeline, "Stalled").unwrap();
    assert_eq!(stalled["status"], "True");
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("OOMKilled") && message.contains("limits.memory"), "{message}");
    ready(1).await;
    world.ready("ecommerce").await.unwrap();
}

#[tokio::test]
async fn what_the_spec_names_no_more_stays_with_retain_and_goes_with_delete() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "shrink").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let all = Manifest::example("ecommerce").unwrap();
    world.apply(&all).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let before = world.account.inventory().await.unwrap();

    let retained = all.with("/spec/sinks/0", Value::Null).unwrap();
    world.apply(&retained).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    eventually("the sink's children are gone", async || {
        let there = children(&world.client, &world.namespace).await?;
        ensure!(!there.keys().any(|name| name.contains("ecommerce-raw")), "{:?}", there.keys());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(world.account.inventory().await.unwrap(), before);

    // The leases of the sink that went before share the fate of their stream.
    let deleted = retained.with("/spec/buffers/0/kinesis/deletionPolicy", "Delete").unwrap();
    let deleted = deleted.with("/spec/sinks/0/dynamodb/tables/0/deletionPolicy", "Delete").unwrap();
    world.apply(&deleted).await.unwrap();
    is_gone(&world, "raw.leases").await;
    // Nobody may ask about a table that no sink fills.
    let unasked = deleted.with("/spec/apis", Value::Null).unwrap();
    world.apply(&unasked.with("/spec/sinks/0/dynamodb/tables/0", Value::Null).unwrap()).await.unwrap();
    is_gone(&world, "ecommerce-invoices").await;
    // Written down as gone after the next look: a deletion that is under way is not one that is done.
    eventually("the status names neither any more", async || {
        let pipeline = world.ready("ecommerce").await?;
        let written = pipeline.data["status"]["resources"].to_string();
        ensure!(!written.contains("raw.leases") && !written.contains("ecommerce-invoices"), "{written}");
        Ok(())
    })
    .await
    .unwrap();

    world.delete("ecommerce").await.unwrap();
    world.gone("ecommerce").await.unwrap();
    let left: Vec<_> = world.account.inventory().await.unwrap().into_keys().collect();
    assert_eq!(left, ["bucket/acme-lake", "table/ecommerce-customers"], "the second table is to stay");
}

async fn is_gone(world: &World, name: &str) {
    eventually(&format!("{name} is gone"), async || {
        let there = world.account.inventory().await?;
        ensure!(!there.keys().any(|there| there.ends_with(name)), "{:?}", there.keys());
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_image_that_the_pipeline_names_no_more_goes() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "image").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    let image = async || {
        let there = children(&world.client, &world.namespace).await.unwrap();
        there["Deployment/ecommerce-raw"].data["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    world.apply(&manifest.clone().with("/spec/sinks/0/template", json!({ "image": "mine:3" })).unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    assert_eq!(image().await, "mine:3");
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    assert_eq!(image().await, "penstock:test");
}
