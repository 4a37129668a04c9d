//! The consumer: reads a Kinesis stream for one sink, by the range-commit protocol.
//!
//! A worker takes leases of shards (the KCL's lease table, attribute for attribute, one a sink). For each
//! shard it reads, fills a batch, and closes it: that fixes a range `(start, end]`. The range is pinned in
//! the lease row under the lease counter, applied by the sink, and committed by moving the checkpoint to its
//! end. After a crash the next owner finds the pin, reads exactly that range again and applies it again, with
//! the recipe that it was pinned with. The sink's promise ([`penstock_contract::Sink`]) makes that one effect.
//!
//! The crate knows the lease table, the stream and where dead letters go. Who takes which lease, which leases
//! are missing, how a row may change, how fast to read: all of that are pure functions (`decide`,
//! `balance`, `shard_sync`, `lease`, `pace`), with the I/O around them.
//!
//! Deliberately absent: what a sink does with records, formats, processing, any other sink's leases, creating
//! tables or buckets.

mod balance;
mod commit;
mod config;
mod dead_letters;
mod decide;
mod error;
mod fill;
mod heartbeat;
mod lag;
mod lease;
mod lease_table;
mod load;
mod metrics;
mod observe;
mod pace;
mod pin;
mod pinned_read;
#[cfg(test)]
mod protocol_tests;
mod range;
mod reader;
mod recreated;
mod refill;
mod registration;
mod repeats;
mod replay;
mod rounds;
mod row;
mod settle;
mod shard_end;
mod shard_loop;
mod shard_sync;
mod shared;
mod tally;
mod tenure;
mod trouble;
mod view;
mod worker;

use penstock_contract::Sink;
use penstock_runtime::{Health, Stop};

pub use config::{Clients, ConsumerConfig, FanOut};
pub use error::ConsumerError;
pub use lease::WorkerId;
pub use lease_table::LeaseTableError;
pub use repeats::RepeatWindow;
pub use shared::{ShardSummary, Summary};
pub use view::{CheckpointView, LeaseTableView, LeaseView, PinnedView, TallyView, WorkerView, read_lease_table};

/// Reads the stream into the sink until told to stop.
///
/// `stop.drain` stops reading, closes and commits the open ranges and gives the leases back. `stop.at_tip`
/// goes on until everything that is in the stream is stored, children of resharded shards included, and then
/// does the same. Dropping the future is like a crash, and safe at any moment.
///
/// Services that fail, and tables or streams that are not there yet, are waited for; `health` says so.
///
/// # Errors
/// When the configuration makes no sense, or when something panicked.
pub async fn run<S: Sink>(
    config: ConsumerConfig,
    clients: Clients,
    sink: S,
    stop: Stop,
    health: Health,
) -> Result<Summary, ConsumerError> {
    config.check()?;
    metrics::describe();
    health.waits("leases", format!("the lease table {} has not been read yet", config.lease_table));
    let shared = shared::Shared::new(config, clients, sink, stop, health);
    Box::pin(worker::run(std::sync::Arc::clone(&shared))).await?;
    if let Some(registration) = &shared.registration {
        registration.end(&shared.kinesis).await;
    }
    Ok(shared.summary())
}
