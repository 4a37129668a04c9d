//! What all shards of a sink may hold in memory together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on the bytes that the open batches of a sink hold, shared by all of its shards. Clones share it.
///
/// Nothing waits for it and nothing fails by it: a batch that is over it asks for its range to be closed early,
/// which is always safe because ranges are pinned before they are applied.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    batches: AtomicUsize,
}

impl MemoryBudget {
    /// The limit of [`MemoryBudget::default`], in bytes.
    pub const DEFAULT_BYTES: usize = 48 << 20;

    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        let zero = || AtomicUsize::new(0);
        Self(Arc::new(Shared { limit: limit_bytes, used: zero(), peak: zero(), batches: zero() }))
    }

    /// The bound, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// The bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever held.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// Begins an account.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        let mut held = Held { budget: self.clone(), bytes: 0 };
        held.set(bytes);
        held
    }

    /// Counts a batch that holds something, until the answer is dropped.
    pub(crate) fn enter(&self) -> Entered {
        self.0.batches.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }

    /// Whether a batch that holds `own` bytes should be closed.
    pub(crate) fn must_close(&self, own: usize) -> bool {
        must_close(own, self.used(), self.0.limit, self.0.batches.load(Ordering::Relaxed))
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

/// Above three quarters of the limit those close that hold more than their share; at the limit, everybody does.
/// The margin keeps one large batch that sees no more records from cutting the ranges of all others short.
fn must_close(own: usize, used: usize, limit: usize, batches: usize) -> bool {
    let share = limit / batches.max(1);
    used >= limit || (used >= limit / 4 * 3 && own >= share)
}

/// Bytes that count against the budget until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: MemoryBudget,
    bytes: usize,
}

impl Held {
    /// Changes how many they are.
    pub(crate) fn set(&mut self, bytes: usize) {
        let shared = &self.budget.0;
        if bytes >= self.bytes {
            let more = bytes - self.bytes;
            let used = shared.used.fetch_add(more, Ordering::Relaxed) + more;
            shared.peak.fetch_max(used, Ordering::Relaxed);
        } else {
            shared.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A batch that is counted.
#[derive(Debug)]
pub(crate) struct Entered(MemoryBudget);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.batches.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let budget = MemoryBudget::new(100);
        let mut one = budget.hold(30);
        let two = budget.hold(20);
        one.set(10);
        assert_eq!((budget.used(), budget.peak()), (30, 50));
        drop(one);
        drop(two);
        assert_eq!((budget.used(), budget.peak()), (0, 50));
    }

    #[test]
    fn a_batch_alone_may_use_everything() {
        assert!(!must_close(99, 99, 100, 1));
        assert!(must_close(100, 100, 100, 1));
    }

    #[test]
    fn the_large_ones_close_before_the_small_ones() {
        assert!(must_close(50, 80, 100, 2));
        assert!(!must_close(30, 80, 100, 2));
        assert!(must_close(1, 100, 100, 2));
    }
}
