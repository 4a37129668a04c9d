//! The Pipeline: what a user writes, what makes it valid, and what follows from it.
//!
//! - [`spec`]: the types of the custom resource, which also generate its schema;
//! - [`units`]: durations, sizes and ports as people write them;
//! - [`crd`]: the CustomResourceDefinition, made from the types;
//! - [`plan`]: the pure function from a Pipeline to its stages and the streams, tables and buckets they need.
//!
//! It knows what a Pipeline means and nothing of how it is carried out. Deliberately absent: I/O, clocks,
//! a Kubernetes client, the AWS SDK. `penstock run`, `penstock render` and the operator share it.

pub mod crd;
pub mod plan;
pub mod rules;
pub mod spec;
pub mod units;

pub use plan::{Plan, PlanError, plan};
pub use spec::{Pipeline, PipelineSpec};
