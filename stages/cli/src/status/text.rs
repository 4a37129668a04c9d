//! The views as text. Pure: the time is given.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::age::since;
use super::view::{View, is_amiss};

/// One paragraph a Pipeline.
pub(super) fn of(views: &[View], now: SystemTime) -> String {
    if views.is_empty() {
        return "There are no Pipelines here; --all-namespaces looks everywhere.\n".to_owned();
    }
    views.iter().map(|view| paragraph(view, now)).collect::<Vec<_>>().join("\n")
}

fn paragraph(view: &View, now: SystemTime) -> String {
    let mut text = headline(view, now);
    if !view.up_to_date && view.is_seen() {
        text.push_str("  The operator has not looked at the latest change yet; this is what it said before.\n");
    }
    if !view.is_seen() {
        text.push_str(
            "  The operator has said nothing about it yet. Is it running, and does it watch this namespace?\n  \
             kubectl get pods --all-namespaces --selector app.kubernetes.io/name=penstock,app.kubernetes.io/component=operator\n",
        );
        return text;
    }
    text.push_str(&conditions(view, now));
    text.push_str(&stages(view));
    text
}

/// `shop/orders: ready, 3/3 stages, in eu-west-1, 5d old`.
fn headline(view: &View, now: SystemTime) -> String {
    let state = match (view.ready, view.deleting) {
        (true, false) => "ready".to_owned(),
        (false, false) => format!("not ready ({})", view.reason),
        (_, true) => format!("being deleted ({})", view.reason),
    };
    let stages = view.status.stages_ready.as_ref().map(|ready| format!(", {ready} stages ready"));
    let region = view.region.as_ref().map(|region| format!(", in {region}"));
    format!(
        "{}/{}: {state}{}{}, {} old\n",
        view.namespace,
        view.name,
        stages.unwrap_or_default(),
        region.unwrap_or_default(),
        since(&view.created, now)
    )
}

/// Every condition in a line. What is amiss is told in full, each message once.
fn conditions(view: &View, now: SystemTime) -> String {
    let rows = view.status.conditions.iter().map(|condition| {
        [
            condition.condition_type.clone(),
            format!("{:?}", condition.status),
            condition.reason.clone(),
            since(&condition.last_transition_time, now),
        ]
    });
    let mut lines = aligned(["CONDITION", "STATUS", "REASON", "SINCE"], rows.collect()).into_iter();
    let mut text = lines.next().unwrap_or_default();
    let mut told: Vec<&str> = Vec::new();
    for (condition, line) in view.status.conditions.iter().zip(lines) {
        text.push_str(&line);
        let message = condition.message.as_str();
        if is_amiss(condition) && !message.is_empty() && !told.contains(&message) {
            told.push(message);
            for line in wrapped(message) {
                let _ = writeln!(text, "      {line}");
            }
        }
    }
    text
}

fn stages(view: &View) -> String {
    if view.status.stages.is_empty() {
        return String::new();
    }
    let rows = view.status.stages.iter().map(|stage| {
        [
            stage.name.clone(),
            format!("{}/{}", stage.ready_replicas, stage.replicas),
            stage.endpoint.clone().unwrap_or_default(),
        ]
    });
    aligned(["STAGE", "PODS", "ENDPOINT"], rows.collect()).concat()
}

/// Lines of a table, the head first.
fn aligned<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let all: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    all.iter().map(line).collect()
}

/// Lines of about a hundred letters; a word is never broken.
fn wrapped(message: &str) -> Vec<String> {
    const WIDTH: usize = 100;
    let mut lines = vec![String::new()];
    for word in message.split_whitespace() {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > WIDTH);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use chrono::DateTime;
    use serde_json::{Value, json};

    use super::*;

    /// States that were recorded, as Argo CD's health check is tested with.
    fn recorded(states: &[&str]) -> Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/argocd/testdata");
        let read = |state: &&str| -> Value {
            serde_yaml::from_str(&std::fs::read_to_string(folder.join(format!("{state}.yaml"))).unwrap()).unwrap()
        };
        json!({ "items": states.iter().map(read).collect::<Vec<_>>() })
    }

    fn now() -> SystemTime {
        DateTime::parse_from_rfc3339("2026-11-20T12:30:00Z").unwrap().into()
    }

    #[test]
    fn recorded_states_are_told_as_agreed_on() {
        let states = ["ready", "rolling-out", "not-ours", "suspended", "deleting", "stale-generation", "new"];
        let mut pipelines = recorded(&states);
        for pipeline in pipelines["items"].as_array_mut().unwrap() {
            pipeline["metadata"]["creationTimestamp"] = "2026-11-17T10:00:00Z".into();
        }
        let text = of(&View::all(&pipelines), now());
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/status.txt");
        if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let agreed = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, agreed, "run with PENSTOCK_WRITE_GENERATED=1 if it is meant");
    }

    #[test]
    fn a_status_of_another_generation_is_not_ready() {
        let mut pipelines = recorded(&["ready"]);
        assert!(View::all(&pipelines)[0].is_ready());
        pipelines["items"][0]["metadata"]["generation"] = 99.into();
        assert!(!View::all(&pipelines)[0].is_ready());
    }

    #[test]
    fn a_pipeline_that_nobody_has_looked_at_says_where_to_look() {
        let fresh = json!({ "metadata": { "name": "orders", "namespace": "shop", "generation": 1 }, "spec": {} });
        let text = of(&View::all(&fresh), now());
        assert!(text.starts_with("shop/orders: not ready (NotSeen), ? old"), "{text}");
        assert!(text.contains("kubectl get pods"), "{text}");
    }

    #[test]
    fn long_messages_are_wrapped_between_words() {
        let message = "word ".repeat(50);
        let lines = wrapped(&message);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 100), "{lines:?}");
        assert_eq!(lines.join(" "), message.trim());
    }
}
