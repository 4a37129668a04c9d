//! From findings to conditions. Pure, and without a clock: the same findings give the same conditions.

use std::fmt::Write as _;

use penstock_api::spec::{ConditionStatus, Suspend};
use penstock_provision::Kind;

use super::findings::{Failure, Findings, Known};
use super::stages::{StageState, StageView};
use crate::apply::error::Verdict;
use crate::aws::{ResourceState, ResourceView, ResourcesView};

/// Whether every stage does its work.
pub const READY: &str = "Ready";
/// Whether something is on its way (kstatus).
pub const RECONCILING: &str = "Reconciling";
/// Whether somebody has to act (kstatus).
pub const STALLED: &str = "Stalled";
/// The streams.
pub const STREAMS: &str = "Streams";
/// The tables, those of leases too.
pub const TABLES: &str = "Tables";
/// The pods.
pub const STAGES: &str = "Stages";
/// Rights, Secrets and buckets: what is not ours to make.
pub const ACCESS: &str = "Access";

/// All of ours, in the order in which they are shown.
pub const ALL: [&str; 7] = [READY, RECONCILING, STALLED, STREAMS, TABLES, STAGES, ACCESS];
const CONCERNS: [&str; 4] = [ACCESS, STREAMS, TABLES, STAGES];

/// Every reason that there is under `Ready`. They are stable, and `docs/operator.md` says of each what to do.
pub const REASONS: [&str; 25] = [
    "AccessDenied",
    "AwsFails",
    "Deleting",
    "Draining",
    "InProgress",
    "Invalid",
    "KubernetesFails",
    "KubernetesForbids",
    "Mismatch",
    "Missing",
    "NameTaken",
    "NotOurs",
    "Pending",
    "QuotaExceeded",
    "Ready",
    "Refused",
    "Rejected",
    "Replacing",
    "RollingOut",
    "SecretNotFound",
    "StageFailed",
    "StageNotReady",
    "Stopping",
    "Suspended",
    "WaitingForResources",
];

/// What is said under one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which condition.
    pub condition: &'static str,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// Why, in one stable word.
    pub reason: String,
    /// Why, for people, with the cure.
    pub message: String,
}

/// How a concern weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Fine,
    /// It is as asked, and not ready.
    Rests,
    Moves,
    /// It is tried again by itself.
    Troubled,
    /// Somebody has to act.
    Stuck,
}

/// What is to be expected. Never two at once: whoever waits by kstatus takes what is on its way for nobody's matter, also
/// when it is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// Nothing will change by itself, nor has it to.
    Settled,
    Reconciling,
    /// Nothing will change for the better until somebody acts.
    Stalled,
}

#[derive(Debug, Clone)]
struct Concern {
    said: Said,
    weight: Weight,
}

