//! What the page gets: pure functions from what is known to JSON.

use std::collections::BTreeSet;

use penstock_api::spec::{Api, PipelineSpec, Sink, Source};
use serde::Serialize;
use serde_json::{Value, json};

use crate::drawn;
use crate::history::{History, TICK};
use crate::known::{Health, Known, millis_now};
use crate::measure::STORED_AFTER;
use crate::subject::Key;

/// A part of a Pipeline, as a box of the picture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    /// `source`, `buffer`, `sink`, `store` or `api`; the picture has a column for each.
    kind: &'static str,
    title: String,
    detail: String,
    state: State,
    numbers: Vec<Number>,
}

/// How a part is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// `ready`, `rests`, `waits`, `silent`, `absent`, `unknown`, or `none` for what has no process of its own.
    is: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Number {
    name: &'static str,
    value: Option<f64>,
    unit: &'static str,
}

#[derive(Debug, Serialize)]
struct Edge {
    from: String,
    to: String,
    /// Records a second.
    rate: Option<f32>,
}

/// Everything about one Pipeline; of the charts only what is new since a tick.
pub(crate) fn whole(key: &Key, known: &Known, since: u64) -> Value {
    let Some(subject) = &known.subject else { return Value::Null };
    let spec = &subject.pipeline.spec;
    let since = since.clamp(known.history.first(), known.history.next());
    let urls: Vec<_> = subject
        .stages
        .iter()
        .filter_map(|stage| stage.url.as_ref().map(|url| json!({ "stage": stage.name, "url": url })))
        .collect();
    json!({
        "namespace": key.0,
        "name": key.1,
        "now": millis_now(),
        "watchedSince": known.watched_since,
        "trouble": known.trouble.as_ref().or(subject.trouble.as_ref()),
        "tickMillis": u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX),
        "from": since,
        "next": known.history.next(),
        "nodes": nodes(spec, known),
        "edges": edges(spec, &known.history),
        "charts": charts(spec, &known.history, since),
        "answers": drawn::charts(subject),
        "conditions": subject.conditions,
        "events": subject.events.newest,
        "eventsTrouble": subject.events.trouble,
        "urls": urls,
        "buffers": spec.buffers.iter().map(|buffer| &buffer.name).collect::<Vec<_>>(),
        "sinks": spec.sinks.iter().map(look_inside).collect::<Vec<_>>(),
        "inside": subject.stores.is_some(),
    })
}

/// What can be looked at of a sink.
fn look_inside(sink: &Sink) -> Value {
    let tables = sink.dynamodb.iter().flat_map(|target| &target.tables).map(|table| {
        let attribute = |key: &penstock_api::spec::KeyField| key.attribute.clone().or_else(|| key.field.clone());
        json!({
            "name": table.name,
            "partition": attribute(&table.partition).unwrap_or_else(|| "pk".to_owned()),
            "sort": table.sort.as_ref().map(|sort| attribute(sort).unwrap_or_else(|| "sk".to_owned())),
        })
    });
    json!({ "name": sink.name, "objects": sink.s3.is_some(), "tables": tables.collect::<Vec<_>>() })
}

fn nodes(spec: &PipelineSpec, known: &Known) -> Vec<Node> {
    let sources = spec.sources.iter().map(|source| source_node(source, known));
    let buffers = spec.buffers.iter().map(|buffer| {
        let shards = buffer.kinesis.as_ref().and_then(|kinesis| kinesis.shards);
        let read_by: Vec<_> = spec.sinks.iter().filter(|sink| sink.from == buffer.name).collect();
        let lag = read_by.iter().filter_map(|sink| known.history.latest(&sink.name, "lag", true)).reduce(f32::max);
        Node {
            id: format!("buffer/{}", buffer.name),
            kind: "buffer",
            title: buffer.name.clone(),
            detail: shards.map_or_else(|| "Kinesis".to_owned(), |shards| format!("Kinesis, {shards} shards")),
            state: State { is: "none", because: None, since: None },
            numbers: vec![Number { name: "slowest reader", value: lag.map(f64::from), unit: "ms" }],
        }
    });
    let sinks = spec.sinks.iter().map(|sink| sink_node(sink, known));
    let stores = spec.sinks.iter().flat_map(stores);
    let apis = spec.apis.iter().flatten().map(|api| api_node(api, known));
    sources.chain(buffers).chain(sinks).chain(stores).chain(apis).collect()
}

