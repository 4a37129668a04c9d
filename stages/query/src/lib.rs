//! The query API: answers declared questions about the items of DynamoDB tables over HTTP.
//!
//! It knows HTTP, the Pipeline's [`ApiStage`](penstock_api::plan::ApiStage) and DynamoDB's `GetItem` and `Query`. It deliberately
//! knows no stream and no sink, writes nothing, never scans a table, and never reads without a bound.
//!
//! What was decided, and holds:
//!
//! - Every answer is one item, or items of one partition. What would take more reading than the route allows is refused with
//!   422, before it is read.
//! - Answers to lists are pages. Those with totals, groups or an order of their own are read whole within the route's
//!   bounds, and are pages of that whole.
//! - NDJSON and CSV without `limit` are the whole list, streamed page by page: memory holds two pages of the table. One that
//!   breaks off in the middle ends without the chunk that says it is complete.
//! - A number goes out with the digits that DynamoDB has; totals are computed with decimals, never with floats.
//! - A page token is sealed for its question: route, partition, conditions and order. It holds a place in that partition and
//!   nothing else, so not even a forged one could lead into another. The key comes from the API keys (from the name of the API where
//!   there are none), so tokens survive a restart, and end with the keys.
//! - What a sink keeps for itself in an item (`_penstock…`) is never answered.
//!
//! The way of a request: `penstock_runtime::http` → `service` (key, rate, route) → `parameters` → `question` → `reading` →
//! `rows`, `totals` → `answer`, `streaming`.

mod answer;
mod compile;
mod decimal;
mod encoding;
mod negotiation;
mod openapi;
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
