//! The states of `examples/argocd/testdata` are those of real runs: each is provoked on a real API server and compared with
//! its file, which `PENSTOCK_RECORD=1` writes anew.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use penstock_control_plane::{
    Answer, Fault, Manifest, Operator, Plane, Target, Wire, World, eventually, roll_out, shared, steady,
};
use penstock_manifests::{read, root};
use penstock_operator::names;
use serde_json::{Value, json};

const PIPELINE: &str = "minimal";
const FOLDER: &str = "examples/argocd/testdata";
const AGE: &str = "/spec/sinks/0/s3/rotate";
/// What is written down has not changed for so long.
const REST: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_states_of_the_examples_are_those_of_real_runs() {
    let Some(plane) = shared().unwrap() else { return };
    let run = Run::new(plane).await.unwrap();
    run.all_but_one().await.unwrap();
    stream_of_somebody_else(plane).await.unwrap();
}

struct Run {
    world: World,
    wire: Wire,
    manifest: Manifest,
    operator: Option<Operator>,
    deployments: Api<Deployment>,
}

impl Run {
    async fn new(plane: &Plane) -> anyhow::Result<Self> {
        let world = World::new(plane, "states").await?;
        let deployments = Api::namespaced(world.client.clone(), &world.namespace);
        let manifest = Manifest::example(PIPELINE)?;
        Ok(Self { world, wire: Wire::default(), manifest, operator: None, deployments })
    }

    async fn all_but_one(mut self) -> anyhow::Result<()> {
        let whole = self.manifest.clone();
        self.apply(whole.clone()).await?;
        self.record("new", None).await?;

        self.wire.follow(|call| if call.target == Target::Aws { Fault::Withhold } else { Fault::None });
        self.start_operator().await?;
        self.record("pending", Some("Pending")).await?;

        // What was withheld is never answered.
        self.crash_operator().await;
        self.wire = Wire::default();
        self.stop_rolling_out();
        self.start_operator().await?;
        self.record("rolling-out", Some("RollingOut")).await?;
        self.fail_to_roll_out("archive", Some("has timed out progressing")).await?;
        self.record("stage-failed", Some("StageFailed")).await?;
        self.fail_to_roll_out("archive", None).await?;
        self.roll_out();
        self.record("ready", Some("Ready")).await?;

        self.crash_operator().await;
        self.apply(whole.clone().with(AGE, json!({ "age": "7m" }))?).await?;
        self.record("stale-generation", None).await?;
        self.apply(whole.clone()).await?;
        self.start_operator().await?;
        self.said("Ready").await?;

        self.stop_rolling_out();
        self.apply(whole.clone().with("/spec/suspend", "Drain")?).await?;
        self.record("draining", Some("Draining")).await?;
        self.roll_out();
        self.record("suspended", Some("Suspended")).await?;
        self.apply(whole.clone()).await?;
        self.said("Ready").await?;

        let failure = Answer { status: 500, reason: "InternalFailure", retry_after: None };
        self.wire.follow(move |call| match call.target {
            Target::Aws => Fault::Answer(failure.clone()),
            Target::Kubernetes => Fault::None,
        });
        self.ask_for_a_look("now").await?;
        self.record("aws-fails", Some("AwsFails")).await?;
        self.wire.follow(|_| Fault::None);
        self.ask_for_a_look("again").await?;
        self.said("Ready").await?;

        let keys = json!({ "apiKeys": { "secretName": "no-such-keys" } });
        self.apply(whole.clone().with("/spec/sources/0/http/auth", keys)?).await?;
        self.record("secret-missing", Some("SecretNotFound")).await?;
        self.crash_operator().await;
        self.apply(whole.clone()).await?;
        self.record("stale-and-stalled", None).await?;

        self.apply(whole.with("/spec/buffers/0/kinesis/deletionPolicy", "Delete")?).await?;
        self.start_operator().await?;
        self.said("Ready").await?;
        self.hold_deployments(true).await?;
        self.world.delete(PIPELINE).await?;
        self.record("deleting", Some("Deleting")).await?;
        self.hold_deployments(false).await?;
        self.world.gone(PIPELINE).await
    }

    async fn apply(&self, manifest: Manifest) -> anyhow::Result<()> {
        self.world.apply(&manifest).await?;
        Ok(())
    }

    async fn start_operator(&mut self) -> anyhow::Result<()> {
        self.operator = Some(self.world.operator(&self.wire).await?);
        Ok(())
    }

