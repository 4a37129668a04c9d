//! The Pipeline: what a user writes, what makes it valid, and what follows from it.
//!
//! - [`spec`]: the types of the custom resource, which also generate its schema;
//! - [`units`]: durations, sizes and ports as people write them;
//! - [`rules`]: the rules that tie fields together;
//! - [`crd`]: the CustomResourceDefinition, made from the types and the rules;
//! - `check` (feature `check`): what is wrong with a manifest, where, and what to write instead;
//! - [`plan`]: the pure function from a Pipeline to its stages and the streams, tables and buckets they need;
//! - [`iam`]: what operator and stages must be allowed in AWS for a plan.
//!
//! It knows what a Pipeline means and nothing of how it is carried out. Deliberately absent: I/O, clocks,
//! a Kubernetes client, the AWS SDK. `penstock run`, `penstock render` and the operator share it.

#[cfg(feature = "check")]
pub mod check;
pub mod crd;
pub mod iam;
pub mod plan;
pub mod rules;
pub mod spec;
pub mod units;

pub use plan::{Plan, PlanError, plan};
pub use spec::{Pipeline, PipelineSpec};