fn source_node(source: &Source, known: &Known) -> Node {
    let history = &known.history;
    Node {
        id: format!("source/{}", source.name),
        kind: "source",
        title: source.name.clone(),
        detail: source.http.as_ref().map(|http| format!("POST {}", http.path)).unwrap_or_default(),
        state: state(known.health.get(&source.name)),
        numbers: vec![
            rate(history, &source.name, "rows", "rows in"),
            rate(history, &source.name, "refused", "refused"),
            Number { name: "accepted in all", value: Some(history.total(&source.name, "rows")), unit: "" },
        ],
    }
}

fn sink_node(sink: &Sink, known: &Known) -> Node {
    let history = &known.history;
    let lag = history.latest(&sink.name, "lag", true).map(f64::from);
    Node {
        id: format!("sink/{}", sink.name),
        kind: "sink",
        title: sink.name.clone(),
        detail: match (&sink.s3, &sink.dynamodb) {
            (Some(_), _) => "to S3".to_owned(),
            (_, Some(_)) => "to DynamoDB".to_owned(),
            _ => String::new(),
        },
        state: state(known.health.get(&sink.name)),
        numbers: vec![
            rate(history, &sink.name, "rows", "stored"),
            Number { name: "behind", value: lag, unit: "ms" },
            Number { name: "stored in all", value: Some(history.total(&sink.name, "rows")), unit: "" },
            Number { name: "repeats left out", value: Some(history.total(&sink.name, "repeats")), unit: "" },
            Number { name: "dead letters", value: Some(history.total(&sink.name, "dead_letters")), unit: "" },
        ],
    }
}

fn api_node(api: &Api, known: &Known) -> Node {
    let history = &known.history;
    Node {
        id: format!("api/{}", api.name),
        kind: "api",
        title: api.name.clone(),
        detail: format!("GET, {} routes", api.routes.len()),
        state: state(known.health.get(&api.name)),
        numbers: vec![
            rate(history, &api.name, "requests", "requests"),
            Number { name: "asked in all", value: Some(history.total(&api.name, "requests")), unit: "" },
        ],
    }
}

fn rate(history: &History, stage: &str, measure: &str, name: &'static str) -> Number {
    Number { name, value: history.latest(stage, measure, false).map(f64::from), unit: "/s" }
}

fn stores(sink: &Sink) -> Vec<Node> {
    let store = |id: String, title: String, detail: String| Node {
        id,
        kind: "store",
        title,
        detail,
        state: State { is: "none", because: None, since: None },
        numbers: Vec::new(),
    };
    let bucket = sink.s3.iter().map(|s3| {
        store(format!("store/{}/{}", sink.name, s3.bucket), s3.bucket.clone(), format!("bucket, {}", s3.key))
    });
    let tables = sink
        .dynamodb
        .iter()
        .flat_map(|target| &target.tables)
        .map(|table| store(format!("store/{}/{}", sink.name, table.name), table.name.clone(), "table".to_owned()));
    bucket.chain(tables).collect()
}

fn edges(spec: &PipelineSpec, history: &History) -> Vec<Edge> {
    let rate = |stage: &str| history.latest(stage, "rows", false);
    let sources = spec.sources.iter().map(|source| Edge {
        from: format!("source/{}", source.name),
        to: format!("buffer/{}", source.to),
        rate: rate(&source.name),
    });
    let sinks = spec.sinks.iter().map(|sink| Edge {
        from: format!("buffer/{}", sink.from),
        to: format!("sink/{}", sink.name),
        rate: history.latest(&sink.name, "read", false),
    });
    let stores = spec.sinks.iter().flat_map(|sink| {
        stores(sink).into_iter().map(|store| Edge {
            from: format!("sink/{}", sink.name),
            to: store.id,
            rate: rate(&sink.name),
        })
    });
    sources.chain(sinks).chain(stores).chain(questions(spec)).collect()
}

