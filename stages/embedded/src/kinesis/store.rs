//! What is on disk, in one `redb` file: records by log and counter, streams as JSON, and what is to be removed.
//!
//! Every write transaction is committed with an fsync before it returns. `redb` is copy-on-write with checksums: after
//! `kill -9` at any point the file holds exactly the transactions whose commit was reached.

use std::path::Path;

use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition,
    WriteTransaction,
};

use super::model::Millis;
use super::model::stream::{LogId, Stream};

const RECORDS: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("records");
const STREAMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("streams");
/// The first counter that is still there, for logs that were trimmed.
const TRIMS: TableDefinition<'_, u32, u64> = TableDefinition::new("trims");
/// Logs that no shard uses any more; removed in the background.
const GRAVES: TableDefinition<'_, u32, ()> = TableDefinition::new("graves");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");

const NEXT_LOG: &str = "next_log";
const LAST_STAMP: &str = "last_stamp";
const TOKEN_SECRET: &str = "token";

/// Memory that `redb` may use for its pages.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The store failed: the disk is full, or the file is damaged.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: Box<redb::DatabaseError>,
    },
    /// A transaction failed.
    #[error("the store failed")]
    Storage(#[source] Box<redb::Error>),
    /// A stored stream cannot be read.
    #[error("the stored description of stream {name} cannot be read")]
    Stream {
        /// The stream.
        name: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Storage(Box::new(error.into()))
            }
        }
    )*};
}
from_redb!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::SetDurabilityError);

/// The store of the Kinesis engine.
pub(super) struct Store {
    database: Database,
}

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The counter of the first record that is there.
    pub(super) first: u64,
    /// The counter that the next record gets.
    pub(super) next: u64,
    /// When the last record arrived; 0 when there is none.
    pub(super) last_arrival: Millis,
}

/// What the control plane keeps beside the streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) next_log: u32,
    pub(super) last_stamp: u64,
}

impl Store {
    /// Opens the file, creating it when it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|source| StoreError::Open { path: path.display().to_string(), source: Box::new(source) })?;
        let store = Self { database };
        let transaction = store.write()?;
        transaction.inner.open_table(RECORDS)?;
        transaction.inner.open_table(STREAMS)?;
        transaction.inner.open_table(TRIMS)?;
        transaction.inner.open_table(GRAVES)?;
        transaction.inner.open_table(NUMBERS)?;
        transaction.inner.open_table(SECRETS)?;
        transaction.commit()?;
        Ok(store)
    }

    /// The secret that seals tokens, made when the folder is new.
    pub(super) fn token_secret(&self) -> Result<[u8; 16], StoreError> {
        let known: Option<[u8; 16]> = {
            let table = self.database.begin_read()?.open_table(SECRETS)?;
            table.get(TOKEN_SECRET)?.and_then(|secret| secret.value().try_into().ok())
        };
        if let Some(secret) = known {
            return Ok(secret);
        }
        let secret = *uuid::Uuid::new_v4().as_bytes();
        let transaction = self.write()?;
        transaction.inner.open_table(SECRETS)?.insert(TOKEN_SECRET, secret.as_slice())?;
        transaction.commit()?;
        Ok(secret)
    }

    /// All streams.
    pub(super) fn streams(&self) -> Result<Vec<Stream>, StoreError> {
        let table = self.database.begin_read()?.open_table(STREAMS)?;
        let mut streams = Vec::new();
        for entry in table.iter()? {
            let (name, json) = entry?;
            let stream = serde_json::from_slice(json.value())
                .map_err(|source| StoreError::Stream { name: name.value().to_owned(), source })?;
            streams.push(stream);
        }
        Ok(streams)
    }

    /// What the control plane counts.
    pub(super) fn counters(&self) -> Result<Counters, StoreError> {
        let table = self.database.begin_read()?.open_table(NUMBERS)?;
        let number = |name: &str| -> Result<u64, StoreError> { Ok(table.get(name)?.map_or(0, |value| value.value())) };
        Ok(Counters { next_log: u32::try_from(number(NEXT_LOG)?).unwrap_or(u32::MAX), last_stamp: number(LAST_STAMP)? })
    }

    /// Where a log begins and ends.
    pub(super) fn extent(&self, log: LogId) -> Result<Extent, StoreError> {
        let transaction = self.database.begin_read()?;
        let trimmed = transaction.open_table(TRIMS)?.get(log.0)?.map_or(1, |first| first.value());
        let records = transaction.open_table(RECORDS)?;
        let last = records.range((log.0, 0)..=(log.0, u64::MAX))?.next_back().transpose()?;
        Ok(match last {
            Some((key, value)) => Extent {
                first: trimmed,
                next: trimmed.max(key.value().1 + 1),
                last_arrival: Record::arrival_of(value.value()),
            },
            None => Extent { first: trimmed, next: trimmed, last_arrival: 0 },
        })
    }

    /// Logs that wait to be removed.
    pub(super) fn graves(&self) -> Result<Vec<LogId>, StoreError> {
        let table = self.database.begin_read()?.open_table(GRAVES)?;
        table.iter()?.map(|entry| Ok(LogId(entry?.0.value()))).collect()
    }

    /// A view of the records as they are now.
    pub(super) fn read(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { inner: self.database.begin_read()? })
    }

    /// Begins a durable transaction.
    pub(super) fn write(&self) -> Result<Transaction, StoreError> {
        let mut inner = self.database.begin_write()?;
        inner.set_durability(Durability::Immediate)?;
        Ok(Transaction { inner })
    }
}

