//! Memory for bodies: all requests together hold at most so much.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in pieces of this size.
const PIECE: usize = 4 << 10;

/// What may be held in all.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pieces: Arc<Semaphore>,
}

/// What one request holds of the budget. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
}

/// There was not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let pieces = usize::try_from(bytes / PIECE as u64).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self { pieces: Arc::new(Semaphore::new(pieces)) }
    }

    /// Holds nothing yet.
    pub(crate) fn hold(&self) -> Hold {
        Hold { budget: self.clone(), permit: None }
    }
}

impl Hold {
    /// Sees to it that at least so many bytes are held; waits for them.
    pub(crate) async fn reach(&mut self, bytes: usize, patience: Duration) -> Result<(), Exhausted> {
        let Some(missing) = self.missing(bytes)? else { return Ok(()) };
        let acquired = self.budget.pieces.clone().acquire_many_owned(missing);
        match tokio::time::timeout(patience, acquired).await {
            Ok(Ok(permit)) => {
                self.add(permit);
                Ok(())
            }
            _ => Err(Exhausted),
        }
    }

    /// The same without waiting.
    pub(crate) fn try_reach(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let Some(missing) = self.missing(bytes)? else { return Ok(()) };
        let permit = self.budget.pieces.clone().try_acquire_many_owned(missing).map_err(|_| Exhausted)?;
        self.add(permit);
        Ok(())
    }

    /// Gives back all but so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.pieces().saturating_sub(bytes.div_ceil(PIECE));
        if let Some(permit) = &mut self.permit {
            drop(permit.split(surplus));
        }
    }

    fn pieces(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn missing(&self, bytes: usize) -> Result<Option<u32>, Exhausted> {
        let missing = bytes.div_ceil(PIECE).saturating_sub(self.pieces());
        if missing == 0 { Ok(None) } else { u32::try_from(missing).map(Some).map_err(|_| Exhausted) }
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_bounded_and_comes_back() {
        let budget = Budget::new(100 * PIECE as u64);
        let (mut one, mut other) = (budget.hold(), budget.hold());
        one.try_reach(60 * PIECE).unwrap();
        assert_eq!(other.try_reach(41 * PIECE), Err(Exhausted));
        assert_eq!(other.reach(41 * PIECE, Duration::from_millis(1)).await, Err(Exhausted));
        other.try_reach(40 * PIECE).unwrap();
        one.shrink_to(10 * PIECE - 1);
        other.try_reach(90 * PIECE).unwrap();
        drop(one);
        other.reach(100 * PIECE, Duration::from_millis(1)).await.unwrap();
        drop(other);
        assert_eq!(budget.pieces.available_permits(), 100);
    }
}
