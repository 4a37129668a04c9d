//! The chart and a Pipeline in one Application, as `examples/argocd` has them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use penstock_argocd::{Application, Argo, GarbageCollector, Repository, Tracking, example};
use penstock_control_plane::{Account, Plane, Wire, World, eventually, roll_out, steady};
use penstock_manifests::{files, read};
use serde_json::{Value, json};

const NAMESPACE: &str = "penstock";
const DEFINITION: &str = "pipelines.penstock.dev";
const OPERATOR: &str = "penstock-operator";
const PIPELINE: &str = "minimal";
const FILES: [&str; 2] = ["charts/penstock", "examples/argocd/pipelines"];
const HELD: &str = "example.com/held";
/// How long nothing may happen before it counts as quiet.
const QUIET: Duration = Duration::from_secs(10);

#[tokio::test]
async fn argo_cd_installs_the_chart_and_then_pipelines_and_removes_them_the_other_way_round_when_it_tracks_by_annotation()
 {
    installs_and_removes(Tracking::Annotation, "penstock").await.unwrap();
}

/// The label says the Application's name, where helm would say the release's: not the same here.
#[tokio::test]
async fn argo_cd_installs_the_chart_and_then_pipelines_and_removes_them_the_other_way_round_when_it_tracks_by_label() {
    installs_and_removes(Tracking::Label, "streaming").await.unwrap();
}

async fn installs_and_removes(tracking: Tracking, name: &str) -> anyhow::Result<()> {
    let Some(plane) = Plane::start()? else { return Ok(()) };
    // The chart is to bring it.
    remove_definition(&plane).await?;
    let Some(argo) = Argo::start(&plane, tracking).await? else { return Ok(()) };
    let _garbage = GarbageCollector::start(argo.client.clone());
    let repository = repository()?;
    let revision = repository.commit("The chart and a Pipeline")?;
    let application = Application::create(&argo, the_example(name, &repository)?).await?;
    let deployments: Api<Deployment> = Api::namespaced(argo.client.clone(), NAMESPACE);

    // Nothing rolls the operator out yet.
    eventually("Argo CD waits for the operator", async || {
        let view = application.view().await?;
        // Its Deployment and its PodDisruptionBudget; one of them is named.
        let waits = view.complaints.contains("/penstock-operator and 1 more resources");
        ensure!(waits && view.complaints.contains("waiting for healthy state of"), "{view:#?}");
        Ok(())
    })
    .await
    .with_context(|| argo.said())?;
    let mut world = world(&plane).await?;
    ensure!(world.pipelines().list(&ListParams::default()).await?.items.is_empty(), "the Pipeline does not wait");
    world.roll_out = tokio::spawn(roll_out(argo.client.clone(), NAMESPACE.to_owned()));
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(argo.client.clone(), NAMESPACE);
    budgets.patch_status(OPERATOR, &PatchParams::default(), &Patch::Merge(enough_pods())).await?;
    let operator = world.operator(&Wire::default()).await?;
    let view = application.shows(&revision, "Healthy").await?;
    let different: Vec<_> = view.resources.iter().filter(|(_, _, sync)| sync != "Synced").collect();
    ensure!(different.is_empty(), "{different:?}");
    let kinds: BTreeSet<_> = view.resources.iter().map(|(kind, _, _)| kind.as_str()).collect();
    for kind in ["CustomResourceDefinition", "ClusterRole", "ServiceAccount", "Deployment", "Pipeline"] {
        ensure!(kinds.contains(kind), "there is no {kind} in {kinds:?}");
    }

    // A look that finds a difference would be followed by another sync.
    let watch = application.watch();
    application.refresh().await?;
    steady("the Application", QUIET, async || application.view().await).await?;
    for seen in watch.seen() {
        ensure!((&*seen.sync, &seen.operation) == ("Synced", &view.operation), "{seen:#?}");
    }

    // Somebody holds the Pipeline, so that what goes before it and what after can be told.
    hold(&world, true).await?;
    application.begin_to_delete().await?;
    eventually("the operator has done its part", async || {
        let pipeline = world.pipelines().get(PIPELINE).await?;
        ensure!(pipeline.metadata.deletion_timestamp.is_some(), "it is not being deleted");
        let holders: Vec<_> = pipeline.finalizers().iter().filter(|holder| !holder.contains("foreground")).collect();
        ensure!(holders == [HELD], "{holders:?}");
        Ok(())
    })
    .await
    .with_context(|| argo.said())?;
    let deployment = deployments.get(OPERATOR).await.context("the operator has gone before the Pipeline")?;
    ensure!(deployment.metadata.deletion_timestamp.is_none(), "the operator goes before the Pipeline");
    hold(&world, false).await?;
    application.gone().await?;
    ensure!(world.pipelines().list(&ListParams::default()).await?.items.is_empty(), "the Pipeline is still there");
    ensure!(deployments.get_opt(OPERATOR).await?.is_none(), "the operator is still there");
    let streams: Vec<_> =
        world.account.inventory().await?.into_keys().filter(|name| name.contains("stream/")).collect();
    ensure!(streams.is_empty(), "{streams:?} should have gone with the Pipeline");
    let definitions: Api<CustomResourceDefinition> = Api::all(argo.client.clone());
    ensure!(definitions.get_opt(DEFINITION).await?.is_some(), "the chart keeps the definition");
    operator.crash().await;
    Ok(())
}

