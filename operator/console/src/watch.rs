//! Who looks, and at what: processes are asked tick by tick for as long as somebody looks at their Pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::history::TICK;
use crate::known::{Heard, Known};
use crate::scrape::{Asker, Condition, Said};
use crate::subject::{Admin, CannotTell, Key, Listing, Look, ProcessAt, Subject, Subjects};

/// Processes that are asked at the same time.
const AT_ONCE: usize = 16;
/// What is held of the metrics of a Pipeline's processes until all have answered, in bytes.
const HELD: usize = 8 << 20;
/// Processes of a Pipeline that are asked at all.
const MOST_PROCESSES: usize = 256;
/// Pipelines that are watched at the same time, where they are not watched always.
const MOST_WATCHED: usize = 8;
/// How long is watched on after somebody has asked.
const LINGER: Duration = Duration::from_secs(300);
/// How long it may take to find out what there is.
const LIMIT: Duration = Duration::from_secs(10);

/// What is known, and who asks for it.
pub(crate) struct Watch {
    subjects: Arc<dyn Subjects>,
    asker: Asker,
    asking: Semaphore,
    attention: Mutex<Attention>,
    known: RwLock<BTreeMap<Key, Known>>,
    /// Held by whoever asks processes, so that nobody asks twice for one tick.
    turn: tokio::sync::Mutex<()>,
}

impl Watch {
    pub(crate) fn new(subjects: Arc<dyn Subjects>) -> Self {
        Self {
            subjects,
            asker: Asker::new(),
            asking: Semaphore::new(AT_ONCE),
            attention: Mutex::new(Attention::default()),
            known: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Watches until told to end.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.look_again() => {}
            }
        }
    }

    /// All Pipelines. Somebody looks.
    pub(crate) async fn all(&self) -> Result<Listing, CannotTell> {
        let look = self.attend(None);
        timeout(LIMIT, look.all()).await.unwrap_or_else(|_| Err(too_slow()))
    }

    /// Whether there is such a Pipeline, which from now on is watched. Somebody looks at it.
    pub(crate) async fn attend_to(&self, key: &Key) -> Result<bool, CannotTell> {
        let look = self.attend(Some(key.clone()));
        if self.known.read().contains_key(key) {
            return Ok(true);
        }
        let _turn = self.turn.lock().await;
        // The turn before this one may have been about it.
        if self.known.read().contains_key(key) {
            return Ok(true);
        }
        self.visit(&*look, key).await
    }

    /// What is known of a Pipeline that is watched.
    pub(crate) fn known<T>(&self, key: &Key, of: impl FnOnce(&Known) -> T) -> Option<T> {
        self.known.read().get(key).map(of)
    }

    fn attend(&self, key: Option<Key>) -> Arc<dyn Look> {
        self.attention.lock().attend(key, Instant::now(), || self.subjects.look())
    }

    /// One tick.
    async fn look_again(&self) {
        let _turn = self.turn.lock().await;
        let Some((look, keys)) = self.due().await else {
            self.known.write().clear();
            return;
        };
        self.known.write().retain(|key, _| keys.contains(key));
        join_all(keys.iter().map(|key| self.visit_again(&*look, key))).await;
    }

    /// Finds out how a Pipeline is. When that fails, what was known stays, with a word about it.
    async fn visit_again(&self, look: &dyn Look, key: &Key) {
        if let Err(CannotTell(because)) = self.visit(look, key).await
            && let Some(known) = self.known.write().get_mut(key)
        {
            known.trouble = Some(because);
        }
    }

    /// What is to be looked at; nothing when nobody looks.
    async fn due(&self) -> Option<(Arc<dyn Look>, Vec<Key>)> {
        if !self.subjects.are_always_watched() {
            return self.attention.lock().due(Instant::now());
        }
        let look = self.attend(None);
        let all = timeout(LIMIT, look.all()).await.ok().and_then(Result::ok).unwrap_or_default();
        let keys = all.pipelines.into_iter().map(|outline| (outline.namespace, outline.name));
        Some((look, keys.collect()))
    }

    /// Finds out how a Pipeline is; gives whether there is one.
    async fn visit(&self, look: &dyn Look, key: &Key) -> Result<bool, CannotTell> {
        let found = timeout(LIMIT, look.one(&key.0, &key.1)).await.unwrap_or_else(|_| Err(too_slow()))?;
        let Some(subject) = found else {
            self.attention.lock().forget(key);
            self.known.write().remove(key);
            return Ok(false);
        };
        let (heard, left_out) = self.ask(&subject).await;
        let mut all = self.known.write();
        let known = all.entry(key.clone()).or_default();
        known.take(subject, &heard);
        if left_out > 0 {
            known.trouble =
                Some(format!("Figures of {left_out} processes are missing: there are more than {} MiB.", HELD >> 20));
        }
        Ok(true)
    }

    /// What each process of each stage says, and of how many the figures were left out.
    async fn ask(&self, subject: &Subject) -> (Vec<Heard>, usize) {
        let mut processes = Vec::new();
        for stage in &subject.stages {
            processes.extend(stage.processes.iter().map(|process| (stage.name.clone(), process.clone())));
        }
        processes.truncate(MOST_PROCESSES);
        let ask = |(stage, process): (String, ProcessAt)| async move {
            // It is never closed.
            let _turn = self.asking.acquire().await;
            let said = match process.admin {
                Admin::At(url) => self.asker.ask(&url).await,
                Admin::Starting(because) => Said::nothing(Condition::Starting(because)),
                Admin::Broken(because) => Said::nothing(Condition::Broken(because)),
            };
            Heard { stage, process: process.name, said }
        };
        let mut answers = std::pin::pin!(stream::iter(processes).map(ask).buffer_unordered(AT_ONCE));
        let (mut all, mut held, mut left_out) = (Vec::new(), 0, 0);
        while let Some(mut heard) = answers.next().await {
            held += heard.said.metrics.len();
            if held > HELD {
                held -= std::mem::take(&mut heard.said.metrics).len();
                left_out += 1;
            }
            all.push(heard);
        }
        (all, left_out)
    }
}

