//! Calls and their outcomes in one line each, for people.

use serde_json::Value;

use crate::net::{Answer, Call, Service};
use crate::process::Ended;
use crate::sink::Write;
use crate::store;

/// A call with what came of it.
pub(super) fn call(call: &Call, answer: &Answer, had_effect: bool, fate: &str) -> String {
    let asked = asked(call);
    let fate = if fate == "Fine" { String::new() } else { format!("  [{fate}]") };
    if had_effect {
        format!("{asked} -> {}{fate}", answered(call, answer))
    } else {
        format!("{asked} -> nothing{fate}")
    }
}

/// How a process ended.
pub(super) fn ended(ended: &Ended) -> String {
    match ended {
        Ok(Ok(summary)) => format!("{} ranges of {} shards", summary.ranges(), summary.shards.len()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

fn asked(call: &Call) -> String {
    match call {
        Call::Sink(call) => {
            let range = store::text(&call.range);
            match &call.write {
                Write::Put { key, records } => {
                    let part = key.rsplit('.').next().unwrap_or_default();
                    format!("sink: puts {range} part {part}: {} of {} records", records.len(), call.records.len())
                }
                Write::Add { item, records } => format!("sink: adds {} records of {range} to {item}", records.len()),
                Write::Nothing => format!("sink: nothing to store of {range}"),
            }
        }
        Call::Http(call) => {
            let body = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
            match call.service {
                Service::Kinesis => format!("kinesis: {} {}", call.operation, kinesis(&body)),
                Service::DynamoDb => format!("dynamodb: {} {}", call.operation, dynamodb(&body)),
                Service::S3 | Service::Sink => format!("s3: {} {}", call.operation, call.path),
            }
        }
    }
}

fn kinesis(body: &Value) -> String {
    if let Some(iterator) = body["ShardIterator"].as_str() {
        return format!(
            "{} (iterator of {})",
            iterator.split('/').skip(1).collect::<Vec<_>>().join("/"),
            iterator.split('/').next().unwrap_or_default()
        );
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let position = &body["StartingPosition"];
    let either =
        |asked: &str, subscribed: &str| position[subscribed].as_str().unwrap_or_else(|| text(asked)).to_owned();
    let sequence = either("StartingSequenceNumber", "SequenceNumber");
    format!("{} {} {}", text("ShardId"), either("ShardIteratorType", "Type"), tail(&sequence))
}

fn dynamodb(body: &Value) -> String {
    let key = body["Key"]["leaseKey"]["S"].as_str().or_else(|| body["Item"]["leaseKey"]["S"].as_str());
    let Some(key) = key else { return String::new() };
    if let Some(item) = body["Item"].as_object() {
        return format!("{key} {}", attributes(item.iter().map(|(name, value)| (name.as_str(), value))));
    }
    let (names, values) = (&body["ExpressionAttributeNames"], &body["ExpressionAttributeValues"]);
    let seen = values[":seen"]["N"].as_str().map(|seen| format!(" if the counter is {seen}")).unwrap_or_default();
    let set = names
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(place, name)| Some((name.as_str()?, values.get(place.replace('#', ":"))?)));
    format!("{key} {}{seen}", attributes(set))
}

/// The attributes that tell something.
fn attributes<'a>(all: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let short = |name: &str| match name {
        "leaseOwner" => Some("owner"),
        "leaseCounter" => Some("counter"),
        "checkpoint" => Some("checkpoint"),
        "pendingCheckpoint" => Some("pin to"),
        _ => None,
    };
    let mut told: Vec<_> = all
        .filter_map(|(name, value)| {
            let text = value["S"].as_str().or_else(|| value["N"].as_str()).unwrap_or_default();
            Some(format!("{} {}", short(name)?, tail(text)))
        })
        .collect();
    told.sort();
    told.join(", ")
}

fn answered(call: &Call, answer: &Answer) -> String {
    match answer {
        Answer::Sink(answer) => format!("{answer:?}"),
        Answer::Events(_) => "subscribed".to_owned(),
        Answer::Reset => "nonsense".to_owned(),
        Answer::Http { status: 200, body } => {
            let body = serde_json::from_str::<Value>(body).unwrap_or(Value::Null);
            match call {
                Call::Http(call) if call.operation == "GetRecords" => read(&body),
                Call::Http(call) if call.operation == "Scan" => format!("{} rows", body["Count"]),
                Call::Http(call) if call.operation == "ListShards" => {
                    format!("{} shards", body["Shards"].as_array().map_or(0, Vec::len))
                }
                _ => "done".to_owned(),
            }
        }
        Answer::Http { body, .. } => {
            let body = serde_json::from_str::<Value>(body).unwrap_or_else(|_| Value::from(body.as_str()));
            body["__type"].as_str().map_or_else(|| body.to_string(), ToOwned::to_owned)
        }
    }
}

fn read(body: &Value) -> String {
    let records = body["Records"].as_array().map_or(0, Vec::len);
    let end = match (body["NextShardIterator"].as_str(), body["ChildShards"].as_array()) {
        (Some(_), _) => String::new(),
        (None, Some(children)) => format!(", the end, {} children", children.len()),
        (None, None) => ", the end, and no children".to_owned(),
    };
    format!("{records} records, {} ms behind{end}", body["MillisBehindLatest"])
}

/// The last digits of a long number say it all.
fn tail(text: &str) -> String {
    if text.len() > 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("…{}", &text[text.len() - 6..]);
    }
    text.to_owned()
}
