//! How far each stage is, from its Deployment. Pure.

use serde_json::Value;

use crate::apply::decide::Settled;
use crate::build::{Desired, endpoint};
use crate::names;
use crate::observe::{Children, Kind, Live};
use crate::validate::ValidatedPipeline;

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// The pods that are wanted.
    pub replicas: i32,
    /// The pods that are ready.
    pub ready: i32,
    /// Where a source answers.
    pub endpoint: Option<String>,
    /// How it is.
    pub state: StageState,
}

/// How a stage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageState {
    /// All its pods are of the newest kind and ready.
    Ready,
    /// Pods are being made or replaced.
    RollingOut,
    /// All pods are of the newest kind, and some are not ready.
    NotReady,
    /// Pods were not ready in time, or cannot be made: what Kubernetes says.
    Failed(String),
    /// It rests as asked, and has no pods.
    Resting,
    /// It is to rest, and still has pods.
    Stopping,
    /// It waits for streams and tables.
    Held,
    /// It waits for a Secret.
    SecretMissing,
    /// It has no Deployment.
    Absent,
}

/// How far each stage is, in the order of the Pipeline.
#[must_use]
pub fn views(pipeline: &ValidatedPipeline, desired: &Desired, children: &Children, held: &[String]) -> Vec<StageView> {
    pipeline
        .stages
        .iter()
        .map(|stage| {
            let name = names::child(&pipeline.identity.name, &stage.name);
            let live = children.get(&(Kind::Deployment, name)).map(AsRef::as_ref);
            let pods = live.map(Pods::of);
            let lacks_secret = desired.missing_secrets.iter().any(|(of, _)| *of == stage.name);
            let state = match &pods {
                _ if lacks_secret => StageState::SecretMissing,
                _ if held.contains(&stage.name) => StageState::Held,
                None => StageState::Absent,
                Some(pods) => pods.state(),
            };
            StageView {
                name: stage.name.clone(),
                replicas: pods.as_ref().map_or(stage.replicas, |pods| pods.wanted),
                ready: pods.as_ref().map_or(0, |pods| pods.ready),
                endpoint: endpoint(pipeline, stage),
                state,
            }
        })
        .collect()
}

/// Which stages are done with their rollout, for those that decide about what is to go.
#[must_use]
pub fn settled(views: &[StageView]) -> Settled {
    let mut settled = Settled::default();
    for view in views {
        match view.state {
            StageState::Ready | StageState::Resting => {
                settled.rolled_out.insert(view.name.clone());
            }
            StageState::Failed(_) => {}
            _ => {
                settled.on_the_way.insert(view.name.clone());
            }
        }
    }
    settled
}

/// What a Deployment says of its pods.
struct Pods {
    wanted: i32,
    all: i32,
    newest: i32,
    ready: i32,
    /// Whether the numbers are about the newest spec.
    current: bool,
    failure: Option<String>,
}

impl Pods {
    fn of(live: &Live) -> Self {
        let value = live.value();
        let status = &value["status"];
        let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        let observed = status["observedGeneration"].as_i64().unwrap_or(0);
        Self {
            wanted: number(&value["spec"]["replicas"]).unwrap_or(1),
            all: number(&status["replicas"]).unwrap_or(0),
            newest: number(&status["updatedReplicas"]).unwrap_or(0),
            ready: number(&status["readyReplicas"]).unwrap_or(0),
            current: observed > 0 && observed >= live.metadata.generation.unwrap_or(0),
            failure: failure(&status["conditions"]),
        }
    }

    fn state(&self) -> StageState {
        if !self.current {
            return if self.wanted == 0 { StageState::Stopping } else { StageState::RollingOut };
        }
        if self.wanted == 0 {
            return if self.all == 0 { StageState::Resting } else { StageState::Stopping };
        }
        let rolled_out = self.newest == self.wanted && self.all == self.wanted;
        match &self.failure {
            _ if rolled_out && self.ready >= self.wanted => StageState::Ready,
            Some(failure) => StageState::Failed(failure.clone()),
            None if rolled_out => StageState::NotReady,
            None => StageState::RollingOut,
        }
    }
}

/// `Progressing` is false once the deadline has passed; `ReplicaFailure` is true when pods cannot be made.
fn failure(conditions: &Value) -> Option<String> {
    conditions.as_array()?.iter().find_map(|condition| {
        let failed = condition["type"] == "Progressing" && condition["status"] == "False"
            || condition["type"] == "ReplicaFailure" && condition["status"] == "True";
        failed.then(|| condition["message"].as_str().unwrap_or("its pods cannot be made").to_owned())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    /// A Deployment at generation 2 that wants 2 pods.
    fn state(status: Value) -> StageState {
        let live = json!({ "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status });
        Pods::of(&serde_json::from_value(live).unwrap()).state()
    }

    fn pods(all: i32, newest: i32, ready: i32) -> Value {
        json!({ "observedGeneration": 2, "replicas": all, "updatedReplicas": newest, "readyReplicas": ready })
    }

    #[test]
    fn a_stage_is_ready_when_all_pods_are_of_the_newest_kind_and_ready() {
        assert_eq!(state(pods(2, 2, 2)), StageState::Ready);
        assert_eq!(state(pods(3, 2, 3)), StageState::RollingOut, "an old pod is still there");
        assert_eq!(state(pods(2, 1, 2)), StageState::RollingOut);
        assert_eq!(state(pods(2, 2, 1)), StageState::NotReady);
        assert_eq!(state(json!({})), StageState::RollingOut, "nobody has looked at it yet");
    }

    #[test]
    fn numbers_of_a_former_spec_say_nothing() {
        let mut old = pods(2, 2, 2);
        old["observedGeneration"] = json!(1);
        assert_eq!(state(old), StageState::RollingOut);
    }

    #[test]
    fn a_deadline_that_has_passed_and_pods_that_cannot_be_made_are_failures() {
        for condition in [
            json!({ "type": "Progressing", "status": "False", "message": "too slow" }),
            json!({ "type": "ReplicaFailure", "status": "True", "message": "too slow" }),
        ] {
            let mut status = pods(2, 1, 1);
            status["conditions"] = json!([condition]);
            assert_eq!(state(status), StageState::Failed("too slow".to_owned()));
        }
    }

    #[test]
    fn a_stage_without_wanted_pods_rests_once_they_are_gone() {
        let resting = |all: i32| {
            let live = json!({ "metadata": { "generation": 2 }, "spec": { "replicas": 0 }, "status": { "observedGeneration": 2, "replicas": all } });
            Pods::of(&serde_json::from_value(live).unwrap()).state()
        };
        assert_eq!(resting(1), StageState::Stopping);
        assert_eq!(resting(0), StageState::Resting);
    }
}
