//! The calls of DynamoDB that carry items. Those about leases go to the engines.

use memchr::memmem;

use super::{Answer, Counts};

/// The limit of `BatchWriteItem`
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>).
const BATCH_ITEMS: usize = 25;
const BATCH_BYTES: usize = 16 << 20;
/// The limit of `TransactWriteItems`
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
const TRANSACTION_ITEMS: usize = 100;
/// The limit of an item.
const ITEM_BYTES: usize = 400 << 10;
/// What tells a lease table: its key, and the name of Bento's.
const LEASES: [&[u8]; 2] = [br#""leaseKey""#, b"bento-checkpoints"];

/// Answers, or leaves it to the engines.
pub(crate) fn answer(counts: &Counts, operation: &str, body: &[u8]) -> Option<Answer> {
    match operation {
        "BatchWriteItem" => Some(batch(counts, body)),
        "TransactWriteItems" => Some(transaction(counts, body)),
        "UpdateItem" | "PutItem" if LEASES.iter().all(|leases| memmem::find(body, leases).is_none()) => {
            Some(single(counts, operation, body))
        }
        _ => None,
    }
}

fn batch(counts: &Counts, body: &[u8]) -> Answer {
    let items = memmem::find_iter(body, br#""PutRequest":"#).count();
    if items == 0 || items > BATCH_ITEMS || body.len() > BATCH_BYTES {
        return Answer::refused("ValidationException", "1 to 25 items, 16 MiB");
    }
    counts.add("BatchWriteItem", items as u64, body.len());
    Answer::json(r#"{"UnprocessedItems":{}}"#)
}

fn transaction(counts: &Counts, body: &[u8]) -> Answer {
    let items = memmem::find_iter(body, br#""Update":{"#).count() + memmem::find_iter(body, br#""Put":{"#).count();
    if items == 0 || items > TRANSACTION_ITEMS {
        return Answer::refused("ValidationException", "1 to 100 items");
    }
    counts.add("TransactWriteItems", items as u64, body.len());
    Answer::json("{}")
}

fn single(counts: &Counts, operation: &str, body: &[u8]) -> Answer {
    if body.len() > ITEM_BYTES {
        return Answer::refused("ValidationException", "an item of more than 400 KB");
    }
    counts.add(if operation == "PutItem" { "PutItem" } else { "UpdateItem" }, 1, body.len());
    Answer::json("{}")
}
