//! What is known of a Pipeline, read from what the API server answers. Pure.

use penstock_api::spec::{Condition, ConditionStatus, PipelineStatus};
use serde::Serialize;
use serde_json::Value;

/// A Pipeline as the API server has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) ready: bool,
    /// Why it is ready or not, in one word.
    pub(super) reason: String,
    /// Whether the status speaks of the spec as it is now.
    pub(super) up_to_date: bool,
    pub(super) deleting: bool,
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    pub(super) status: PipelineStatus,
}

/// The reason where the operator has said nothing yet.
const NOTHING_SAID: &str = "NotSeen";
/// The reason where it was ready, and has changed since.
const CHANGED: &str = "Changed";

impl View {
    /// The Pipelines in an answer: one, or a list.
    pub(super) fn all(answer: &Value) -> Vec<Self> {
        match answer["items"].as_array() {
            Some(items) => items.iter().map(Self::of).collect(),
            None => vec![Self::of(answer)],
        }
    }

    fn of(pipeline: &Value) -> Self {
        let text = |path: &str| pipeline.pointer(path).and_then(Value::as_str).map(str::to_owned);
        // What a newer operator may have written that is not known here says as much as nothing.
        let status: PipelineStatus = serde_json::from_value(pipeline["status"].clone()).unwrap_or_default();
        let up_to_date = status.observed_generation == pipeline["metadata"]["generation"].as_i64();
        let said = status.conditions.iter().find(|condition| condition.condition_type == "Ready");
        let was_ready = said.is_some_and(|said| said.status == ConditionStatus::True);
        let reason = if was_ready && !up_to_date { CHANGED } else { said.map_or(NOTHING_SAID, |said| &said.reason) };
        Self {
            namespace: text("/metadata/namespace").unwrap_or_default(),
            name: text("/metadata/name").unwrap_or_default(),
            ready: was_ready && up_to_date,
            reason: reason.to_owned(),
            up_to_date,
            deleting: text("/metadata/deletionTimestamp").is_some(),
            created: text("/metadata/creationTimestamp").unwrap_or_default(),
            region: text("/spec/aws/region"),
            status,
        }
    }

    /// Whether every stage does its work, for the spec as it is now.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the operator has said anything.
    pub(super) fn is_seen(&self) -> bool {
        !self.status.conditions.is_empty()
    }
}

/// Whether the condition tells of something that is not as it should be, or not yet.
pub(super) fn is_amiss(condition: &Condition) -> bool {
    let bad = match condition.condition_type.as_str() {
        // The two of which `False` is good.
        "Reconciling" | "Stalled" => ConditionStatus::True,
        _ => ConditionStatus::False,
    };
    condition.status == bad || condition.status == ConditionStatus::Unknown
}
