//! A control plane for tests: a real kube-apiserver and etcd, without kubelet and controllers.
//!
//! [`Plane`] starts the two, from a binary that is built from the Go module beside this crate when it is first asked for.
//! [`World`] is one test's part of it: a namespace, an AWS account of its own (the embedded engines), the operator as a
//! library, and something that fills in the status of Deployments. [`Wire`] stands between the operator and both, sees every
//! call, and may lose, refuse or withhold it.
//!
//! It knows the operator and the engines; it is a dependency of tests only.

mod account;
mod deployments;
mod plane;
mod snapshot;
mod wait;
mod wire;
mod world;

pub use account::{Account, Inventory};
pub use plane::{Plane, shared};
pub use snapshot::{children, masked};
pub use wait::{eventually, steady};
pub use wire::{Answer, Call, Fault, Outcome, Script, Target, Wire};
pub use world::{Manifest, Operator, World};
