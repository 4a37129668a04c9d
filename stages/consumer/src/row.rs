//! The rows of the lease table as DynamoDB items, attribute for attribute as the KCL names and types them.
//!
//! A KCL table holds rows of several entity types; three of them are ours: a worker's heartbeat, a recipe, and when reading
//! of the stream began.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_contract::{ArrivalMillis, Position, Sequence, ShardId};

use crate::lease::{Checkpoint, Lease, Pending, WorkerId};
use crate::load::Load;
use crate::pin::{self, RecipeHash};
use crate::tally::Tally;

/// A DynamoDB item.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const LEASE_KEY: &str = "leaseKey";
pub(crate) const LEASE_OWNER: &str = "leaseOwner";
pub(crate) const LEASE_COUNTER: &str = "leaseCounter";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const CHECKPOINT_SUB: &str = "checkpointSubSequenceNumber";
pub(crate) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(crate) const PARENTS: &str = "parentShardId";
pub(crate) const CHILDREN: &str = "childShardIds";
pub(crate) const STARTING_HASH_KEY: &str = "startingHashKey";
pub(crate) const ENDING_HASH_KEY: &str = "endingHashKey";
pub(crate) const PENDING: &str = "pendingCheckpoint";
pub(crate) const PENDING_SUB: &str = "pendingCheckpointSubSequenceNumber";
pub(crate) const PENDING_STATE: &str = "pendingCheckpointState";
pub(crate) const CHECKPOINT_OWNER: &str = "checkpointOwner";
pub(crate) const ENTITY_TYPE: &str = "entityType";
/// Ours: a sequence number of the shard. Tells it from one with its name in another stream.
pub(crate) const KNOWN_SEQUENCE: &str = "penstockKnownSequenceNumber";
/// Ours: the time that belongs to the sentinel `AT_TIMESTAMP`, in milliseconds since the Unix epoch.
pub(crate) const START_AT_MILLIS: &str = "penstockStartAtMillis";
/// Ours: what was committed so far, changed with the checkpoint.
pub(crate) const TALLY: &str = "penstockTally";
/// Ours: who takes a lease next that was handed over.
pub(crate) const INTENDED: &str = "penstockIntendedOwner";
/// What all leases of a worker weigh, in bytes a second, and the lightest of them.
pub(crate) const LOAD: &str = "load";
pub(crate) const LIGHTEST: &str = "lightestLease";
pub(crate) const HEARTBEAT: &str = "heartbeat";
pub(crate) const DRAINING: &str = "draining";
pub(crate) const RECIPE: &str = "recipe";
/// Moves whenever a worker makes sure of a recipe, so that nobody deletes it at the same moment.
pub(crate) const TOUCHED: &str = "touched";

const LEASE: &str = "LEASE";
pub(crate) const WORKER_TYPE: &str = "PENSTOCK_WORKER";
pub(crate) const RECIPE_TYPE: &str = "PENSTOCK_RECIPE";
pub(crate) const START_TYPE: &str = "PENSTOCK_START";
const WORKER_PREFIX: &str = "penstock.worker.";
const RECIPE_PREFIX: &str = "penstock.recipe.";
pub(crate) const START_KEY: &str = "penstock.start";

const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const SHARD_END: &str = "SHARD_END";

/// A worker's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerRow {
    pub(crate) id: WorkerId,
    /// Moves while the worker lives.
    pub(crate) heartbeat: u64,
    /// The worker gives its leases back and takes no more.
    pub(crate) draining: bool,
    /// The recipe that it pins ranges with.
    pub(crate) recipe: RecipeHash,
    /// What its leases weigh; `None` while they are not all measured.
    pub(crate) load: Option<Load>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row {
    Lease(Lease),
    Worker(WorkerRow),
    Recipe {
        hash: RecipeHash,
        touched: u64,
    },
    /// The time from which on a sink reads the stream that began with what comes next.
    Start(ArrivalMillis),
    /// A lease that cannot be read: nobody touches it, and its children wait.
    Broken {
        shard: ShardId,
        problem: String,
    },
    /// Of a type that means nothing here.
    Foreign,
}

