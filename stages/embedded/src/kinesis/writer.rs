//! The one thread that writes. It takes what waits in the queue, writes it in one transaction, and answers only after
//! the commit has reached the disk (group commit). It gives out sequence numbers in the order of insertion and publishes
//! them after the commit, so per shard they grow exactly in the order in which records become readable.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::catalog::{Catalog, Live, Log};
use super::clock::Clock;
use super::error::ApiError;
use super::maintenance;
use super::model::hash::HashKey;
use super::model::rates::WriteRate;
use super::model::sequence::SequenceNumber;
use super::model::stream::{LogId, Status, Stream};
use super::model::{Millis, Moment};
use super::store::{Appender, Counters, Record, Store, StoreError};
use crate::Limits;

/// Commands that may wait. Their bytes are bounded where requests are read.
const QUEUE: usize = 1024;
/// Puts that go into one transaction, at most.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Records of one request, laid out as the store keeps them, one after the other; arrivals are filled in here.
pub(super) struct PutBatch {
    pub(super) stream: String,
    pub(super) arena: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

/// One record in the arena.
pub(super) struct Entry {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) hash: HashKey,
}

/// What became of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Placed {
    /// It is on disk.
    At(SequenceNumber),
    /// The shard's rate is used up.
    Throttled {
        /// The shard's index.
        shard: u32,
    },
}

/// What became of a request.
pub(super) struct Placement {
    pub(super) placed: Vec<Placed>,
    pub(super) encrypted: bool,
}

