//! The DynamoDB sink: records as items, or one item a key with sums and latest values.
//!
//! It keeps the promise of [`penstock_contract::Sink`]: a range that is applied again, also at the same time
//! by a worker that lost its lease, has the effect of being applied once.
//!
//! - *put, an item a record* (the key holds the record's id): the same item is written again. The id is the
//!   record's identity: two records with one id are one record.
//! - *put, an item a key*: the item holds the position of its record in `_penstock`, and a write must come
//!   from a later one. Positions of different shards are compared as numbers: along a shard and from parent
//!   to child that is the order of the log; between shards that are not related it is an order, so that every
//!   replay ends the same, but not one of time. Let the partition key of the source decide the item's key
//!   where "latest" must mean something.
//! - *aggregate*: the batch's sums are added in one update an item, which also notes the end of the range in
//!   `_penstock:<application>:<shard>` (some 110 bytes for each shard that ever added to the item), and is
//!   refused when that end, or a later one, is there already. This holds for ranges as they were pinned; a
//!   lease that is set back by hand cuts them anew and may count records again.
//!
//! A record is offered to every table. When one that wants it cannot take it, none does, and the record is
//! rejected: what can be known without the service is checked before the range is pinned. What only the
//! service can know (an index with another type, a sum beyond 38 digits) is found when the range is applied;
//! then that one item is left out in that table and its records are rejected.
//!
//! It knows DynamoDB's data plane. Deliberately absent: leases, checkpoints, dead letters (the consumer's), and
//! creating tables (the provisioner's).

mod apply;
mod batch;
mod config;
mod decimal;
mod failure;
mod item;
mod key;
mod metrics;
mod rendered;
mod request;
mod sink;
mod throttling;
mod wire;

pub use batch::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
pub use config::{ConfigError, RESERVED_PREFIX, check};
pub use metrics::describe;
pub use rendered::RenderedItem;
pub use sink::{DynamoDbBatch, DynamoDbSink, MAX_AGE};