pub(crate) fn worker_key(worker: &WorkerId) -> String {
    format!("{WORKER_PREFIX}{worker}")
}

pub(crate) fn recipe_key(hash: &RecipeHash) -> String {
    format!("{RECIPE_PREFIX}{hash}")
}

pub(crate) fn key_of(lease_key: impl Into<String>) -> Item {
    HashMap::from([(LEASE_KEY.to_owned(), AttributeValue::S(lease_key.into()))])
}

/// Reads any row. Never fails: what cannot be read is a row that cannot be read.
pub(crate) fn read(item: &Item) -> Row {
    let key = text(item, LEASE_KEY).unwrap_or_default();
    match text(item, ENTITY_TYPE) {
        None | Some(LEASE) => match read_lease(key, item) {
            Ok(lease) => Row::Lease(lease),
            Err(problem) => Row::Broken { shard: ShardId::new(key), problem },
        },
        Some(WORKER_TYPE) => read_worker(key, item).map_or(Row::Foreign, Row::Worker),
        Some(RECIPE_TYPE) => {
            let hash = key.strip_prefix(RECIPE_PREFIX).map(RecipeHash::from_text);
            hash.map_or(Row::Foreign, |hash| Row::Recipe { hash, touched: number(item, TOUCHED).unwrap_or(0) })
        }
        Some(START_TYPE) => number(item, START_AT_MILLIS).map_or(Row::Foreign, |at| Row::Start(ArrivalMillis(at))),
        Some(_) => Row::Foreign,
    }
}

/// The item that says when reading of the stream began.
pub(crate) fn write_start(at: ArrivalMillis) -> Item {
    let mut item = key_of(START_KEY);
    item.insert(ENTITY_TYPE.to_owned(), AttributeValue::S(START_TYPE.to_owned()));
    item.insert(START_AT_MILLIS.to_owned(), AttributeValue::N(at.0.to_string()));
    item
}

fn read_worker(key: &str, item: &Item) -> Option<WorkerRow> {
    Some(WorkerRow {
        id: WorkerId::new(key.strip_prefix(WORKER_PREFIX)?),
        heartbeat: number(item, HEARTBEAT)?,
        draining: item.get(DRAINING).and_then(|value| value.as_bool().ok()).copied().unwrap_or(false),
        recipe: RecipeHash::from_text(text(item, RECIPE)?),
        load: number(item, LOAD).zip(number(item, LIGHTEST)).map(|(all, lightest)| Load { all, lightest }),
    })
}

/// Reads a lease.
pub(crate) fn read_lease(key: &str, item: &Item) -> Result<Lease, String> {
    let missing = |attribute| format!("the attribute {attribute} is missing or not of its type");
    let hash_range = text(item, STARTING_HASH_KEY).zip(text(item, ENDING_HASH_KEY));
    Ok(Lease {
        shard: ShardId::new(key),
        owner: text(item, LEASE_OWNER).map(WorkerId::new),
        intended: text(item, INTENDED).map(WorkerId::new),
        counter: number(item, LEASE_COUNTER).ok_or_else(|| missing(LEASE_COUNTER))?,
        checkpoint: read_checkpoint(item)?,
        owner_switches_since_checkpoint: number(item, OWNER_SWITCHES).unwrap_or(0),
        parents: shards(item, PARENTS),
        children: shards(item, CHILDREN),
        hash_range: hash_range.map(|(start, end)| (start.to_owned(), end.to_owned())),
        known_sequence: text(item, KNOWN_SEQUENCE).and_then(|text| Sequence::parse(text).ok()),
        pending: read_pending(item)?,
        tally: text(item, TALLY).and_then(Tally::parse),
    })
}

