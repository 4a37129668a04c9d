//! The Kinesis engine: the service's protocols, JSON and CBOR, over a durable log.
//!
//! `protocol` reads and writes them, `model` decides, `store` keeps, `writer` orders and commits, `service` joins them
//! per operation. It knows nothing of HTTP but headers and bodies, and nothing of the other engines.

mod catalog;
mod clock;
mod error;
mod http;
mod maintenance;
mod model;
mod protocol;
mod service;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use self::catalog::{Catalog, Live, Log};
use self::clock::Clock;
use self::http::Gate;
use self::model::token::Seal;
use self::service::Service;
use self::store::Store;
pub use self::store::StoreError;
use self::writer::WriterHandle;
use crate::Limits;

/// The account that ARNs name.
pub(crate) const ACCOUNT: &str = "000000000000";

/// How often expired records are looked for.
const MAINTENANCE: Duration = Duration::from_secs(5);

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum KinesisError {
    /// Its file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its thread cannot be started.
    #[error("the writer's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// The running engine.
pub(crate) struct Kinesis {
    gate: Gate,
    service: Mutex<Option<Arc<Service>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    maintenance: tokio::task::JoinHandle<()>,
}

impl Kinesis {
    /// Opens the engine's file in the data folder.
    pub(crate) async fn open(folder: &Path, region: &str, limits: Limits) -> Result<Self, KinesisError> {
        Self::open_with_clock(folder, region, limits, Clock::system()).await
    }

    async fn open_with_clock(folder: &Path, region: &str, limits: Limits, clock: Clock) -> Result<Self, KinesisError> {
        let path = folder.join("kinesis.redb");
        let opened = tokio::task::spawn_blocking(move || load(&path)).await;
        let (store, catalog, secret) = opened.map_err(|error| KinesisError::Thread(io::Error::other(error)))??;
        let (store, catalog) = (Arc::new(store), Arc::new(catalog));
        let counters = store.counters()?;
        let (handle, thread) = writer::start(Arc::clone(&store), Arc::clone(&catalog), counters, clock.clone(), limits)
            .map_err(KinesisError::Thread)?;
        let maintenance = tokio::spawn(maintain(handle.clone()));
        let service = Service::new(catalog, store, handle, Seal::new(secret), clock, limits, region.to_owned());
        Ok(Self {
            gate: Gate::new(),
            service: Mutex::new(Some(Arc::new(service))),
            writer: Mutex::new(Some(thread)),
            maintenance,
        })
    }

    /// The operations; `None` once the engine stops.
    pub(super) fn service(&self) -> Option<Arc<Service>> {
        self.service.lock().clone()
    }

    /// Writes what is in the queue, then closes the file.
    pub(crate) async fn stop(&self) {
        self.maintenance.abort();
        self.service.lock().take();
        let thread = self.writer.lock().take();
        if let Some(thread) = thread {
            // The thread ends when the last request has let go of the service.
            let joined = tokio::task::spawn_blocking(move || thread.join());
            if tokio::time::timeout(Duration::from_secs(10), joined).await.is_err() {
                tracing::warn!("a request was still running when the Kinesis engine stopped");
            }
        }
    }
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        self.maintenance.abort();
    }
}

/// Reads what is on disk.
fn load(path: &Path) -> Result<(Store, Catalog, [u8; 16]), StoreError> {
    let store = Store::open(path)?;
    let mut streams = BTreeMap::new();
    for stream in store.streams()? {
        let mut extents = BTreeMap::new();
        for shard in &stream.shards {
            extents.insert(shard.log, store.extent(shard.log)?);
        }
        let name = stream.name.clone();
        let live = Live::new(stream, |shard| {
            Arc::new(extents.get(&shard.log).map_or_else(Log::empty, |extent| Log::new(*extent)))
        });
        streams.insert(name, Arc::new(live));
    }
    let secret = store.token_secret()?;
    Ok((store, Catalog::new(streams), secret))
}

/// Removes what has expired, from time to time, until the engine stops.
async fn maintain(writer: WriterHandle) {
    loop {
        tokio::time::sleep(MAINTENANCE).await;
        loop {
            match writer.maintain().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return,
            }
        }
    }
}
