//! The children of all Pipelines, by Pipeline: one list and one watch a kind and namespace fill it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use parking_lot::RwLock;

use super::packed::{Packed, Packer};
use super::{Kind, Live};

/// The children of one Pipeline.
pub type Children = BTreeMap<(Kind, String), Arc<Live>>;

/// A Pipeline: namespace and name.
type PipelineName = (String, String);
/// A child: kind and name.
type ChildName = (Kind, Box<str>);
/// A watch: a kind, in a namespace or (empty) in all.
type Watch = (Kind, String);

/// The children of all Pipelines. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct ChildCache(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    children: HashMap<PipelineName, BTreeMap<ChildName, Packed>>,
    watches: BTreeMap<Watch, WatchState>,
    /// What the operator may not watch, by namespace (empty: all) and kind, and why.
    shut: BTreeMap<(String, &'static str), String>,
    packer: Packer,
}

#[derive(Debug, Default)]
struct WatchState {
    listed: bool,
    /// What a list that is under way has brought so far.
    refill: Option<HashMap<(PipelineName, ChildName), Packed>>,
    trouble: Option<String>,
}

impl ChildCache {
    /// One that waits for a list of every kind in the namespaces; all of them when there are none.
    #[must_use]
    pub fn waiting_for(namespaces: &[String]) -> Self {
        let everywhere = [String::new()];
        let namespaces = if namespaces.is_empty() { &everywhere[..] } else { namespaces };
        let watches = namespaces
            .iter()
            .flat_map(|namespace| Kind::ALL.map(|kind| ((kind, namespace.clone()), WatchState::default())));
        Self(Arc::new(RwLock::new(State { watches: watches.collect(), ..State::default() })))
    }

    /// Takes an event of one watch in; gives the Pipelines that it touches.
    #[must_use]
    pub fn take(&self, kind: Kind, scope: &str, event: Event<Live>) -> Vec<PipelineName> {
        let mut state = self.0.write();
        let watch = (kind, scope.to_owned());
        match event {
            Event::Init => {
                state.watches.entry(watch).or_default().refill = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(live) => {
                if let Some(pipeline) = owner(&live) {
                    let packed = state.packer.pack(&live);
                    let refill = state.watches.entry(watch).or_default().refill.get_or_insert_default();
                    refill.insert((pipeline, child(kind, &live)), packed);
                }
                Vec::new()
            }
            Event::InitDone => {
                let entry = state.watches.entry(watch).or_default();
                entry.listed = true;
                entry.trouble = None;
                let fresh = entry.refill.take().unwrap_or_default();
                state.replace(kind, scope, fresh)
            }
            Event::Apply(live) => {
                state.watches.entry(watch).or_default().trouble = None;
                state.put_newer(kind, &live)
            }
            Event::Delete(live) => state.remove(kind, &live).into_iter().collect(),
        }
    }

    /// Takes in what the API server answered to an apply, where a former version of the same object is known: the watch brings
    /// the answer's only later, or has brought what came after it.
    ///
    /// Nothing is kept of an object that is not known. It may be gone by the time its answer comes, and no watch tells of that
    /// twice; whoever needs it before the watch brings it asks for it by name.
    pub fn answered(&self, kind: Kind, live: &Live) {
        self.0.write().renew(kind, live);
    }

    /// A watch fails.
    pub fn fails(&self, kind: Kind, scope: &str, because: String) {
        self.0.write().watches.entry((kind, scope.to_owned())).or_default().trouble = Some(because);
    }

    /// A watch fails no more.
    pub fn works(&self, kind: Kind, scope: &str) {
        self.0.write().watches.entry((kind, scope.to_owned())).or_default().trouble = None;
    }

    /// The operator may not watch a kind, of Pipelines or of children, in a namespace (empty: all).
    pub fn shuts(&self, kind: &'static str, scope: &str, because: String) {
        self.0.write().shut.insert((scope.to_owned(), kind), because);
    }

    /// The operator may watch a kind in a namespace (again).
    pub fn opens(&self, kind: &'static str, scope: &str) {
        self.0.write().shut.remove(&(scope.to_owned(), kind));
    }

    /// A kind that has not been listed yet in a namespace, and why.
    #[must_use]
    pub fn not_listed(&self, namespace: &str) -> Option<(Kind, Option<String>)> {
        let state = self.0.read();
        let relevant = state.watches.iter().filter(|((_, scope), _)| scope.is_empty() || scope == namespace);
        relevant.filter(|(_, watch)| !watch.listed).map(|((kind, _), watch)| (*kind, watch.trouble.clone())).next()
    }

    /// What keeps the cache from being whole and fresh: a list that is missing, or a watch that fails.
    ///
    /// A namespace of several in which the operator may not look is left out: its rights go with it when it is deleted, and
    /// the others are looked after all the same.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        let state = self.0.read();
        let is_shut = |scope: &str| state.shut.keys().any(|(shut, _)| shut == scope);
        let mut open = state.watches.iter().filter(|((_, scope), _)| !is_shut(scope)).peekable();
        if open.peek().is_none() {
            return state.shut.values().next().cloned();
        }
        open.find_map(|((kind, _), watch)| {
            let unlisted = || (!watch.listed).then(|| format!("the {}s have not been listed yet", kind.as_str()));
            watch.trouble.clone().or_else(unlisted)
        })
    }

