#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::build::fixtures::{PipelineFixture, live, observed, rolled_out, settings, with};
use crate::observe::Observed;

fn identity() -> Identity {
    PipelineFixture::ecommerce().object().identity()
}

fn child(desired: &Desired, kind: Kind, name: &str) -> Child {
    desired.children.iter().find(|child| child.kind == kind && child.name == name).unwrap().clone()
}

fn deployment() -> Child {
    child(&PipelineFixture::ecommerce().fresh(), Kind::Deployment, "ecommerce-raw")
}

/// What to do about the Deployment of `raw` when the live one was changed.
fn step_after(change: impl Fn(&mut Value)) -> Step {
    let desired = PipelineFixture::ecommerce().fresh();
    let children = with(rolled_out(&desired), Kind::Deployment, "ecommerce-raw", change);
    step(
        &deployment(),
        children.get(&(Kind::Deployment, "ecommerce-raw".to_owned())).map(AsRef::as_ref),
        &identity(),
        true,
    )
}

#[test]
fn what_is_as_built_is_left_alone() {
    let desired = PipelineFixture::ecommerce().fresh();
    for child in &desired.children {
        assert_eq!(step(child, Some(&live(child)), &identity(), true), Step::Nothing, "{}", child.name);
    }
}

#[test]
fn a_watch_and_a_list_bring_the_same_child() {
    let child = deployment();
    let of_a_watch: Live = serde_json::from_value(child.object.clone()).unwrap();
    assert_eq!(step(&child, Some(&of_a_watch), &identity(), true), Step::Nothing);
    assert_eq!(step(&child, Some(&live(&child)), &identity(), true), Step::Nothing);
}

#[test]
fn a_second_build_beside_what_the_first_has_made_changes_nothing() {
    let fixture = PipelineFixture::ecommerce();
    let children = rolled_out(&fixture.fresh());
    let again = fixture.built(&settings(), &observed(children.clone()));
    for child in &again.children {
        let there = children.get(&(child.kind, child.name.clone())).map(AsRef::as_ref);
        assert_eq!(step(child, there, &identity(), true), Step::Nothing, "{}", child.name);
    }
}

#[test]
fn drift_in_our_fields_is_repaired_and_foreign_fields_are_left() {
    assert_eq!(step_after(|live| live["spec"]["replicas"] = json!(7)), Step::Apply);
    assert_eq!(step_after(|live| live["metadata"]["labels"]["penstock.dev/stage"] = json!("x")), Step::Apply);
    assert_eq!(step_after(|live| live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("x")), Step::Apply);
    assert_eq!(step_after(|live| live["metadata"]["labels"]["theirs"] = json!("x")), Step::Nothing);
    assert_eq!(step_after(|live| live["spec"]["template"]["spec"]["nodeName"] = json!("x")), Step::Nothing);
}

#[test]
fn a_lost_owner_is_given_back() {
    assert_eq!(step_after(|live| live["metadata"]["ownerReferences"] = json!([])), Step::Apply);
}

#[test]
fn a_name_that_is_somebody_elses_is_not_touched() {
    let owner =
        json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "theirs", "uid": "x", "controller": true }]);
    assert_eq!(
        step_after(|live| live["metadata"]["ownerReferences"] = owner.clone()),
        Step::Taken("the StatefulSet \"theirs\"".to_owned())
    );
    let another = json!([{ "apiVersion": "penstock.dev/v1alpha1", "kind": "Pipeline", "name": "other", "uid": "x", "controller": true }]);
    assert_eq!(
        step_after(|live| live["metadata"]["ownerReferences"] = another.clone()),
        Step::Taken("the Pipeline \"other\"".to_owned())
    );
    let nobodys = |live: &mut Value| {
        live["metadata"]["ownerReferences"] = json!([]);
        live["metadata"]["labels"] = json!({});
    };
    assert_eq!(step_after(nobodys), Step::Taken("nobody".to_owned()));
}

#[test]
fn what_a_pipeline_that_is_gone_has_left_makes_room() {
    let former = PipelineFixture::ecommerce().uid("uid-0").fresh();
    let left = live(&child(&former, Kind::Deployment, "ecommerce-raw"));
    assert_eq!(whose(&left, &identity()), Whose::Leftover);
    assert_eq!(step(&deployment(), Some(&left), &identity(), true), Step::MakeRoom);
    let mut going = live(&deployment());
    going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    assert_eq!(step(&deployment(), Some(&going), &identity(), true), Step::MakeRoom);
}

