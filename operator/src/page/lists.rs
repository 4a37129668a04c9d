//! Lists of what belongs to a Pipeline, asked for when somebody looks, and remembered for a moment.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::apply::error::said;
use crate::pipeline::Pipeline;

/// How long listing may take: less than a look may.
const LIMIT: Duration = Duration::from_secs(5);
/// How long it is not tried again after a failure.
const PAUSE: Duration = Duration::from_secs(15);

/// What was listed, or what the API server said instead.
pub(super) type Answered<K> = Result<Arc<Vec<K>>, String>;

/// By Pipeline: when was asked, and what was answered.
pub(super) struct Lists<K> {
    known: Mutex<HashMap<ObjectRef<Pipeline>, (Instant, Answered<K>)>>,
    holds: Duration,
}

impl<K: Clone + Debug + DeserializeOwned> Lists<K> {
    /// Answers hold so long, and are asked for anew after that.
    pub(super) fn that_hold(holds: Duration) -> Self {
        Self { known: Mutex::default(), holds }
    }

    /// There is no such Pipeline.
    pub(super) fn forget(&self, key: &ObjectRef<Pipeline>) {
        self.known.lock().remove(key);
    }

    /// What belongs to a Pipeline.
    pub(super) async fn of(&self, key: &ObjectRef<Pipeline>, api: &Api<K>, wanted: &ListParams) -> Answered<K> {
        let holds =
            |(at, answered): &&(Instant, Answered<K>)| at.elapsed() < if answered.is_ok() { self.holds } else { PAUSE };
        if let Some((_, answered)) = self.known.lock().get(key).filter(holds) {
            return answered.clone();
        }
        let answered = match timeout(LIMIT, api.list(wanted)).await {
            Ok(answer) => answer.map(|list| Arc::new(list.items)).map_err(|error| said(&error)),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        };
        let mut known = self.known.lock();
        known.retain(|_, (at, _)| at.elapsed() < PAUSE);
        known.insert(key.clone(), (Instant::now(), answered.clone()));
        answered
    }
}
