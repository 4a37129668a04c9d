//! When a Pipeline is looked at again without anything asking for it.

use std::time::Duration;

use kube::runtime::controller::Action;
use penstock_api::spec::Suspend;

use crate::apply::error::Verdict;
use crate::aws::{DEFERRED, ResourceState, ResourcesView};
use crate::context::Context;
use crate::report::findings::Known;
use crate::report::stages::StageState;

/// When a Pipeline is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// When something changes.
    Nothing,
    /// After the recheck, or this long: everything that could be done is done.
    Calm(Option<Duration>),
    /// Soon: AWS or Kubernetes finishes something that no watch tells of.
    Soon,
    /// Later each time: something does not work.
    Troubled,
    /// After this long.
    After(Duration),
}

/// Something that finishes by itself is looked at again after 1 s at first, and every 10 s at last.
const SOON: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// Something that does not work, after 2 s at first, and every 5 minutes at last.
const TROUBLED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

impl Next {
    /// From what there is. Pure.
    pub(super) fn of(known: &Known) -> Self {
        let resources = match &known.resources {
            ResourcesView::NotLookedAt { again_after } => return Self::After(*again_after),
            ResourcesView::Trusted { .. } => &[],
            ResourcesView::Known(resources) => resources.as_slice(),
        };
        let all = || resources.iter().chain(&known.removals);
        let troubled =
            all().any(|resource| matches!(resource.state, ResourceState::Failing(_) | ResourceState::Failed { .. }));
        if troubled
            || !known.missing_secrets.is_empty()
            || known.failures.iter().any(|failure| failure.verdict != Verdict::Moving)
        {
            return Self::Troubled;
        }
        let waits = all().any(|resource| matches!(resource.state, ResourceState::Waiting(_)));
        let draining = known.suspend == Some(Suspend::Drain)
            && known.stages.iter().any(|stage| stage.state != StageState::Resting);
        if waits || draining || !known.failures.is_empty() {
            return Self::Soon;
        }
        // Of pods that crash, or become ready no more, no watch tells.
        if known.stages.iter().any(|stage| matches!(stage.state, StageState::NotReady | StageState::Failed(_))) {
            return Self::Troubled;
        }
        match &known.resources {
            ResourcesView::Trusted { again_after } => Self::Calm(Some(*again_after)),
            view if view.is_deferred() => Self::After(DEFERRED),
            _ => Self::Calm(None),
        }
    }

    /// For the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Nothing | Self::Calm(_) => "calm",
            Self::Soon | Self::After(_) => "waiting",
            Self::Troubled => "troubled",
        }
    }

    pub(super) fn action(self, uid: &str, context: &Context) -> Action {
        match self {
            Self::Nothing => Action::await_change(),
            Self::Calm(after) => {
                context.calm(uid);
                // Spread, so that a thousand Pipelines do not come at once.
                let recheck = || context.settings.recheck.mul_f64(0.75 + fastrand::f64() / 2.0);
                Action::requeue(after.unwrap_or_else(recheck))
            }
            Self::Soon => Action::requeue(context.back_off(uid, SOON.0, SOON.1)),
            Self::Troubled => Action::requeue(context.back_off(uid, TROUBLED.0, TROUBLED.1)),
            Self::After(wait) => Action::requeue(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use penstock_provision::Kind;

    use super::*;
    use crate::aws::ResourceView;
    use crate::report::findings::Failure;
    use crate::report::stages::StageView;

    fn known(state: ResourceState) -> Known {
        let resource = ResourceView { kind: Kind::Stream, name: "s".to_owned(), state };
        Known {
            resources: ResourcesView::Known(vec![resource]),
            stages: Vec::new(),
            removals: Vec::new(),
            inventory: Vec::new(),
            missing_secrets: Vec::new(),
            failures: Vec::new(),
            suspend: None,
        }
    }

    #[test]
    fn what_works_is_left_alone_what_moves_is_looked_at_soon_and_what_fails_ever_later() {
        let ready = || known(ResourceState::Ready(Vec::new()));
        assert_eq!(Next::of(&ready()), Next::Calm(None));
        assert_eq!(Next::of(&known(ResourceState::Waiting("x"))), Next::Soon);
        assert_eq!(Next::of(&known(ResourceState::Failing("x".to_owned()))), Next::Troubled);
        let failed = || ResourceState::Failed { reason: "access_denied", message: "x".to_owned() };
        assert_eq!(Next::of(&known(failed())), Next::Troubled);
        let deferred = ResourceState::Deferred(vec!["x".to_owned()]);
        assert_eq!(
            Next::of(&known(deferred)),
            Next::After(DEFERRED),
            "it works, and AWS lets nothing happen for hours"
        );
        let removal = |state| ResourceView { kind: Kind::Table, name: "t".to_owned(), state };
        let removing = |state| Known { removals: vec![removal(state)], ..ready() };
        assert_eq!(Next::of(&removing(ResourceState::Waiting("x"))), Next::Soon);
        assert_eq!(Next::of(&removing(failed())), Next::Troubled);
        let secret = Known { missing_secrets: vec![("a".to_owned(), "b".to_owned())], ..ready() };
        assert_eq!(Next::of(&secret), Next::Troubled, "no watch tells of a Secret");
        let failure = |verdict| Known { failures: vec![Failure { verdict, message: String::new() }], ..ready() };
        assert_eq!(Next::of(&failure(Verdict::Passing)), Next::Troubled);
        assert_eq!(Next::of(&failure(Verdict::Moving)), Next::Soon);
        let later = Duration::from_secs(3);
        let not_looked_at = Known { resources: ResourcesView::NotLookedAt { again_after: later }, ..ready() };
        assert_eq!(Next::of(&not_looked_at), Next::After(later));
    }

    #[test]
    fn a_stage_that_is_not_ready_is_looked_at_again_since_no_watch_tells_of_pods() {
        let with = |state| {
            let raw = StageView { name: "raw".to_owned(), replicas: 1, ready: 0, endpoint: None, state };
            Known { stages: vec![raw], ..known(ResourceState::Ready(Vec::new())) }
        };
        assert_eq!(Next::of(&with(StageState::NotReady)), Next::Troubled);
        assert_eq!(Next::of(&with(StageState::Failed("it crashes".to_owned()))), Next::Troubled);
        assert_eq!(Next::of(&with(StageState::RollingOut)), Next::Calm(None), "its Deployment is watched");
    }

    #[test]
    fn what_drains_is_looked_at_soon_also_while_its_resources_are_trusted() {
        let later = Duration::from_secs(900);
        let trusted =
            Known { resources: ResourcesView::Trusted { again_after: later }, ..known(ResourceState::Waiting("x")) };
        assert_eq!(Next::of(&trusted), Next::Calm(Some(later)));
        let sink =
            StageView { name: "raw".to_owned(), replicas: 1, ready: 1, endpoint: None, state: StageState::Ready };
        let draining = Known { suspend: Some(Suspend::Drain), stages: vec![sink], ..trusted };
        assert_eq!(Next::of(&draining), Next::Soon);
    }
}