/// A record as it lies on disk: arrival (8 bytes, little endian), length of the key (2 bytes), key, data.
pub(super) struct Record<'a> {
    pub(super) arrival: Millis,
    pub(super) partition_key: &'a str,
    pub(super) data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Bytes before the partition key.
    pub(super) const HEADER: usize = 10;

    /// Reads a stored record; `None` when the bytes are none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (arrival, rest) = bytes.split_first_chunk::<8>()?;
        let (key_length, rest) = rest.split_first_chunk::<2>()?;
        let (key, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_length)))?;
        Some(Self { arrival: u64::from_le_bytes(*arrival), partition_key: std::str::from_utf8(key).ok()?, data })
    }

    /// The arrival alone; 0 for bytes that are no record.
    pub(super) fn arrival_of(bytes: &[u8]) -> Millis {
        bytes.first_chunk::<8>().map_or(0, |arrival| u64::from_le_bytes(*arrival))
    }
}

/// The records at one moment.
pub(super) struct Snapshot {
    inner: ReadTransaction,
}

impl Snapshot {
    /// Hands records to `visit` in order, from `from` on and before `until`, until it says stop.
    pub(super) fn scan(
        &self,
        log: LogId,
        from: u64,
        until: u64,
        mut visit: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let table = self.inner.open_table(RECORDS)?;
        for entry in table.range((log.0, from)..(log.0, until))? {
            let (key, value) = entry?;
            if !visit(key.value().1, value.value()) {
                break;
            }
        }
        Ok(())
    }

    /// Records of all logs.
    #[cfg(test)]
    pub(super) fn count(&self) -> Result<usize, StoreError> {
        Ok(self.inner.open_table(RECORDS)?.iter()?.count())
    }

    /// The first counter in `first..next` whose record arrived at `time` or later; `next` when there is none. Counters
    /// have no gaps and arrivals never fall, so this is a binary search.
    pub(super) fn first_arrived_at_or_after(
        &self,
        log: LogId,
        first: u64,
        next: u64,
        time: Millis,
    ) -> Result<u64, StoreError> {
        let table = self.inner.open_table(RECORDS)?;
        let (mut low, mut high) = (first, next);
        while low < high {
            let middle = low + (high - low) / 2;
            // A record that was trimmed meanwhile counts as one that arrived earlier.
            let arrival = table.get((log.0, middle))?.map_or(0, |value| Record::arrival_of(value.value()));
            if arrival < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// A write transaction: all of it or nothing.
pub(super) struct Transaction {
    inner: WriteTransaction,
}

/// The records table of an open transaction.
pub(super) struct Appender<'t> {
    table: Table<'t, (u32, u64), &'static [u8]>,
}

impl Appender<'_> {
    /// Writes one record.
    pub(super) fn append(&mut self, log: LogId, counter: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.table.insert((log.0, counter), bytes)?;
        Ok(())
    }
}

impl Transaction {
    pub(super) fn appender(&self) -> Result<Appender<'_>, StoreError> {
        Ok(Appender { table: self.inner.open_table(RECORDS)? })
    }

    /// Writes a stream's description.
    pub(super) fn put_stream(&self, stream: &Stream) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(stream).map_err(|source| StoreError::Stream { name: stream.name.clone(), source })?;
        self.inner.open_table(STREAMS)?.insert(stream.name.as_str(), json.as_slice())?;
        Ok(())
    }

    pub(super) fn remove_stream(&self, name: &str) -> Result<(), StoreError> {
        self.inner.open_table(STREAMS)?.remove(name)?;
        Ok(())
    }

    pub(super) fn put_counters(&self, counters: Counters) -> Result<(), StoreError> {
        let mut table = self.inner.open_table(NUMBERS)?;
        table.insert(NEXT_LOG, u64::from(counters.next_log))?;
        table.insert(LAST_STAMP, counters.last_stamp)?;
        Ok(())
    }

    /// Marks a log for removal.
    pub(super) fn bury(&self, log: LogId) -> Result<(), StoreError> {
        self.inner.open_table(GRAVES)?.insert(log.0, ())?;
        Ok(())
    }

    /// Removes the records of a log before a counter.
    pub(super) fn trim(&self, log: LogId, before: u64) -> Result<(), StoreError> {
        self.inner.open_table(RECORDS)?.retain_in((log.0, 0)..(log.0, before), |_, _| false)?;
        self.inner.open_table(TRIMS)?.insert(log.0, before)?;
        Ok(())
    }

    /// Removes at most `limit` records of a buried log; true when nothing of it is left.
    pub(super) fn dig_up(&self, log: LogId, limit: usize) -> Result<bool, StoreError> {
        let mut records = self.inner.open_table(RECORDS)?;
        let last = records
            .range((log.0, 0)..=(log.0, u64::MAX))?
            .nth(limit.saturating_sub(1))
            .transpose()?
            .map(|(key, _)| key.value().1);
        let until = last.unwrap_or(u64::MAX);
        records.retain_in((log.0, 0)..=(log.0, until), |_, _| false)?;
        let done = last.is_none();
        if done {
            self.inner.open_table(GRAVES)?.remove(log.0)?;
            self.inner.open_table(TRIMS)?.remove(log.0)?;
        }
        Ok(done)
    }

    /// Makes everything durable and visible.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.inner.commit()?;
        Ok(())
    }
}
