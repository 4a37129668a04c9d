//! A control plane for tests: a real kube-apiserver and etcd, without kubelet and controllers.
//!
//! [`Plane`] starts the two, from a binary that is built from the Go module beside this crate when it is first asked for.
//! [`World`] is one test's part of it: a namespace, an AWS account of its own (the embedded engines), the operator as a
//! library with the rights of the chart's role and no others, and something that fills in the status of Deployments.
//! [`Installation`] is the operator as it ships: the program, with the chart's rights in the whole cluster.
//! [`Page`] is what it shows, and [`StandIn`] a pod that it can ask.
//! [`Wire`] stands between the operator and both, sees every call, and may lose, refuse or withhold it. [`Audit`] is what the
//! API server itself says that it was asked for.
//!
//! It knows the operator and the engines; it is a dependency of tests only.

mod account;
mod audit;
mod deployments;
mod operator_process;
mod page;
mod plane;
mod rights;
mod snapshot;
mod wait;
mod wire;
mod world;

pub use account::{Account, Inventory};
pub use audit::{Audit, Request};
pub use deployments::{BROKEN_IMAGE, roll_out};
pub use operator_process::{Installation, OperatorProcess};
pub use page::{Page, StandIn, set_status};
pub use plane::{Plane, shared};
pub use rights::{OPERATOR, Right, granted, manifests, rules, token};
pub use snapshot::{children, masked};
pub use wait::{eventually, steady};
pub use wire::{Answer, Call, Fault, Lists, Outcome, Script, Target, Wire};
pub use world::{Manifest, Operator, World, condition};

/// Whether the long forms are wanted: every crash point, hundreds of specs, a thousand Pipelines. `cargo xtask plane` sets it.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("PENSTOCK_FULL").is_some()
}
