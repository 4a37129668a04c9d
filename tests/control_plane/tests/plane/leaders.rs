//! Two operators with a lease: one controls, and whoever has lost the lease writes nothing more.

use anyhow::ensure;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use penstock_control_plane::{Manifest, Wire, World, eventually, shared};
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
