//! The operator: makes the stages of each `Pipeline` run, and keeps them so.
//!
//! [`reconcile`] reads top to bottom as its steps: [`observe`] → [`validate`] → [`build`] → [`apply`] → [`report`], and
//! `cleanup` behind the finalizer. What is decided is pure; I/O is thin around it.
//!
//! Beside it, [`page`] shows the Pipelines to whoever forwards a port to the pod.
//!
//! It knows Kubernetes, the types of a Pipeline and how to provision. Deliberately absent: the stages (they are told what to
//! do by a file), records, and any write to a Pipeline's `spec`. Why it has this shape: `docs/adr/0007-operator.md`.
//!
//! [`run`] is the whole operator with leader election; [`control::control`] is the controller alone. Both take a ready
//! [`kube::Client`] and a way to AWS, so that a test can put faults between, start it and drop it.

pub mod apply;
pub mod aws;
pub mod build;
pub mod client;
pub mod context;
pub mod control;
pub mod inventory;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod page;
pub mod pipeline;
pub mod reconcile;
pub mod report;
pub mod settings;
pub mod uninstall;
pub mod validate;

use std::sync::Arc;

use futures::future::BoxFuture;
use penstock_runtime::Health;
use tokio_util::sync::CancellationToken;

pub use aws::{AwsClients, SdkClients};
pub use context::Context;
pub use pipeline::Pipeline;
pub use settings::{ElectionSettings, Settings};

/// Runs the operator until `stop`: waits for the lease, controls while it is held, gives it back.
///
/// `client` is wrapped with time limits and repeats here; `lease_client` with a time limit only.
pub fn run(
    client: kube::Client,
    lease_client: kube::Client,
    aws: Arc<dyn AwsClients>,
    settings: Settings,
    health: Health,
    stop: CancellationToken,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Some(election) = settings.election.clone() else {
            let controlling = control::control(Context::new(client, aws, settings), health);
            tokio::select! {
                () = controlling => {}
                () = stop.cancelled() => {}
            }
            return;
        };
        let lease_client = client::limited(lease_client, client::Limits::for_leases(&election));
        leader::while_leading(lease_client, election, health.clone(), stop, || {
            control::control(Context::new(client.clone(), Arc::clone(&aws), settings.clone()), health.clone())
        })
        .await;
    })
}
