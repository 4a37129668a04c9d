//! Every single field that the operator owns is repaired, whether it was changed or taken away; every other is left alone.

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt as _};
use penstock_control_plane::{Manifest, Wire, World, children, eventually, full, shared};
use penstock_operator::names;
use penstock_operator::observe::Kind;
use serde_json::{Map, Value, json};

const NAME: &str = "ecommerce";
/// In the short form, every so many fields one is tried.
const STEP: usize = 7;

/// A place in an object: names of fields, and numbers of items.
type Place = Vec<String>;

/// The places of the leaves that a field manager owns. `fields` is the `fieldsV1` of the API server.
fn owned(fields: &Map<String, Value>, value: &Value, place: &Place, found: &mut Vec<Place>) {
    for (key, below) in fields {
        let Some((kind, key)) = key.split_once(':') else { continue };
        let step = match (kind, value) {
            ("f", Value::Object(_)) => Some(key.to_owned()),
            ("k", Value::Array(items)) => position(items, key).map(|at| at.to_string()),
            // An item of a set is a leaf, and goes with its list.
            _ => None,
        };
        let Some(step) = step else { continue };
        let place = [place.clone(), vec![step.clone()]].concat();
        let inner = if let Value::Array(items) = value { items.get(at(&step)) } else { value.get(&step) };
        match (below.as_object(), inner) {
            (Some(below), Some(inner)) if below.keys().any(|key| key != ".") => owned(below, inner, &place, found),
            (_, Some(_)) => found.push(place),
            (_, None) => {}
        }
    }
}

fn at(step: &str) -> usize {
    step.parse().unwrap_or(usize::MAX)
}

/// The item of a list that has these keys.
fn position(items: &[Value], keys: &str) -> Option<usize> {
    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
    items.iter().position(|item| keys.iter().all(|(name, value)| item.get(name) == Some(value)))
}

/// Something else in the place of a value.
fn another(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(format!("{text}x")),
        Value::Number(number) => json!(number.as_i64().unwrap_or(0) + 1),
        Value::Bool(yes) => json!(!yes),
        Value::Array(items) => json!(items.iter().skip(1).collect::<Vec<_>>()),
        Value::Object(_) | Value::Null => json!({}),
    }
}

fn change(object: &mut Value, place: &Place, remove: bool) {
    let (last, parents) = place.split_last().unwrap();
    let parent = parents.iter().try_fold(object, |value, step| match value {
        Value::Array(items) => items.get_mut(at(step)),
        value => value.get_mut(step),
    });
    match parent {
        Some(Value::Object(fields)) if remove => drop(fields.remove(last)),
        Some(Value::Object(fields)) => {
            if let Some(value) = fields.get_mut(last) {
                *value = another(value);
            }
        }
        Some(Value::Array(items)) if remove && at(last) < items.len() => drop(items.remove(at(last))),
        _ => {}
    }
}

/// What somebody wrote, and not the API server.
fn content(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    value.as_object_mut().unwrap().remove("status");
    // A Service that was made again has another address.
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|field, _| !["clusterIP", "clusterIPs"].contains(&field.as_str()));
    }
    let metadata = &object.metadata;
    value["metadata"] =
        json!({ "labels": metadata.labels, "annotations": metadata.annotations, "owners": metadata.owner_references });
    value
}

/// Harms every field of a child, one after the other; gives how many could be harmed.
async fn repair(world: &World, kind: Kind, name: &str) -> anyhow::Result<usize> {
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &kind.api());
    let whole = api.get(name).await?;
    let entry = whole.managed_fields().iter().find(|entry| entry.manager.as_deref() == Some(names::FIELD_MANAGER));
    let fields = entry.and_then(|entry| entry.fields_v1.clone()).context("it is not ours")?;
    let mut places = Vec::new();
    owned(fields.0.as_object().context("no fields")?, &serde_json::to_value(&whole)?, &Vec::new(), &mut places);
    ensure!(places.len() >= 5, "{kind:?} {name}: {places:?}");
    let mut harmed = 0;
    let harms = places.iter().flat_map(|place| [(place, false), (place, true)]);
    for (place, remove) in harms.enumerate().filter(|(number, _)| full() || number % STEP == 0).map(|(_, harm)| harm) {
        if !harm(&api, name, place, remove).await? {
            continue;
        }
        harmed += 1;
        eventually(&format!("{kind:?} {name}: {place:?} (removed: {remove}) is repaired"), async || {
            let now = content(&api.get(name).await?);
            ensure!(now == content(&whole), "{now} instead of {}", content(&whole));
            Ok(())
        })
        .await?;
    }
    Ok(harmed)
}