    /// The children of a Pipeline.
    #[must_use]
    pub fn of(&self, namespace: &str, name: &str) -> Children {
        let state = self.0.read();
        let children = state.children.get(&(namespace.to_owned(), name.to_owned())).into_iter().flatten();
        children.map(|((kind, name), packed)| ((*kind, name.to_string()), Arc::new(packed.unpack()))).collect()
    }
}

impl State {
    /// Puts a child in, unless a later version of it is there. A list is believed in any case.
    fn put_newer(&mut self, kind: Kind, live: &Live) -> Vec<PipelineName> {
        let Some(pipeline) = owner(live) else { return Vec::new() };
        let (child, packed) = (child(kind, live), self.packer.pack(live));
        let known = self.known(&pipeline, &child);
        if known.is_some_and(|there| packed.is_older_than(there)) {
            return Vec::new();
        }
        // Somebody may have made it say that it belongs to another Pipeline.
        let former = if known.is_none() { self.take_from_others(&pipeline.0, &child) } else { None };
        self.put(pipeline.clone(), child, packed);
        former.into_iter().chain([pipeline]).collect()
    }

    /// Takes a child from the Pipeline that it said it belonged to before.
    fn take_from_others(&mut self, namespace: &str, child: &ChildName) -> Option<PipelineName> {
        let mut others = self.children.iter_mut().filter(|(pipeline, _)| pipeline.0 == namespace);
        others.find_map(|(pipeline, children)| children.remove(child).map(|_| pipeline.clone()))
    }

    /// Puts a later version of a child that is there in its place.
    fn renew(&mut self, kind: Kind, live: &Live) {
        let Some(pipeline) = owner(live) else { return };
        let (child, packed) = (child(kind, live), self.packer.pack(live));
        if self.known(&pipeline, &child).is_some_and(|there| there.is_older_than(&packed)) {
            self.put(pipeline, child, packed);
        }
    }

    /// What is there under the name of a child.
    fn known(&self, pipeline: &PipelineName, child: &ChildName) -> Option<&Packed> {
        self.children.get(pipeline)?.get(child)
    }

    fn put(&mut self, pipeline: PipelineName, child: ChildName, packed: Packed) {
        self.children.entry(pipeline).or_default().insert(child, packed);
    }

    fn remove(&mut self, kind: Kind, live: &Live) -> Option<PipelineName> {
        let pipeline = owner(live)?;
        let children = self.children.get_mut(&pipeline)?;
        let child = child(kind, live);
        // What the watch says is gone may have a successor.
        if children.get(&child).is_some_and(|there| there.uid() == live.uid()) {
            children.remove(&child);
        }
        if children.is_empty() {
            self.children.remove(&pipeline);
        }
        Some(pipeline)
    }

