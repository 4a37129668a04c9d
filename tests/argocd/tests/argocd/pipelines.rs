//! A Pipeline in a repository that Argo CD follows, from its first sync to its end; with both ways of tracking, and with
//! server-side apply on and off.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use penstock_argocd::{Application, Argo, GarbageCollector, Repository, Tracking, application};
use penstock_control_plane::{Manifest, Operator, Plane, Wire, World, children, eventually, roll_out};
use penstock_operator::names;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::stay;

/// The example's name.
const PIPELINE: &str = "ecommerce";
const FILE: &str = "shop/pipeline.yaml";
const STREAM: &str = "ecommerce.events";
const AGE: &str = "/spec/sinks/0/s3/rotate/age";

#[tokio::test]
async fn argo_cd_follows_a_pipeline_from_its_first_sync_to_its_end_when_it_tracks_by_annotation() {
    both_ways_of_applying(Tracking::Annotation).await;
}

#[tokio::test]
async fn argo_cd_follows_a_pipeline_from_its_first_sync_to_its_end_when_it_tracks_by_label() {
    both_ways_of_applying(Tracking::Label).await;
}

async fn both_ways_of_applying(tracking: Tracking) {
    // One of its own: an Argo CD looks after all of it.
    let Some(plane) = Plane::start().unwrap() else { return };
    let Some(argo) = Argo::start(&plane, tracking).await.unwrap() else { return };
    let _garbage = GarbageCollector::start(argo.client.clone());
    let (client_side, server_side) =
        tokio::join!(Story::new(&plane, &argo, tracking, false), Story::new(&plane, &argo, tracking, true),);
    let (client_side, server_side) = (client_side.unwrap(), server_side.unwrap());
    let (client_side, server_side) = tokio::join!(client_side.tell(), server_side.tell());
    client_side.context("with client-side apply").unwrap();
    server_side.context("with server-side apply").unwrap();
}

/// An Application in a namespace of its own, and everything around it.
struct Story<'a> {
    argo: &'a Argo,
    tracking: Tracking,
    world: World,
    repository: Repository,
    application: Application<'a>,
    name: String,
    /// What is in the repository.
    manifest: Manifest,
    revision: String,
    _operator: Operator,
}

impl<'a> Story<'a> {
    async fn new(plane: &Plane, argo: &'a Argo, tracking: Tracking, server_side: bool) -> anyhow::Result<Self> {
        let how = if server_side { "server-side" } else { "client-side" };
        let world = World::new(plane, how).await?;
        let operator = world.operator(&Wire::default()).await?;
        let repository = Repository::new()?;
        // What goes with the Pipeline in AWS, so that it has a finalizer.
        let manifest = Manifest::example(PIPELINE)?;
        let manifest = manifest.with("/spec/buffers/0/kinesis/deletionPolicy", "Delete")?;
        repository.write(FILE, &manifest.0)?;
        // With it the Application is never empty: Argo CD does not remove the last object by itself.
        let kept = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kept" } });
        repository.write("shop/kept.yaml", &kept)?;
        let revision = repository.commit("A shop")?;
        let name = format!("shop-{how}");
        let sources = json!([{ "repoURL": repository.url(), "targetRevision": "main", "path": "shop" }]);
        let application = application(&name, &world.namespace, sources, server_side)?;
        let application = Application::create(argo, application).await?;
        Ok(Self { argo, tracking, world, repository, application, name, manifest, revision, _operator: operator })
    }

    async fn tell(mut self) -> anyhow::Result<()> {
        self.application.shows(&self.revision, "Healthy").await.context("at first")?;
        self.keeps_the_pipeline_and_shows_its_children().await.context("its objects")?;
        self.stays_in_sync_while_the_pipeline_works().await.context("while it works")?;
        self.progresses_while_a_stage_rolls_out().await.context("while a stage rolls out")?;
        self.is_degraded_while_something_is_missing().await.context("when it is broken")?;
        self.is_suspended_while_the_pipeline_rests().await.context("when it is paused")?;
        self.undoes_an_edit_by_hand().await.context("drift")?;
        self.leaves_what_the_repository_does_not_speak_of().await.context("pausing by hand")?;
        self.prunes_the_pipeline().await.context("pruning")?;
        self.application.begin_to_delete().await?;
        self.application.gone().await?;
        ensure!(self.config_maps().get_opt("kept").await?.is_none(), "the Application has left something behind");
        Ok(())
    }

