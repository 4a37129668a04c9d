//! What a sink promises: a pinned range may be applied again and has the effect of being applied once.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::{Position, Range, Record, Rejection, ShardId};

/// Everything that decides a sink's effect (targets, templates, programs), as bytes of the sink's own making.
///
/// The consumer pins a range together with the recipe. Whoever applies a pinned range after a crash uses
/// the pinned recipe, so editing a Pipeline between pin and commit cannot make two effects of one range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipe(pub Bytes);

/// A place where records end up.
///
/// # The promise
/// For one range and one recipe, opening a batch, pushing exactly the records of the range in order and
/// applying it may happen any number of times, also at the same time in different processes, and has the
/// effect of happening once. Nothing that happens before [`Batch::apply`] can be seen from outside.
pub trait Sink: Send + Sync + Sized + 'static {
    /// A range in the making.
    type Batch: Batch;

    /// What decides this sink's effect.
    fn recipe(&self) -> Recipe;

    /// The same sink with another recipe: one that an earlier version of the Pipeline pinned.
    ///
    /// # Errors
    /// [`SinkError::Fatal`] when the recipe cannot be read.
    fn with_recipe(&self, recipe: &Recipe) -> Result<Self, SinkError>;

    /// Starts the range of the shard that begins with the record at `first`. Does no I/O.
    ///
    /// The first record that is pushed comes later than `first` where that record is left out, since it had been in
    /// the stream before, and where the range is applied again after the stream has deleted it.
    fn open(&self, shard: &ShardId, first: &Position) -> Self::Batch;

    /// A range that has been open for so long is closed, even when the sink would take more.
    fn max_age(&self) -> Duration;
}

/// A range in the making: takes records in order, then is applied.
pub trait Batch: Send + 'static {
    /// Takes the user records of one stream record, in order: all members of an aggregate, or one.
    ///
    /// # Errors
    /// The consumer drops the batch, waits, and reads the range again from its start.
    fn push(&mut self, records: &[Record]) -> impl Future<Output = Result<Pushed, SinkError>> + Send;

    /// Makes the effect of the range. The range is pinned when this is called.
    ///
    /// # Errors
    /// The consumer waits and calls it again, for as long as it owns the lease. After [`SinkError::Spoiled`] it
    /// drops the batch and pushes the range into another.
    fn apply(&mut self, range: &Range) -> impl Future<Output = Result<Applied, SinkError>> + Send;
}

/// What became of pushed records.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The sink wants the range closed after these records.
    pub full: bool,
    /// Records that cannot be handled, with their index in the slice that was pushed.
    pub rejected: Vec<(usize, Rejection)>,
}

/// What became of a range.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Records that are stored by this range (or were, by an earlier application of it).
    pub records: u64,
    /// Records that the service itself refused, although they had looked right. The same for every
    /// application of the range.
    pub rejected: Vec<(Position, Rejection)>,
}

/// Why a sink did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The service throttles, fails or cannot be reached. Trying again helps; nothing is lost by waiting.
    #[error("{doing} did not succeed ({reason}); it is tried again")]
    Service {
        /// A stable code, `lower_snake_case`; used as metric label.
        reason: &'static str,
        /// What was being done to what.
        doing: String,
        /// What the service answered.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This batch cannot be applied any more, and another one with the same records can.
    #[error("{doing} did not succeed: {message}; the range is read again")]
    Spoiled {
        /// A stable code, `lower_snake_case`; used as metric label.
        reason: &'static str,
        /// What was being done to what.
        doing: String,
        /// What became of the batch.
        message: String,
    },
    /// Trying again does not help: somebody has to change something.
    #[error("{doing} cannot succeed: {message}")]
    Fatal {
        /// A stable code, `lower_snake_case`; used as metric label.
        reason: &'static str,
        /// What was being done to what.
        doing: String,
        /// What is wrong and what would mend it.
        message: String,
    },
}

impl SinkError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Service { reason, .. } | Self::Spoiled { reason, .. } | Self::Fatal { reason, .. } => reason,
        }
    }
}
