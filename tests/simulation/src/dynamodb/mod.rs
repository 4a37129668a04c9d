//! A small DynamoDB: lease tables, the calls that a consumer makes, and the books about what was done to leases.

mod books;
mod expression;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) use books::{Books, Checkpoint, checkpoint, known_sequence};
pub(crate) use expression::Item;
use expression::{Placeholders, holds, updated};

use crate::Millis;
use crate::mutation::Mutation;
use crate::net::Answer;

/// How long what was before a write is remembered, for reads that need not be consistent.
const REMEMBERED: Millis = 5_000;

/// Tables.
pub(crate) struct DynamoDb {
    pub(crate) tables: BTreeMap<String, Table>,
    /// Rows in one answer of a scan.
    pub(crate) page: usize,
    pub(crate) mutation: Option<Mutation>,
    /// How many reads showed what was before.
    pub(crate) stale_reads: u64,
}

/// A table with the key `leaseKey`.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// It is there from then on.
    exists_from: Millis,
    pub(crate) rows: BTreeMap<String, Item>,
    /// Rows as they were before they were written, the latest write last.
    past: Vec<(Millis, String, Option<Item>)>,
    pub(crate) books: Books,
}

/// A call with its body.
struct Request<'a> {
    now: Millis,
    body: &'a Value,
    placeholders: Placeholders<'a>,
    /// For reads that need not be consistent: so old is what they show.
    stale_by: Millis,
}

enum Refused {
    /// DynamoDB says no.
    Service(&'static str, String),
    /// No consumer may ask for this.
    Nonsense(String),
}

impl From<String> for Refused {
    fn from(problem: String) -> Self {
        Self::Nonsense(problem)
    }
}

impl DynamoDb {
    /// Answers; `Err` is a call that no consumer may make.
    pub(crate) fn answer(
        &mut self,
        now: Millis,
        operation: &str,
        body: &[u8],
        stale_by: Millis,
    ) -> Result<Answer, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let request = Request { now, body: &body, placeholders: Placeholders::of(&body), stale_by };
        let outcome = match operation {
            "Scan" => self.scan(&request),
            "GetItem" => self.get(&request),
            "PutItem" | "UpdateItem" | "DeleteItem" => self.write(&request, operation),
            other => Err(Refused::Nonsense(format!("DynamoDB does not know {other} here"))),
        };
        match outcome {
            Ok(body) => Ok(Answer::Http { status: 200, body: body.to_string() }),
            Err(Refused::Service(code, message)) => {
                Ok(Answer::Http { status: 400, body: json!({ "__type": code, "message": message }).to_string() })
            }
            Err(Refused::Nonsense(problem)) => Err(format!("{operation}: {problem}: {body}")),
        }
    }

    fn table(&mut self, request: &Request<'_>) -> Result<&mut Table, Refused> {
        let name = request.body["TableName"].as_str().ok_or("no table is named".to_owned())?;
        let table = self.tables.get_mut(name).ok_or_else(|| format!("there is no table {name}"))?;
        if request.now < table.exists_from {
            return Err(Refused::Service("ResourceNotFoundException", "Requested resource not found".to_owned()));
        }
        Ok(table)
    }

    fn scan(&mut self, request: &Request<'_>) -> Result<Value, Refused> {
        let (page, mutation) = (self.page, self.mutation);
        let is_consistent = request.body["ConsistentRead"] == true;
        self.stale_reads += u64::from(!is_consistent);
        let rows = self.table(request)?.seen(request, is_consistent);
        // By hash, as DynamoDB does: children may come before their parents.
        let mut rows: Vec<_> = rows.into_iter().map(|(key, item)| (place(&key), item)).collect();
        rows.sort_by_key(|(place, _)| *place);
        let after = request.body["ExclusiveStartKey"]["leaseKey"]["S"].as_str().map(place);
        let mut rest =
            rows.into_iter().filter(|(place, _)| after.is_none_or(|after| *place > after)).map(|(_, row)| row);
        let mut items: Vec<_> = rest.by_ref().take(page).collect();
        let more = rest.next().is_some();
        let last = items.last().and_then(|item| item.get("leaseKey")).cloned();
        if let Some(mutation) = mutation {
            items.iter_mut().for_each(|item| mutation.scanned(item));
        }
        let mut answer = json!({ "Count": items.len(), "ScannedCount": items.len(), "Items": items });
        if let Some(last) = last.filter(|_| more) {
            answer["LastEvaluatedKey"] = json!({ "leaseKey": last });
        }
        Ok(answer)
    }

