//! The list of Pipelines, by trouble: pure functions from what is known to JSON.

use penstock_api::spec::{Condition, ConditionStatus};
use serde::Serialize;
use serde_json::{Value, json};

use crate::known::{Health, Known};
use crate::subject::{Key, Listing, Outline};

/// How many Pipelines a list has at most; whoever wants another one filters.
const SHOWN: usize = 200;
/// Reasons of `Ready` that are trouble, though it is tried again without anybody's help.
const TROUBLES: [&str; 3] = ["StageNotReady", "AwsFails", "KubernetesFails"];

/// A Pipeline in the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    namespace: String,
    name: String,
    #[serde(flatten)]
    state: State,
    stages: usize,
    ready: usize,
    /// Rows a second, where somebody watches it.
    rows_in: Option<f32>,
    rows_out: Option<f32>,
}

/// How a Pipeline is.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct State {
    /// How bad it is, from 0.
    trouble: u8,
    /// As the page's style calls it.
    is: &'static str,
    /// In a word.
    word: &'static str,
    because: Option<String>,
    /// Milliseconds since the Unix epoch, or the time as text.
    since: Option<Value>,
}

/// The namespace and the name.
pub(crate) fn key(outline: &Outline) -> Key {
    (outline.namespace.clone(), outline.name.clone())
}

/// The list of those that the filter lets through, the worst first.
pub(crate) fn sorted(listing: &Listing, filter: &str, line: impl Fn(&Outline) -> Line) -> Value {
    let filter = filter.to_lowercase();
    let is_wanted = |outline: &&Outline| format!("{}/{}", outline.namespace, outline.name).contains(&filter);
    let mut lines: Vec<_> = listing.pipelines.iter().filter(is_wanted).map(line).collect();
    lines.sort_by(|a, b| {
        let worst_first = b.state.trouble.cmp(&a.state.trouble);
        worst_first.then_with(|| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)))
    });
    let left_out = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    json!({
        "pipelines": lines,
        "leftOut": left_out,
        "all": listing.pipelines.len(),
        "trouble": listing.trouble,
    })
}

/// A Pipeline in the list: by what the operator says, and by what its processes say, where somebody watches it.
pub(crate) fn line(outline: &Outline, known: Option<&Known>) -> Line {
    let told = (!outline.conditions.is_empty() || known.is_none()).then(|| of_conditions(&outline.conditions));
    let seen = known.and_then(of_health);
    // Of the same trouble, what was seen just now is nearer to it; where there is none, the operator knows more.
    let is_worse = |told: &State, seen: &State| told.trouble > seen.trouble || seen.trouble == 0;
    let state = seen.into_iter().chain(told).reduce(|seen, told| if is_worse(&told, &seen) { told } else { seen });
    let is_well = |(health, _): &&(Health, u64)| health.trouble() == 0;
    let looked_at = known.filter(|known| !known.health.is_empty());
    let ready = looked_at.map(|known| known.health.values().filter(is_well).count());
    Line {
        namespace: outline.namespace.clone(),
        name: outline.name.clone(),
        state: state.unwrap_or(State {
            trouble: 0,
            is: "unknown",
            word: "being looked at",
            because: None,
            since: None,
        }),
        stages: outline.stages,
        ready: ready.unwrap_or(outline.ready),
        rows_in: known.and_then(|known| rows(known, true)),
        rows_out: known.and_then(|known| rows(known, false)),
    }
}

/// As the operator says.
fn of_conditions(conditions: &[Condition]) -> State {
    let of = |name: &str| conditions.iter().find(|condition| condition.condition_type == name);
    let is_true = |condition: &&Condition| condition.status == ConditionStatus::True;
    let state = |trouble, is, word, condition: &Condition| State {
        trouble,
        is,
        word,
        because: (!is_true(&condition)).then(|| condition.message.clone()),
        since: Some(condition.last_transition_time.clone().into()),
    };
    let Some(ready) = of("Ready") else {
        let because = Some("it has not been looked at yet".to_owned());
        return State { trouble: 1, is: "waits", word: "new", because, since: None };
    };
    if let Some(stalled) = of("Stalled").filter(is_true) {
        // Its message is that of `Ready`; its time is that of the stall.
        let because = Some(stalled.message.clone());
        return State { because, ..state(4, "silent", "stalled", stalled) };
    }
    match ready.reason.as_str() {
        _ if is_true(&ready) => state(0, "ready", "ready", ready),
        "Suspended" => state(0, "rests", "rests", ready),
        reason if TROUBLES.contains(&reason) => state(2, "silent", "in trouble", ready),
        _ => state(1, "waits", "on its way", ready),
    }
}

