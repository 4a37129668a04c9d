//! The three ways in which a stage is asked to end.

use tokio_util::sync::CancellationToken;

/// How a stage is asked to end. Cheap to clone; all clones are one.
///
/// Dropping a stage's future is the fourth way, and is like a crash: it must be safe at any moment.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Stop taking, finish what was begun, checkpoint, release, end. What SIGTERM means.
    pub drain: CancellationToken,
    /// Go on until everything that is in the stream is stored, then end as with `drain`.
    pub at_tip: CancellationToken,
}

impl Stop {
    /// One that nobody has asked to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that also ends when this one is asked to, and can be asked alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { drain: self.drain.child_token(), at_tip: self.at_tip.child_token() }
    }

    /// Whether draining was asked for.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }
}