type Alteration = Box<dyn FnOnce(&mut Stream, &mut Moment<'_>) -> Result<(), ApiError> + Send>;
type Creation = Box<dyn FnOnce(&mut Moment<'_>) -> Stream + Send>;

/// A change of the control plane.
pub(super) enum Change {
    /// A new stream.
    Create { name: String, create: Creation },
    /// Other settings or shards.
    Alter { name: String, alter: Alteration },
}

enum Command {
    Put(PutBatch, oneshot::Sender<Result<Placement, ApiError>>),
    Change(Change, oneshot::Sender<Result<Arc<Live>, ApiError>>),
    Maintain(oneshot::Sender<bool>),
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct WriterHandle {
    queue: mpsc::Sender<Command>,
}

impl WriterHandle {
    /// Writes records; answers when they are on disk.
    pub(super) async fn put(&self, batch: PutBatch) -> Result<Placement, ApiError> {
        self.ask(|reply| Command::Put(batch, reply)).await?
    }

    /// Changes a stream; answers with the stream as it is then, on disk.
    pub(super) async fn change(&self, change: Change) -> Result<Arc<Live>, ApiError> {
        self.ask(|reply| Command::Change(change, reply)).await?
    }

    /// Removes some of what has expired; true when there is more.
    pub(super) async fn maintain(&self) -> Result<bool, ApiError> {
        self.ask(Command::Maintain).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ApiError> {
        let stopped = || ApiError::internal("The engine is stopping.");
        let (reply, answer) = oneshot::channel();
        self.queue.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

/// The writer's side.
pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    limits: Limits,
    rates: HashMap<LogId, WriteRate>,
    queue: mpsc::Receiver<Command>,
}

/// Starts the thread. It ends when every handle is dropped and the queue is empty.
pub(super) fn start(
    store: Arc<Store>,
    catalog: Arc<Catalog>,
    counters: Counters,
    clock: Clock,
    limits: Limits,
) -> std::io::Result<(WriterHandle, JoinHandle<()>)> {
    let (queue, commands) = mpsc::channel(QUEUE);
    let writer = Writer { store, catalog, counters, clock, limits, rates: HashMap::new(), queue: commands };
    let thread = std::thread::Builder::new().name("kinesis-writer".into()).spawn(move || writer.run())?;
    Ok((WriterHandle { queue }, thread))
}

type WaitingPut = (PutBatch, oneshot::Sender<Result<Placement, ApiError>>);

impl Writer {
    fn run(mut self) {
        let mut held = None;
        while let Some(command) = held.take().or_else(|| self.queue.blocking_recv()) {
            match command {
                Command::Put(batch, reply) => {
                    let puts = self.gather((batch, reply), &mut held);
                    self.put(puts);
                }
                // A requester that went away does not need its answer.
                Command::Change(change, reply) => drop(reply.send(self.change(change))),
                Command::Maintain(reply) => drop(reply.send(self.maintain())),
            }
        }
    }

    /// Takes the puts that wait behind the first one, up to a bound or to the first other command.
    fn gather(&mut self, first: WaitingPut, held: &mut Option<Command>) -> Vec<WaitingPut> {
        let mut bytes = first.0.arena.len();
        let mut puts = vec![first];
        while bytes < GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Command::Put(batch, reply)) => {
                    bytes += batch.arena.len();
                    puts.push((batch, reply));
                }
                Ok(other) => {
                    *held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        puts
    }

    fn put(&mut self, puts: Vec<WaitingPut>) {
        let (mut batches, replies): (Vec<_>, Vec<_>) = puts.into_iter().unzip();
        match self.put_durably(&mut batches) {
            Ok(placements) => {
                drop(batches);
                for (reply, placement) in replies.into_iter().zip(placements) {
                    drop(reply.send(placement));
                }
            }
            Err(error) => {
                let refusal = store_failed(&error);
                for reply in replies {
                    drop(reply.send(Err(refusal.clone())));
                }
            }
        }
    }

    fn put_durably(&mut self, batches: &mut [PutBatch]) -> Result<Vec<Result<Placement, ApiError>>, StoreError> {
        let now = self.clock.now();
        let transaction = self.store.write()?;
        let mut tails = Tails::default();
        let placements = {
            let mut appender = transaction.appender()?;
            let mut placements = Vec::with_capacity(batches.len());
            for batch in batches {
                let placement = match self.catalog.get_usable(&batch.stream, now) {
                    Ok(live) => Ok(self.place(&live, batch, now, &mut tails, &mut appender)?),
                    Err(refusal) => Err(refusal),
                };
                placements.push(placement);
            }
            placements
        };
        if !tails.0.is_empty() {
            transaction.commit()?;
        }
        tails.publish();
        Ok(placements)
    }

    fn place(
        &mut self,
        live: &Live,
        batch: &mut PutBatch,
        now: Millis,
        tails: &mut Tails,
        appender: &mut Appender<'_>,
    ) -> Result<Placement, StoreError> {
        let mut placed = Vec::with_capacity(batch.entries.len());
        for entry in &batch.entries {
            // Open shards cover the key space, so there always is one.
            let Some(at) = live.route(entry.hash) else { continue };
            let (shard, log) = (&live.stream.shards[at], &live.logs[at]);
            let size = (entry.end - entry.start - Record::HEADER) as u64;
            if self.limits == Limits::Enforced
                && !self.rates.entry(shard.log).or_insert_with(WriteRate::new).take(now, size)
            {
                placed.push(Placed::Throttled { shard: shard.index });
                continue;
            }
            let tail = tails.of(shard.log, log);
            let arrival = now.max(tail.last_arrival);
            batch.arena[entry.start..entry.start + 8].copy_from_slice(&arrival.to_le_bytes());
            appender.append(shard.log, tail.next, &batch.arena[entry.start..entry.end])?;
            placed.push(Placed::At(shard.sequence(tail.next)));
            tail.next += 1;
            tail.last_arrival = arrival;
        }
        Ok(Placement { placed, encrypted: live.stream.encryption_key.is_some() })
    }

    fn change(&mut self, change: Change) -> Result<Arc<Live>, ApiError> {
        let (stream, replaced) = self.decide(change)?;
        self.save(stream, replaced.as_deref()).map_err(|error| store_failed(&error))
    }

    /// The stream as it is to be, and a deleted predecessor that it replaces.
    fn decide(&mut self, change: Change) -> Result<(Stream, Option<Arc<Live>>), ApiError> {
        let now = self.clock.now();
        let (name, current) = match &change {
            Change::Create { name, .. } | Change::Alter { name, .. } => (name.clone(), self.catalog.find(name)),
        };
        let alive = current.as_ref().is_some_and(|live| live.stream.status(now).is_some());
        let ends: HashMap<LogId, u64> = current
            .iter()
            .flat_map(|live| live.stream.shards.iter().zip(&live.logs))
            .map(|(shard, log)| (shard.log, log.extent().next))
            .collect();
        let next_log = &mut self.counters.next_log;
        let mut moment = Moment {
            now,
            next_counter: &|log| ends.get(&log).copied().unwrap_or(1),
            new_log: &mut || {
                *next_log += 1;
                LogId(*next_log)
            },
            stamp_floor: self.counters.last_stamp + 1,
        };
        match (change, current) {
            (Change::Create { .. }, Some(_)) if alive => {
                Err(ApiError::in_use(format!("Stream {name} under account {} already exists.", super::ACCOUNT)))
            }
            (Change::Create { create, .. }, predecessor) => Ok((create(&mut moment), predecessor)),
            (Change::Alter { alter, .. }, Some(live)) if alive => {
                let mut stream = live.stream.clone();
                alter(&mut stream, &mut moment)?;
                Ok((stream, None))
            }
            (Change::Alter { .. }, _) => Err(ApiError::no_stream(&name)),
        }
    }

    /// Writes a stream and shows it. Logs of shards that it no longer has are marked for removal.
    pub(super) fn save(&mut self, stream: Stream, replaced: Option<&Live>) -> Result<Arc<Live>, StoreError> {
        let before = self.catalog.find(&stream.name);
        self.counters.last_stamp = self.counters.last_stamp.max(stream.last_stamp());
        let transaction = self.store.write()?;
        transaction.put_stream(&stream)?;
        transaction.put_counters(self.counters)?;
        for live in before.iter().map(Arc::as_ref).chain(replaced) {
            for gone in
                live.stream.shards.iter().filter(|old| stream.shard(old.index).is_none_or(|new| new.log != old.log))
            {
                transaction.bury(gone.log)?;
                self.rates.remove(&gone.log);
            }
        }
        transaction.commit()?;
        let known: HashMap<LogId, Arc<Log>> = before
            .iter()
            .flat_map(|live| live.stream.shards.iter().zip(&live.logs))
            .map(|(shard, log)| (shard.log, Arc::clone(log)))
            .collect();
        let live = Arc::new(Live::new(stream, |shard| {
            known.get(&shard.log).map_or_else(|| Arc::new(Log::empty()), Arc::clone)
        }));
        self.catalog.publish(Arc::clone(&live));
        Ok(live)
    }

    /// Takes a deleted stream out and marks its records for removal.
    pub(super) fn retire(&mut self, live: &Live) -> Result<(), StoreError> {
        let transaction = self.store.write()?;
        transaction.remove_stream(&live.stream.name)?;
        for shard in &live.stream.shards {
            transaction.bury(shard.log)?;
            self.rates.remove(&shard.log);
        }
        transaction.commit()?;
        self.catalog.retire(&live.stream.name);
        Ok(())
    }

    fn maintain(&mut self) -> bool {
        maintenance::step(self).unwrap_or_else(|error| {
            store_failed(&error);
            false
        })
    }
}

/// The ends of the logs that a transaction writes to, until it is committed.
#[derive(Default)]
struct Tails(HashMap<LogId, Tail>);

struct Tail {
    log: Arc<Log>,
    next: u64,
    last_arrival: Millis,
}

impl Tails {
    fn of(&mut self, id: LogId, log: &Arc<Log>) -> &mut Tail {
        self.0.entry(id).or_insert_with(|| {
            let extent = log.extent();
            Tail { log: Arc::clone(log), next: extent.next, last_arrival: extent.last_arrival }
        })
    }

    fn publish(self) {
        for tail in self.0.into_values() {
            tail.log.publish(tail.next, tail.last_arrival);
        }
    }
}

/// Logs a failure of the store with its causes and says to the client that it may try again.
fn store_failed(error: &StoreError) -> ApiError {
    tracing::error!(error = error as &(dyn std::error::Error + 'static), "the Kinesis store failed");
    ApiError::internal("The engine's store failed; see its log.")
}

/// Whether a stream is being deleted.
pub(super) fn is_deleting(stream: &Stream) -> bool {
    stream.transition.is_some_and(|transition| transition.status == Status::Deleting)
}
