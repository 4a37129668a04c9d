//! What is known of a Pipeline's resources. Pure.

use std::error::Error;
use std::time::Duration;

use penstock_provision::{Kind, Progress, Removal, Removed, State};

/// What is known of a Pipeline's streams, tables and buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourcesView {
    /// They were looked at, now or a while ago.
    Known(Vec<ResourceView>),
    /// They were ready before this leadership began, and are looked at later, so that not all Pipelines ask at once.
    Trusted {
        /// When to come again.
        again_after: Duration,
    },
    /// They were not, so as not to ask AWS too often.
    NotLookedAt {
        /// When to come again.
        again_after: Duration,
    },
}

/// What is known of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceView {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ResourceState,
}

/// How a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceState {
    /// It is ready. In what it differs without being in the way.
    Ready(Vec<String>),
    /// It works, and a change of it is still to come. In what it differs until then, and what that waits for.
    Deferred(Vec<String>),
    /// Something was done or is on its way.
    Waiting(&'static str),
    /// A call failed in a way that passes.
    Failing(String),
    /// Somebody has to act.
    Failed {
        /// The stable code.
        reason: &'static str,
        /// What, and what to do about it.
        message: String,
    },
}

impl ResourcesView {
    /// Whether everything is known to be ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Known(resources) => resources.iter().all(ResourceView::is_ready),
            Self::Trusted { .. } => true,
            Self::NotLookedAt { .. } => false,
        }
    }
}

impl ResourcesView {
    /// Whether a change of something that works is still to come.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        let deferred = |resource: &ResourceView| matches!(resource.state, ResourceState::Deferred(_));
        matches!(self, Self::Known(resources) if resources.iter().any(deferred))
    }

    /// Resources with which something is wrong.
    pub fn failing(&self) -> impl Iterator<Item = &ResourceView> {
        let known = match self {
            Self::Known(resources) => resources.as_slice(),
            Self::Trusted { .. } | Self::NotLookedAt { .. } => &[],
        };
        known.iter().filter(|view| matches!(view.state, ResourceState::Failing(_) | ResourceState::Failed { .. }))
    }
}

impl ResourceView {
    pub(super) fn of(progress: Progress) -> Self {
        let state = match progress.state {
            State::Ready(ready) => ResourceState::Ready(ready.drift),
            State::Deferred(ready) => ResourceState::Deferred(ready.drift),
            State::Waiting(state) => ResourceState::Waiting(state),
            State::Failing(error) => ResourceState::Failing(causes(error.as_ref())),
            State::Failed(error) => ResourceState::Failed { reason: error.reason(), message: error.to_string() },
        };
        Self { kind: progress.kind, name: progress.name, state }
    }

    /// What is left of something that is to go; nothing when it is gone, or not ours to delete.
    pub(crate) fn of_removal(removed: &Removed) -> Option<Self> {
        let state = match &removed.state {
            Removal::Gone | Removal::NotOurs => return None,
            Removal::Waiting(state) => ResourceState::Waiting(state),
            Removal::Failing(error) => ResourceState::Failing(causes(error.as_ref())),
            Removal::Failed(error) => {
                let otherwise = match removed.kind {
                    Kind::Consumer => "deregister it yourself",
                    _ => "name it again, with `deletionPolicy: Retain`",
                };
                let message = format!(
                    "the {} {:?}, which the Pipeline names no more, cannot be deleted: {error}. Or {otherwise}",
                    removed.kind, removed.name
                );
                ResourceState::Failed { reason: error.reason(), message }
            }
        };
        Some(Self { kind: removed.kind, name: removed.name.clone(), state })
    }

    fn is_ready(&self) -> bool {
        matches!(self.state, ResourceState::Ready(_) | ResourceState::Deferred(_))
    }
}

/// The innermost cause. The SDK's own words for it say where, which differs from try to try; a status must not.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
