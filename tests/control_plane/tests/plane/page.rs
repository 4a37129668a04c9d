//! The page that the operator serves: the list by trouble, and one Pipeline with its pods.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use penstock_control_plane::{
    BROKEN_IMAGE, Manifest, Page, Right, StandIn, Wire, World, eventually, set_status, shared,
};
use serde_json::{Value, json};

const STAGES: [&str; 4] = ["orders", "raw", "tables", "shop"];

/// The paths that were asked for.
fn asked(wire: &Wire) -> Vec<String> {
    wire.calls().into_iter().map(|outcome| outcome.call.path).collect()
}

/// How a stage is, as the page draws it.
fn state(seen: &Value, stage: &str) -> anyhow::Result<Value> {
    let mut nodes = seen["nodes"].as_array().context("no nodes")?.iter();
    let node = nodes.find(|node| node["title"] == stage && node["kind"] != "store").context("no such stage")?;
    Ok(node["state"].clone())
}

/// Waits until a stage is like that; gives its state.
async fn becomes(page: &Page, namespace: &str, stage: &str, wanted: &str) -> Value {
    eventually(&format!("{stage} is {wanted}"), async || {
        let state = state(&page.one(namespace, "ecommerce").await?, stage)?;
        ensure!(state["is"] == wanted, "{state}");
        Ok(state)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn the_page_lists_pipelines_by_trouble_on_a_replica_that_does_not_lead_and_costs_nothing_unseen() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "page-list").await.unwrap();
    let _leader = world.operator(&Wire::default()).await.unwrap();
    let broken = json!({ "image": BROKEN_IMAGE });
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.apply(&Manifest::example("minimal").unwrap().with("/spec/sinks/0/template", broken).unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    world.said("minimal", "False", "StageFailed").await.unwrap();

    let wire = Wire::default();
    let page = Page::of(&world, &wire).await.unwrap();
    assert_eq!(asked(&wire), [""; 0], "nobody looks");
    let list = page.list().await.unwrap();
    let lines = list["pipelines"].as_array().unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line["name"].as_str(), line["word"].as_str())).collect();
    assert_eq!(told, [(Some("minimal"), Some("stalled")), (Some("ecommerce"), Some("ready"))]);
    assert!(lines[0]["because"].as_str().unwrap().contains("said by the test"), "{list}");
    assert!(lines[0]["since"].is_string(), "{list}");
    assert_eq!((&lines[0]["ready"], &lines[0]["stages"]), (&json!(1), &json!(2)));
    assert!(asked(&wire).iter().all(|path| path.ends_with("/pipelines")), "{:?}", asked(&wire));

    let seen = page.one(&world.namespace, "minimal").await.unwrap();
    let pods = format!("/api/v1/namespaces/{}/pods", world.namespace);
    assert!(asked(&wire).contains(&pods), "{:?}", asked(&wire));
    assert_eq!((&seen["inside"], &seen["trouble"]), (&json!(false), &Value::Null));
    let conditions = seen["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|condition| condition["type"] == "Stalled" && condition["status"] == "True"));
    let events = seen["events"].as_array().unwrap();
    let failed = events.iter().find(|event| event["reason"] == "StageFailed").unwrap();
    assert!(
        failed["isWarning"] == true && failed["message"].as_str().unwrap().contains("said by the test"),
        "{failed}"
    );
    assert_eq!(seen["eventsTrouble"], Value::Null);
    let others = page.one(&world.namespace, "ecommerce").await.unwrap();
    let others = others["events"].as_array().unwrap();
    assert!(!others.iter().any(|event| event["reason"] == "StageFailed"), "{others:?}");
    assert!(page.one(&world.namespace, "nobody").await.unwrap_err().to_string().contains("404"));
}

#[tokio::test]
async fn a_stage_that_dies_is_shown_with_since_when_and_with_what_kubernetes_says() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "page-died").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let mut pods = Vec::new();
    for stage in STAGES {
        pods.push(StandIn::start(&world.client, &world.namespace, "ecommerce", stage).await.unwrap());
    }
    let page = Page::of(&world, &Wire::default()).await.unwrap();
    for stage in STAGES {
        becomes(&page, &world.namespace, stage, "ready").await;
    }
    let [_, raw, tables, _] = &pods[..] else { panic!("{pods:?}") };

    tables.waits("the lease table is not there");
    let waits = becomes(&page, &world.namespace, "tables", "waits").await;
    assert_eq!(waits["because"], "the lease table is not there");
    raw.kill();
    let silent = becomes(&page, &world.namespace, "raw", "silent").await;
    assert!(silent["because"].as_str().unwrap().starts_with("ecommerce-raw-0 does not answer: "), "{silent}");
    let line = page.list().await.unwrap()["pipelines"][0].clone();
    assert_eq!(
        (&line["word"], &line["since"], &line["ready"]),
        (&json!("does not answer"), &silent["since"], &json!(2))
    );

    // What it died of comes from the kubelet, and since when does not change with it.
    let waiting = json!({ "reason": "CrashLoopBackOff", "message": "back-off 5m0s" });
    let container = json!({ "name": "stage", "image": "penstock:test", "imageID": "", "ready": false, "restartCount": 7,
        "state": { "waiting": waiting } });
    set_status(&world.client, &world.namespace, &raw.name, json!({ "containerStatuses": [container] })).await.unwrap();
    eventually("it is said what it died of", async || {
        let now = state(&page.one(&world.namespace, "ecommerce").await?, "raw")?;
        ensure!(now["because"] == "ecommerce-raw-0: CrashLoopBackOff: back-off 5m0s", "{now}");
        ensure!(now["since"] == silent["since"], "{now}");
        Ok(())
    })
    .await
    .unwrap();

    let api: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    api.delete(&raw.name, &DeleteParams::default().grace_period(0)).await.unwrap();
    becomes(&page, &world.namespace, "raw", "absent").await;
}

#[tokio::test]
async fn without_the_right_to_list_pods_the_page_says_so_and_does_not_guess() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "page-rights").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    world.revoke(&Right { group: String::new(), resource: "pods".to_owned(), verb: "list".to_owned() }).await.unwrap();
    let page = Page::of(&world, &Wire::default()).await.unwrap();
    let seen = page.one(&world.namespace, "ecommerce").await.unwrap();
    let trouble = seen["trouble"].as_str().unwrap();
    assert!(trouble.contains("cannot list resource \"pods\"") && trouble.contains("chart's role"), "{trouble}");
    for stage in STAGES {
        assert_eq!(state(&seen, stage).unwrap()["is"], "unknown");
    }
    // The list does not need pods.
    assert_eq!(page.list().await.unwrap()["pipelines"][0]["word"], "ready");
}
