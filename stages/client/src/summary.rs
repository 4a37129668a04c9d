//! What came out of a run.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error::SendError;
use crate::progress::Snapshot;

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// Every chosen row is settled: accepted, refused or bad.
    Complete,
    /// The journal says that an earlier run had settled everything; nothing was sent.
    AlreadyComplete,
    /// Somebody asked to stop.
    Interrupted,
    /// The endpoint settled nothing for as long as the caller wanted to try.
    GaveUp {
        /// What went wrong the last time.
        trouble: String,
    },
    /// Going on made no sense.
    Failed(SendError),
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl End {
    /// A stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::AlreadyComplete => "already_complete",
            Self::Interrupted => "interrupted",
            Self::GaveUp { .. } => "gave_up",
            Self::Failed(_) => "failed",
        }
    }

    /// Why the run did not get to its end, for people.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Complete | Self::AlreadyComplete => None,
            Self::Interrupted => Some("interrupted".to_owned()),
            Self::GaveUp { trouble } => Some(format!("gave up: {trouble}")),
            Self::Failed(error) => Some(error.chain()),
        }
    }
}

/// What came out of a run: printed at its end, and as JSON for scripts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The input.
    pub input: String,
    /// The endpoint.
    pub to: Option<String>,
    /// How it ended.
    pub end: End,
    /// The counters.
    #[serde(flatten)]
    pub counts: Snapshot,
    /// Chosen rows of which nothing is known to be settled.
    pub rows_unsent: u64,
    /// Rows that were accepted, refused and bad in all runs that the journal knows; those of this run without one.
    pub total: Totals,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The character set.
    pub encoding: String,
    /// How the character set became known.
    pub encoding_source: &'static str,
    /// What parts the fields.
    pub delimiter: String,
    /// How the date column writes dates, where that mattered.
    pub date_format: Option<String>,
    /// The field that holds the rows' ids.
    pub id_field: Option<String>,
    /// How many requests could be on their way at one time.
    pub lanes: usize,
    /// The file with the rows that were not taken, if there is any.
    pub rejects: Option<PathBuf>,
    /// The journal.
    pub journal: Option<PathBuf>,
}

/// Settled rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Taken by the endpoint.
    pub accepted: u64,
    /// Refused by it.
    pub refused: u64,
    /// Not sent because they could not be read or converted.
    pub bad: u64,
}

impl Summary {
    /// The exit code that `penstock send` documents.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match &self.end {
            End::Complete | End::AlreadyComplete => {
                if self.total.refused + self.total.bad == 0 {
                    0
                } else {
                    3
                }
            }
            End::Interrupted => 130,
            End::GaveUp { .. } => 4,
            End::Failed(error) => error.exit_code(),
        }
    }

    /// Settled rows a second, in this run.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rows_per_second(&self) -> f64 {
        let settled = self.counts.rows_accepted + self.counts.rows_refused + self.counts.rows_bad;
        if self.seconds > 0.0 { settled as f64 / self.seconds } else { 0.0 }
    }

    /// How long it took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}
