//! Which events of a Pipeline ask for a reconcile: not those of the status that the reconcile itself has written.

use std::collections::HashMap;

use kube::runtime::controller::{ReconcileReason, ReconcileRequest};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use crate::pipeline::Pipeline;

/// What was seen of each Pipeline last.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    seen: HashMap<ObjectRef<Pipeline>, Seen>,
    /// What a list that is under way has brought.
    listed: HashMap<ObjectRef<Pipeline>, Seen>,
}

/// What about a Pipeline asks for a reconcile when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    uid: String,
    generation: i64,
    request: Option<String>,
    going: bool,
    finalizer: bool,
    has_status: bool,
}

impl Seen {
    fn of(pipeline: &Pipeline) -> Self {
        Self {
            uid: pipeline.identity().uid,
            generation: pipeline.generation(),
            request: pipeline.request(),
            going: pipeline.is_going(),
            finalizer: pipeline.has_finalizer(),
            has_status: pipeline.status().is_some_and(|status| !status.conditions.is_empty()),
        }
    }
}

/// What an event comes to.
#[derive(Debug, Default)]
pub(super) struct Turned {
    pub(super) asks: Vec<ReconcileRequest<Pipeline>>,
    /// UIDs of Pipelines that are gone.
    pub(super) gone: Vec<String>,
}

impl Triggers {
    pub(super) fn take(&mut self, event: &Event<Pipeline>) -> Turned {
        let mut turned = Turned::default();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pipeline) => {
                self.listed.insert(ObjectRef::from_obj(pipeline), Seen::of(pipeline));
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                for (_, seen) in self.seen.extract_if(|object, _| !listed.contains_key(object)) {
                    turned.gone.push(seen.uid);
                }
                for (object, now) in listed {
                    self.put(object, now, &mut turned);
                }
            }
            Event::Apply(pipeline) => self.put(ObjectRef::from_obj(pipeline), Seen::of(pipeline), &mut turned),
            Event::Delete(pipeline) => {
                self.seen.remove(&ObjectRef::from_obj(pipeline));
                turned.gone.push(pipeline.identity().uid);
            }
        }
        turned
    }

    fn put(&mut self, object: ObjectRef<Pipeline>, now: Seen, turned: &mut Turned) {
        let before = self.seen.insert(object.clone(), now.clone());
        if let Some(before) = &before
            && before.uid != now.uid
        {
            turned.gone.push(before.uid.clone());
        }
        // The first status, too, is our own.
        let lost_status = before.as_ref().is_some_and(|before| before.has_status && !now.has_status);
        let is_new = before.is_none_or(|before| Seen { has_status: now.has_status, ..before } != now);
        if is_new || lost_status {
            turned.asks.push(ReconcileRequest { obj_ref: object, reason: ReconcileReason::ObjectUpdated });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn pipeline(uid: &str, generation: i64, status: bool) -> Pipeline {
        let condition =
            json!({ "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "" });
        let status = if status { json!({ "conditions": [condition] }) } else { json!({}) };
        serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": "a", "uid": uid, "generation": generation }, "spec": {}, "status": status,
        }))
        .unwrap()
    }

    fn asks(triggers: &mut Triggers, event: Event<Pipeline>) -> usize {
        triggers.take(&event).asks.len()
    }

    #[test]
    fn a_new_spec_asks_and_a_new_status_does_not() {
        let mut triggers = Triggers::default();
        assert_eq!(asks(&mut triggers, Event::Apply(pipeline("1", 1, false))), 1);
        assert_eq!(asks(&mut triggers, Event::Apply(pipeline("1", 1, true))), 0, "it is our own");
        assert_eq!(asks(&mut triggers, Event::Apply(pipeline("1", 2, true))), 1);
        assert_eq!(asks(&mut triggers, Event::Apply(pipeline("1", 2, false))), 1, "somebody has removed the status");
    }

    #[test]
    fn one_that_was_made_again_asks_and_the_former_is_forgotten() {
        let mut triggers = Triggers::default();
        assert_eq!(asks(&mut triggers, Event::Apply(pipeline("1", 1, true))), 1);
        let turned = triggers.take(&Event::Apply(pipeline("2", 1, true)));
        assert_eq!((turned.asks.len(), turned.gone), (1, vec!["1".to_owned()]));
    }

    #[test]
    fn a_list_asks_for_what_is_new_and_forgets_what_is_gone() {
        let mut triggers = Triggers::default();
        assert_eq!(asks(&mut triggers, Event::Apply(pipeline("1", 1, true))), 1);
        triggers.take(&Event::Init);
        triggers.take(&Event::InitApply(pipeline("1", 1, true)));
        assert_eq!(asks(&mut triggers, Event::InitDone), 0);
        triggers.take(&Event::Init);
        assert_eq!(triggers.take(&Event::InitDone).gone, ["1"]);
    }
}