    /// Only what is in the repository is Argo CD's; what the operator makes of it is shown under it.
    async fn keeps_the_pipeline_and_shows_its_children(&self) -> anyhow::Result<()> {
        let view = self.application.view().await?;
        let kept: BTreeSet<_> = view.resources.iter().map(|(kind, name, sync)| (&**kind, &**name, &**sync)).collect();
        let expected = BTreeSet::from([("ConfigMap", "kept", "Synced"), ("Pipeline", PIPELINE, "Synced")]);
        ensure!(kept == expected, "{kept:?}");

        let pipeline = self.pipeline().await?;
        let tracked = match self.tracking {
            Tracking::Annotation => pipeline.annotations().contains_key("argocd.argoproj.io/tracking-id"),
            Tracking::Label => pipeline.labels().get("app.kubernetes.io/instance") == Some(&self.name),
        };
        ensure!(tracked, "the Pipeline is not tracked: {:?}", pipeline.metadata);
        let children = children(&self.world.client, &self.world.namespace).await?;
        for (name, child) in &children {
            let marks = child.labels().keys().chain(child.annotations().keys());
            let of_argo = |mark: &&String| mark.contains("argocd") || *mark == "app.kubernetes.io/instance";
            let copied: Vec<_> = marks.filter(of_argo).collect();
            ensure!(copied.is_empty(), "{name} carries {copied:?}");
        }
        eventually("Argo CD shows every child under the Pipeline", async || {
            let shown = self.argo.tree(&self.name).await?;
            let under = |node: &penstock_argocd::Node| {
                node.parent_refs.iter().any(|parent| parent.kind == "Pipeline" && parent.name == PIPELINE)
            };
            let shown: BTreeSet<_> =
                shown.iter().filter(|node| under(node)).map(|node| format!("{}/{}", node.kind, node.name)).collect();
            let missing: Vec<_> = children.keys().filter(|name| !shown.contains(*name)).collect();
            ensure!(missing.is_empty() && shown.len() >= children.len(), "{missing:?} of {shown:?}");
            Ok(())
        })
        .await
    }

