//! From a Pipeline to its stages, each with its full configuration, and to what they need in AWS.
//!
//! [`plan`] is pure: the same Pipeline gives the same plan, byte for byte. `penstock run` starts the stages
//! of a plan, `penstock render` prints it, the operator makes pods of it. Every default is filled in here,
//! so a stage never has one of its own.

mod api;
mod resources;
mod stage;

use crate::spec::{Buffer, Pipeline, Sink, Source};
use crate::units::{self, InvalidUnit};

pub use api::{ApiStage, CorsPlan, RatePlan, RoutePlan};
pub use resources::{
    BillingPlan, BucketPlan, EncryptionPlan, KeyAttribute, Resources, StreamPlan, TablePlan, TablePurpose,
};
pub use stage::{
    AwsTarget, DuplicateWindow, DynamoDbTarget, HttpStage, ObjectStoreTarget, PipelineRef, SinkStage, SinkTarget,
    StageConfig, StageKind, StartAt, TableTarget, TtlTarget, WriteTarget,
};

/// What follows from a Pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The stages: sources, sinks, apis, each in the order of the Pipeline.
    pub stages: Vec<StageConfig>,
    /// What must exist in AWS before they start.
    pub resources: Resources,
}

/// A Pipeline that no plan can be made of. One that passed validation never gives this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A part refers to a buffer that is not there.
    #[error("{part} refers to the buffer {buffer:?}, which the Pipeline does not have")]
    UnknownBuffer {
        /// The source or sink.
        part: String,
        /// The name that does not resolve.
        buffer: String,
    },
    /// A route reads a table that no sink fills.
    #[error("{part} names the table {table:?}, which no sink of the Pipeline fills")]
    UnknownTable {
        /// The route.
        part: String,
        /// The name that does not resolve.
        table: String,
    },
    /// A union holds no member, or a key neither field nor template.
    #[error("{part} has none of: {members}")]
    NothingChosen {
        /// The part.
        part: String,
        /// What could have been there.
        members: &'static str,
    },
    /// A duration or a size cannot be read.
    #[error("{part}: {source}")]
    Unit {
        /// The field.
        part: String,
        /// What is wrong with it.
        #[source]
        source: InvalidUnit,
    },
}

/// Makes the plan of a Pipeline.
///
/// # Errors
/// When the Pipeline would not have passed validation.
pub fn plan(pipeline: &Pipeline) -> Result<Plan, PlanError> {
    let streams = resources::streams(pipeline)?;
    let mut stages = Vec::new();
    for source in &pipeline.spec.sources {
        let stream = stream_of(&streams, &pipeline.spec.buffers, &source.to, || format!("source {:?}", source.name))?;
        stages.push(stage::http(pipeline, source, stream)?);
    }
    for sink in &pipeline.spec.sinks {
        let stream = stream_of(&streams, &pipeline.spec.buffers, &sink.from, || format!("sink {:?}", sink.name))?;
        stages.push(stage::sink(pipeline, sink, &stream.name)?);
    }
    for declared in pipeline.spec.apis.iter().flatten() {
        stages.push(api::api(pipeline, declared)?);
    }
    let resources = resources::of(pipeline, streams, &stages);
    Ok(Plan { stages, resources })
}

fn stream_of<'a>(
    streams: &'a [StreamPlan],
    buffers: &[Buffer],
    wanted: &str,
    part: impl Fn() -> String,
) -> Result<&'a StreamPlan, PlanError> {
    buffers
        .iter()
        .zip(streams)
        .find(|(buffer, _)| buffer.name == wanted)
        .map(|(_, stream)| stream)
        .ok_or_else(|| PlanError::UnknownBuffer { part: part(), buffer: wanted.to_owned() })
}

fn size_or(text: Option<&String>, default: u64, part: impl Fn() -> String) -> Result<u64, PlanError> {
    text.map_or(Ok(default), |text| units::size(text)).map_err(|source| PlanError::Unit { part: part(), source })
}

fn millis_or(text: Option<&String>, default: u64, part: impl Fn() -> String) -> Result<u64, PlanError> {
    let read =
        |text: &String| units::duration(text).map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    text.map_or(Ok(default), read).map_err(|source| PlanError::Unit { part: part(), source })
}

/// The name of everything in AWS that belongs to one part of one Pipeline. Parts hold no dots, so two
/// different parts never share a name.
fn resource_name(pipeline: &Pipeline, part: &str) -> String {
    format!("{}.{}.{part}", pipeline.metadata.namespace(), pipeline.metadata.name)
}

fn of_source(source: &Source, field: &str) -> String {
    format!("source {:?}: {field}", source.name)
}

fn of_sink(sink: &Sink, field: &str) -> String {
    format!("sink {:?}: {field}", sink.name)
}
