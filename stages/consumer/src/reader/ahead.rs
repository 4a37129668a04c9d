//! Room for what is read ahead: bounded by bytes, over all shards of a worker.
//!
//! A read takes its room before it is made, out of what all shards share. Where too little is left of that, it takes the
//! place that its own shard always has, for one small read at a time. So nobody waits for what another shard holds: the only
//! wait is for the shard's own last small read to be worked on. Whatever holds one shard up, all others go on reading.
//!
//! In memory there is at most what is shared and one small read a shard. An answer may turn out larger than what was asked
//! for; then the others read less until it is worked on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A small read is this part of one that is not.
const SMALL: usize = 8;

/// What all shards share.
#[derive(Debug)]
pub(crate) struct Ahead {
    most: usize,
    taken: AtomicUsize,
}

impl Ahead {
    /// Room for so many bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// Takes room for so many bytes, if there is as much.
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share { of: Arc::clone(self), bytes })
    }
}

/// A part of what is shared; given back when it is dropped.
#[derive(Debug)]
struct Share {
    of: Arc<Ahead>,
    bytes: usize,
}

impl Share {
    /// Comes to be of another size, be there as much or not.
    fn resize(&mut self, bytes: usize) {
        self.of.taken.fetch_add(bytes, Ordering::Relaxed);
        self.of.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where the reads of one shard take their room.
#[derive(Debug)]
pub(super) struct Rooms {
    shared: Arc<Ahead>,
    /// The place for a small read.
    own: Arc<Semaphore>,
    read_bytes: usize,
}

impl Rooms {
    pub(super) fn new(shared: Arc<Ahead>, read_bytes: usize) -> Self {
        Self { shared, own: Arc::new(Semaphore::new(1)), read_bytes }
    }

    /// Room for the next read. What comes unasked may be waited for without end, and takes none while it is.
    pub(super) async fn next(&self, is_asked_for: bool) -> Room {
        let bytes = if is_asked_for { self.read_bytes } else { 1 };
        if let Some(share) = self.shared.take(bytes) {
            return Room { asks: self.read_bytes, share, own: None };
        }
        // The semaphore is never closed.
        let own = Arc::clone(&self.own).acquire_owned().await.ok();
        Room { asks: (self.read_bytes / SMALL).max(1), share: Share { of: Arc::clone(&self.shared), bytes: 0 }, own }
    }
}

/// Room for one read, and then for what it brought until that is worked on.
#[derive(Debug)]
pub(crate) struct Room {
    asks: usize,
    share: Share,
    own: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// How many bytes to ask for.
    pub(super) fn asks(&self) -> usize {
        self.asks
    }

    /// The read brought so much.
    pub(super) fn holds(&mut self, bytes: usize) {
        let own = if self.own.is_some() { self.asks } else { 0 };
        self.share.resize(bytes.saturating_sub(own));
        if bytes == 0 {
            self.own = None;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    const READ: usize = 800;

    #[derive(Debug, Clone)]
    enum Step {
        /// A shard reads, and gets so much.
        Read(usize, usize),
        /// A shard's oldest answer is worked on.
        Work(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![(0_usize..4, 0_usize..=READ).prop_map(|(a, b)| Step::Read(a, b)), (0_usize..4).prop_map(Step::Work)]
    }

    proptest! {
        #[test]
        fn a_shard_without_answers_always_gets_room_and_all_is_given_back(
            most in 0_usize..3 * READ,
            steps in prop::collection::vec(any_step(), 0..100),
        ) {
            let shared = Ahead::new(most);
            let rooms: Vec<_> = (0..4).map(|_| Rooms::new(Arc::clone(&shared), READ)).collect();
            let mut held: Vec<Vec<(usize, Room)>> = (0..4).map(|_| Vec::new()).collect();
            for step in steps {
                match step {
                    Step::Read(shard, bytes) => match rooms[shard].next(true).now_or_never() {
                        Some(mut room) => {
                            let bytes = bytes.min(room.asks());
                            room.holds(bytes);
                            held[shard].push((bytes, room));
                        }
                        None => prop_assert!(!held[shard].is_empty(), "a shard waits for another's"),
                    },
                    Step::Work(shard) if !held[shard].is_empty() => drop(held[shard].remove(0)),
                    Step::Work(_) => {}
                }
                let all: usize = held.iter().flatten().map(|(bytes, _)| bytes).sum();
                prop_assert!(all <= most + 4 * (READ / SMALL), "{} bytes are held", all);
            }
            held.clear();
            prop_assert_eq!(shared.taken.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn an_answer_that_is_larger_than_what_was_asked_for_makes_the_others_read_less() {
        let shared = Ahead::new(READ);
        let (one, other) = (Rooms::new(Arc::clone(&shared), READ), Rooms::new(Arc::clone(&shared), READ));
        let mut large = one.next(true).now_or_never().unwrap();
        large.holds(3 * READ);
        assert_eq!(other.next(true).now_or_never().unwrap().asks(), READ / SMALL);
        assert!(other.next(false).now_or_never().unwrap().own.is_some());
        drop(large);
        assert_eq!(other.next(true).now_or_never().unwrap().asks(), READ);
    }
}
