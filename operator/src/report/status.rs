//! From conditions to a status. Pure; the time is given, and used only where a condition flips.

use penstock_api::spec::{Condition, PipelineStatus, StageStatus};

use super::conditions::{self, Before, Said};
use super::findings::Findings;
use super::stages::{StageState, StageView};
use crate::aws::ResourcesView;

/// What decides a status beside the findings.
#[derive(Debug, Clone)]
pub struct Around<'a> {
    /// The status that was written last.
    pub previous: &'a PipelineStatus,
    /// The generation that was observed.
    pub generation: i64,
    /// The request that was answered.
    pub request: Option<String>,
    /// The time, in RFC 3339.
    pub now: &'a str,
}

/// The status.
#[must_use]
pub fn status(findings: &Findings, around: &Around<'_>) -> PipelineStatus {
    let before = OfGeneration { status: around.previous, generation: around.generation };
    let said = conditions::conditions(findings, &before);
    let stages = match findings {
        Findings::Known(known) => Some(known.stages.as_slice()),
        _ => None,
    };
    PipelineStatus {
        observed_generation: Some(around.generation),
        conditions: in_order(said, around),
        stages: stages.map_or_else(|| around.previous.stages.clone(), |stages| stages.iter().map(stage).collect()),
        stages_ready: stages.map_or_else(|| around.previous.stages_ready.clone(), |stages| Some(ready(stages))),
        resources: match findings {
            Findings::Known(known) => known.inventory.clone(),
            _ => around.previous.resources.clone(),
        },
        observed_request: match findings {
            // It is answered once everything was looked at.
            Findings::Known(known) if matches!(known.resources, ResourcesView::Known(_)) => around.request.clone(),
            _ => around.previous.observed_request.clone(),
        },
    }
}

/// Ours in our order. Concerns of which nothing is said this time stay as they were.
fn in_order(said: Vec<Said>, around: &Around<'_>) -> Vec<Condition> {
    let previous = |condition: &str| around.previous.conditions.iter().find(|there| there.condition_type == condition);
    conditions::ALL
        .into_iter()
        .filter_map(|condition| match said.iter().find(|said| said.condition == condition) {
            Some(said) => Some(stamped(said, previous(condition), around)),
            None => previous(condition).filter(|_| conditions::is_concern(condition)).cloned(),
        })
        .collect()
}

fn stamped(said: &Said, previous: Option<&Condition>, around: &Around<'_>) -> Condition {
    let unflipped = previous.filter(|previous| previous.status == said.status);
    Condition {
        condition_type: said.condition.to_owned(),
        status: said.status,
        observed_generation: Some(around.generation),
        last_transition_time: unflipped
            .map_or_else(|| around.now.to_owned(), |there| there.last_transition_time.clone()),
        reason: said.reason.clone(),
        message: shortened(&said.message),
    }
}

/// The schema takes 32 KiB, and nobody reads as much.
fn shortened(message: &str) -> String {
    const LONGEST: usize = 2000;
    if message.chars().count() <= LONGEST {
        return message.to_owned();
    }
    message.chars().take(LONGEST).chain(['…']).collect()
}

fn stage(view: &StageView) -> StageStatus {
    StageStatus {
        name: view.name.clone(),
        replicas: view.replicas,
        ready_replicas: view.ready,
        endpoint: view.endpoint.clone(),
    }
}

fn ready(stages: &[StageView]) -> String {
    let ready = stages.iter().filter(|stage| stage.state == StageState::Ready).count();
    format!("{ready}/{}", stages.len())
}

/// What a status says of one generation: what it says of a former one is no answer.
#[derive(Debug, Clone, Copy)]
pub struct OfGeneration<'a> {
    /// The status.
    pub status: &'a PipelineStatus,
    /// The generation.
    pub generation: i64,
}

impl Before for OfGeneration<'_> {
    fn said(&self, condition: &'static str) -> Option<Said> {
        let there = self.status.conditions.iter().find(|there| there.condition_type == condition)?;
        (there.observed_generation == Some(self.generation)).then(|| Said {
            condition,
            status: there.status,
            reason: there.reason.clone(),
            message: there.message.clone(),
        })
    }
}

/// The part of a status that is ours: others may keep conditions of their own in it.
#[must_use]
pub fn ours(mut status: PipelineStatus) -> PipelineStatus {
    status.conditions.retain(|condition| conditions::ALL.contains(&condition.condition_type.as_str()));
    status.conditions.sort_by_key(|condition| conditions::ALL.iter().position(|of| *of == condition.condition_type));
    status
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
