//! Creates what a plan's stages need in AWS before they start: streams, tables, and in engines buckets.
//!
//! Used by `penstock run` and by the operator alike. For every resource it looks at what is there, decides the next
//! step by a pure function of that and the plan, takes it and looks again, until the resource is ready. So it may
//! be stopped and called again at any point, and two of it at the same time do no harm.
//!
//! What it creates is tagged with its Pipeline. What is there already and is tagged as the Pipeline's own follows the plan
//! as far as AWS can change it; what would lose records (a shorter retention) or is counted by AWS (shards, mode) only where
//! [`Options`] allow it. Anything else is foreign: refused, adopted by a tag, or used when its shape fits, reported as
//! foreign, and never changed.
//!
//! [`provision`] waits until everything is ready; [`advance`] takes one step each and never waits; [`remove`] deletes what
//! is the Pipeline's and is to go; [`has_stored`] tells whether a sink has stored what is in its stream.
//!
//! Deliberately absent: Kubernetes, and the stages.

mod bucket;
mod error;
mod ownership;
mod pace;
mod progress;
mod reading;
mod removal;
mod stream;
mod table;

use futures::stream::{self as futures_stream, StreamExt as _};
use penstock_api::plan::Resources;
use penstock_api::spec::Existing;

use ownership::Owner;

pub use error::{Kind, ProvisionError};
pub use progress::{Progress, State, advance};
pub use reading::{ReadingError, has_stored};
pub use removal::{Doomed, Removal, Removed, remove};

/// Resources that are worked on at one time: AWS allows five CreateStream calls a second.
const AT_ONCE: usize = 4;

/// The clients of the services that hold a Pipeline's resources.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Streams.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Buckets.
    pub s3: aws_sdk_s3::Client,
}

/// What may be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether missing buckets are created: in engines, yes. In AWS a bucket is its owner's business.
    pub create_buckets: bool,
    /// Whether the shards, the mode and a shorter retention of a stream that is ours follow the plan. If not, a difference is
    /// reported.
    pub reshape: bool,
    /// What becomes of a resource that is there and not ours, where the plan does not say.
    pub existing: Existing,
    /// The cluster, where several may have a Pipeline of the same name in one account. Part of whose a resource is.
    pub cluster: Option<String>,
}

/// What was found or made, in the order of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One entry a resource.
    pub resources: Vec<Provisioned>,
}

/// A resource that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub origin: Origin,
    /// In what it differs from the plan without being in the way, a sentence each.
    pub drift: Vec<String>,
}

/// Where a resource came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was missing and has been created.
    Created,
    /// It was there, tagged as this Pipeline's.
    Owned,
    /// It was there, without a tag or with another Pipeline's. Its shape fits; it is used and never changed.
    Foreign,
}

impl Origin {
    fn of(created: bool, owner: &Owner) -> Self {
        match (created, owner) {
            (true, _) => Self::Created,
            (false, Owner::Ours) => Self::Owned,
            (false, Owner::Another(_) | Owner::OfUnnamedCluster(_) | Owner::Nobody) => Self::Foreign,
        }
    }
}

/// Sees to it that everything the plan names is there, is ready, and has the right shape.
///
/// # Errors
/// When something differs from the plan and may not be changed, or AWS refuses or does not finish in time. What was
/// created until then stays; calling again goes on.
pub async fn provision(resources: &Resources, clients: &Clients, options: &Options) -> Result<Report, ProvisionError> {
    let streams = futures_stream::iter(&resources.streams)
        .map(|plan| stream::provision(plan, clients, options))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>();
    let tables = futures_stream::iter(&resources.tables)
        .map(|plan| table::provision(plan, &clients.dynamodb, options))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>();
    let buckets = futures_stream::iter(&resources.buckets)
        .map(|plan| bucket::provision(plan, &clients.s3, options))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>();
    let (streams, tables, buckets) = futures::join!(streams, tables, buckets);
    let resources = streams.into_iter().chain(tables).chain(buckets).collect::<Result<Vec<_>, _>>()?;
    for resource in &resources {
        tell(resource);
    }
    Ok(Report { resources })
}

fn tell(resource: &Provisioned) {
    let Provisioned { kind, name, origin, drift } = resource;
    match origin {
        Origin::Created => tracing::info!(kind = kind.as_str(), name, "a resource has been created"),
        Origin::Owned => tracing::debug!(kind = kind.as_str(), name, "a resource is there"),
        Origin::Foreign => {
            tracing::info!(
                kind = kind.as_str(),
                name,
                "a resource that is not tagged as this Pipeline's is used as it is"
            );
        }
    }
    for difference in drift {
        tracing::warn!(kind = kind.as_str(), name, difference, "a resource differs from the Pipeline");
    }
}