fn read_checkpoint(item: &Item) -> Result<Checkpoint, String> {
    let checkpoint = text(item, CHECKPOINT).ok_or_else(|| format!("the attribute {CHECKPOINT} is missing"))?;
    Ok(match checkpoint {
        TRIM_HORIZON => Checkpoint::TrimHorizon,
        LATEST => Checkpoint::Latest,
        AT_TIMESTAMP => Checkpoint::AtTimestamp(number(item, START_AT_MILLIS).map(ArrivalMillis)),
        SHARD_END => Checkpoint::ShardEnd,
        sequence => Checkpoint::At(read_position(sequence, number(item, CHECKPOINT_SUB))?),
    })
}

fn read_pending(item: &Item) -> Result<Option<Pending>, String> {
    let Some(end) = text(item, PENDING) else { return Ok(None) };
    // A KCL application may prepare a sentinel, such as the end of the shard.
    if [TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END].contains(&end) {
        return Ok(Some(Pending::Foreign));
    }
    let end = read_position(end, number(item, PENDING_SUB))?;
    let state = item.get(PENDING_STATE).and_then(|value| value.as_b().ok());
    Ok(Some(pin::read(end, state.map(AsRef::as_ref))))
}

fn read_position(sequence: &str, sub_sequence: Option<u64>) -> Result<Position, String> {
    let sequence = Sequence::parse(sequence).map_err(|error| error.to_string())?;
    Ok(Position::new(sequence, sub_sequence.unwrap_or(0)))
}

/// The attributes that change during a lease's life; those that are not in the answer are to be absent.
pub(crate) fn changing(lease: &Lease) -> Vec<(&'static str, Option<AttributeValue>)> {
    let start_at = match &lease.checkpoint {
        Checkpoint::AtTimestamp(at) => at.map(|at| AttributeValue::N(at.0.to_string())),
        _ => None,
    };
    let (checkpoint, sub_sequence) = checkpoint_texts(&lease.checkpoint);
    let mut attributes = vec![
        (LEASE_OWNER, lease.owner.as_ref().map(|owner| AttributeValue::S(owner.to_string()))),
        (INTENDED, lease.intended.as_ref().map(|worker| AttributeValue::S(worker.to_string()))),
        (LEASE_COUNTER, Some(number_value(lease.counter))),
        (CHECKPOINT, Some(AttributeValue::S(checkpoint))),
        (CHECKPOINT_SUB, Some(number_value(sub_sequence))),
        (OWNER_SWITCHES, Some(number_value(lease.owner_switches_since_checkpoint))),
        (CHILDREN, set_value(&lease.children)),
        (START_AT_MILLIS, start_at),
        (KNOWN_SEQUENCE, lease.known_sequence.as_ref().map(|known| AttributeValue::S(known.to_string()))),
        (TALLY, lease.tally.as_ref().map(|tally| AttributeValue::S(tally.to_string()))),
        (ENTITY_TYPE, Some(AttributeValue::S(LEASE.to_owned()))),
        // Left by a graceful handoff of the KCL, which ends with the first write of a new owner.
        (CHECKPOINT_OWNER, None),
    ];
    let pin = match &lease.pending {
        Some(Pending::Pin(pin)) => Some(pin),
        // What a KCL application prepared goes with our first write.
        Some(Pending::Foreign) | None => None,
        // Only who understands a pin may take it away.
        Some(Pending::Newer { .. }) => return attributes,
    };
    attributes.extend([
        (PENDING, pin.map(|pin| AttributeValue::S(pin.end.sequence.to_string()))),
        (PENDING_SUB, pin.map(|pin| number_value(pin.end.sub_sequence))),
        (PENDING_STATE, pin.map(|pin| AttributeValue::B(Blob::new(pin.state())))),
    ]);
    attributes
}

