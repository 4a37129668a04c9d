//! Whether a stage is alive and ready, and if not, what it waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// A stage's own account of its health: named concerns, each of which is fine or waits for something.
///
/// A stage is ready when it has declared at least one concern and none of them waits. It is alive unless
/// one of them says that only a restart helps. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Health {
    concerns: Arc<RwLock<BTreeMap<&'static str, Concern>>>,
}

#[derive(Debug, Clone)]
enum Concern {
    Fine,
    Waits(String),
    Dead(String),
}

/// What keeps a stage from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// The concern.
    pub concern: &'static str,
    /// What it waits for.
    pub because: String,
}

impl Health {
    /// One without concerns: alive, not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The concern is fine.
    pub fn fine(&self, concern: &'static str) {
        self.concerns.write().insert(concern, Concern::Fine);
    }

    /// The concern keeps the stage from being ready.
    pub fn waits(&self, concern: &'static str, because: impl Into<String>) {
        self.concerns.write().insert(concern, Concern::Waits(because.into()));
    }

    /// Only a restart helps.
    pub fn dead(&self, concern: &'static str, because: impl Into<String>) {
        self.concerns.write().insert(concern, Concern::Dead(because.into()));
    }

    /// Everything that keeps the stage from being ready; empty when it is ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<NotReady> {
        let concerns = self.concerns.read();
        if concerns.is_empty() {
            return vec![NotReady { concern: "start", because: "the stage has not started yet".to_owned() }];
        }
        concerns
            .iter()
            .filter_map(|(concern, state)| match state {
                Concern::Fine => None,
                Concern::Waits(because) | Concern::Dead(because) => {
                    Some(NotReady { concern, because: because.clone() })
                }
            })
            .collect()
    }

    /// Everything that only a restart mends; empty when the stage is alive.
    #[must_use]
    pub fn not_alive(&self) -> Vec<NotReady> {
        self.concerns
            .read()
            .iter()
            .filter_map(|(concern, state)| match state {
                Concern::Dead(because) => Some(NotReady { concern, because: because.clone() }),
                Concern::Fine | Concern::Waits(_) => None,
            })
            .collect()
    }

    /// Whether nothing keeps the stage from being ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_ready_when_no_concern_waits() {
        let health = Health::new();
        assert!(!health.is_ready(), "nothing was declared yet");
        health.waits("stream", "the stream is being created");
        health.fine("server");
        assert_eq!(health.not_ready()[0].because, "the stream is being created");
        health.fine("stream");
        assert!(health.is_ready());
        health.dead("stream", "gone");
        assert!(!health.is_ready());
        assert_eq!(health.not_alive().len(), 1);
    }
}
