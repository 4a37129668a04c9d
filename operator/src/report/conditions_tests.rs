#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;

/// Nothing was said before.
struct Nothing;

impl Before for Nothing {
    fn said(&self, _: &'static str) -> Option<Said> {
        None
    }
}

fn stage(name: &str, state: StageState) -> StageView {
    StageView { name: name.to_owned(), replicas: 1, ready: 1, endpoint: None, state }
}

fn resource(kind: Kind, state: ResourceState) -> ResourceView {
    ResourceView { kind, name: format!("the-{kind}"), state }
}

/// Everything works.
fn working() -> Known {
    let ready = || ResourceState::Ready(Vec::new());
    Known {
        resources: ResourcesView::Known(vec![
            resource(Kind::Stream, ready()),
            resource(Kind::Table, ready()),
            resource(Kind::Bucket, ready()),
        ]),
        stages: vec![stage("orders", StageState::Ready), stage("raw", StageState::Ready)],
        removals: Vec::new(),
        inventory: Vec::new(),
        missing_secrets: Vec::new(),
        failures: Vec::new(),
        suspend: None,
    }
}

impl Known {
    fn with_resource(mut self, kind: Kind, state: ResourceState) -> Self {
        if let ResourcesView::Known(resources) = &mut self.resources {
            resources.retain(|there| there.kind != kind);
            resources.push(resource(kind, state));
        }
        self
    }

    fn with_stage(mut self, state: StageState) -> Self {
        self.stages[1].state = state;
        self
    }

    fn with_failure(mut self, verdict: Verdict) -> Self {
        self.failures.push(Failure { verdict, message: "said".to_owned() });
        self
    }
}

/// `Ready`'s status and reason, `Reconciling`, `Stalled`.
fn summary_of(known: Known) -> (ConditionStatus, String, bool, bool) {
    let said = conditions(&Findings::Known(known), &Nothing);
    let find = |name: &str| said.iter().find(|said| said.condition == name).unwrap();
    let reason = find(READY).reason.as_str();
    assert!(REASONS.contains(&reason), "{reason} is not among the reasons");
    let is = |name: &str| find(name).status == ConditionStatus::True;
    (find(READY).status, find(READY).reason.clone(), is(RECONCILING), is(STALLED))
}

fn find(known: Known, condition: &str) -> Said {
    conditions(&Findings::Known(known), &Nothing).into_iter().find(|said| said.condition == condition).unwrap()
}

const IS: ConditionStatus = ConditionStatus::True;
const NOT: ConditionStatus = ConditionStatus::False;

#[test]
fn a_pipeline_where_everything_works_is_ready_and_settled() {
    assert_eq!(summary_of(working()), (IS, "Ready".to_owned(), false, false));
    for condition in CONCERNS {
        assert_eq!(find(working(), condition).status, IS, "{condition}");
    }
}

#[test]
fn what_is_on_its_way_is_reconciling() {
    let waiting = working().with_resource(Kind::Stream, ResourceState::Waiting("the stream is being created"));
    assert_eq!(summary_of(waiting), (NOT, "InProgress".to_owned(), true, false));
    assert_eq!(summary_of(working().with_stage(StageState::RollingOut)), (NOT, "RollingOut".to_owned(), true, false));
    assert_eq!(summary_of(working().with_stage(StageState::NotReady)), (NOT, "StageNotReady".to_owned(), true, false));
    assert_eq!(
        summary_of(working().with_stage(StageState::Held)),
        (NOT, "WaitingForResources".to_owned(), true, false)
    );
    assert_eq!(summary_of(working().with_failure(Verdict::Moving)), (NOT, "Replacing".to_owned(), true, false));
}

#[test]
fn what_is_tried_again_by_itself_is_not_stalled() {
    let failing = working().with_resource(Kind::Table, ResourceState::Failing("request 4711".to_owned()));
    assert_eq!(summary_of(failing.clone()), (NOT, "AwsFails".to_owned(), true, false));
    assert!(!find(failing, TABLES).message.contains("4711"), "words that differ from try to try are not for a status");
    assert_eq!(summary_of(working().with_failure(Verdict::Passing)), (NOT, "KubernetesFails".to_owned(), true, false));
}

#[test]
fn what_somebody_has_to_mend_is_stalled_and_says_how() {
    let failed = |reason| ResourceState::Failed { reason, message: "do this".to_owned() };
    for (known, reason) in [
        (working().with_resource(Kind::Stream, failed("resource_mismatch")), "Mismatch"),
        (working().with_resource(Kind::Table, failed("resource_is_foreign")), "NotOurs"),
        (working().with_resource(Kind::Table, failed("resource_owned_by_another")), "NotOurs"),
        (working().with_resource(Kind::Bucket, failed("resource_missing")), "Missing"),
        (working().with_resource(Kind::Stream, failed("access_denied")), "AccessDenied"),
        (working().with_resource(Kind::Stream, failed("call_refused")), "Refused"),
        (working().with_stage(StageState::Failed("too slow".to_owned())), "StageFailed"),
        (working().with_failure(Verdict::Forbidden), "KubernetesForbids"),
        (working().with_failure(Verdict::Quota), "QuotaExceeded"),
        (working().with_failure(Verdict::Rejected), "Rejected"),
        (working().with_failure(Verdict::Taken), "NameTaken"),
        (Known { missing_secrets: vec![("orders".to_owned(), "keys".to_owned())], ..working() }, "SecretNotFound"),
    ] {
        let (ready, said, reconciling, stalled) = summary_of(known);
        assert_eq!((ready, said.as_str(), reconciling, stalled), (NOT, reason, false, true));
    }
}