/// As its processes say.
fn of_health(known: &Known) -> Option<State> {
    let (stage, health, since) = known.worst()?;
    // A stage that rests does not make a Pipeline rest.
    let works = known.health.values().any(|(health, _)| *health == Health::Ready);
    let health = if *health == Health::Rests && works { &Health::Ready } else { health };
    let word = match health {
        Health::Ready => "ready",
        Health::Rests => "rests",
        Health::Waits(_) => "waits",
        Health::Absent => "not running",
        Health::Silent(_) => "does not answer",
    };
    let because = health.because().filter(|_| health.trouble() > 0).map(|because| format!("{stage}: {because}"));
    Some(State { trouble: health.trouble(), is: health.name(), word, because, since: Some(since.into()) })
}

/// Rows a second that come in, or that are stored.
fn rows(known: &Known, is_source: bool) -> Option<f32> {
    let spec = &known.subject.as_ref()?.pipeline.spec;
    let sources = spec.sources.iter().map(|source| &source.name);
    let sinks = spec.sinks.iter().map(|sink| &sink.name);
    let names: Vec<_> = if is_source { sources.collect() } else { sinks.collect() };
    names.into_iter().filter_map(|name| known.history.latest(name, "rows", false)).reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: &str, status: ConditionStatus, reason: &str) -> Condition {
        Condition {
            condition_type: name.to_owned(),
            status,
            observed_generation: None,
            last_transition_time: "2026-01-01T00:00:00Z".to_owned(),
            reason: reason.to_owned(),
            message: format!("why {reason}"),
        }
    }

    fn outline(name: &str, conditions: Vec<Condition>) -> Outline {
        Outline { namespace: "shop".to_owned(), name: name.to_owned(), conditions, stages: 3, ready: 2 }
    }

    #[test]
    fn those_in_trouble_come_first_and_say_why() {
        use ConditionStatus::{False, True};
        let listing = Listing {
            pipelines: vec![
                outline("b-fine", vec![condition("Ready", True, "Ready")]),
                outline("a-fine", vec![condition("Ready", True, "Ready")]),
                outline("new", Vec::new()),
                outline("rolls", vec![condition("Ready", False, "RollingOut")]),
                outline("rests", vec![condition("Ready", False, "Suspended")]),
                outline("troubled", vec![condition("Ready", False, "StageNotReady")]),
                outline(
                    "stuck",
                    vec![condition("Ready", False, "AccessDenied"), condition("Stalled", True, "AccessDenied")],
                ),
            ],
            trouble: None,
        };
        let list = sorted(&listing, "", |outline| line(outline, None));
        let seen: Vec<_> = list["pipelines"].as_array().into_iter().flatten().map(|line| &line["name"]).collect();
        assert_eq!(seen, ["stuck", "troubled", "new", "rolls", "a-fine", "b-fine", "rests"]);
        assert_eq!(list["pipelines"][0]["because"], "why AccessDenied");
        assert_eq!(list["pipelines"][4]["because"], Value::Null);
    }

    #[test]
    fn a_long_list_is_cut_where_the_trouble_is_least_and_a_filter_finds_the_rest() {
        let names = (0..SHOWN + 7).map(|number| outline(&format!("p{number:03}"), Vec::new()));
        let listing = Listing { pipelines: names.collect(), trouble: None };
        let list = |filter: &str| sorted(&listing, filter, |outline| line(outline, None));
        assert_eq!((list("")["leftOut"].as_u64(), list("")["all"].as_u64()), (Some(7), Some(207)));
        assert_eq!(list("P206")["pipelines"][0]["name"], "p206");
        assert_eq!(list("shop/p00")["pipelines"].as_array().map(Vec::len), Some(10));
    }
}
