//! The consumer under thousands of schedules: workers, tables, stream and sinks in memory, on a simulated clock
//! and network, all decided by a seed.
//!
//! The consumer is the real one, unchanged, with its tasks, timers and SDK clients. Each worker process is a
//! runtime with a clock of its own ([`process`]); its SDK's connector leads to the world ([`net`]), where small
//! models of Kinesis, DynamoDB and S3 answer the requests as they are on the wire, or the weather does. The world
//! keeps books of everything that is applied and committed, and judges ([`world`]).
//!
//! Deliberately absent: real time, threads, and any knowledge of the consumer's insides.

mod dynamodb;
mod kinesis;
mod letters;
mod mutation;
mod net;
mod plan;
mod process;
mod record;
mod sink;
mod store;
mod sweep;
mod world;

pub use mutation::Mutation;
pub use sweep::{Failure, Report, sweep};
pub use world::{Outcome, run};

/// Simulated milliseconds.
pub(crate) type Millis = u64;