/// The files that the example's Application names; the Pipeline takes its stream with it.
fn repository() -> anyhow::Result<Repository> {
    let repository = Repository::new()?;
    for file in FILES.iter().map(|folder| files(folder)).collect::<anyhow::Result<Vec<_>>>()?.concat() {
        let text = read(&file)?.replace("kinesis: { shards: 1 }", "kinesis: { shards: 1, deletionPolicy: Delete }");
        repository.write_text(&file.display().to_string(), &text)?;
    }
    let pipeline = Path::new(FILES[1]).join("pipeline.yaml");
    ensure!(files(FILES[1])?.contains(&pipeline), "the example has no Pipeline");
    Ok(repository)
}

/// The example as it is, but for the repository and the name.
fn the_example(name: &str, repository: &Repository) -> anyhow::Result<Value> {
    let mut application = example()?;
    application["metadata"]["name"] = name.into();
    let sources = application["spec"]["sources"].as_array_mut().context("the example has no sources")?;
    for source in sources {
        source["repoURL"] = repository.url().into();
    }
    Ok(application)
}

/// The namespace that Argo CD makes, with an account of AWS; nobody rolls Deployments out yet.
async fn world(plane: &Plane) -> anyhow::Result<World> {
    let account = Account::start().await?;
    account.clients.s3.create_bucket().bucket("acme-lake").send().await?;
    World::of_another(plane, NAMESPACE, account)
}

/// What Kubernetes' controller says of the operator's budget once its pods are ready.
fn enough_pods() -> Value {
    let condition = json!({
        "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": "",
        "lastTransitionTime": "2026-11-20T10:00:00Z",
    });
    json!({ "status": {
        "observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "disruptionsAllowed": 1,
        "conditions": [condition],
    } })
}

/// With the finalizer of somebody else, or without.
async fn hold(world: &World, held: bool) -> anyhow::Result<()> {
    // The operator and Argo CD write to it, too.
    eventually("the Pipeline is held or released", async || {
        let pipeline = world.pipelines().get(PIPELINE).await?;
        let others = pipeline.finalizers().iter().filter(|holder| *holder != HELD).map(String::as_str);
        let all: Vec<_> = others.chain(held.then_some(HELD)).collect();
        let version = pipeline.resource_version();
        let patch = json!({ "metadata": { "finalizers": all, "resourceVersion": version } });
        world.pipelines().patch(PIPELINE, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    })
    .await
}

async fn remove_definition(plane: &Plane) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(plane.client()?);
    definitions.delete(DEFINITION, &DeleteParams::default()).await?;
    eventually("the definition is gone", async || {
        ensure!(definitions.get_opt(DEFINITION).await?.is_none(), "it is still there");
        Ok(())
    })
    .await
}
