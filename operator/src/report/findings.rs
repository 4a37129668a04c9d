//! What a reconcile found. Only from this is a status made.

use penstock_api::spec::{ResourceStatus, Suspend};

use super::stages::StageView;
use crate::apply::error::{ApplyError, Verdict};
use crate::aws::{ResourceView, ResourcesView};

/// What a reconcile found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Findings {
    /// It is the first one.
    New,
    /// The Pipeline makes no sense.
    Invalid(String),
    /// Something could not be observed, so nothing was done.
    Unobserved(Failure),
    /// What there is.
    Known(Known),
    /// The Pipeline is being deleted.
    Going {
        /// What is still there, and why.
        left: Vec<String>,
        /// Somebody has to act: the stable reason.
        stuck: Option<&'static str>,
    },
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Streams, tables and buckets.
    pub resources: ResourcesView,
    /// What the spec names no more and is still to go.
    pub removals: Vec<ResourceView>,
    /// What is written down of streams and tables.
    pub inventory: Vec<ResourceStatus>,
    /// The stages.
    pub stages: Vec<StageView>,
    /// Stages whose Secret is not there: stage and Secret.
    pub missing_secrets: Vec<(String, String)>,
    /// What did not work in the cluster.
    pub failures: Vec<Failure>,
    /// How the Pipeline rests.
    pub suspend: Option<Suspend>,
}

/// Something in the cluster that did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who has to act.
    pub verdict: Verdict,
    /// What, in words that stay the same as long as it does.
    pub message: String,
}

impl From<&ApplyError> for Failure {
    fn from(error: &ApplyError) -> Self {
        let verdict = error.verdict();
        let message = match verdict {
            // The words of a passing failure differ from try to try; they are in the log.
            Verdict::Passing => "the Kubernetes API fails or is slow; it is tried again".to_owned(),
            _ => error.to_string(),
        };
        Self { verdict, message }
    }
}