/// What was said before under a condition, for concerns that were not looked at this time.
pub trait Before {
    /// What was said.
    fn said(&self, condition: &'static str) -> Option<Said>;
}

/// Makes the conditions. `before` is asked only for what was not looked at.
#[must_use]
pub fn conditions(findings: &Findings, before: &impl Before) -> Vec<Said> {
    match findings {
        Findings::New => {
            let waits = "the operator has seen the Pipeline and is looking at what there is".to_owned();
            summary(ConditionStatus::Unknown, "Pending", &waits, Outlook::Reconciling)
        }
        Findings::Invalid(message) => summary(ConditionStatus::False, "Invalid", message, Outlook::Stalled),
        Findings::Unobserved(failure) => {
            let concern = of_failure(failure);
            let outlook = if concern.weight == Weight::Stuck { Outlook::Stalled } else { Outlook::Reconciling };
            let mut all = summary(ConditionStatus::Unknown, &concern.said.reason, &failure.message, outlook);
            if failure.verdict == Verdict::Forbidden {
                all.push(concern.said);
            }
            all
        }
        Findings::Going { left, stuck } => {
            let mut message = "the Pipeline is being deleted".to_owned();
            if !left.is_empty() {
                let _ = write!(message, "; still there: {}", left.join("; "));
            }
            let outlook = if stuck.is_some() { Outlook::Stalled } else { Outlook::Reconciling };
            summary(ConditionStatus::False, stuck.unwrap_or("Deleting"), &message, outlook)
        }
        Findings::Known(known) => of_known(known, before),
    }
}

fn of_known(known: &Known, before: &impl Before) -> Vec<Said> {
    let concerns = [
        access(known),
        resources(STREAMS, Kind::Stream, known, before),
        resources(TABLES, Kind::Table, known, before),
        stages(known),
    ];
    let worst = |weight| concerns.iter().find(|concern| concern.weight == weight);
    let stuck = worst(Weight::Stuck);
    let decisive =
        stuck.or_else(|| worst(Weight::Troubled)).or_else(|| worst(Weight::Moves)).or_else(|| worst(Weight::Rests));
    let mut all = match decisive {
        None => summary(ConditionStatus::True, "Ready", &concerns[3].said.message, Outlook::Settled),
        Some(Concern { said, weight }) => {
            let outlook = match weight {
                Weight::Stuck => Outlook::Stalled,
                Weight::Troubled | Weight::Moves => Outlook::Reconciling,
                Weight::Rests | Weight::Fine => Outlook::Settled,
            };
            summary(ConditionStatus::False, &said.reason, &said.message, outlook)
        }
    };
    all.extend(concerns.into_iter().map(|concern| concern.said));
    all
}

/// The three that everybody reads.
fn summary(ready: ConditionStatus, reason: &str, message: &str, outlook: Outlook) -> Vec<Said> {
    let flag = |condition, is_so: bool, otherwise: (&str, &str)| Said {
        condition,
        status: if is_so { ConditionStatus::True } else { ConditionStatus::False },
        reason: if is_so { reason.to_owned() } else { otherwise.0.to_owned() },
        message: if is_so { message.to_owned() } else { otherwise.1.to_owned() },
    };
    vec![
        Said { condition: READY, status: ready, reason: reason.to_owned(), message: message.to_owned() },
        flag(RECONCILING, outlook == Outlook::Reconciling, ("Settled", "nothing is on its way")),
        flag(STALLED, outlook == Outlook::Stalled, ("NothingToDo", "nobody has to act")),
    ]
}

fn concern(condition: &'static str, weight: Weight, reason: &str, message: String) -> Concern {
    let status = match weight {
        Weight::Fine => ConditionStatus::True,
        Weight::Troubled => ConditionStatus::Unknown,
        Weight::Rests | Weight::Moves | Weight::Stuck => ConditionStatus::False,
    };
    Concern { said: Said { condition, status, reason: reason.to_owned(), message }, weight }
}

/// Rights, Secrets and buckets.
fn access(known: &Known) -> Concern {
    let resources = looked_at(&known.resources);
    let denied = resources.iter().copied().chain(&known.removals).find_map(|resource| match &resource.state {
        ResourceState::Failed { reason: "access_denied", message } => Some(message.clone()),
        _ => None,
    });
    if let Some(message) = denied {
        return concern(ACCESS, Weight::Stuck, "AccessDenied", message);
    }
    if let Some(failure) = known.failures.iter().find(|failure| failure.verdict == Verdict::Forbidden) {
        return of_failure(failure);
    }
    if let Some((stage, secret)) = known.missing_secrets.first() {
        let message = format!(
            "the stage {stage:?} needs the Secret {secret:?}, which is not there. Create it in the Pipeline's namespace, with a \
             key for each client"
        );
        return concern(ACCESS, Weight::Stuck, "SecretNotFound", message);
    }
    match of_kind(&resources, Kind::Bucket) {
        Some(concern_of_buckets) => {
            Concern { said: Said { condition: ACCESS, ..concern_of_buckets.said }, ..concern_of_buckets }
        }
        None => concern(ACCESS, Weight::Fine, "Granted", "rights, Secrets and buckets are there".to_owned()),
    }
}

/// The streams or the tables: what the Pipeline names, and then what it names no more.
fn resources(condition: &'static str, kind: Kind, known: &Known, before: &impl Before) -> Concern {
    let concern = named(condition, kind, known, before);
    if concern.weight != Weight::Fine {
        return concern;
    }
    let removals: Vec<_> = known.removals.iter().collect();
    // A consumer is a part of its stream.
    let of_parts = || if kind == Kind::Stream { of_kind(&removals, Kind::Consumer) } else { None };
    let found = of_kind(&removals, kind).or_else(of_parts);
    found.map_or(concern, |found| Concern { said: Said { condition, ..found.said }, ..found })
}

fn named(condition: &'static str, kind: Kind, known: &Known, before: &impl Before) -> Concern {
    match &known.resources {
        ResourcesView::Known(_) => {}
        ResourcesView::NotLookedAt { .. } => return as_before(condition, before),
        ResourcesView::Trusted { .. } => return trusted(condition, kind, before),
    }
    let resources = looked_at(&known.resources);
    if let Some(found) = of_kind(&resources, kind) {
        return Concern { said: Said { condition, ..found.said }, ..found };
    }
    let mut message = format!(
        "{} {}",
        count(&resources, kind),
        if kind == Kind::Stream { "streams are ready" } else { "tables are ready" }
    );
    for resource in resources.iter().filter(|resource| resource.kind == kind) {
        if let ResourceState::Ready(drift) | ResourceState::Deferred(drift) = &resource.state {
            for difference in drift {
                let _ = write!(message, "; {:?}: {difference}", resource.name);
            }
        }
    }
    concern(condition, Weight::Fine, "Ready", message)
}

/// What was ready before this leadership began, for the very same plan.
fn trusted(condition: &'static str, kind: Kind, before: &impl Before) -> Concern {
    let was_ready =
        || concern(condition, Weight::Fine, "Ready", format!("the {kind}s were ready when they were looked at last"));
    let said = before.said(condition).filter(|said| said.status == ConditionStatus::True);
    said.map_or_else(was_ready, |said| Concern { said, weight: Weight::Fine })
}

fn as_before(condition: &'static str, before: &impl Before) -> Concern {
    let waits = || concern(condition, Weight::Moves, "Pending", "AWS is asked as soon as its limits allow".to_owned());
    let Some(said) = before.said(condition) else { return waits() };
    let weight = match (said.status, said.reason.as_str()) {
        (ConditionStatus::True, _) => Weight::Fine,
        (ConditionStatus::Unknown, _) => Weight::Troubled,
        (ConditionStatus::False, "Pending" | "InProgress") => Weight::Moves,
        (ConditionStatus::False, _) => Weight::Stuck,
    };
    Concern { said, weight }
}

fn looked_at(view: &ResourcesView) -> Vec<&ResourceView> {
    match view {
        ResourcesView::Known(resources) => resources.iter().collect(),
        ResourcesView::Trusted { .. } | ResourcesView::NotLookedAt { .. } => Vec::new(),
    }
}

fn count(resources: &[&ResourceView], kind: Kind) -> usize {
    resources.iter().filter(|resource| resource.kind == kind).count()
}

/// The worst that there is to say of the resources of a kind; none when all are ready.
fn of_kind(resources: &[&ResourceView], kind: Kind) -> Option<Concern> {
    let of_kind = || resources.iter().filter(move |resource| resource.kind == kind);
    let failed = of_kind().find_map(|resource| match &resource.state {
        ResourceState::Failed { reason, message } => Some((reason, message)),
        _ => None,
    });
    if let Some((reason, message)) = failed {
        return Some(concern("", Weight::Stuck, word(reason), message.clone()));
    }
    if let Some(resource) = of_kind().find(|resource| matches!(resource.state, ResourceState::Failing(_))) {
        let message = format!("AWS fails or throttles for the {kind} {:?}; it is tried again", resource.name);
        return Some(concern("", Weight::Troubled, "AwsFails", message));
    }
    of_kind().find_map(|resource| match resource.state {
        ResourceState::Waiting(state) => {
            Some(concern("", Weight::Moves, "InProgress", format!("{kind} {:?}: {state}", resource.name)))
        }
        _ => None,
    })
}

/// The stable word for a code of `penstock-provision`.
fn word(reason: &str) -> &'static str {
    match reason {
        "resource_mismatch" => "Mismatch",
        "resource_owned_by_another" | "resource_is_foreign" => "NotOurs",
        "resource_missing" => "Missing",
        "access_denied" => "AccessDenied",
        _ => "Refused",
    }
}

