#![allow(clippy::unwrap_used, reason = "tests")]

use penstock_api::spec::{ConditionStatus, DeletionPolicy, ResourceKind, ResourceStatus};

use super::*;
use crate::aws::ResourcesView;
use crate::report::findings::Known;

fn known(state: StageState) -> Findings {
    Findings::Known(Known {
        resources: ResourcesView::Known(Vec::new()),
        stages: vec![StageView {
            name: "raw".to_owned(),
            replicas: 1,
            ready: 1,
            endpoint: Some("http://ecommerce-orders.shop.svc/orders".to_owned()),
            state,
        }],
        removals: Vec::new(),
        inventory: Vec::new(),
        missing_secrets: Vec::new(),
        failures: Vec::new(),
        suspend: None,
    })
}

fn at(previous: &PipelineStatus, findings: &Findings, now: &str) -> PipelineStatus {
    status(findings, &Around { previous, generation: 3, request: Some("now".to_owned()), now })
}

fn since(status: &PipelineStatus, condition: &str) -> String {
    status.conditions.iter().find(|there| there.condition_type == condition).unwrap().last_transition_time.clone()
}

#[test]
fn the_same_findings_give_the_same_status_whatever_the_time() {
    let first = at(&PipelineStatus::default(), &known(StageState::Ready), "2026-01-01T00:00:00Z");
    let second = at(&first, &known(StageState::Ready), "2026-01-02T00:00:00Z");
    assert_eq!(first, second);
}

#[test]
fn a_time_moves_only_when_its_condition_flips() {
    let rolling = at(&PipelineStatus::default(), &known(StageState::RollingOut), "2026-01-01T00:00:00Z");
    let not_ready = at(&rolling, &known(StageState::NotReady), "2026-01-02T00:00:00Z");
    assert_ne!(rolling, not_ready, "the reason is another one");
    assert_eq!(since(&not_ready, "Ready"), "2026-01-01T00:00:00Z");
    let ready = at(&not_ready, &known(StageState::Ready), "2026-01-03T00:00:00Z");
    assert_eq!(since(&ready, "Ready"), "2026-01-03T00:00:00Z");
    assert_eq!(since(&ready, "Access"), "2026-01-01T00:00:00Z");
}

#[test]
fn stages_are_counted_and_the_request_is_echoed_once_everything_was_looked_at() {
    let ready = at(&PipelineStatus::default(), &known(StageState::Ready), "2026-01-01T00:00:00Z");
    assert_eq!(ready.stages_ready.as_deref(), Some("1/1"));
    assert_eq!(ready.observed_request.as_deref(), Some("now"));
    assert_eq!(ready.observed_generation, Some(3));
    let new = at(&PipelineStatus::default(), &Findings::New, "2026-01-01T00:00:00Z");
    assert_eq!(new.observed_request, None);
}

#[test]
fn a_pipeline_that_makes_no_sense_keeps_what_was_said_of_its_stages() {
    let ready = at(&PipelineStatus::default(), &known(StageState::Ready), "2026-01-01T00:00:00Z");
    let invalid = at(&ready, &Findings::Invalid("no".to_owned()), "2026-01-02T00:00:00Z");
    assert_eq!((&invalid.stages, &invalid.stages_ready), (&ready.stages, &ready.stages_ready));
    assert_eq!(since(&invalid, "Stages"), "2026-01-01T00:00:00Z");
}

#[test]
fn conditions_of_others_are_not_ours_to_compare() {
    let mut ready = at(&PipelineStatus::default(), &known(StageState::Ready), "2026-01-01T00:00:00Z");
    let expected = ready.clone();
    let mut theirs = ready.conditions[0].clone();
    theirs.condition_type = "Theirs".to_owned();
    theirs.status = ConditionStatus::Unknown;
    ready.conditions.insert(0, theirs);
    ready.conditions.reverse();
    assert_eq!(ours(ready), expected);
}

#[test]
fn every_condition_fits_the_schema() {
    let reason = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
    for findings in [known(StageState::Ready), Findings::New, Findings::Invalid("x".repeat(40_000))] {
        for condition in at(&PipelineStatus::default(), &findings, "2026-01-01T00:00:00Z").conditions {
            assert!(reason(&condition.reason) && condition.message.len() < 32_768, "{condition:?}");
        }
    }
}

#[test]
fn what_was_said_of_a_former_spec_is_no_answer_for_the_new_one() {
    let not_looked_at = Findings::Known(Known {
        resources: ResourcesView::NotLookedAt { again_after: std::time::Duration::from_secs(1) },
        stages: Vec::new(),
        removals: Vec::new(),
        inventory: Vec::new(),
        missing_secrets: Vec::new(),
        failures: Vec::new(),
        suspend: None,
    });
    let ready = at(&PipelineStatus::default(), &known(StageState::Ready), "2026-01-01T00:00:00Z");
    let streams = |generation| {
        let around = Around { previous: &ready, generation, request: None, now: "2026-01-02T00:00:00Z" };
        let status = status(&not_looked_at, &around);
        status.conditions.iter().find(|there| there.condition_type == "Streams").unwrap().status
    };
    assert_eq!(streams(3), ConditionStatus::True);
    assert_eq!(streams(4), ConditionStatus::False);
}

#[test]
fn what_is_written_down_stays_until_a_reconcile_says_otherwise() {
    let resources = vec![ResourceStatus {
        kind: ResourceKind::Table,
        name: "ecommerce-invoices".to_owned(),
        deletion_policy: DeletionPolicy::Delete,
        stream: None,
    }];
    let written = PipelineStatus { resources, ..PipelineStatus::default() };
    for findings in [Findings::New, Findings::Invalid("x".to_owned())] {
        assert_eq!(at(&written, &findings, "2026-01-01T00:00:00Z").resources, written.resources);
    }
    assert_eq!(at(&written, &known(StageState::Ready), "2026-01-01T00:00:00Z").resources, []);
}
