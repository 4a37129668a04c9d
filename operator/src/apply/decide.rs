//! What to do with each child, from what was built and what there is. Pure.

use std::collections::BTreeSet;

use penstock_api::spec::{GROUP, KIND};
use serde_json::Value;

use super::diff;
use crate::build::{Child, Desired};
use crate::names::{APPLIED_ANNOTATION, CONFIG_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, PIPELINE_LABEL};
use crate::observe::{Children, Kind, Live};
use crate::pipeline::Identity;

/// Whose a live object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// This Pipeline's.
    Ours,
    /// That of a Pipeline of the same name that is gone.
    Leftover,
    /// Somebody else's.
    Foreign(String),
}

/// Tells whose a live object is: by its controller, and where it has lost that, by its labels.
#[must_use]
pub fn whose(live: &Live, identity: &Identity) -> Whose {
    let mut owners = live.metadata.owner_references.iter().flatten();
    let Some(controller) = owners.find(|owner| owner.controller == Some(true)) else {
        let label = |name: &str| live.metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
        let labelled =
            label(MANAGED_BY_LABEL) == Some(MANAGED_BY) && label(PIPELINE_LABEL) == Some(identity.name.as_str());
        return if labelled { Whose::Ours } else { Whose::Foreign("nobody".to_owned()) };
    };
    if controller.uid == identity.uid {
        return Whose::Ours;
    }
    let of_a_pipeline = controller.kind == KIND && controller.api_version.split('/').next() == Some(GROUP);
    if of_a_pipeline && controller.name == identity.name {
        return Whose::Leftover;
    }
    Whose::Foreign(format!("the {} {:?}", controller.kind, controller.name))
}

/// What to do with a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is as it should be.
    Nothing,
    /// Apply it.
    Apply,
    /// Leave it until streams and tables are ready: its pods would only wait for them, or lose what works now.
    Hold,
    /// It is going, or is left over from a Pipeline that is gone: make it again once it is away.
    MakeRoom,
    /// Its name is taken by somebody else's object.
    Taken(String),
}

/// Decides about one child.
#[must_use]
pub fn step(child: &Child, live: Option<&Live>, identity: &Identity, resources_ready: bool) -> Step {
    let Some(live) = live else {
        return if child.kind == Kind::Deployment && !resources_ready && !rests(&child.object) {
            Step::Hold
        } else {
            Step::Apply
        };
    };
    match whose(live, identity) {
        Whose::Foreign(whose) => return Step::Taken(whose),
        Whose::Leftover => return Step::MakeRoom,
        Whose::Ours if live.is_going() => return Step::MakeRoom,
        Whose::Ours => {}
    }
    if is_as_built(child, live) {
        return Step::Nothing;
    }
    if child.kind == Kind::Deployment && !resources_ready && !rests(&child.object) && !same_work(&child.object, live) {
        return Step::Hold;
    }
    Step::Apply
}

/// Whether what was applied last is what was built: whatever differs was changed by somebody else.
#[must_use]
pub fn was_applied(child: &Child, live: &Live) -> bool {
    let hash = child.object["metadata"]["annotations"][APPLIED_ANNOTATION].as_str();
    hash == live.annotation(APPLIED_ANNOTATION)
}

fn is_as_built(child: &Child, live: &Live) -> bool {
    let mut built = child.object.clone();
    // A live object has no type: see there.
    for field in ["apiVersion", "kind"] {
        built.as_object_mut().map(|object| object.remove(field));
    }
    was_applied(child, live) && diff::holds(&live.value(), &built)
}

fn rests(deployment: &Value) -> bool {
    deployment["spec"]["replicas"] == 0
}

fn same_work(deployment: &Value, live: &Live) -> bool {
    let configuration =
        |object: &Value| object["spec"]["template"]["metadata"]["annotations"][CONFIG_ANNOTATION].clone();
    configuration(deployment) == configuration(&live.value())
}

/// How far the stages are, for those that decide about what is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Stages whose pods all are of the newest kind and work; or that rest and have no pods.
    pub rolled_out: BTreeSet<String>,
    /// Stages that are on the way: neither rolled out, nor given up by their deadline.
    pub on_the_way: BTreeSet<String>,
}

/// The children that are to go: by inventory, so what a former spec or a crash has left goes too.
///
/// A stage's own old children go when it has rolled out; those of a stage that the Pipeline has no more, when no stage
/// is on the way. What is left over from a Pipeline that is gone goes at once.
#[must_use]
pub fn superfluous(
    desired: &Desired,
    stages: &[&str],
    live: &Children,
    identity: &Identity,
    settled: &Settled,
) -> Vec<(Kind, String)> {
    let wanted: BTreeSet<(Kind, &str)> =
        desired.children.iter().map(|child| (child.kind, child.name.as_str())).collect();
    let mut superfluous: Vec<_> = live
        .iter()
        .filter(|((kind, name), live)| !wanted.contains(&(*kind, name.as_str())) && !live.is_going())
        .filter(|(_, live)| match (whose(live, identity), live.stage()) {
            (Whose::Foreign(_), _) => false,
            (Whose::Leftover, _) => true,
            (Whose::Ours, Some(stage)) if stages.contains(&stage) => settled.rolled_out.contains(stage),
            (Whose::Ours, _) => settled.on_the_way.is_empty(),
        })
        .map(|(key, _)| key.clone())
        .collect();
    // The pods first, then what they use.
    superfluous.sort_by_key(|(kind, _)| std::cmp::Reverse(*kind));
    superfluous
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
