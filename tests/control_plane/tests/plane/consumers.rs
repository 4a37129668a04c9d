//! What sinks are registered as with their streams: it goes when no sink needs it any more, and nothing else does.

use std::collections::BTreeSet;

use anyhow::ensure;
use penstock_control_plane::{Manifest, Wire, World, eventually, roll_out, shared};
use serde_json::{Value, json};

const NAME: &str = "ecommerce";
/// A name that the Pipeline gives.
const NAMED: &str = "named";
/// Not of this Pipeline.
const FOREIGN: &str = "foreign";

async fn stream_arn(world: &World) -> anyhow::Result<String> {
    let name = format!("{}.{NAME}.events", world.namespace);
    let answer = world.account.clients.kinesis.describe_stream_summary().stream_name(name).send().await?;
    Ok(answer.stream_description_summary.map(|summary| summary.stream_arn).unwrap_or_default())
}

/// As a pod does that is to read by enhanced fan-out.
async fn register(world: &World, consumer: &str) {
    let arn = stream_arn(world).await.unwrap();
    let kinesis = &world.account.clients.kinesis;
    kinesis.register_stream_consumer().stream_arn(arn).consumer_name(consumer).send().await.unwrap();
}

async fn registered(world: &World) -> anyhow::Result<BTreeSet<String>> {
    let arn = stream_arn(world).await?;
    let answer = world.account.clients.kinesis.list_stream_consumers().stream_arn(arn).send().await?;
    Ok(answer.consumers.unwrap_or_default().into_iter().map(|consumer| consumer.consumer_name).collect())
}

fn of(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn left(world: &World, expected: &[&str]) {
    eventually("what no sink needs is deregistered", async || {
        let there = registered(world).await?;
        ensure!(there == of(expected), "{there:?}");
        let written = world.pipelines().get_opt(NAME).await?.map(|there| there.data["status"]["resources"].to_string());
        ensure!(!written.unwrap_or_default().contains("Consumer"), "it is still written down");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_consumer_goes_when_its_sink_asks_for_records_again_and_when_it_goes_and_with_the_pipeline() {
    let Some(plane) = shared().unwrap() else { return };
    let mut world = World::new(plane, "consumers").await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    let raw = format!("{}.{NAME}.raw", world.namespace);
    let polling = Manifest::example(NAME).unwrap();
    let pushed =
        |consumer: Value| polling.clone().with("/spec/sinks/0/reading", json!({ "fanOut": consumer })).unwrap();
    let by_default = pushed(json!({}));
    world.apply(&by_default).await.unwrap();
    world.ready(NAME).await.unwrap();
    for consumer in [FOREIGN, NAMED, &raw] {
        register(&world, consumer).await;
    }

    // As long as old pods may read by it, it stays.
    world.roll_out.abort();
    world.apply(&polling).await.unwrap();
    world.said(NAME, "False", "RollingOut").await.unwrap();
    assert_eq!(registered(&world).await.unwrap(), of(&[FOREIGN, NAMED, &raw]));
    world.roll_out = tokio::spawn(roll_out(world.client.clone(), world.namespace.clone()));
    left(&world, &[FOREIGN, NAMED]).await;
    world.ready(NAME).await.unwrap();

    // One that the Pipeline has named may be somebody else's, too.
    world.apply(&pushed(json!({ "consumer": NAMED }))).await.unwrap();
    world.ready(NAME).await.unwrap();
    world.apply(&by_default).await.unwrap();
    world.ready(NAME).await.unwrap();
    register(&world, &raw).await;
    world.apply(&polling.clone().with("/spec/sinks/0", Value::Null).unwrap()).await.unwrap();
    left(&world, &[FOREIGN, NAMED]).await;

    world.apply(&by_default).await.unwrap();
    world.ready(NAME).await.unwrap();
    register(&world, &raw).await;
    world.delete(NAME).await.unwrap();
    world.gone(NAME).await.unwrap();
    left(&world, &[FOREIGN, NAMED]).await;
}
