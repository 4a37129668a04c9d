//! Items of ours in the lists of a live object whose key somebody has changed. Pure.
//!
//! To the API server an item with another key is another item, and whoever changed it owns it: an apply would put ours beside
//! it, or be refused where the two cannot be together, as two ports of one name. So what was ours has to go by itself.

use serde_json::{Value, json};

use super::diff::holds;

/// The fields that tell the items of a list apart, as the API server has it. Other lists are replaced as wholes.
fn keys(list: &str) -> &'static [&'static str] {
    match list {
        "containers" | "env" | "volumes" => &["name"],
        // Those of a container and those of a Service.
        "ports" => &["containerPort", "port", "protocol"],
        "volumeMounts" => &["mountPath"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => &[],
    }
}

/// An item that was not built.
struct Stranger<'a> {
    list: &'a str,
    /// A JSON pointer.
    at: String,
    item: &'a Value,
    /// Items of its list that were built and are not there.
    missing: Vec<&'a Value>,
}

/// The items that are ours but for their key, while ours is not there.
#[must_use]
pub fn moved(live: &Value, built: &Value) -> Vec<Value> {
    strangers(live, built).into_iter().filter(Stranger::is_ours).map(|stranger| stranger.item.clone()).collect()
}

/// A JSON patch that takes such items away, as far as they are there, and does nothing where one is another by then.
#[must_use]
pub fn removal(live: &Value, built: &Value, moved: &[Value]) -> Value {
    let mut strangers = strangers(live, built);
    strangers.retain(|stranger| moved.contains(stranger.item));
    // From the last to the first, since each removal moves what follows.
    let steps = strangers.iter().rev().flat_map(|Stranger { at, item, .. }| {
        [json!({ "op": "test", "path": at, "value": item }), json!({ "op": "remove", "path": at })]
    });
    Value::Array(steps.collect())
}

impl Stranger<'_> {
    fn is_ours(&self) -> bool {
        self.missing.iter().any(|built| {
            let one_name = self.list == "ports" && built["name"].is_string() && built["name"] == self.item["name"];
            one_name || holds(self.item, &without(built, keys(self.list)))
        })
    }
}

fn without(item: &Value, fields: &[&str]) -> Value {
    let mut rest = item.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.retain(|name, _| !fields.contains(&name.as_str()));
    }
    rest
}

fn strangers<'a>(live: &'a Value, built: &'a Value) -> Vec<Stranger<'a>> {
    let mut found = Vec::new();
    in_object(live, built, "", &mut found);
    found
}

fn in_object<'a>(live: &'a Value, built: &'a Value, at: &str, found: &mut Vec<Stranger<'a>>) {
    for (name, built) in built.as_object().into_iter().flatten() {
        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        match (&live[name], built) {
            (Value::Array(live), Value::Array(built)) => in_list(name, live, built, &at, found),
            (live, built) => in_object(live, built, &at, found),
        }
    }
}

fn in_list<'a>(list: &'a str, live: &'a [Value], built: &'a [Value], at: &str, found: &mut Vec<Stranger<'a>>) {
    let keys = keys(list);
    if keys.is_empty() {
        return;
    }
    let same = |one: &Value, other: &Value| keys.iter().all(|key| one.get(key) == other.get(key));
    for (number, item) in live.iter().enumerate() {
        let at = format!("{at}/{number}");
        match built.iter().find(|built| same(item, built)) {
            Some(built) => in_object(item, built, &at, found),
            None => {
                let missing = built.iter().filter(|built| !live.iter().any(|item| same(item, built))).collect();
                found.push(Stranger { list, at, item, missing });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ports: Value) -> Value {
        json!({ "spec": { "ports": ports } })
    }

    fn port(name: &str, port: u16) -> Value {
        json!({ "name": name, "port": port, "protocol": "TCP", "targetPort": name })
    }

    #[test]
    fn an_item_whose_key_was_changed_is_taken_away_and_what_was_added_stays() {
        let built = service(json!([port("http", 80), port("admin", 9090)]));
        let live = service(json!([port("metrics", 9100), port("http", 81), port("admin", 9090)]));
        let moved = moved(&live, &built);
        assert_eq!(moved, [port("http", 81)]);
        let expected = json!([
            { "op": "test", "path": "/spec/ports/1", "value": port("http", 81) },
            { "op": "remove", "path": "/spec/ports/1" },
        ]);
        assert_eq!(removal(&live, &built, &moved), expected);
        // Also when ours is there again.
        let both = service(json!([port("http", 80), port("http", 81), port("admin", 9090)]));
        assert_eq!(removal(&both, &built, &moved), expected);
    }

    #[test]
    fn of_ports_the_name_tells_whose_they_are() {
        let mut changed = port("http", 81);
        changed["targetPort"] = json!(8081);
        let live = service(json!([changed]));
        assert_eq!(moved(&live, &service(json!([port("http", 80)]))), [changed]);
    }

    #[test]
    fn what_stands_beside_ours_is_somebody_elses() {
        let built = json!({ "containers": [{ "name": "stage", "env": [{ "name": "A", "value": "1" }] }] });
        let live = json!({ "containers": [
            { "name": "sidecar", "env": [{ "name": "A", "value": "1" }] },
            { "name": "stage", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "1" }] },
        ] });
        assert!(moved(&live, &built).is_empty());
    }

    #[test]
    fn items_within_items_are_found_and_removed_from_the_last_to_the_first() {
        let built = json!({ "containers": [{ "name": "stage", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] }] });
        let live = json!({ "containers": [
            { "name": "sidecar" },
            { "name": "stage", "env": [{ "name": "C", "value": "1" }, { "name": "D", "value": "2" }, { "name": "E", "value": "3" }] },
        ] });
        let patch = removal(&live, &built, &moved(&live, &built));
        let paths: Vec<_> = patch.as_array().into_iter().flatten().map(|step| step["path"].clone()).collect();
        assert_eq!(paths, ["/containers/1/env/1", "/containers/1/env/1", "/containers/1/env/0", "/containers/1/env/0"]);
    }
}