fn of_failure(failure: &Failure) -> Concern {
    let (condition, weight, reason) = match failure.verdict {
        Verdict::Passing => (STAGES, Weight::Troubled, "KubernetesFails"),
        Verdict::Moving => (STAGES, Weight::Moves, "Replacing"),
        Verdict::Forbidden => (ACCESS, Weight::Stuck, "KubernetesForbids"),
        Verdict::Quota => (STAGES, Weight::Stuck, "QuotaExceeded"),
        Verdict::Rejected => (STAGES, Weight::Stuck, "Rejected"),
        Verdict::Taken => (STAGES, Weight::Stuck, "NameTaken"),
    };
    concern(condition, weight, reason, failure.message.clone())
}

/// The pods.
fn stages(known: &Known) -> Concern {
    let failures = || known.failures.iter().filter(|failure| failure.verdict != Verdict::Forbidden).map(of_failure);
    if let Some(stuck) = failures().find(|failure| failure.weight == Weight::Stuck) {
        return stuck;
    }
    let failed = known.stages.iter().find_map(|stage| match &stage.state {
        StageState::Failed(message) => Some((stage, message)),
        _ => None,
    });
    if let Some((stage, message)) = failed {
        let message = format!(
            "the stage {:?} has {} of {} pods ready: {message}. See the pods' events and logs, with the label penstock.dev/stage={}",
            stage.name, stage.ready, stage.replicas, stage.name
        );
        return concern(STAGES, Weight::Stuck, "StageFailed", message);
    }
    failures().next().unwrap_or_else(|| progress(known))
}