    fn get(&mut self, request: &Request<'_>) -> Result<Value, Refused> {
        let mutation = self.mutation;
        let key = key(&request.body["Key"])?;
        let is_consistent = request.body["ConsistentRead"] == true;
        self.stale_reads += u64::from(!is_consistent);
        let mut rows = self.table(request)?.seen(request, is_consistent);
        Ok(match rows.remove(&key) {
            Some(mut item) => {
                if let Some(mutation) = mutation {
                    mutation.read(&mut item);
                }
                json!({ "Item": item })
            }
            None => json!({}),
        })
    }

    fn write(&mut self, request: &Request<'_>, operation: &str) -> Result<Value, Refused> {
        let mutation = self.mutation;
        let table = self.table(request)?;
        let body = request.body;
        let key = key(if operation == "PutItem" { &body["Item"] } else { &body["Key"] })?;
        let before = table.rows.get(&key).cloned();
        if let Some(condition) = body["ConditionExpression"].as_str() {
            let held = holds(condition, before.as_ref(), &request.placeholders)?;
            if !held && !mutation.is_some_and(|mutation| mutation.ignores_condition(operation)) {
                let message = "The conditional request failed".to_owned();
                return Err(Refused::Service("ConditionalCheckFailedException", message));
            }
        }
        let mut after = match operation {
            "PutItem" => Some(item(&body["Item"])?),
            "DeleteItem" => None,
            _ => {
                let update = body["UpdateExpression"].as_str().ok_or("an update without expression".to_owned())?;
                let bare = || Item::from([("leaseKey".to_owned(), json!({ "S": key }))]);
                Some(updated(update, before.clone().unwrap_or_else(bare), &request.placeholders)?)
            }
        };
        request.placeholders.check_used()?;
        if let (Some(mutation), Some(after)) = (mutation, &mut after) {
            mutation.written(after);
        }
        table.replace(request.now, key, before, after);
        Ok(json!({}))
    }
}

impl Table {
    /// An empty one, which is there from then on.
    pub(crate) fn existing_from(exists_from: Millis) -> Self {
        Self { exists_from, ..Self::default() }
    }

    /// What a KCL application leaves that was to begin with the newest record and had not read anything yet.
    pub(crate) fn leases_of_kcl(&mut self, shards: &[String]) {
        for shard in shards {
            let lease = [
                ("leaseKey", json!({ "S": shard })),
                ("leaseCounter", json!({ "N": "3" })),
                ("checkpoint", json!({ "S": "LATEST" })),
                ("checkpointSubSequenceNumber", json!({ "N": "0" })),
                ("ownerSwitchesSinceCheckpoint", json!({ "N": "0" })),
            ];
            let lease = lease.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            self.rows.insert(shard.clone(), lease);
        }
    }

    /// The rows as a read sees them.
    fn seen(&self, request: &Request<'_>, is_consistent: bool) -> BTreeMap<String, Item> {
        let mut rows = self.rows.clone();
        if is_consistent {
            return rows;
        }
        let then = request.now.saturating_sub(request.stale_by);
        for (_, key, before) in self.past.iter().rev().take_while(|(at, _, _)| *at > then) {
            match before {
                Some(item) => drop(rows.insert(key.clone(), item.clone())),
                None => drop(rows.remove(key)),
            }
        }
        rows
    }

    fn replace(&mut self, now: Millis, key: String, before: Option<Item>, after: Option<Item>) {
        self.books.note(now, &key, before.as_ref(), after.as_ref());
        match after {
            Some(item) => drop(self.rows.insert(key.clone(), item)),
            None => drop(self.rows.remove(&key)),
        }
        self.past.retain(|(at, _, _)| at + REMEMBERED >= now);
        self.past.push((now, key, before));
    }
}

fn key(attributes: &Value) -> Result<String, Refused> {
    let key = attributes["leaseKey"]["S"].as_str();
    Ok(key.ok_or("no lease key is given".to_owned())?.to_owned())
}

fn item(attributes: &Value) -> Result<Item, Refused> {
    let attributes = attributes.as_object().ok_or("no item is given".to_owned())?;
    let empty_set = attributes.values().any(|value| value["SS"].as_array().is_some_and(Vec::is_empty));
    if empty_set {
        return Err(Refused::Nonsense("an empty set".to_owned()));
    }
    Ok(attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Where a key stands in a scan (FNV-1a).
fn place(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
