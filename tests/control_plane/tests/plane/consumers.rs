//! What sinks are registered as with their streams: it goes when no sink needs it any more, and nothing else does.

use std::collections::BTreeSet;

use anyhow::ensure;
use penstock_control_plane::{Manifest, Wire, World, eventually, roll_out, shared};
use serde_json::{Value, json};

const NAME: &str = "ecommerce";
/// The buffer of the example.
const EVENTS: &str = "events";
/// Another one.
const LATER: &str = "later";
/// A name that the Pipeline gives.
const NAMED: &str = "named";
/// Not of this Pipeline.
const FOREIGN: &str = "foreign";

async fn stream_arn(world: &World, buffer: &str) -> anyhow::Result<String> {
    let name = format!("{}.{NAME}.{buffer}", world.namespace);
    let answer = world.account.clients.kinesis.describe_stream_summary().stream_name(name).send().await?;
    Ok(answer.stream_description_summary.map(|summary| summary.stream_arn).unwrap_or_default())
}

/// As a pod does that is to read by enhanced fan-out.
async fn register(world: &World, buffer: &str, consumer: &str) {
    let arn = stream_arn(world, buffer).await.unwrap();
    let kinesis = &world.account.clients.kinesis;
    kinesis.register_stream_consumer().stream_arn(arn).consumer_name(consumer).send().await.unwrap();
}

async fn registered(world: &World, buffer: &str) -> anyhow::Result<BTreeSet<String>> {
    let arn = stream_arn(world, buffer).await?;
    let answer = world.account.clients.kinesis.list_stream_consumers().stream_arn(arn).send().await?;
    Ok(answer.consumers.unwrap_or_default().into_iter().map(|consumer| consumer.consumer_name).collect())
}

fn of(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What is registered with the stream of a buffer, and at which buffers the Pipeline says that it has a consumer.
async fn left(world: &World, buffer: &str, expected: &[&str], written: &[&str]) {
    let prefix = format!("{}.{NAME}.", world.namespace);
    eventually("what no sink needs is deregistered", async || {
        let there = registered(world, buffer).await?;
        ensure!(there == of(expected), "{there:?}");
        let pipeline = world.pipelines().get_opt(NAME).await?;
        let resources = pipeline.as_ref().and_then(|there| there.data["status"]["resources"].as_array());
        let consumers = resources.into_iter().flatten().filter(|there| there["kind"] == "Consumer");
        let streams = consumers.filter_map(|there| there["stream"].as_str()?.strip_prefix(&prefix));
        let streams: BTreeSet<_> = streams.map(str::to_owned).collect();
        ensure!(streams == of(written), "it says that it has consumers at {streams:?}");
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
        register(&world, EVENTS, consumer).await;
    }

    // As long as old pods may read by it, it stays.
    world.roll_out.abort();
    world.apply(&polling).await.unwrap();
    world.said(NAME, "False", "RollingOut").await.unwrap();
    assert_eq!(registered(&world, EVENTS).await.unwrap(), of(&[FOREIGN, NAMED, &raw]));
    world.roll_out = tokio::spawn(roll_out(world.client.clone(), world.namespace.clone()));
    left(&world, EVENTS, &[FOREIGN, NAMED], &[]).await;
    world.ready(NAME).await.unwrap();

    // One that the Pipeline has named may be somebody else's, too.
    world.apply(&pushed(json!({ "consumer": NAMED }))).await.unwrap();
    world.ready(NAME).await.unwrap();
    world.apply(&by_default).await.unwrap();
    world.ready(NAME).await.unwrap();
    register(&world, EVENTS, &raw).await;
    world.apply(&polling.clone().with("/spec/sinks/0", Value::Null).unwrap()).await.unwrap();
    left(&world, EVENTS, &[FOREIGN, NAMED], &[]).await;

    world.apply(&by_default).await.unwrap();
    world.ready(NAME).await.unwrap();
    register(&world, EVENTS, &raw).await;
    world.delete(NAME).await.unwrap();
    world.gone(NAME).await.unwrap();
    left(&world, EVENTS, &[FOREIGN, NAMED], &[]).await;
}

#[tokio::test]
async fn a_sink_that_comes_again_at_another_stream_leaves_no_consumer_at_the_former() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "moved-consumers").await.unwrap();
    let operator = world.operator(&Wire::default()).await.unwrap();
    let raw = format!("{}.{NAME}.raw", world.namespace);
    let example = Manifest::example(NAME).unwrap();
    let both = example.with("/spec/buffers/-", json!({ "name": LATER, "kinesis": { "shards": 1 } })).unwrap();
    let reading = |buffer: &str| {
        let pushed = both.clone().with("/spec/sinks/0/reading", json!({ "fanOut": {} })).unwrap();
        pushed.with("/spec/sinks/0/from", buffer).unwrap()
    };
    world.apply(&reading(EVENTS)).await.unwrap();
    world.ready(NAME).await.unwrap();
    register(&world, EVENTS, &raw).await;

    // Nobody sees that it was away meanwhile.
    operator.crash().await;
    world.apply(&both.clone().with("/spec/sinks/0", Value::Null).unwrap()).await.unwrap();
    world.apply(&reading(LATER)).await.unwrap();
    let _operator = world.operator(&Wire::default()).await.unwrap();
    left(&world, EVENTS, &[], &[LATER]).await;
    world.ready(NAME).await.unwrap();
    register(&world, LATER, &raw).await;

    world.delete(NAME).await.unwrap();
    world.gone(NAME).await.unwrap();
    left(&world, LATER, &[], &[]).await;
}
