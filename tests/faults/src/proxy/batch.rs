//! The requests that succeed in parts: what is passed on of one, and the answer that tells of the rest.

use serde_json::{Value, json};

/// The reasons that `PutRecords` gives for a record, with their words.
const RECORD_FAILURES: [(&str, &str); 2] = [
    ("ProvisionedThroughputExceededException", "Rate exceeded for shard shardId-000000000000 in stream."),
    ("InternalFailure", "Internal service failure."),
];

/// A batch of which the service does only a part.
#[derive(Debug)]
pub(super) struct Parted {
    /// What is passed on; `None` when nothing is left of it.
    pub(super) passed_on: Option<Value>,
    refused: Refused,
}

#[derive(Debug)]
enum Refused {
    /// For each record of the request: why it fails, or `None` where it is passed on.
    Records(Vec<Option<usize>>),
    /// The requests that were not processed, by table.
    Items(serde_json::Map<String, Value>),
}

impl Parted {
    /// Takes a batch apart; `None` when it is no batch, or one that should stay whole.
    pub(super) fn new(operation: &str, body: &[u8], random: &mut fastrand::Rng) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        match operation {
            "PutRecords" => Self::of_records(body, random),
            "BatchWriteItem" => Self::of_items(body, random),
            _ => None,
        }
    }

    fn of_records(mut body: Value, random: &mut fastrand::Rng) -> Option<Self> {
        let records = body.get_mut("Records")?.as_array_mut()?;
        let fates: Vec<_> =
            records.iter().map(|_| random.bool().then(|| random.usize(..RECORD_FAILURES.len()))).collect();
        if fates.iter().all(Option::is_none) {
            return None;
        }
        let mut fate = fates.iter();
        records.retain(|_| fate.next().is_some_and(Option::is_none));
        let is_empty = records.is_empty();
        Some(Self { passed_on: (!is_empty).then_some(body), refused: Refused::Records(fates) })
    }

    fn of_items(mut body: Value, random: &mut fastrand::Rng) -> Option<Self> {
        let tables = body.get_mut("RequestItems")?.as_object_mut()?;
        let mut refused = serde_json::Map::new();
        for (table, requests) in tables.iter_mut() {
            let requests = requests.as_array_mut()?;
            let (kept, left): (Vec<_>, Vec<_>) = std::mem::take(requests).into_iter().partition(|_| random.bool());
            *requests = kept;
            if !left.is_empty() {
                refused.insert(table.clone(), Value::Array(left));
            }
        }
        if refused.is_empty() {
            return None;
        }
        tables.retain(|_, requests| requests.as_array().is_some_and(|requests| !requests.is_empty()));
        let is_empty = tables.is_empty();
        Some(Self { passed_on: (!is_empty).then_some(body), refused: Refused::Items(refused) })
    }

    /// The answer to the whole batch, from that to what was passed on.
    pub(super) fn answer(self, answered: Option<Value>) -> Value {
        match self.refused {
            Refused::Records(fates) => records_answer(&fates, answered),
            Refused::Items(refused) => items_answer(refused, answered),
        }
    }
}

fn records_answer(fates: &[Option<usize>], answered: Option<Value>) -> Value {
    let taken = answered.as_ref().and_then(|answer| answer["Records"].as_array()).cloned().unwrap_or_default();
    let mut taken = taken.into_iter();
    let records: Vec<Value> = fates
        .iter()
        .map(|fate| match fate {
            Some(failure) => {
                let (code, message) = RECORD_FAILURES[*failure];
                json!({ "ErrorCode": code, "ErrorMessage": message })
            }
            None => taken.next().unwrap_or(Value::Null),
        })
        .collect();
    let failed = records.iter().filter(|record| !record["ErrorCode"].is_null()).count();
    json!({ "FailedRecordCount": failed, "Records": records })
}

fn items_answer(mut refused: serde_json::Map<String, Value>, answered: Option<Value>) -> Value {
    let mut answer = answered.unwrap_or_else(|| json!({ "UnprocessedItems": {} }));
    if let Some(unprocessed) = answer["UnprocessedItems"].as_object_mut() {
        for (table, requests) in std::mem::take(unprocessed) {
            let all = refused.entry(table).or_insert_with(|| json!([]));
            if let (Some(all), Value::Array(requests)) = (all.as_array_mut(), requests) {
                all.extend(requests);
            }
        }
    }
    answer["UnprocessedItems"] = Value::Object(refused);
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The first seed with which something is passed on and something is not.
    fn parted(operation: &str, body: &Value) -> Parted {
        let text = body.to_string();
        let part = |seed| Parted::new(operation, text.as_bytes(), &mut fastrand::Rng::with_seed(seed));
        (0..).filter_map(part).find(|parted| parted.passed_on.is_some()).unwrap()
    }

    #[test]
    fn records_answer_at_the_places_at_which_they_were_sent() {
        let body = json!({ "StreamName": "s", "Records": [{ "Data": "0" }, { "Data": "1" }, { "Data": "2" }, { "Data": "3" }] });
        let parted = parted("PutRecords", &body);
        let passed_on: Vec<_> = parted.passed_on.as_ref().unwrap()["Records"].as_array().unwrap().clone();
        assert_eq!(parted.passed_on.as_ref().unwrap()["StreamName"], "s");
        let acks: Vec<_> = passed_on.iter().map(|record| json!({ "SequenceNumber": record["Data"] })).collect();
        let answer = parted.answer(Some(json!({ "FailedRecordCount": 0, "Records": acks })));
        let records = answer["Records"].as_array().unwrap();
        assert_eq!(records.len(), 4);
        assert_eq!(answer["FailedRecordCount"], 4 - passed_on.len());
        for (place, record) in records.iter().enumerate() {
            let is_own = record["SequenceNumber"].as_str().is_some_and(|number| number.parse() == Ok(place));
            assert!(!record["ErrorCode"].is_null() || is_own, "{answer}");
        }
    }

    #[test]
    fn every_item_is_either_passed_on_or_unprocessed() {
        let put = |id: u32| json!({ "PutRequest": { "Item": { "id": { "N": id.to_string() } } } });
        let body = json!({ "RequestItems": { "a": [put(1), put(2), put(3)], "b": [put(4)] } });
        let parted = parted("BatchWriteItem", &body);
        let mut all = parted.passed_on.clone().unwrap()["RequestItems"].as_object().unwrap().clone();
        let answer = parted.answer(Some(json!({ "UnprocessedItems": { "b": [put(9)] } })));
        let unprocessed = answer["UnprocessedItems"].as_object().unwrap();
        assert!(unprocessed["b"].as_array().unwrap().contains(&put(9)), "what the service left stays left");
        for (table, requests) in unprocessed {
            let there = all.entry(table.clone()).or_insert_with(|| json!([]));
            there.as_array_mut().unwrap().extend(requests.as_array().unwrap().clone());
        }
        assert_eq!(all["a"].as_array().unwrap().len(), 3);
        assert_eq!(all["b"].as_array().unwrap().len(), 2);
    }
}
