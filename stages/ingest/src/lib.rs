//! The HTTP source: takes rows by `POST`, checks each against the source's schema, puts the good ones into a
//! Kinesis stream, and says of every row, in order, whether the stream has it and where.
//!
//! It knows HTTP, JSON, CSV, the Pipeline's [`HttpStage`](penstock_api::plan::HttpStage) and the stream's data plane. It deliberately knows
//! no sink, no lease and no file, speaks HTTP/1.1 only (TLS and HTTP/2 end in front of it), stores nothing,
//! and never answers 2xx for a row that the stream has not acknowledged.
//!
//! What was decided, and holds:
//!
//! - A request is read whole before any of its rows is put: a body that stops halfway leaves nothing behind.
//! - A row that is wrong is refused by itself; only a body that cannot be taken apart into rows is refused whole.
//! - Of a field that is there twice in a row, the last one counts, as everywhere in Penstock; the bytes go on
//!   as they came.
//! - The bytes of a row are not rewritten, so decimals keep their digits. Only line breaks between tokens are
//!   taken out, and an id is added where one is declared and missing; the schema sees the row with its id.
//! - Rows of one partition key are put in the order in which they came. The order of requests that overlap in
//!   time is not defined.
//! - A row that the stream did not acknowledge in time is reported with `retry`. It may be stored all the same:
//!   its id makes the repeat recognisable.
//! - Between a reshard and the moment it is noticed, one aggregate per shard may hold rows whose keys belong to
//!   another of the new shards. They are stored and acknowledged where the aggregate went.
//! - More connections than allowed are answered with 503 and closed at once, rather than left to time out.
//!
//! The way of a request: `penstock_runtime::http` → `service` (route, key, limits) → `body` → `rows` (take apart) →
//! `check` (schema, key, id) → `put` (queue, aggregate, retry) → `answer`.

mod answer;
mod body;
mod budget;
mod check;
mod compressed;
mod headers;
mod problem;
mod put;
mod rows;
mod service;
mod start;
mod telemetry;

pub use start::{Ingest, IngestContext, IngestError, Panicked, Running};