#[test]
fn pods_wait_for_streams_and_tables_unless_they_only_rest_or_do_the_same_as_before() {
    let fixture = PipelineFixture::ecommerce();
    assert_eq!(step(&deployment(), None, &identity(), false), Step::Hold);
    assert_eq!(step(&deployment(), None, &identity(), true), Step::Apply);
    let running = rolled_out(&fixture.fresh());
    let unready = |fixture: PipelineFixture| {
        let desired =
            fixture.built(&settings(), &Observed { children: running.clone(), ..observed(Default::default()) });
        let child = child(&desired, Kind::Deployment, "ecommerce-raw");
        step(&child, running.get(&(child.kind, child.name.clone())).map(AsRef::as_ref), &identity(), false)
    };
    assert_eq!(unready(fixture.clone().spec("/sinks/0/s3/rotate/age", "1m")), Step::Hold);
    assert_eq!(unready(fixture.clone().spec("/sinks/0/replicas", 3)), Step::Apply);
    assert_eq!(unready(fixture.clone().spec("/suspend", "Now")), Step::Apply);
    let resting = child(&fixture.spec("/suspend", "Now").fresh(), Kind::Deployment, "ecommerce-raw");
    assert_eq!(step(&resting, None, &identity(), false), Step::Apply);
}

const STAGES: [&str; 4] = ["orders", "raw", "tables", "shop"];

fn settled(rolled_out: &[&str], on_the_way: &[&str]) -> Settled {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Settled { rolled_out: set(rolled_out), on_the_way: set(on_the_way) }
}

#[test]
fn an_old_configuration_goes_when_its_stage_has_rolled_out() {
    let before = PipelineFixture::ecommerce().fresh();
    let after = PipelineFixture::ecommerce().spec("/sinks/0/s3/rotate/age", "1m").fresh();
    let children = rolled_out(&before);
    let gone = |settled| superfluous(&after, &STAGES, &children, &identity(), &settled);
    assert!(gone(settled(&["orders", "tables", "shop"], &["raw"])).is_empty());
    let old = before.children.iter().find(|child| child.kind == Kind::ConfigMap && child.stage == "raw").unwrap();
    assert_eq!(gone(settled(&["orders", "raw", "shop"], &["tables"])), [(Kind::ConfigMap, old.name.clone())]);
}

#[test]
fn a_removed_stage_goes_pods_first_when_no_other_is_on_the_way() {
    let children = rolled_out(&PipelineFixture::ecommerce().fresh());
    let after = PipelineFixture::ecommerce().without_sink("raw").fresh();
    let gone = |settled| superfluous(&after, &["orders", "tables", "shop"], &children, &identity(), &settled);
    assert!(gone(settled(&["orders"], &["tables"])).is_empty());
    let kinds: Vec<_> = gone(settled(&["orders"], &[])).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.first(), Some(&Kind::Deployment), "a failed stage holds nothing up for ever");
    assert_eq!(kinds.len(), 5);
}

#[test]
fn nothing_of_anybody_else_is_ever_superfluous() {
    let desired = PipelineFixture::ecommerce().fresh();
    let owner = json!([{ "apiVersion": "penstock.dev/v1alpha1", "kind": "Pipeline", "name": "other", "uid": "x", "controller": true }]);
    let mut children = with(rolled_out(&desired), Kind::Service, "ecommerce-orders", |live| {
        live["metadata"]["name"] = json!("theirs");
        live["metadata"]["ownerReferences"] = owner.clone();
    });
    let theirs = children.remove(&(Kind::Service, "ecommerce-orders".to_owned())).unwrap();
    children.insert((Kind::Service, "theirs".to_owned()), theirs);
    assert!(superfluous(&desired, &STAGES, &children, &identity(), &settled(&STAGES, &[])).is_empty());
}

#[test]
fn what_a_former_pipeline_has_left_goes_at_once() {
    let desired = PipelineFixture::ecommerce().without_sink("raw").fresh();
    let former = PipelineFixture::ecommerce().uid("uid-0").fresh();
    let left = child(&former, Kind::Deployment, "ecommerce-raw");
    let children = Children::from([((Kind::Deployment, left.name.clone()), Arc::new(live(&left)))]);
    let gone = superfluous(&desired, &["orders", "tables", "shop"], &children, &identity(), &settled(&[], &["orders"]));
    assert_eq!(gone, [(Kind::Deployment, "ecommerce-raw".to_owned())]);
}