    fn replace(
        &mut self,
        kind: Kind,
        scope: &str,
        fresh: HashMap<(PipelineName, ChildName), Packed>,
    ) -> Vec<PipelineName> {
        let mut touched = BTreeSet::new();
        for (pipeline, children) in &mut self.children {
            if !scope.is_empty() && pipeline.0 != scope {
                continue;
            }
            children.retain(|child, _| {
                let stays = child.0 != kind || fresh.contains_key(&(pipeline.clone(), child.clone()));
                if !stays {
                    touched.insert(pipeline.clone());
                }
                stays
            });
        }
        self.children.retain(|_, children| !children.is_empty());
        for ((pipeline, child), packed) in fresh {
            if self.known(&pipeline, &child).is_none_or(|there| !there.is(&packed)) {
                self.put(pipeline.clone(), child, packed);
                touched.insert(pipeline);
            }
        }
        touched.into_iter().collect()
    }
}

fn owner(live: &Live) -> Option<PipelineName> {
    Some((live.metadata.namespace.clone()?, live.pipeline()?.to_owned()))
}

fn child(kind: Kind, live: &Live) -> ChildName {
    (kind, live.name().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(pipeline: &str, name: &str, uid: &str) -> Live {
        serde_json::from_value(json!({ "metadata": {
            "namespace": "shop", "name": name, "uid": uid, "resourceVersion": uid,
            "labels": { "penstock.dev/pipeline": pipeline },
        }}))
        .unwrap()
    }

    fn names(cache: &ChildCache, pipeline: &str) -> Vec<String> {
        cache.of("shop", pipeline).into_keys().map(|(_, name)| name).collect()
    }

    fn listed(objects: Vec<Live>) -> ChildCache {
        let cache = ChildCache::waiting_for(&[]);
        relist(&cache, objects);
        cache
    }

    fn relist(cache: &ChildCache, objects: Vec<Live>) -> Vec<PipelineName> {
        assert!(cache.take(Kind::Service, "", Event::Init).is_empty());
        for object in objects {
            assert!(cache.take(Kind::Service, "", Event::InitApply(object)).is_empty());
        }
        cache.take(Kind::Service, "", Event::InitDone)
    }

    #[test]
    fn nothing_is_known_until_every_kind_was_listed() {
        let cache = ChildCache::waiting_for(&[]);
        for kind in Kind::ALL {
            assert!(cache.not_listed("shop").is_some());
            let _ = cache.take(kind, "", Event::Init);
            let _ = cache.take(kind, "", Event::InitDone);
        }
        assert!(cache.not_listed("shop").is_none());
    }

    #[test]
    fn a_watch_that_fails_before_its_list_says_why() {
        let cache = ChildCache::waiting_for(&["shop".to_owned()]);
        cache.fails(Kind::ServiceAccount, "shop", "forbidden".to_owned());
        assert_eq!(cache.not_listed("shop"), Some((Kind::ServiceAccount, Some("forbidden".to_owned()))));
        assert!(cache.not_listed("other").is_none(), "that one is not watched");
    }

    #[test]
    fn a_namespace_where_the_operator_may_not_look_holds_up_no_other() {
        let cache = ChildCache::waiting_for(&["bank".to_owned(), "shop".to_owned()]);
        for kind in Kind::ALL {
            let _ = cache.take(kind, "shop", Event::Init);
            let _ = cache.take(kind, "shop", Event::InitDone);
        }
        cache.fails(Kind::Service, "bank", "forbidden".to_owned());
        assert!(cache.waits_for().is_some(), "it is still to be listed");
        cache.shuts("Service", "bank", "forbidden".to_owned());
        assert_eq!(cache.waits_for(), None);
        assert!(cache.not_listed("bank").is_some(), "of that one nothing is known");
        cache.shuts("Pipeline", "shop", "forbidden, too".to_owned());
        assert!(cache.waits_for().is_some(), "it may look nowhere");
        cache.opens("Pipeline", "shop");
        assert_eq!(cache.waits_for(), None);
        cache.opens("Service", "bank");
        assert!(cache.waits_for().is_some(), "it is listed again");
    }

    #[test]
    fn a_new_list_replaces_the_kind_and_touches_only_what_differs() {
        let cache = listed(vec![live("a", "a-1", "1"), live("a", "a-2", "2"), live("b", "b-1", "3")]);
        let touched = relist(&cache, vec![live("a", "a-1", "1"), live("b", "b-1", "4")]);
        assert_eq!(touched, [("shop".to_owned(), "a".to_owned()), ("shop".to_owned(), "b".to_owned())]);
        assert_eq!(names(&cache, "a"), ["a-1"]);
        assert!(relist(&cache, vec![live("a", "a-1", "1"), live("b", "b-1", "4")]).is_empty());
    }

    #[test]
    fn a_late_word_of_a_deletion_does_not_take_the_successor() {
        let cache = listed(vec![live("a", "a-1", "1")]);
        let _ = cache.take(Kind::Service, "", Event::Apply(live("a", "a-1", "2")));
        let _ = cache.take(Kind::Service, "", Event::Delete(live("a", "a-1", "1")));
        assert_eq!(names(&cache, "a"), ["a-1"]);
        let _ = cache.take(Kind::Service, "", Event::Delete(live("a", "a-1", "2")));
        assert!(names(&cache, "a").is_empty());
    }

    #[test]
    fn an_answer_that_comes_after_the_word_of_the_deletion_leaves_no_ghost() {
        let cache = listed(vec![live("a", "a-1", "1")]);
        let _ = cache.take(Kind::Service, "", Event::Delete(live("a", "a-1", "1")));
        cache.answered(Kind::Service, &versioned("2"));
        assert!(names(&cache, "a").is_empty());
        // Nor after a list that has not got it any more, nor beside its successor.
        let cache = listed(vec![live("a", "a-1", "1")]);
        let _ = relist(&cache, Vec::new());
        cache.answered(Kind::Service, &versioned("2"));
        assert!(names(&cache, "a").is_empty());
        let cache = listed(vec![live("a", "a-1", "3")]);
        cache.answered(Kind::Service, &versioned("4"));
        assert_eq!(cache.of("shop", "a")[&(Kind::Service, "a-1".to_owned())].uid(), "3");
    }

    #[test]
    fn a_child_that_says_it_belongs_to_another_pipeline_is_taken_from_the_former() {
        let cache = listed(vec![live("a", "a-1", "1"), live("a", "a-2", "2")]);
        let mut moved = live("b", "a-1", "1");
        moved.metadata.resource_version = Some("3".to_owned());
        let touched = cache.take(Kind::Service, "", Event::Apply(moved));
        assert_eq!(touched, [("shop".to_owned(), "a".to_owned()), ("shop".to_owned(), "b".to_owned())]);
        assert_eq!((names(&cache, "a"), names(&cache, "b")), (vec!["a-2".to_owned()], vec!["a-1".to_owned()]));
    }

    #[test]
    fn during_a_list_the_old_children_stay_known() {
        let cache = listed(vec![live("a", "a-1", "1")]);
        let _ = cache.take(Kind::Service, "", Event::Init);
        assert_eq!(names(&cache, "a"), ["a-1"]);
    }

    #[test]
    fn an_answer_that_comes_late_does_not_hide_what_the_watch_has_brought_since() {
        let cache = listed(vec![versioned("9")]);
        let version = || {
            let children = cache.of("shop", "a");
            children[&(Kind::Service, "a-1".to_owned())].metadata.resource_version.clone().unwrap()
        };
        cache.answered(Kind::Service, &versioned("10"));
        assert_eq!(version(), "10", "the watch comes later");
        let touched = cache.take(Kind::Service, "", Event::Apply(versioned("11")));
        assert_eq!((touched.len(), version().as_str()), (1, "11"));
        cache.answered(Kind::Service, &versioned("10"));
        assert_eq!(version(), "11");
        assert!(cache.take(Kind::Service, "", Event::Apply(versioned("10"))).is_empty(), "it is no news");
        let _ = cache.take(Kind::Service, "", Event::Init);
        let _ = cache.take(Kind::Service, "", Event::InitApply(versioned("8")));
        let _ = cache.take(Kind::Service, "", Event::InitDone);
        assert_eq!(version(), "8", "a list says what there is");
    }

    /// The same object at another version.
    fn versioned(version: &str) -> Live {
        let mut live = live("a", "a-1", "1");
        live.metadata.resource_version = Some(version.to_owned());
        live
    }
}
