//! The operator has the rights of the chart's role: each is used, none is missing, and one that is taken away is told of and
//! can be given back.

use std::collections::BTreeSet;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::DeleteParams;
use penstock_control_plane::{
    Manifest, Page, Request, Right, Wire, World, children, condition, eventually, granted, rules, shared,
};
use serde_json::{Value, json};

use crate::leaders::Candidate;

fn right(group: &str, resource: &str, verb: &str) -> Right {
    Right { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
}

/// The rights that a request needed.
fn needed(request: &Request) -> Vec<Right> {
    let mut needed = vec![right(&request.group, &request.resource, &request.verb)];
    // An apply that makes the object.
    if request.verb == "patch" && request.status == 201 {
        needed.push(right(&request.group, &request.resource, "create"));
    }
    needed
}

/// Everything that can become of a Pipeline: made, changed, with a source and a sink less, repaired, deleted.
async fn everything(world: &World) -> anyhow::Result<()> {
    let second = json!({ "name": "returns", "to": "events", "http": { "path": "/returns" }, "partitionKey": "{a}", "idField": "_id" });
    let smaller = Manifest::example("ecommerce")?.with("/spec/buffers/0/kinesis/deletionPolicy", "Delete")?;
    let whole = smaller.clone().with("/spec/sources/-", second)?;
    world.apply(&whole).await?;
    world.ready("ecommerce").await?;
    world.apply(&smaller.clone().with("/spec/sinks/0", Value::Null)?).await?;
    world.ready("ecommerce").await?;
    eventually("what is superfluous is pruned", async || {
        let there = children(&world.client, &world.namespace).await?;
        let left: Vec<_> =
            there.keys().filter(|name| ["returns", "raw"].iter().any(|stage| name.contains(stage))).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    services.delete("ecommerce-orders", &DeleteParams::default()).await?;
    eventually("it is made again", async || Ok(services.get("ecommerce-orders").await?)).await?;
    world.apply(&smaller).await?;
    world.ready("ecommerce").await?;
    world.delete("ecommerce").await?;
    world.gone("ecommerce").await
}

#[tokio::test]
async fn the_rights_that_are_used_are_those_of_the_chart() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "rights").await.unwrap();
    let operator = Candidate::start(&world, "first").await;
    everything(&world).await.unwrap();
    world.apply(&Manifest::example("minimal").unwrap()).await.unwrap();
    Page::of(&world, &Wire::default()).await.unwrap().one(&world.namespace, "minimal").await.unwrap();
    operator.stop.cancel();
    operator.task.await.unwrap();

    let used: BTreeSet<_> = world.requests().unwrap().iter().flat_map(needed).collect();
    let [operator, lease] = rules().unwrap();
    let mut expected: BTreeSet<_> = granted(&operator).into_iter().chain(granted(&lease)).collect();
    // It is looked for, and never asked for by itself: the next test is about it.
    assert!(expected.remove(&right("penstock.dev", "pipelines/finalizers", "update")));
    assert_eq!(used, expected);
}

#[tokio::test]
async fn without_the_right_to_block_the_owners_deletion_no_child_is_made_and_it_is_said() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "owner-rights").await.unwrap();
    let finalizers = right("penstock.dev", "pipelines/finalizers", "update");
    world.revoke(&finalizers).await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.said("ecommerce", "False", "KubernetesForbids").await.unwrap();
    assert!(children(&world.client, &world.namespace).await.unwrap().is_empty());
    world.restore(&finalizers).await.unwrap();
    world.ready("ecommerce").await.unwrap();
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_told_of_and_everything_goes_on_when_it_is_back() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "revoked").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();

    let patch = right("apps", "deployments", "patch");
    world.revoke(&patch).await.unwrap();
    world.apply(&manifest.with("/spec/sinks/0/s3/rotate/age", "7m").unwrap()).await.unwrap();
    let pipeline = world.said("ecommerce", "False", "KubernetesForbids").await.unwrap();
    let access = condition(&pipeline, "Access").unwrap();
    assert!(access["message"].as_str().unwrap().contains("cannot patch resource \"deployments\""), "{access}");
    assert_eq!(condition(&pipeline, "Stalled").unwrap()["status"], "True");
    world.restore(&patch).await.unwrap();
    world.ready("ecommerce").await.unwrap();
}

#[tokio::test]
async fn a_watch_that_is_refused_is_told_of_and_begins_again_when_the_right_is_back() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "blind").await.unwrap();
    let wire = Wire::default();
    let operator = world.operator(&wire).await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();

    let list = right("policy", "poddisruptionbudgets", "list");
    world.revoke(&list).await.unwrap();
    wire.break_watches();
    eventually("the operator says that it is blind", async || {
        let health = operator.health.not_ready();
        ensure!(format!("{health:?}").contains("poddisruptionbudgets"), "{health:?}");
        Ok(())
    })
    .await
    .unwrap();
    // What it saw before is enough for everything else.
    world.apply(&manifest.with("/spec/sinks/0/s3/rotate/age", "7m").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    world.restore(&list).await.unwrap();
    eventually("it sees again", async || {
        let health = operator.health.not_ready();
        ensure!(health.is_empty(), "{health:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_named_namespace_that_is_gone_with_the_operators_rights_holds_up_no_other() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "stays").await.unwrap();
    world.expect_refusals();
    let mut settings = world.settings();
    settings.namespaces.push(format!("{}-gone", world.namespace));
    let operator = world.operator_with(settings, &Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    eventually("the operator is ready", async || {
        let health = operator.health.not_ready();
        ensure!(health.is_empty(), "{health:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_operator_that_may_not_list_from_the_beginning_says_so_in_every_pipeline() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "never-saw").await.unwrap();
    let list = right("networking.k8s.io", "networkpolicies", "list");
    world.revoke(&list).await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    let pipeline = eventually("it is said", async || {
        let pipeline = world.pipelines().get("ecommerce").await?;
        let ready = condition(&pipeline, "Ready").cloned().unwrap_or_default();
        ensure!(ready["reason"] == "KubernetesForbids", "{ready}");
        Ok(pipeline)
    })
    .await
    .unwrap();
    let ready = condition(&pipeline, "Ready").unwrap();
    assert!(ready["message"].as_str().unwrap().contains("the rights of the chart's role"), "{ready}");
    world.restore(&list).await.unwrap();
    world.ready("ecommerce").await.unwrap();
}