/// The whole item of a lease.
pub(crate) fn write_lease(lease: &Lease) -> Item {
    let mut item = key_of(lease.shard.as_str());
    item.extend(changing(lease).into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item.extend(set_value(&lease.parents).map(|parents| (PARENTS.to_owned(), parents)));
    if let Some((start, end)) = &lease.hash_range {
        item.insert(STARTING_HASH_KEY.to_owned(), AttributeValue::S(start.clone()));
        item.insert(ENDING_HASH_KEY.to_owned(), AttributeValue::S(end.clone()));
    }
    item
}

fn checkpoint_texts(checkpoint: &Checkpoint) -> (String, u64) {
    match checkpoint {
        Checkpoint::AtTimestamp(_) => (AT_TIMESTAMP.to_owned(), 0),
        Checkpoint::TrimHorizon => (TRIM_HORIZON.to_owned(), 0),
        Checkpoint::Latest => (LATEST.to_owned(), 0),
        Checkpoint::At(position) => (position.sequence.to_string(), position.sub_sequence),
        Checkpoint::ShardEnd => (SHARD_END.to_owned(), 0),
    }
}

pub(crate) fn text<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute)?.as_s().ok().map(String::as_str)
}

fn number<T: std::str::FromStr>(item: &Item, attribute: &str) -> Option<T> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}

fn shards(item: &Item, attribute: &str) -> BTreeSet<ShardId> {
    let names = item.get(attribute).and_then(|value| value.as_ss().ok());
    names.into_iter().flatten().map(|name| ShardId::new(name.as_str())).collect()
}

