//! Whether a live object already is what was built. Pure.
//!
//! The API server fills in defaults and others add fields of their own, so the question is not whether the two are equal,
//! but whether the live one *holds* what was built. It is then not applied again: an idle operator writes nothing.

use serde_json::Value;

/// Keys by which Kubernetes merges the items of lists, where they have one. Other lists are compared as wholes.
const MERGE_KEYS: [&str; 6] = ["name", "containerPort", "port", "uid", "mountPath", "topologyKey"];

/// Maps from a name to a text, in which the name alone says something.
const MAPS_OF_TEXTS: [&str; 5] = ["labels", "annotations", "nodeSelector", "matchLabels", "data"];

/// Whether `live` holds everything that `built` says.
#[must_use]
pub fn holds(live: &Value, built: &Value) -> bool {
    match (live, built) {
        (Value::Object(live), Value::Object(built)) => {
            built.iter().all(|(key, built)| field_holds(live.get(key), key, built))
        }
        (Value::Array(live), Value::Array(built)) => list_holds(live, built),
        _ => live == built,
    }
}

fn field_holds(live: Option<&Value>, key: &str, built: &Value) -> bool {
    match live {
        // The API server drops what says nothing.
        None => says_nothing(built),
        Some(live) if MAPS_OF_TEXTS.contains(&key) => texts_hold(live, built),
        Some(live) if key == "requests" || key == "limits" => quantities_hold(live, built),
        Some(live) => holds(live, built),
    }
}

fn says_nothing(built: &Value) -> bool {
    match built {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn texts_hold(live: &Value, built: &Value) -> bool {
    let (Some(live), Some(built)) = (live.as_object(), built.as_object()) else { return live == built };
    built.iter().all(|(name, text)| live.get(name) == Some(text))
}

fn list_holds(live: &[Value], built: &[Value]) -> bool {
    let key = MERGE_KEYS.into_iter().find(|key| !built.is_empty() && built.iter().all(|item| !item[key].is_null()));
    match key {
        Some(key) => built.iter().all(|built| live.iter().any(|live| live[key] == built[key] && holds(live, built))),
        None => live.len() == built.len() && live.iter().zip(built).all(|(live, built)| holds(live, built)),
    }
}

/// The API server writes quantities in its own way: `1000m` becomes `1`.
fn quantities_hold(live: &Value, built: &Value) -> bool {
    let (Some(live), Some(built)) = (live.as_object(), built.as_object()) else { return live == built };
    built.iter().all(|(name, built)| {
        live.get(name).is_some_and(|live| live == built || (nano(live).is_some() && nano(live) == nano(built)))
    })
}

/// A quantity in billionths.
fn nano(quantity: &Value) -> Option<i128> {
    let text = quantity.as_str()?;
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor: i128 = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "k" => 1_000_000_000_000,
        "M" => 1_000_000_000_000_000,
        "G" => 1_000_000_000_000_000_000,
        "T" => 1_000_000_000_000_000_000_000,
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        "Ti" => 1_000_000_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    // Both factors are exact: the fraction is in billionths.
    whole.checked_mul(factor)?.checked_add(fraction.checked_mul(factor)? / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_foreign_fields_are_no_difference() {
        let built = json!({ "spec": { "containers": [{ "name": "stage", "image": "a" }] } });
        let live = json!({
            "spec": { "dnsPolicy": "ClusterFirst", "containers": [{ "name": "sidecar" }, { "name": "stage", "image": "a", "tty": false }] },
            "status": {},
        });
        assert!(holds(&live, &built));
    }

    #[test]
    fn a_field_of_ours_that_was_changed_or_removed_is_one() {
        let built = json!({ "labels": { "a": "1" }, "containers": [{ "name": "stage", "image": "a" }] });
        assert!(!holds(&json!({ "labels": { "a": "2" }, "containers": [{ "name": "stage", "image": "a" }] }), &built));
        assert!(!holds(&json!({ "labels": {}, "containers": [{ "name": "stage", "image": "a" }] }), &built));
        assert!(!holds(&json!({ "labels": { "a": "1" }, "containers": [{ "name": "stage", "image": "b" }] }), &built));
        assert!(!holds(&json!({ "labels": { "a": "1" }, "containers": [] }), &built));
    }

    #[test]
    fn lists_without_a_key_are_compared_as_wholes() {
        assert!(!holds(&json!({ "args": ["a", "b"] }), &json!({ "args": ["a"] })));
        assert!(!holds(&json!({ "args": ["b", "a"] }), &json!({ "args": ["a", "b"] })));
        assert!(holds(&json!({ "args": ["a", "b"] }), &json!({ "args": ["a", "b"] })));
        assert!(!holds(&json!({ "ingress": [{ "from": [] }, {}] }), &json!({ "ingress": [{}] })));
    }

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        let limits = |text: &str| json!({ "limits": { "cpu": text } });
        for (live, built) in [("1", "1000m"), ("512Mi", "0.5Gi"), ("1500m", "1.5"), ("1Gi", "1024Mi"), ("100m", "0.1")]
        {
            assert!(holds(&limits(live), &limits(built)), "{live} is {built}");
        }
        for (live, built) in [("1", "1001m"), ("512M", "512Mi"), ("x", "y")] {
            assert!(!holds(&limits(live), &limits(built)), "{live} is not {built}");
        }
    }

    #[test]
    fn what_says_nothing_may_be_missing() {
        assert!(holds(&json!({}), &json!({ "namespaceSelector": {}, "tolerations": [], "priorityClassName": "" })));
        let toleration = |value: Value| json!({ "tolerations": [value] });
        let built = json!({ "key": "gpu", "operator": "Exists", "value": "" });
        assert!(holds(&toleration(json!({ "key": "gpu", "operator": "Exists" })), &toleration(built)));
        let labels = |labels: Value| json!({ "labels": labels });
        assert!(!holds(&labels(json!({})), &labels(json!({ "lake": "" }))), "a label may be empty");
        assert!(holds(&labels(json!({ "lake": "", "theirs": "x" })), &labels(json!({ "lake": "" }))));
        assert!(!holds(&json!({}), &json!({ "replicas": 0 })));
    }
}