/// From each table to the apis that ask it. How often is told in their boxes.
fn questions(spec: &PipelineSpec) -> impl Iterator<Item = Edge> {
    spec.apis.iter().flatten().flat_map(move |api| {
        let asked: BTreeSet<_> = api.routes.iter().map(|route| &route.table).collect();
        spec.sinks
            .iter()
            .flat_map(|sink| {
                sink.dynamodb.iter().flat_map(move |target| target.tables.iter().map(move |table| (sink, table)))
            })
            .filter(move |(_, table)| asked.contains(&table.name))
            .map(move |(sink, table)| Edge {
                from: format!("store/{}/{}", sink.name, table.name),
                to: format!("api/{}", api.name),
                rate: None,
            })
            .collect::<Vec<_>>()
    })
}

fn state(health: Option<&(Health, u64)>) -> State {
    let Some((health, since)) = health else { return State { is: "unknown", because: None, since: None } };
    State { is: health.name(), because: health.because().map(str::to_owned), since: Some(*since) }
}

/// A chart: its unit, and which measures of which stages are in it.
struct Chart {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    lines: &'static [(Side, &'static str, &'static str)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Sink,
    Api,
}

const CHARTS: &[Chart] = &[
    Chart {
        id: "rows",
        title: "Rows in and out",
        unit: "rows/s",
        lines: &[(Side::Source, "rows", "in"), (Side::Sink, "rows", "stored")],
    },
    Chart {
        id: "bytes",
        title: "Bytes in and read",
        unit: "B/s",
        lines: &[(Side::Source, "bytes", "in"), (Side::Sink, "bytes", "read")],
    },
    Chart { id: "lag", title: "Behind the newest record, by shard", unit: "ms", lines: &[(Side::Sink, "lag", "")] },
    Chart {
        id: "stored-after",
        title: "From arrival to stored, the oldest record of each range",
        unit: "ms",
        lines: &[(Side::Sink, STORED_AFTER, "")],
    },
    Chart {
        id: "retries",
        title: "Tried again: throttled, failing or denied",
        unit: "tries/s",
        lines: &[(Side::Source, "retries", "puts"), (Side::Sink, "retries", "steps")],
    },
    Chart {
        id: "left-out",
        title: "Refused, repeats left out, dead letters",
        unit: "rows/s",
        lines: &[
            (Side::Source, "refused", "refused"),
            (Side::Sink, "repeats", "repeats"),
            (Side::Sink, "dead_letters", "dead letters"),
        ],
    },
    Chart { id: "requests", title: "Asked of apis", unit: "requests/s", lines: &[(Side::Api, "requests", "")] },
];

fn charts(spec: &PipelineSpec, history: &History, since: u64) -> Vec<Value> {
    let side = |stage: &str| {
        let is_source = spec.sources.iter().any(|source| source.name == stage);
        let is_api = spec.apis.iter().flatten().any(|api| api.name == stage);
        match (is_source, is_api) {
            (true, _) => Side::Source,
            (_, true) => Side::Api,
            _ => Side::Sink,
        }
    };
    let has_apis = spec.apis.iter().flatten().next().is_some();
    CHARTS
        .iter()
        .filter(|chart| has_apis || chart.lines.iter().any(|(side, ..)| *side != Side::Api))
        .map(|chart| {
            let lines = chart.lines.iter().flat_map(|(of, measure, word)| {
                let of_side = move |stage: &str| side(stage) == *of;
                history.since(measure, since).filter(move |(key, _)| of_side(&key.stage)).map(move |(key, values)| {
                    let what = key.of.as_deref().map(short).unwrap_or(word);
                    json!({ "name": format!("{} {what}", key.stage).trim_end(), "values": values })
                })
            });
            json!({ "id": chart.id, "title": chart.title, "unit": chart.unit, "lines": lines.collect::<Vec<_>>() })
        })
        .collect()
}

/// A shard by its number: its name is long, and begins with zeros.
fn short(shard: &str) -> &str {
    let number = shard.rsplit('-').next().unwrap_or(shard).trim_start_matches('0');
    if number.is_empty() { "0" } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_called_by_its_number() {
        assert_eq!(short("shardId-000000000012"), "12");
        assert_eq!(short("shardId-000000000000"), "0");
    }
}
