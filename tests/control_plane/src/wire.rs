//! What stands between the operator and the world: it sees every call to Kubernetes and to AWS, and may lose, refuse or
//! withhold it.
//!
//! A call that is lost or withheld is never answered: whoever waits for it must be dropped, as in a crash. [`Wire::struck`]
//! tells when that has come.

pub(crate) mod aws;
mod kubernetes;
mod watches;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use watches::Lists;
use watches::Watches;

/// Whom a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The API server.
    Kubernetes,
    /// A service of AWS.
    Aws,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whom it goes to.
    pub target: Target,
    /// The HTTP method, or the operation of AWS.
    pub verb: String,
    /// The path, or what the call to AWS is about.
    pub path: String,
    /// Whether it is a watch.
    pub watch: bool,
    /// Which of the calls that write it is, from 0; `None` for one that reads.
    pub write: Option<usize>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.path)
    }
}

/// What is done to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is carried out, and its answer never comes.
    Lose,
    /// It is never carried out, and no answer comes.
    Withhold,
    /// The connection breaks before it is sent.
    Reset,
    /// It is carried out, and then the connection breaks.
    ResetAfter,
    /// It is not carried out, and this is answered.
    Answer(Answer),
}

/// An answer that the service has not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Kubernetes' reason, or the type of AWS's exception.
    pub reason: &'static str,
    /// The seconds in `Retry-After`.
    pub retry_after: Option<u32>,
}

/// Decides what is done to each call.
pub type Script = Box<dyn FnMut(&Call) -> Fault + Send>;

/// A call that was carried out, and what the service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The call.
    pub call: Call,
    /// The status of its answer; `None` while there is none.
    pub status: Option<u16>,
}

/// The wire. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Wire {
    state: Arc<Mutex<State>>,
    struck: CancellationToken,
    watches: Watches,
}

struct State {
    script: Script,
    writes: usize,
    journal: Vec<Outcome>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new(|_| Fault::None)
    }
}

impl Wire {
    /// One that does to each call what `script` says.
    pub fn new(script: impl FnMut(&Call) -> Fault + Send + 'static) -> Self {
        let state = State { script: Box::new(script), writes: 0, journal: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)), struck: CancellationToken::new(), watches: Watches::default() }
    }

    /// One that loses (or, before it is carried out, withholds) the write of this number, and everything after it.
    #[must_use]
    pub fn crash_at(write: usize, committed: bool) -> Self {
        let mut crashed = false;
        Self::new(move |call| match call.write {
            _ if crashed => Fault::Withhold,
            Some(number) if number == write => {
                crashed = true;
                if committed { Fault::Lose } else { Fault::Withhold }
            }
            _ => Fault::None,
        })
    }

    /// Goes on with another script.
    pub fn follow(&self, script: impl FnMut(&Call) -> Fault + Send + 'static) {
        self.state.lock().script = Box::new(script);
    }

    /// From now on no watch brings anything.
    pub fn hold_watches(&self) {
        self.watches.hold(true);
    }

    /// What was held comes now, and watches go on.
    pub fn release_watches(&self) {
        self.watches.hold(false);
    }

    /// What is held never comes: every watch ends as expired, and there has to be a new list.
    pub fn break_watches(&self) {
        self.watches.break_off();
    }

    /// Everything that the watches have brought comes once more.
    pub fn replay_watches(&self) {
        self.watches.replay();
    }

    /// The answers to all lists until now.
    #[must_use]
    pub fn lists(&self) -> Lists {
        self.watches.lists()
    }

    /// The first list of each kind is answered with this, without asking.
    pub fn answer_lists(&self, old: Lists) {
        self.watches.answer_lists(old);
    }

    /// Waits until a call was lost or withheld.
    pub async fn struck(&self) {
        self.struck.cancelled().await;
    }

    /// Whether a call was lost or withheld.
    #[must_use]
    pub fn is_struck(&self) -> bool {
        self.struck.is_cancelled()
    }

    /// The writes that were carried out, in their order.
    #[must_use]
    pub fn writes(&self) -> Vec<Outcome> {
        self.state.lock().journal.iter().filter(|outcome| outcome.call.write.is_some()).cloned().collect()
    }

    /// Every call that was carried out, in its order.
    #[must_use]
    pub fn calls(&self) -> Vec<Outcome> {
        self.state.lock().journal.clone()
    }

    /// Notes a call; says what is done to it, and which entry of the journal it is.
    fn admit(&self, mut call: Call, writes: bool) -> (Fault, Option<usize>) {
        let mut state = self.state.lock();
        if writes {
            call.write = Some(state.writes);
            state.writes += 1;
        }
        let fault = (state.script)(&call);
        let carried_out = matches!(fault, Fault::None | Fault::Lose | Fault::ResetAfter);
        if carried_out {
            state.journal.push(Outcome { call, status: None });
        }
        (fault, carried_out.then(|| state.journal.len() - 1))
    }

    fn answered(&self, entry: Option<usize>, status: u16) {
        if let Some(entry) = entry {
            self.state.lock().journal[entry].status = Some(status);
        }
    }

    /// Never returns.
    async fn strike(&self) -> Infallible {
        self.struck.cancel();
        std::future::pending().await
    }
}
