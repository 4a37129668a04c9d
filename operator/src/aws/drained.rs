//! Whether sinks have stored everything that is in their stream.
//!
//! Asked only of a Pipeline that drains, whose sources have stopped. A range ends with a whole stream record, so what
//! is left is what comes after the checkpoint's sequence number.

use penstock_api::plan::StageKind;
use penstock_provision::{Clients, ReadingError, has_stored};

use crate::build::Drained;
use crate::validate::ValidatedPipeline;

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be told whether the sink {sink:?} has stored everything. It is tried again")]
pub struct DrainError {
    sink: String,
    #[source]
    source: ReadingError,
}

/// Which of the sinks have stored everything. I/O.
pub(super) async fn drained(
    pipeline: &ValidatedPipeline,
    sinks: &[&str],
    clients: &Clients,
) -> Result<Drained, DrainError> {
    let mut drained = Drained::new();
    for stage in pipeline.stages.iter().filter(|stage| sinks.contains(&stage.name.as_str())) {
        let StageKind::Sink(sink) = &stage.config.kind else { continue };
        let stored = has_stored(&sink.stream, &sink.lease_table, None, clients).await;
        if stored.map_err(|source| DrainError { sink: stage.name.clone(), source })? {
            drained.insert(stage.name.clone());
        }
    }
    Ok(drained)
}
