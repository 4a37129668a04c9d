//! How many pods a stage should have, and whether to say so at all.

use std::collections::BTreeSet;

use penstock_api::spec::Suspend;

use crate::names::REPLICAS_ANNOTATION;
use crate::observe::Live;
use crate::validate::{Role, ValidatedPipeline, ValidatedStage};

/// The sinks that have stored everything that is in their stream.
pub type Drained = BTreeSet<String>;

/// Whether a stage rests now. In a Pipeline that drains, a sink goes on until it has stored everything, and waits for the
/// sources to be gone before it may say so.
pub(crate) fn rests(pipeline: &ValidatedPipeline, stage: &ValidatedStage, drained: &Drained) -> bool {
    if stage.suspended {
        return true;
    }
    match (pipeline.suspend, stage.role) {
        (None, _) => false,
        (Some(Suspend::Now), _) | (Some(Suspend::Drain), Role::Source) => true,
        (Some(Suspend::Drain), Role::Sink) => drained.contains(&stage.name),
        // It answers until the last record that it could be asked about is stored.
        (Some(Suspend::Drain), Role::Api) => {
            let mut sinks = pipeline.stages.iter().filter(|other| other.role == Role::Sink);
            sinks.all(|sink| sink.suspended || drained.contains(&sink.name))
        }
    }
}

/// What to write into `spec.replicas`; `None` leaves the field to whoever scales the stage.
///
/// That somebody once did so stays written down for ever, also when an autoscaler is gone. So a number that is new in the
/// Pipeline is written once: an autoscaler that is still there sets its own again.
pub(super) fn to_apply(rests: bool, wanted: i32, live: Option<&Live>) -> Option<i32> {
    if rests {
        return Some(0);
    }
    let asked_before = live.and_then(|live| live.annotation(REPLICAS_ANNOTATION));
    let is_new = asked_before.is_some_and(|before| before != wanted.to_string());
    let scaled_elsewhere = live.is_some_and(|live| live.scaled_elsewhere);
    (is_new || !scaled_elsewhere).then_some(wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::build::fixtures::PipelineFixture;

    fn resting(fixture: PipelineFixture, drained: &[&str]) -> Vec<String> {
        let pipeline = fixture.validated();
        let drained: Drained = drained.iter().map(|name| (*name).to_owned()).collect();
        let rests = |stage: &&ValidatedStage| rests(&pipeline, stage, &drained);
        pipeline.stages.iter().filter(rests).map(|stage| stage.name.clone()).collect()
    }

    #[test]
    fn a_pipeline_that_stops_at_once_stops_everything() {
        assert_eq!(
            resting(PipelineFixture::ecommerce().spec("/suspend", "Now"), &[]),
            ["orders", "raw", "tables", "shop"]
        );
    }

    #[test]
    fn in_one_that_drains_sources_stop_first_and_each_sink_when_it_has_stored_everything() {
        let draining = || PipelineFixture::ecommerce().spec("/suspend", "Drain");
        assert_eq!(resting(draining(), &[]), ["orders"]);
        assert_eq!(resting(draining(), &["raw"]), ["orders", "raw"]);
        assert_eq!(resting(draining(), &["raw", "tables"]), ["orders", "raw", "tables", "shop"]);
    }

    #[test]
    fn one_stage_rests_alone() {
        assert_eq!(resting(PipelineFixture::ecommerce().spec("/sinks/0/suspend", true), &[]), ["raw"]);
        assert!(
            resting(PipelineFixture::ecommerce(), &["raw"]).is_empty(),
            "having stored everything is no reason to stop"
        );
    }

    #[test]
    fn replicas_are_left_to_whoever_scales_the_stage_until_it_rests() {
        let entry = serde_json::json!({
            "manager": "keda", "subresource": "scale", "operation": "Update", "fieldsV1": { "f:spec": { "f:replicas": {} } },
        });
        let scaled: Live =
            serde_json::from_value(serde_json::json!({ "metadata": { "managedFields": [entry] } })).unwrap();
        assert_eq!(to_apply(false, 3, None), Some(3));
        assert_eq!(to_apply(false, 3, Some(&Live::default())), Some(3));
        assert_eq!(to_apply(false, 3, Some(&scaled)), None);
        assert_eq!(to_apply(true, 3, Some(&scaled)), Some(0));
    }
}
