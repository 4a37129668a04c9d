//! The S3 sink: records end up as JSON lines in objects, each buffered record in exactly one of them.
//!
//! A range becomes one object for each prefix that its records render to. The keys are a pure function of the
//! range and of the records, every object is written with `If-None-Match: *`, and an object that is there
//! already is looked at: it is this very range, applied earlier or by somebody else, or it is foreign and nothing
//! is touched. So [`penstock_contract::Sink`]'s promise holds without any bookkeeping of its own.
//!
//! | module | does |
//! |---|---|
//! | `recipe` | what decides keys and bytes, as text |
//! | `line` | from a record to a prefix and a line |
//! | `key` | names of objects |
//! | `encode` | lines to the bytes of one object, in bounded memory |
//! | `budget` | what all shards of the sink may hold together |
//! | `stamp` | the metadata by which an object is recognised |
//! | `store`, `failure` | one function a call of S3, and what its answers mean |
//! | `upload` | a multipart upload in the making |
//! | `object` | one object from its first line to its place in the bucket |
//! | `batch`, `sink` | the contract |
//! | `catalog` | names and metadata as others read them |
//!
//! # Large objects
//! What grows beyond a part is uploaded while its records still come in; nothing of it can be seen before
//! [`penstock_contract::Batch::apply`]. S3 wants a multipart upload's key when it begins, and a range does not know
//! its end then. Hence a key holds the sequence number of the range's *first* record, which belongs to one range
//! only; the end and the number of records stand in the object's metadata where they are known in time.
//!
//! A batch that is dropped aborts its uploads. A process that is killed cannot: a bucket needs the lifecycle rule
//! `AbortIncompleteMultipartUpload` (a day is plenty), else their parts are stored, and paid for, unseen.
//!
//! Deliberately absent: leases, checkpoints, dead letters, waiting before another try (the consumer's business),
//! creating buckets, and formats other than JSON lines.

mod batch;
mod budget;
mod catalog;
mod encode;
mod failure;
mod key;
mod line;
mod object;
mod recipe;
mod sink;
mod stamp;
mod store;
mod telemetry;
mod upload;

pub use batch::ObjectBatch;
pub use budget::MemoryBudget;
pub use catalog::{ObjectName, ObjectStamp, Rendered};
pub use failure::StoreError;
pub use sink::{ConfigError, RawStorageSink};