    /// The operator writes the status, pods come and go, people ask for a look: all the while nothing is to be synced.
    async fn stays_in_sync_while_the_pipeline_works(&self) -> anyhow::Result<()> {
        let synced = self.application.view().await?.operation;
        let watch = self.application.watch();
        let until = Instant::now() + stay();
        let mut round = 0;
        while Instant::now() < until {
            round += 1;
            self.ask_for_a_look(round).await?;
            self.lose_a_pod(round).await?;
            // What Argo CD does of itself every few minutes.
            if round % 5 == 0 {
                self.application.refresh().await?;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let view = self.application.shows(&self.revision, "Healthy").await?;
        ensure!(view.operation == synced, "it was synced again: {view:?}");
        let seen = watch.seen();
        ensure!(seen.len() > 2, "Argo CD has not looked: {seen:?}");
        for view in seen {
            ensure!(view.sync == "Synced" && view.operation == synced, "{view:#?}");
            ensure!(["Healthy", "Progressing"].contains(&&*view.health), "{view:#?}");
        }
        let echoed = self.world.status(PIPELINE).await?.observed_request;
        ensure!(echoed == Some(round.to_string()), "the operator did not work meanwhile: {echoed:?}");
        Ok(())
    }

    async fn ask_for_a_look(&self, round: u32) -> anyhow::Result<()> {
        let asked = json!({ "metadata": { "annotations": { (names::REQUEST_ANNOTATION): round.to_string() } } });
        self.edit(&Patch::Merge(asked)).await
    }

    /// A pod is not ready for a moment.
    async fn lose_a_pod(&self, round: u32) -> anyhow::Result<()> {
        let stage = ["orders", "raw", "tables"][round as usize % 3];
        let deployments: Api<Deployment> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let none = json!({ "status": { "readyReplicas": 0, "availableReplicas": 0 } });
        let name = names::child(PIPELINE, stage);
        deployments.patch_status(&name, &PatchParams::default(), &Patch::Merge(none)).await?;
        Ok(())
    }

    async fn progresses_while_a_stage_rolls_out(&mut self) -> anyhow::Result<()> {
        self.world.roll_out.abort();
        let manifest = self.manifest.clone().with(AGE, "7m")?;
        self.commit(manifest).await?;
        self.application.shows(&self.revision, "Progressing").await?;
        self.world.said(PIPELINE, "False", "RollingOut").await?;
        let pods = roll_out(self.world.client.clone(), self.world.namespace.clone());
        self.world.roll_out = tokio::spawn(pods);
        self.application.shows(&self.revision, "Healthy").await?;
        Ok(())
    }

    async fn is_degraded_while_something_is_missing(&mut self) -> anyhow::Result<()> {
        let whole = self.manifest.clone();
        let broken = [
            ("/spec/sinks/0/s3/bucket", "no-such-bucket", "Missing"),
            ("/spec/sources/0/http/auth/apiKeys/secretName", "no-such-secret", "SecretNotFound"),
        ];
        for (place, name, reason) in broken {
            self.commit(whole.clone().with(place, name)?).await?;
            self.application.shows(&self.revision, "Degraded").await.context(reason)?;
            self.world.said(PIPELINE, "False", reason).await?;
            self.says_why(name).await?;
            self.commit(whole.clone()).await?;
            self.application.shows(&self.revision, "Healthy").await.context("when it is whole again")?;
        }
        Ok(())
    }

    /// Argo CD shows the operator's own words, which name the cure.
    async fn says_why(&self, name: &str) -> anyhow::Result<()> {
        eventually("Argo CD shows why", async || {
            let shown = self.argo.tree(&self.name).await?;
            let pipeline = shown.into_iter().find(|node| node.kind == "Pipeline").context("no Pipeline is shown")?;
            let health = pipeline.health.context("it has no health")?;
            ensure!(health.status == "Degraded" && health.message.contains(name), "{health:?}");
            Ok(())
        })
        .await
    }

    async fn is_suspended_while_the_pipeline_rests(&mut self) -> anyhow::Result<()> {
        let awake = self.manifest.clone();
        for how in ["Now", "Drain"] {
            self.commit(awake.clone().with("/spec/suspend", how)?).await?;
            self.application.shows(&self.revision, "Suspended").await.context(how)?;
            self.commit(awake.clone()).await?;
            self.application.shows(&self.revision, "Healthy").await.context("when it works again")?;
        }
        Ok(())
    }

    async fn undoes_an_edit_by_hand(&self) -> anyhow::Result<()> {
        let edits = [("replace", AGE, json!("9m")), ("remove", "/spec/sinks/0/s3/compression", Value::Null)];
        for (operation, path, value) in edits {
            let synced = self.application.view().await?.operation;
            let edit = serde_json::from_value(json!([{ "op": operation, "path": path, "value": value }]))?;
            self.edit(&Patch::Json(edit)).await?;
            let asked = self.manifest.0.pointer(path).context("the manifest has no such place")?;
            eventually(&format!("the edit of {path} is undone"), async || {
                let pipeline = serde_json::to_value(self.pipeline().await?)?;
                ensure!(pipeline.pointer(path) == Some(asked), "{:?}", pipeline.pointer(path));
                Ok(())
            })
            .await
            .with_context(|| self.argo.said())?;
            let view = self.application.shows(&self.revision, "Healthy").await?;
            ensure!(view.operation != synced, "nothing was synced: {view:?}");
        }
        Ok(())
    }

    /// A field that it does not have is no difference: a Pipeline can be paused by hand.
    async fn leaves_what_the_repository_does_not_speak_of(&self) -> anyhow::Result<()> {
        let synced = self.application.view().await?.operation;
        self.edit(&Patch::Merge(json!({ "spec": { "suspend": "Now" } }))).await?;
        let view = self.application.shows(&self.revision, "Suspended").await?;
        ensure!(view.operation == synced, "it was synced: {view:?}");
        self.edit(&Patch::Merge(json!({ "spec": { "suspend": null } }))).await?;
        self.application.shows(&self.revision, "Healthy").await?;
        Ok(())
    }

    async fn prunes_the_pipeline(&mut self) -> anyhow::Result<()> {
        let has_finalizer = self.pipeline().await?.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
        ensure!(has_finalizer, "nothing is to be done before it goes");
        let stream = format!("stream/{}.{STREAM}", self.world.namespace);
        ensure!(self.world.account.inventory().await?.contains_key(&stream), "there is no {stream}");
        self.repository.remove(FILE)?;
        self.revision = self.repository.commit("No shop")?;
        self.application.shows(&self.revision, "Healthy").await?;
        self.world.gone(PIPELINE).await?;
        eventually("its children are gone", async || {
            let left = children(&self.world.client, &self.world.namespace).await?;
            ensure!(left.is_empty(), "{:?}", left.keys());
            Ok(())
        })
        .await?;
        ensure!(!self.world.account.inventory().await?.contains_key(&stream), "{stream} is still there");
        ensure!(self.config_maps().get_opt("kept").await?.is_some(), "more was pruned than was removed");
        Ok(())
    }

    async fn commit(&mut self, manifest: Manifest) -> anyhow::Result<()> {
        self.repository.write(FILE, &manifest.0)?;
        self.revision = self.repository.commit("Another shop")?;
        self.manifest = manifest;
        Ok(())
    }

    /// As somebody who is not Argo CD.
    async fn edit(&self, patch: &Patch<Value>) -> anyhow::Result<()> {
        let parameters = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        self.world.pipelines().patch(PIPELINE, &parameters, patch).await?;
        Ok(())
    }

    async fn pipeline(&self) -> anyhow::Result<DynamicObject> {
        Ok(self.world.pipelines().get(PIPELINE).await?)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.world.client.clone(), &self.world.namespace)
    }
}