#[test]
fn the_worst_decides() {
    let known = working()
        .with_stage(StageState::RollingOut)
        .with_resource(Kind::Table, ResourceState::Failing(String::new()))
        .with_resource(Kind::Stream, ResourceState::Failed { reason: "resource_mismatch", message: String::new() });
    assert_eq!(
        summary_of(known),
        (NOT, "Mismatch".to_owned(), false, true),
        "who waits by kstatus would wait for ever"
    );
}

#[test]
fn denied_access_is_said_under_access() {
    let denied = ResourceState::Failed { reason: "access_denied", message: "allow it".to_owned() };
    let said = find(working().with_resource(Kind::Stream, denied), ACCESS);
    assert_eq!((said.status, said.reason.as_str(), said.message.as_str()), (NOT, "AccessDenied", "allow it"));
}

#[test]
fn what_works_and_is_still_to_change_is_ready_and_says_what_it_waits_for() {
    let deferred = working().with_resource(Kind::Stream, ResourceState::Deferred(vec!["ten times a day".to_owned()]));
    assert_eq!(summary_of(deferred.clone()), (IS, "Ready".to_owned(), false, false));
    assert!(find(deferred, STREAMS).message.contains("ten times a day"));
}

#[test]
fn what_the_spec_names_no_more_is_on_its_way_out_and_stalls_when_it_cannot_go() {
    let removing = |state| Known { removals: vec![resource(Kind::Table, state)], ..working() };
    let waiting = removing(ResourceState::Waiting("the table is being deleted"));
    assert_eq!(summary_of(waiting.clone()), (NOT, "InProgress".to_owned(), true, false));
    assert_eq!(find(waiting, STREAMS).status, IS);
    assert_eq!(summary_of(removing(ResourceState::Failing(String::new()))), (NOT, "AwsFails".to_owned(), true, false));
    let denied = ResourceState::Failed { reason: "access_denied", message: "allow it".to_owned() };
    assert_eq!(summary_of(removing(denied.clone())), (NOT, "AccessDenied".to_owned(), false, true));
    assert_eq!(find(removing(denied), ACCESS).message, "allow it");
}

#[test]
fn a_pipeline_that_rests_is_neither_ready_nor_stalled_nor_on_its_way() {
    let mut resting = working();
    resting.suspend = Some(Suspend::Drain);
    resting.stages.iter_mut().for_each(|stage| stage.state = StageState::Resting);
    assert_eq!(summary_of(resting.clone()), (NOT, "Suspended".to_owned(), false, false));
    resting.stages[1].state = StageState::Ready;
    assert_eq!(summary_of(resting), (NOT, "Draining".to_owned(), true, false), "a sink still works");
}

#[test]
fn one_stage_that_rests_leaves_the_pipeline_ready() {
    let known = working().with_stage(StageState::Resting);
    assert_eq!(summary_of(known.clone()), (IS, "Ready".to_owned(), false, false));
    assert_eq!(find(known, STAGES).message, "1 of 2 stages work, 1 rest as asked");
}

#[test]
fn what_was_not_looked_at_stays_as_it_was_said() {
    let known = Known { resources: ResourcesView::NotLookedAt { again_after: Duration::from_secs(1) }, ..working() };
    assert_eq!(summary_of(known.clone()), (NOT, "Pending".to_owned(), true, false), "nothing was said before");
    let said = conditions(&Findings::Known(working()), &Nothing);
    /// What was said before.
    struct Earlier(Vec<Said>);
    impl Before for Earlier {
        fn said(&self, condition: &'static str) -> Option<Said> {
            self.0.iter().find(|said| said.condition == condition).cloned()
        }
    }
    assert_eq!(conditions(&Findings::Known(known), &Earlier(said.clone())), said);
}

#[test]
fn what_was_ready_before_a_restart_stays_so_through_a_change_that_does_not_concern_it() {
    let known = Known { resources: ResourcesView::Trusted { again_after: Duration::from_secs(1) }, ..working() };
    assert_eq!(summary_of(known), (IS, "Ready".to_owned(), false, false));
}

#[test]
fn a_difference_that_is_not_in_the_way_is_told() {
    let drift = ResourceState::Ready(vec!["it keeps records 72 h and the Pipeline says 48 h".to_owned()]);
    let said = find(working().with_resource(Kind::Stream, drift), STREAMS);
    assert_eq!(said.status, IS);
    assert!(said.message.contains("72 h"), "{}", said.message);
}

#[test]
fn a_pipeline_that_makes_no_sense_is_stalled() {
    let said = conditions(&Findings::Invalid("write it so".to_owned()), &Nothing);
    assert_eq!(state(&said), "stalled");
    assert_eq!(said[0].message, "write it so");
}

#[test]
fn the_first_word_is_that_it_is_on_its_way() {
    let said = conditions(&Findings::New, &Nothing);
    assert_eq!((said[0].status, said[1].status), (ConditionStatus::Unknown, IS));
    assert_eq!(state(&said), "reconciling");
}

#[test]
fn the_documentation_has_a_row_for_every_reason_and_for_no_other() {
    let text = include_str!("../../../docs/operator.md");
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| reason |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let first_column = rows.filter_map(|line| line.split('|').nth(1));
    let mut documented: Vec<_> =
        first_column.flat_map(|cell| cell.split(',')).map(|cell| cell.trim().trim_matches('`')).collect();
    documented.sort_unstable();
    assert_eq!(documented, REASONS);
}