fn progress(known: &Known) -> Concern {
    let resting = known.stages.iter().filter(|stage| stage.state == StageState::Resting).count();
    let all = known.stages.len();
    let moves = |stage: &&StageView| match known.suspend {
        Some(_) => stage.state != StageState::Resting,
        None => is_on_the_way(&stage.state),
    };
    let Some(stage) = known.stages.iter().find(moves) else {
        return match (known.suspend, resting) {
            (Some(_), _) => {
                concern(STAGES, Weight::Rests, "Suspended", "the Pipeline rests as `spec.suspend` asks".to_owned())
            }
            (None, 0) => concern(STAGES, Weight::Fine, "Ready", format!("{all} of {all} stages work")),
            (None, _) if resting == all => {
                concern(STAGES, Weight::Rests, "Suspended", "every stage rests as its `suspend` asks".to_owned())
            }
            (None, _) => concern(
                STAGES,
                Weight::Fine,
                "Ready",
                format!("{} of {all} stages work, {resting} rest as asked", all - resting),
            ),
        };
    };
    if let Some(suspend) = known.suspend {
        return suspending(suspend, stage);
    }
    let name = &stage.name;
    let (reason, message) = match stage.state {
        StageState::Held => {
            ("WaitingForResources", format!("the stage {name:?} starts when streams and tables are ready"))
        }
        StageState::SecretMissing => ("SecretNotFound", format!("the stage {name:?} waits for its Secret")),
        StageState::NotReady => {
            ("StageNotReady", format!("the stage {name:?} has pods that are not ready. See their /readyz and logs"))
        }
        StageState::Stopping => ("RollingOut", format!("the stage {name:?} is stopping")),
        _ => ("RollingOut", format!("the stage {name:?} is rolling out")),
    };
    concern(STAGES, Weight::Moves, reason, message)
}

fn suspending(suspend: Suspend, stage: &StageView) -> Concern {
    let message = match suspend {
        Suspend::Drain => format!(
            "the sources stop, then the sinks once they have stored everything; the stage {:?} still works",
            stage.name
        ),
        Suspend::Now => format!("the stage {:?} is stopping", stage.name),
    };
    concern(STAGES, Weight::Moves, if suspend == Suspend::Drain { "Draining" } else { "Stopping" }, message)
}

fn is_on_the_way(state: &StageState) -> bool {
    !matches!(state, StageState::Ready | StageState::Resting) && !matches!(state, StageState::Failed(_))
}

/// The states of the metric.
#[must_use]
pub fn state(said: &[Said]) -> &'static str {
    let is = |condition| said.iter().any(|said| said.condition == condition && said.status == ConditionStatus::True);
    let suspended = said.iter().any(|said| said.condition == READY && said.reason == "Suspended");
    if is(STALLED) {
        "stalled"
    } else if is(READY) {
        "ready"
    } else if suspended {
        "suspended"
    } else {
        "reconciling"
    }
}

/// Conditions that a Pipeline is said to have under other circumstances only.
#[must_use]
pub fn is_concern(condition: &str) -> bool {
    CONCERNS.contains(&condition)
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