fn too_slow() -> CannotTell {
    CannotTell(format!("it could not be found out within {} s what there is", LIMIT.as_secs()))
}

/// Who looks at what.
#[derive(Default)]
struct Attention {
    /// There while somebody looks, and for a while after.
    look: Option<Arc<dyn Look>>,
    /// When somebody looked last.
    last: Option<Instant>,
    /// The Pipelines that somebody looks at, and when that was last.
    wanted: BTreeMap<Key, Instant>,
}

impl Attention {
    /// Somebody looks, perhaps at a Pipeline. When too many are looked at, the one that was looked at least lately goes.
    fn attend(&mut self, key: Option<Key>, now: Instant, look: impl FnOnce() -> Arc<dyn Look>) -> Arc<dyn Look> {
        self.last = Some(now);
        if let Some(key) = key {
            self.wanted.insert(key, now);
            if self.wanted.len() > MOST_WATCHED {
                let least = self.wanted.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
                least.map(|key| self.wanted.remove(&key));
            }
        }
        Arc::clone(self.look.get_or_insert_with(look))
    }

    /// What is to be looked at now; `None`, and an end of looking, once nobody has looked for a while.
    fn due(&mut self, now: Instant) -> Option<(Arc<dyn Look>, Vec<Key>)> {
        let is_over = |at: Instant| now.saturating_duration_since(at) > LINGER;
        if self.last.is_none_or(is_over) {
            self.look = None;
            self.wanted.clear();
        }
        self.wanted.retain(|_, at| !is_over(*at));
        Some((Arc::clone(self.look.as_ref()?), self.wanted.keys().cloned().collect()))
    }

    /// There is no such Pipeline.
    fn forget(&mut self, key: &Key) {
        self.wanted.remove(key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::subject::Fixed;

    fn key(number: usize) -> Key {
        ("shop".to_owned(), format!("p{number}"))
    }

    fn attend(attention: &mut Attention, key: Option<Key>, now: Instant) {
        attention.attend(key, now, || Arc::new(Fixed(Vec::new())));
    }

    fn due(attention: &mut Attention, now: Instant) -> Option<Vec<Key>> {
        attention.due(now).map(|(_, keys)| keys)
    }

    #[test]
    fn nothing_is_looked_at_before_somebody_looks_and_nothing_when_all_have_gone() {
        let (mut attention, begin) = (Attention::default(), Instant::now());
        assert!(due(&mut attention, begin).is_none());
        attend(&mut attention, Some(key(1)), begin);
        attend(&mut attention, None, begin + LINGER);
        assert_eq!(due(&mut attention, begin + LINGER), Some(vec![key(1)]));
        let later = begin + LINGER + TICK;
        assert_eq!(due(&mut attention, later), Some(Vec::new()), "somebody looks at the list only");
        assert!(due(&mut attention, later + LINGER).is_none());
        assert!(attention.look.is_none(), "what looking takes is given back");
    }

    #[test]
    fn of_too_many_that_are_looked_at_the_one_that_was_longest_ago_goes() {
        let (mut attention, begin) = (Attention::default(), Instant::now());
        for number in 0..=MOST_WATCHED {
            attend(&mut attention, Some(key(number)), begin + TICK * u32::try_from(number).unwrap());
        }
        let watched = due(&mut attention, begin + TICK).unwrap();
        assert_eq!(watched.len(), MOST_WATCHED);
        assert!(!watched.contains(&key(0)) && watched.contains(&key(1)));
    }
}
