//! Which Pipelines wait for their reconcile.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::metrics;

/// Pipelines that something has asked to reconcile and that have not begun. Those that come again by themselves are not
/// counted before they begin.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<HashSet<(String, String)>>,
}

impl Queue {
    /// It is asked for; several times count once.
    pub(crate) fn ask(&self, namespace: &str, name: &str) {
        let mut waiting = self.waiting.lock();
        waiting.insert((namespace.to_owned(), name.to_owned()));
        metrics::queue(waiting.len());
    }

    /// It begins, or there is nothing of that name.
    pub(crate) fn take(&self, namespace: &str, name: &str) {
        let mut waiting = self.waiting.lock();
        waiting.remove(&(namespace.to_owned(), name.to_owned()));
        metrics::queue(waiting.len());
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiting.lock().len()
    }
}

/// With the leadership the queue ends.
impl Drop for Queue {
    fn drop(&mut self) {
        metrics::queue(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_waits_once_and_not_after_it_began() {
        let queue = Queue::default();
        queue.ask("shop", "orders");
        queue.ask("shop", "orders");
        queue.ask("lab", "orders");
        assert_eq!(queue.len(), 2);
        queue.take("shop", "orders");
        queue.take("shop", "orders");
        assert_eq!(queue.len(), 1);
    }
}
