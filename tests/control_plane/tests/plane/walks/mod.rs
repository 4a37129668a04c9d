//! Walks through valid Pipelines: what a sequence of them comes to is what the last of them comes to when it is deployed by
//! itself, and any bad state on the way can be left by going back.
//!
//! Everything on a walk follows from its seed. `PENSTOCK_SEED` is the first one; a failure says which it was.

mod generator;
mod troubles;

use anyhow::{Context, ensure};
use futures::stream::{self, StreamExt as _};
use penstock_api::check::check;
use penstock_control_plane::{Inventory, Manifest, Plane, Wire, World, full, shared};
use serde_json::Value;

use crate::fresh::{fresh, is_as_fresh};
use generator::Walk;
use troubles::Trouble;

/// The name of the Pipeline on every walk.
const NAME: &str = "walk";
/// Walks at one time.
const AT_ONCE: usize = 4;

#[derive(Debug, Default)]
struct Walked {
    specs: usize,
    troubles: usize,
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "how far it went")]
async fn whatever_came_before_a_pipeline_comes_to_what_it_comes_to_by_itself() {
    let Some(plane) = shared().unwrap() else { return };
    let (walks, steps) = if full() { (50, 11) } else { (4, 6) };
    let first = std::env::var("PENSTOCK_SEED").map_or(1, |seed| seed.parse().unwrap());
    let outcomes: Vec<_> = stream::iter(first..first + walks)
        .map(|seed| async move { walk(plane, seed, steps).await.with_context(|| format!("PENSTOCK_SEED={seed}")) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut all = Walked::default();
    let mut failed = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(walked) => {
                all.specs += walked.specs;
                all.troubles += walked.troubles;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    eprintln!("{walks} walks from seed {first}: {all:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(all.troubles > 0, "{all:?}");
}

async fn walk(plane: &Plane, seed: u64, steps: usize) -> anyhow::Result<Walked> {
    let mut walk = Walk::new(seed);
    let mut walked = Walked::default();
    let world = World::new(plane, "walk").await?;
    let _operator = world.operator(&Wire::default()).await?;
    let mut last = None;
    for step in 1..=steps {
        let manifest = walk.step();
        let checked = check(&manifest.0.to_string());
        ensure!(checked.is_valid(), "step {step} is no valid Pipeline: {:?}", checked.findings);
        let trouble = walk.rng().choice(Trouble::ALL).filter(|_| walk.rng().u8(0..3) == 0);
        let here = async {
            if let Some(trouble) = trouble {
                trouble.make(&world, &manifest).await.with_context(|| format!("{trouble:?}"))?;
            }
            world.apply(&manifest).await?;
            world.settled(NAME).await
        };
        let (by_itself, here) = tokio::join!(fresh(plane, &manifest), here);
        let context = || format!("step {step}, after {trouble:?}: {}", manifest.0["spec"]);
        here.with_context(context)?;
        is_as_fresh(&world, &manifest, &by_itself?).await.with_context(context)?;
        walked.specs += 1;
        walked.troubles += usize::from(trouble.is_some());
        last = Some(manifest);
    }
    let before = world.account.inventory().await?;
    world.delete(NAME).await?;
    world.gone(NAME).await?;
    let after = world.account.inventory().await?;
    let Some(last) = last else { return Ok(walked) };
    let (goes, went) = (goes_with(&last, &world.namespace), gone(&before, &after));
    ensure!(went == goes, "went with {}: {went:?}, should: {goes:?}", last.0["spec"]);
    Ok(walked)
}

/// What is to be deleted with a Pipeline.
fn goes_with(manifest: &Manifest, namespace: &str) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_to_go = |value: &Value| value["deletionPolicy"] == "Delete";
    let spec = &manifest.0["spec"];
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let mut goes = Vec::new();
    for buffer in list(&spec["buffers"]).iter().filter(|buffer| is_to_go(&buffer["kinesis"])) {
        goes.push(format!("stream/{namespace}.{NAME}.{}", name(buffer)));
        let sinks = list(&spec["sinks"]).into_iter().filter(|sink| sink["from"] == buffer["name"]);
        goes.extend(sinks.map(|sink| format!("table/{namespace}.{NAME}.{}.leases", name(&sink))));
    }
    for sink in list(&spec["sinks"]) {
        let tables = list(&sink["dynamodb"]["tables"]).into_iter().filter(is_to_go);
        goes.extend(tables.map(|table| format!("table/{}", name(&table))));
    }
    goes.sort();
    goes
}

fn gone(before: &Inventory, after: &Inventory) -> Vec<String> {
    before.keys().filter(|name| !after.contains_key(*name)).cloned().collect()
}
