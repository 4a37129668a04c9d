//! The query API: answers declared questions about the items of DynamoDB tables over HTTP.
//!
//! It knows HTTP, the Pipeline's [`ApiStage`](penstock_api::plan::ApiStage) and DynamoDB's `GetItem` and `Query`. It deliberately
//! knows no stream and no sink, writes nothing, never scans a table, and never holds without a bound what it reads.
//!
//! What was decided, and holds:
//!
//! - Every answer is one item, or items of one partition. One that must be held whole, and would take more reading than the
//!   route allows, is refused with 422.
//! - Answers to lists are pages. Those with totals, groups or an order of their own are read whole within the route's
//!   bounds, and are pages of that whole.
//! - NDJSON and CSV without `limit` are the whole list, however long: read page by page, one page when the client has taken
//!   the one before. One that breaks off in the middle ends without the chunk that says it is complete; HTTP/1.0, which has
//!   no such chunk, is refused. A list that is one page of the table has its length and its tag.
//! - Clients that read slowly keep nobody waiting: work on the tables has one bound, what is on its way another (`outbox`),
//!   and who takes nothing for the time of an answer is given up.
//! - A number goes out with the digits that DynamoDB has; totals are computed with decimals, never with floats.
//! - A page token is sealed for its question: route, partition, conditions and order. It holds a place in that partition and
//!   nothing else, so not even a forged one could lead into another. The key comes from the API keys (from the name of the API where
//!   there are none), so tokens survive a restart, and end with the keys.
//! - What a sink keeps for itself in an item (`_penstock…`) is never answered.
//!
//! The way of a request: `penstock_runtime::http` → `service` (key, rate, route) → `parameters` → `question` → `reading` →
//! `rows`, `totals` → `answer`, `streaming` → `outbox`.

mod answer;
mod compile;
mod decimal;
mod encoding;
mod negotiation;
mod openapi;
mod outbox;
mod page;
mod parameters;
mod problem;
mod question;
mod rate;
mod reading;
mod rows;
mod service;
mod start;
mod streaming;
mod telemetry;
mod template;
mod token;
mod totals;
mod value;

pub use compile::{CompileError, check};
pub use start::{Api, ApiContext, ApiError, Panicked, Running};