    async fn crash_operator(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.crash().await;
        }
    }

    fn stop_rolling_out(&self) {
        self.world.roll_out.abort();
    }

    fn roll_out(&mut self) {
        self.world.roll_out = tokio::spawn(roll_out(self.world.client.clone(), self.world.namespace.clone()));
    }

    /// What Kubernetes says of a Deployment whose pods were not ready in time; or no longer says.
    async fn fail_to_roll_out(&self, stage: &str, why: Option<&str>) -> anyhow::Result<()> {
        let name = names::child(PIPELINE, stage);
        let of = |why: &str| {
            json!([{
                "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                "message": format!("ReplicaSet \"{name}-7d9c5b\" {why}"),
            }])
        };
        let generation = self.deployments.get(&name).await?.metadata.generation;
        let status = json!({ "status": { "observedGeneration": generation, "conditions": why.map(of) } });
        self.deployments.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    async fn ask_for_a_look(&self, value: &str) -> anyhow::Result<()> {
        let asked = json!({ "metadata": { "annotations": { (names::REQUEST_ANNOTATION): value } } });
        self.world.pipelines().patch(PIPELINE, &PatchParams::default(), &Patch::Merge(asked)).await?;
        Ok(())
    }

    /// As Kubernetes holds them while their pods are ending.
    async fn hold_deployments(&self, held: bool) -> anyhow::Result<()> {
        let finalizers: &[&str] = if held { &["example.com/pods"] } else { &[] };
        let patch = json!({ "metadata": { "finalizers": finalizers } });
        for deployment in self.deployments.list(&ListParams::default()).await?.items {
            let name = deployment.name_any();
            self.deployments.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Ok(())
    }

    async fn said(&self, reason: &str) -> anyhow::Result<DynamicObject> {
        said(&self.world, reason).await
    }

    /// Compares the state, once the newest spec is said to be so; at once where nobody says anything. What is said comes
    /// in more than one write, so it is waited for.
    async fn record(&self, file: &str, reason: Option<&str>) -> anyhow::Result<()> {
        let Some(reason) = reason else { return compare(file, self.world.pipelines().get(PIPELINE).await?) };
        if is_recorded() {
            self.said(reason).await.with_context(|| file.to_owned())?;
            let look = async || Ok(self.world.pipelines().get(PIPELINE).await?);
            return compare(file, steady("the Pipeline is at rest", REST, look).await?);
        }
        eventually(file, async || compare(file, is_said(&self.world, reason).await?)).await
    }
}

/// Waits until this is said of the newest spec under `Ready`; gives the Pipeline.
async fn said(world: &World, reason: &str) -> anyhow::Result<DynamicObject> {
    eventually(&format!("it is said to be {reason}"), async || is_said(world, reason).await).await
}

/// The Pipeline, if this is said of its newest spec under `Ready`.
async fn is_said(world: &World, reason: &str) -> anyhow::Result<DynamicObject> {
    let pipeline = world.pipelines().get(PIPELINE).await?;
    let ready = pipeline.data["status"]["conditions"][0].clone();
    let is_said = ready["reason"] == reason && ready["observedGeneration"].as_i64() == pipeline.metadata.generation;
    if !is_said {
        bail!("generation {:?}: {ready}", pipeline.metadata.generation);
    }
    Ok(pipeline)
}

/// Whether the files are written anew.
fn is_recorded() -> bool {
    std::env::var_os("PENSTOCK_RECORD").is_some()
}

async fn stream_of_somebody_else(plane: &Plane) -> anyhow::Result<()> {
    let world = World::new(plane, "not-ours").await?;
    let stream = format!("{}.{PIPELINE}.stream", world.namespace);
    world.account.clients.kinesis.create_stream().stream_name(stream).shard_count(1).send().await?;
    let _operator = world.operator(&Wire::default()).await?;
    world.apply(&Manifest::example(PIPELINE)?).await?;
    said(&world, "NotOurs").await?;
    // What is the Pipeline's own is made all the same.
    let settled = eventually("its tables are ready", async || {
        let pipeline = world.pipelines().get(PIPELINE).await?;
        let conditions = pipeline.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = |condition: &Value| condition["type"] == "Tables" && condition["status"] == "True";
        ensure!(conditions.iter().any(is_ready), "{}", Value::from(conditions));
        Ok(pipeline)
    });
    compare("not-ours", settled.await?)
}

fn compare(file: &str, pipeline: DynamicObject) -> anyhow::Result<()> {
    let path = format!("{FOLDER}/{file}.yaml");
    let seen = serde_yaml::to_string(&without_chance(pipeline)?)?;
    if is_recorded() {
        return fs::write(root().join(&path), seen).with_context(|| format!("{path} cannot be written"));
    }
    let recorded = read(&path)?;
    ensure!(recorded == seen, "{path} is not what is seen (PENSTOCK_RECORD=1 writes it anew):\n{seen}");
    Ok(())
}

/// In a namespace and at times that stay the same.
fn without_chance(mut pipeline: DynamicObject) -> anyhow::Result<Value> {
    const TIME: &str = "2026-11-20T10:00:00Z";
    let namespace = pipeline.namespace().context("it has no namespace")?;
    let metadata = &mut pipeline.metadata;
    metadata.managed_fields = None;
    metadata.resource_version = None;
    metadata.creation_timestamp = None;
    metadata.uid = Some("6f0a4c6e-2a3b-4c9f-9d6d-0a4d5f7f7a10".to_owned());
    let mut value = serde_json::to_value(pipeline)?;
    if let Some(deleted) = value.pointer_mut("/metadata/deletionTimestamp") {
        *deleted = TIME.into();
    }
    let conditions = value.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        condition["lastTransitionTime"] = TIME.into();
    }
    Ok(serde_json::from_str(&value.to_string().replace(&namespace, "shop"))?)
}