pub(crate) fn number_value(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// DynamoDB has no empty sets.
fn set_value(shards: &BTreeSet<ShardId>) -> Option<AttributeValue> {
    let names: Vec<_> = shards.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then_some(AttributeValue::Ss(names))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lease::tests::at;
    use crate::pin::tests::pin;
    use proptest::prelude::*;

    fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
        prop_oneof![
            Just(Checkpoint::AtTimestamp(None)),
            any::<i64>().prop_map(|at| Checkpoint::AtTimestamp(Some(ArrivalMillis(at)))),
            Just(Checkpoint::TrimHorizon),
            Just(Checkpoint::Latest),
            Just(Checkpoint::ShardEnd),
            any::<(u64, u64)>().prop_map(|(sequence, sub)| Checkpoint::At(at(sequence, sub))),
        ]
    }

    fn any_lease() -> impl Strategy<Value = Lease> {
        let shards = || prop::collection::btree_set("[a-z]{1,8}", 0..3);
        let owner = prop::option::of("[a-z]{1,8}");
        let pending = prop::option::of((1_u64..1000, 0_u64..1000));
        (any_checkpoint(), shards(), shards(), owner, pending, any::<(u64, u64, bool)>()).prop_map(
            |(checkpoint, parents, children, owner, pending, (counter, switches, hashes))| Lease {
                shard: ShardId::new("shardId-000000000001"),
                intended: owner.is_none().then(|| WorkerId::new("next")),
                owner: owner.map(WorkerId::new),
                counter,
                checkpoint,
                owner_switches_since_checkpoint: switches,
                parents: parents.into_iter().map(ShardId::new).collect(),
                children: children.into_iter().map(ShardId::new).collect(),
                hash_range: hashes.then(|| ("0".to_owned(), u128::MAX.to_string())),
                known_sequence: hashes.then(|| at(counter, 0).sequence),
                pending: pending.map(|(start, length)| Pending::Pin(pin(Some(start), start + length))),
                tally: hashes.then(|| Tally::parse("2/9/7/1/1@9:0")).flatten(),
            },
        )
    }

    proptest! {
        #[test]
        fn a_lease_reads_back_as_it_was_written(lease in any_lease()) {
            prop_assert_eq!(read(&write_lease(&lease)), Row::Lease(lease));
        }
    }

    #[test]
    fn the_time_at_which_reading_began_reads_back() {
        assert_eq!(read(&write_start(ArrivalMillis(7))), Row::Start(ArrivalMillis(7)));
    }

    #[test]
    fn a_lease_has_the_attributes_of_the_kcl() {
        let mut lease = Lease::new(ShardId::new("shardId-000000000007"), Checkpoint::At(at(49, 3)));
        lease.parents = [ShardId::new("shardId-000000000002")].into();
        lease = lease.taken_by(&WorkerId::new("w")).pinned(pin(Some(49), 51));
        let item = write_lease(&lease);
        assert_eq!(item["leaseKey"], AttributeValue::S("shardId-000000000007".into()));
        assert_eq!(item["leaseOwner"], AttributeValue::S("w".into()));
        assert_eq!(item["leaseCounter"], AttributeValue::N("2".into()));
        assert_eq!(item["checkpoint"], AttributeValue::S("49".into()));
        assert_eq!(item["checkpointSubSequenceNumber"], AttributeValue::N("3".into()));
        assert_eq!(item["ownerSwitchesSinceCheckpoint"], AttributeValue::N("1".into()));
        assert_eq!(item["parentShardId"], AttributeValue::Ss(vec!["shardId-000000000002".into()]));
        assert_eq!(item["pendingCheckpoint"], AttributeValue::S("51".into()));
        assert_eq!(item["pendingCheckpointSubSequenceNumber"], AttributeValue::N("0".into()));
        assert!(item["pendingCheckpointState"].is_b());
        assert_eq!(item["entityType"], AttributeValue::S("LEASE".into()));
        assert!(!item.contains_key("childShardIds") && !item.contains_key("checkpointOwner"));
    }

    /// Above one kilobyte a write costs twice as much.
    #[test]
    fn a_row_with_everything_in_it_stays_below_one_kilobyte() {
        let digits = |last: u64| Position::new(Sequence::parse(&format!("{}{last:06}", "4".repeat(50))).unwrap(), 0);
        let pin = pin::Pin {
            start_exclusive: Some(digits(1)),
            first: digits(2),
            end: digits(3),
            records: 1_000_000,
            ..pin(Some(600_000), 700_000)
        };
        let mut lease = Lease::new(ShardId::new("shardId-000000000007"), Checkpoint::At(digits(1)));
        lease.parents = [ShardId::new("shardId-000000000002")].into();
        lease.hash_range = Some((u128::MAX.to_string(), u128::MAX.to_string()));
        lease.tally = Tally::parse(&format!("123456/123456789/123456789/1234/12345@{}", digits(1)));
        let lease = lease.taken_by(&WorkerId::new("ecommerce-tables-6f7d9c8b5d-x2x7q")).pinned(pin);
        let bytes = |value: &AttributeValue| match value {
            AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
            AttributeValue::B(blob) => blob.as_ref().len(),
            AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
            other => panic!("{other:?}"),
        };
        let size: usize = write_lease(&lease).iter().map(|(name, value)| name.len() + bytes(value)).sum();
        assert!(lease.tally.is_some() && size < 1024, "{size}");
    }

    #[test]
    fn a_row_of_an_older_kcl_is_a_lease_too() {
        let item = HashMap::from([
            (LEASE_KEY.to_owned(), AttributeValue::S("shardId-0".into())),
            (LEASE_COUNTER.to_owned(), number_value(4)),
            (CHECKPOINT.to_owned(), AttributeValue::S("TRIM_HORIZON".into())),
        ]);
        let Row::Lease(lease) = read(&item) else { panic!("no lease") };
        assert_eq!((lease.counter, lease.checkpoint, lease.owner), (4, Checkpoint::TrimHorizon, None));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_not_taken_for_none() {
        let mut item = write_lease(&Lease::new(ShardId::new("s"), Checkpoint::TrimHorizon));
        item.insert(CHECKPOINT.to_owned(), AttributeValue::S("12a".into()));
        assert!(matches!(read(&item), Row::Broken { shard, .. } if shard.as_str() == "s"));
        item.insert(ENTITY_TYPE.to_owned(), AttributeValue::S("LEADER".into()));
        assert_eq!(read(&item), Row::Foreign);
    }
}
