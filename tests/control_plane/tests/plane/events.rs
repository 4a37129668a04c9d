//! Events of a Pipeline: one when it turns, and no floods.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use penstock_control_plane::{Manifest, Target, Wire, World, eventually, shared};
use penstock_operator::names;
use serde_json::json;

const NAME: &str = "ecommerce";
const SECRET: &str = "ecommerce-keys";
/// The events that a Pipeline may have at once.
const BURST: usize = 25;

/// The events of the Pipeline that have this reason, each with how often it came.
async fn of_reason(world: &World, reason: &str) -> Vec<i32> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let of_pipeline = events.into_iter().filter(|event| {
        let regarding = event.regarding.as_ref().and_then(|object| object.name.as_deref());
        regarding == Some(NAME) && event.reason.as_deref() == Some(reason)
    });
    of_pipeline.map(|event| event.series.map_or(1, |series| series.count)).collect()
}

/// The calls that made an event or changed one.
fn told(wire: &Wire) -> usize {
    let is_event = |path: &str| path.contains("/events.k8s.io/");
    wire.writes()
        .iter()
        .filter(|outcome| outcome.call.target == Target::Kubernetes && is_event(&outcome.call.path))
        .count()
}

/// Asks for another look, and waits until it is over.
pub(crate) async fn look(world: &World, request: &str) {
    let annotation = json!({ "metadata": { "annotations": { (names::REQUEST_ANNOTATION): request } } });
    world.pipelines().patch(NAME, &PatchParams::default(), &Patch::Merge(&annotation)).await.unwrap();
    eventually("the request is echoed", async || {
        let echoed = world.status(NAME).await?.observed_request;
        ensure!(echoed.as_deref() == Some(request), "{echoed:?}");
        Ok(())
    })
    .await
    .unwrap();
}

fn keys() -> Secret {
    serde_json::from_value(json!({ "metadata": { "name": SECRET }, "stringData": { "shop": "a-key" } })).unwrap()
}

/// The Secret goes or comes, and that is noticed.
async fn secret(world: &World, there: bool, request: &str) {
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    if there {
        secrets.create(&PostParams::default(), &keys()).await.unwrap();
    } else {
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
    }
    look(world, request).await;
    let (ready, reason) = if there { ("True", "Ready") } else { ("False", "SecretNotFound") };
    world.said(NAME, ready, reason).await.unwrap();
}

#[tokio::test]
async fn what_fails_again_and_again_has_one_event_and_another_reason_has_another() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "failing").await.unwrap();
    let wire = Wire::default();
    let _operator = world.operator(&wire).await.unwrap();
    let manifest = Manifest::example(NAME).unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(NAME).await.unwrap();
    secret(&world, false, "gone").await;
    eventually("an event says it", async || {
        let events = of_reason(&world, "SecretNotFound").await;
        ensure!(events == [1], "{events:?}");
        Ok(())
    })
    .await
    .unwrap();
    let before = told(&wire);
    for round in 0..8 {
        look(&world, &format!("round-{round}")).await;
    }
    assert_eq!((told(&wire), of_reason(&world, "SecretNotFound").await), (before, vec![1]));

    // Another trouble comes in its place, and is told of.
    let template = json!({ "labels": { "no label!": "x" } });
    world.apply(&manifest.with("/spec/sinks/0/template", template).unwrap()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets.create(&PostParams::default(), &keys()).await.unwrap();
    look(&world, "another").await;
    world.said(NAME, "False", "Rejected").await.unwrap();
    eventually("an event says it", async || {
        let events = of_reason(&world, "Rejected").await;
        ensure!(events == [1], "{events:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_turns_to_and_fro_has_an_event_for_each_reason_and_no_more_writes_than_its_share() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "flapping").await.unwrap();
    let wire = Wire::default();
    let _operator = world.operator(&wire).await.unwrap();
    world.apply(&Manifest::example(NAME).unwrap()).await.unwrap();
    world.ready(NAME).await.unwrap();
    let turns = BURST + 5;
    for turn in 0..turns {
        secret(&world, turn % 2 == 1, &format!("turn-{turn}")).await;
    }
    let told = told(&wire);
    assert!(told <= BURST, "{told} writes for {turns} turns");
    for reason in ["Ready", "SecretNotFound"] {
        let events = of_reason(&world, reason).await;
        assert!(events.len() == 1 && events[0] > 5, "{reason}: {events:?}");
    }
}