/// Harms one field; `false` where the API server does not let anybody, or puts it back itself.
async fn harm(api: &Api<DynamicObject>, name: &str, place: &Place, remove: bool) -> anyhow::Result<bool> {
    let parameters = PostParams { field_manager: Some("somebody".to_owned()), ..PostParams::default() };
    loop {
        let now = api.get(name).await?;
        let mut value = serde_json::to_value(&now)?;
        change(&mut value, place, remove);
        let harmed = match serde_json::from_value(value) {
            Ok(harmed) => harmed,
            // Not even the shape of an object is left.
            Err(_) => return Ok(false),
        };
        match api.replace(name, &parameters, &harmed).await {
            Ok(after) => return Ok(content(&after) != content(&now)),
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => return Ok(false),
            Err(error) => bail!("{place:?}: {error}"),
        }
    }
}

async fn started(prefix: &str) -> Option<(World, penstock_control_plane::Operator)> {
    let plane = shared().unwrap()?;
    let world = World::new(plane, prefix).await.unwrap();
    let operator = world.operator(&Wire::default()).await.unwrap();
    world.apply(&Manifest::example(NAME).unwrap()).await.unwrap();
    world.ready(NAME).await.unwrap();
    Some((world, operator))
}

fn kind(name: &str) -> (Kind, &str) {
    let (kind, name) = name.split_once('/').unwrap();
    (Kind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap(), name)
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "how many there were")]
async fn every_field_of_every_child_is_repaired() {
    let Some((world, _operator)) = started("fields").await else { return };
    let there = children(&world.client, &world.namespace).await.unwrap();
    let all = there.keys().map(|name| {
        let (kind, name) = kind(name);
        repair(&world, kind, name)
    });
    let harmed: usize = try_join_all(all).await.unwrap().into_iter().sum();
    eprintln!("{harmed} fields of {} children were harmed, and repaired", there.len());
    assert!(harmed > there.len() * 2, "only {harmed} fields could be harmed");
}

#[tokio::test]
async fn labels_and_annotations_of_others_survive_on_every_child() {
    let Some((world, _operator)) = started("theirs").await else { return };
    let there = children(&world.client, &world.namespace).await.unwrap();
    let api = |kind: Kind| -> Api<DynamicObject> {
        Api::namespaced_with(world.client.clone(), &world.namespace, &kind.api())
    };
    let theirs = json!({ "metadata": { "labels": { "team": "shop" }, "annotations": { "example.com/note": "ours" } } });
    let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    for (kind, name) in there.keys().map(|name| kind(name)) {
        api(kind).patch(name, &parameters, &Patch::Merge(&theirs)).await.unwrap();
    }
    // The operator writes to each that it can: labels of its own are changed on all of them.
    for (kind, name) in there.keys().map(|name| kind(name)) {
        let ours = json!({ "metadata": { "labels": { (names::STAGE_LABEL): null } } });
        api(kind).patch(name, &parameters, &Patch::Merge(&ours)).await.unwrap();
        eventually(&format!("{kind:?} {name} is repaired"), async || {
            let labels = api(kind).get(name).await?.labels().clone();
            ensure!(labels.contains_key(names::STAGE_LABEL), "{labels:?}");
            Ok(())
        })
        .await
        .unwrap();
        let now = api(kind).get(name).await.unwrap();
        assert_eq!((now.labels()["team"].as_str(), now.annotations()["example.com/note"].as_str()), ("shop", "ours"));
    }
}
