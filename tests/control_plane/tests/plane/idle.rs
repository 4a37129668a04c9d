//! An operator with nothing to do writes nothing, as the API server itself counts.

use std::time::Duration;

use anyhow::ensure;
use http::Request;
use kube::api::{ListParams, PostParams};
use penstock_control_plane::{Manifest, Plane, Wire, World, eventually, steady};
use serde_json::json;

use crate::full;

/// What an operator could write.
const WRITTEN: [&str; 9] = [
    "pipelines",
    "deployments",
    "configmaps",
    "services",
    "serviceaccounts",
    "networkpolicies",
    "poddisruptionbudgets",
    "events",
    "secrets",
];

/// The writes that the API server has answered.
async fn writes(world: &World) -> anyhow::Result<f64> {
    let metrics = world.client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let counted = lines.filter(|line| {
        let is =
            |label: &str, values: &[&str]| values.iter().any(|value| line.contains(&format!("{label}=\"{value}\"")));
        is("verb", &["POST", "PUT", "PATCH", "APPLY", "DELETE"]) && is("resource", &WRITTEN)
    });
    Ok(counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

async fn ready(world: &World) -> anyhow::Result<usize> {
    let pipelines = world.pipelines().list(&ListParams::default()).await?.items;
    let is_ready = |pipeline: &kube::core::DynamicObject| {
        let conditions = pipeline.data["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    };
    Ok(pipelines.iter().filter(|pipeline| is_ready(pipeline)).count())
}

/// The longest of what is here, by far: AWS may be asked about four streams a second.
#[tokio::test]
async fn many_pipelines_that_are_as_they_should_be_cost_no_write() {
    let (many, quiet) = if full() { (1000_u16, Duration::from_secs(600)) } else { (50, Duration::from_secs(10)) };
    // Its counters are about this test alone.
    let Some(plane) = Plane::start().unwrap() else { return };
    let world = World::new(&plane, "idle").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let manifest = Manifest::example("minimal").unwrap();
    for number in 0..many {
        let mut manifest = manifest.clone();
        manifest.0["metadata"]["name"] = json!(format!("idle-{number}"));
        let pipeline = serde_json::from_value(manifest.0).unwrap();
        world.pipelines().create(&PostParams::default(), &pipeline).await.unwrap();
    }
    // However long AWS's limits make it take, it must go on.
    let mut reached = 0;
    while reached < usize::from(many) {
        reached = eventually("more Pipelines are ready", async || {
            let now = ready(&world).await?;
            ensure!(now > reached, "{now} of {many} are ready");
            Ok(now)
        })
        .await
        .unwrap();
    }
    let settled = steady("the writes", Duration::from_secs(5), async || writes(&world).await).await.unwrap();
    assert!(settled > f64::from(many) * 10.0, "{settled} writes were counted: not ours");
    tokio::time::sleep(quiet).await;
    assert_eq!(writes(&world).await.unwrap() - settled, 0.0);
}
