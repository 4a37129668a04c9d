//! Two operators with a lease: one controls, and whoever has lost the lease writes nothing more.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::stream::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use penstock_control_plane::{Installation, Manifest, Plane, Wire, World, eventually, shared};
use penstock_operator::{ElectionSettings, Settings};
use penstock_runtime::Health;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LEASE: &str = "penstock-operator";

/// An operator with a lease; what it does to Pipelines and to the lease goes over two wires.
pub(crate) struct Candidate {
    pub(crate) wire: Wire,
    pub(crate) lease: Wire,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Candidate {
    pub(crate) async fn start(world: &World, identity: &str) -> Self {
        let (wire, lease, stop) = (Wire::default(), Wire::default(), CancellationToken::new());
        let election = ElectionSettings::new(&world.namespace, LEASE, identity);
        let settings = Settings { election: Some(election), ..world.settings() };
        let aws = world.account.over(&wire).await.unwrap();
        let clients = (wire.client(world.limited.clone()), lease.client(world.limited.clone()));
        let running = penstock_operator::run(clients.0, clients.1, aws, settings, Health::new(), stop.clone());
        Self { wire, lease, stop, task: tokio::spawn(running) }
    }

    /// Waits until it has looked at the lease so many times more.
    async fn looks(&self, times: usize) {
        let looked = || {
            self.lease.calls().iter().filter(|outcome| outcome.call.verb == "GET" && outcome.status.is_some()).count()
        };
        let before = looked();
        eventually("it looks at the lease", async || {
            let now = looked();
            ensure!(now >= before + times, "{before}, {now}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

async fn holder(world: &World) -> anyhow::Result<String> {
    let spec = leases(world).get(LEASE).await?.spec.unwrap_or_default();
    Ok(spec.holder_identity.unwrap_or_default())
}

async fn held_by(world: &World, wanted: &str) {
    eventually(&format!("{wanted} holds the lease"), async || {
        let holder = holder(world).await?;
        ensure!(holder == wanted, "{holder} does");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn one_of_two_controls_and_hands_over_when_it_is_stopped() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "leaders").await.unwrap();
    let first = Candidate::start(&world, "first").await;
    held_by(&world, "first").await;
    let second = Candidate::start(&world, "second").await;
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    second.looks(1).await;
    assert_eq!(second.wire.calls(), [], "who does not lead does not even look");

    first.stop.cancel();
    first.task.await.unwrap();
    assert_ne!(holder(&world).await.unwrap(), "first", "it gives the lease back before it ends");
    held_by(&world, "second").await;
    let writes = first.wire.writes().len();
    world.apply(&manifest.with("/spec/sinks/0/s3/rotate/age", "7m").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    assert_eq!(first.wire.writes().len(), writes);
    second.stop.cancel();
    second.task.await.unwrap();
}

#[tokio::test]
async fn a_lost_lease_stops_all_writing_until_it_is_back() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "lost-lease").await.unwrap();
    let operator = Candidate::start(&world, "first").await;
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();

    let give = async |holder: &str| {
        let lease = json!({ "spec": { "holderIdentity": holder, "leaseDurationSeconds": 3600 } });
        leases(&world).patch(LEASE, &PatchParams::default(), &Patch::Merge(&lease)).await.unwrap();
    };
    give("somebody").await;
    // It stops at the look that tells it; the one after that is already a candidate's.
    operator.looks(2).await;
    let calls = operator.wire.calls().len();
    world.apply(&manifest.with("/spec/sinks/0/s3/rotate/age", "7m").unwrap()).await.unwrap();
    operator.looks(2).await;
    assert_eq!(operator.wire.calls().len(), calls, "{:?}", &operator.wire.calls()[calls..]);
    assert_eq!(holder(&world).await.unwrap(), "somebody");

    give("").await;
    world.ready("ecommerce").await.unwrap();
    operator.stop.cancel();
    operator.task.await.unwrap();
}

/// How long the other may need on a busy machine. Nothing is measured by it.
const TAKE_OVER: Duration = Duration::from_secs(120);

/// Waits until a watch of the lease has shown that `holder` holds it; gives what it has shown on the way.
async fn until_held_by(holder: &str, plane: &Plane, begun: impl AsyncFnOnce()) -> anyhow::Result<Vec<LeaseSpec>> {
    let config = watcher::Config::default().fields(&format!("metadata.name={LEASE}"));
    let changes = watcher(Installation::leases(plane)?, config).default_backoff().applied_objects();
    futures::pin_mut!(changes);
    let mut shown = Vec::new();
    let first = changes.try_next().await?.context("the watch has ended")?;
    shown.extend(first.spec);
    begun().await;
    let watching = async {
        while shown.last().is_none_or(|spec: &LeaseSpec| spec.holder_identity.as_deref() != Some(holder)) {
            shown.extend(changes.try_next().await?.context("the watch has ended")?.spec);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TAKE_OVER, watching).await.context("nobody takes over")??;
    Ok(shown)
}

/// The programs, and SIGTERM as a kubelet sends it.
#[tokio::test]
#[allow(clippy::print_stderr, reason = "the figures")]
async fn of_two_programs_the_other_acts_at_once_when_the_leader_is_told_to_end() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "hand-over").await.unwrap();
    let installation = Installation::new(plane, &world.account.endpoint_url()).await.unwrap();
    let installation = installation.watching(&world.namespace);
    let first = installation.start("first").await.unwrap();
    let second = installation.spawn("second").unwrap();
    second.is_ready().await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let before = configuration(&deployments).await.unwrap();

    let mut told = None;
    let shown = until_held_by("second", plane, async || {
        told = Some(Instant::now());
        first.stop().await.unwrap();
    })
    .await
    .unwrap();
    let told = told.unwrap();
    let took_over = told.elapsed();
    world.apply(&manifest.with("/spec/sinks/0/s3/rotate/age", "7m").unwrap()).await.unwrap();
    let edited = Instant::now();
    eventually("the edit shows", async || {
        let now = configuration(&deployments).await?;
        ensure!(now != before, "{now}");
        Ok(())
    })
    .await
    .unwrap();
    eprintln!("SIGTERM until another leads: {took_over:?}; an edit then shows in a child after {:?}", edited.elapsed());

    // It was given back, and then taken: nobody waited until it ran out.
    let holders: Vec<_> = shown.iter().map(|spec| spec.holder_identity.clone().unwrap_or_default()).collect();
    let mut order = holders.clone();
    order.dedup();
    assert_eq!(order, ["first", "", "second"]);
    let [.., last, _, taken] = shown.as_slice() else { panic!("{shown:?}") };
    let runs_out = last.renew_time.as_ref().unwrap().0
        + Duration::from_secs(last.lease_duration_seconds.unwrap().unsigned_abs().into());
    let acquired = taken.acquire_time.as_ref().unwrap().0;
    assert!(acquired < runs_out, "taken at {acquired}, would have run out at {runs_out}");
    world.ready("ecommerce").await.unwrap();
    second.stop().await.unwrap();
}

async fn configuration(deployments: &Api<Deployment>) -> anyhow::Result<String> {
    let deployment = deployments.get("ecommerce-raw").await?;
    let template = deployment.spec.and_then(|spec| spec.template.metadata).and_then(|metadata| metadata.annotations);
    template.and_then(|mut all| all.remove("penstock.dev/config-hash")).context("the pods say no configuration")
}
