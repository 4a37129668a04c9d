//! A stream and its shards, as the control plane sees them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::consumer::Consumer;
use super::hash::{HashRange, uniform};
use super::sequence::SequenceNumber;
use super::{Millis, Moment};
use crate::kinesis::error::ApiError;

/// How long a stream shows that it is being created, changed or deleted. Long enough that a client which does not wait
/// is found out, short enough that nobody notices.
pub(crate) const TRANSITION_MILLIS: Millis = 100;

/// A day.
pub(crate) const DAY: Millis = 24 * 3_600_000;
/// The mode may be switched this often in 24 hours.
const MODE_SWITCHES_PER_DAY: usize = 2;

/// Records of one shard on disk; never used again for another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LogId(pub(crate) u32);

/// Who decides the number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// The user.
    Provisioned,
    /// The service.
    OnDemand,
}

impl Mode {
    /// The name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand => "ON_DEMAND",
        }
    }
}

/// The state of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// Not yet usable.
    Creating,
    /// Usable.
    Active,
    /// Usable; its settings cannot be changed now.
    Updating,
    /// Going away.
    Deleting,
}

impl Status {
    /// The name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// A state that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transition {
    pub(crate) status: Status,
    pub(crate) until: Millis,
}

/// A data stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) created_at: Millis,
    pub(crate) mode: Mode,
    pub(crate) retention_hours: u32,
    /// The largest record, key included, in KiB.
    pub(crate) max_record_kib: u32,
    pub(crate) encryption_key: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) shard_metrics: BTreeSet<String>,
    pub(crate) consumers: Vec<Consumer>,
    /// In the order of their indexes. Shards whose records have all expired are taken out.
    pub(crate) shards: Vec<Shard>,
    pub(crate) next_shard: u32,
    pub(crate) transition: Option<Transition>,
    /// When `UpdateShardCount` was called within the last day.
    pub(crate) reshards: Vec<Millis>,
    /// When the mode was switched within the last day.
    #[serde(default)]
    pub(crate) mode_switches: Vec<Millis>,
    /// Records from before this time stay expired, also when the retention has become longer.
    #[serde(default)]
    pub(crate) expired_before: Millis,
}

/// A shard: a range of hash keys and a log of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) log: LogId,
    pub(crate) stamp: u64,
    pub(crate) hashes: HashRange,
    pub(crate) parent: Option<u32>,
    pub(crate) adjacent_parent: Option<u32>,
    pub(crate) opened_at: Millis,
    pub(crate) closed: Option<Closed>,
}

/// The end of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) at: Millis,
    /// The counter after the last record.
    pub(crate) counter: u64,
}

/// `shardId-000000000007`.
pub(crate) fn shard_id(index: u32) -> String {
    format!("shardId-{index:012}")
}

/// The index in a shard's name; `None` when the text names no shard.
pub(crate) fn parse_shard_id(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("shardId-")?;
    (digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

impl Shard {
    /// The number of a place in this shard.
    pub(crate) fn sequence(&self, counter: u64) -> SequenceNumber {
        SequenceNumber { stamp: self.stamp, counter, shard: self.index }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether the shard took records at that time. At any time, such shards cover the key space exactly once.
    pub(crate) fn was_open_at(&self, time: Millis) -> bool {
        self.opened_at <= time && self.closed.is_none_or(|closed| closed.at > time)
    }

    pub(crate) fn is_child_of(&self, index: u32) -> bool {
        self.parent == Some(index) || self.adjacent_parent == Some(index)
    }
}

impl Stream {
    /// The default retention of the service, in hours.
    pub(crate) const RETENTION_HOURS: u32 = 24;
    /// The default size limit of a record, in KiB.
    pub(crate) const MAX_RECORD_KIB: u32 = 1024;
    /// The number of shards that an on-demand stream begins with.
    pub(crate) const ON_DEMAND_SHARDS: u32 = 4;

    /// A new stream with equal shards.
    pub(crate) fn create(name: &str, mode: Mode, shard_count: u32, moment: &mut Moment<'_>) -> Self {
        let stamp = moment.now.max(moment.stamp_floor);
        let mut stream = Self {
            name: name.to_owned(),
            created_at: moment.now,
            mode,
            retention_hours: Self::RETENTION_HOURS,
            max_record_kib: Self::MAX_RECORD_KIB,
            encryption_key: None,
            tags: BTreeMap::new(),
            shard_metrics: BTreeSet::new(),
            consumers: Vec::new(),
            shards: Vec::new(),
            next_shard: 0,
            transition: None,
            reshards: Vec::new(),
            mode_switches: Vec::new(),
            expired_before: 0,
        };
        for hashes in uniform(shard_count) {
            stream.add_shard(hashes, stamp, None, None, moment);
        }
        stream.begin(Status::Creating, moment.now);
        stream
    }

    /// Adds an open shard and returns its index.
    pub(super) fn add_shard(
        &mut self,
        hashes: HashRange,
        stamp: u64,
        parent: Option<u32>,
        adjacent_parent: Option<u32>,
        moment: &mut Moment<'_>,
    ) -> u32 {
        let index = self.next_shard;
        self.next_shard += 1;
        self.shards.push(Shard {
            index,
            log: (moment.new_log)(),
            stamp,
            hashes,
            parent,
            adjacent_parent,
            opened_at: moment.now,
            closed: None,
        });
        index
    }

    /// Shows a state for a moment.
    pub(crate) fn begin(&mut self, status: Status, now: Millis) {
        self.transition = Some(Transition { status, until: now + TRANSITION_MILLIS });
    }

    /// The state at a time; `None` once the stream is deleted.
    pub(crate) fn status(&self, now: Millis) -> Option<Status> {
        match self.transition {
            Some(Transition { status, until }) if now < until => Some(status),
            Some(Transition { status: Status::Deleting, .. }) => None,
            _ => Some(Status::Active),
        }
    }

    /// Refuses what only an active stream allows.
    pub(crate) fn require_active(&self, now: Millis) -> Result<(), ApiError> {
        match self.status(now) {
            Some(Status::Active) => Ok(()),
            None => Err(ApiError::no_stream(&self.name)),
            Some(status) => Err(ApiError::in_use(format!(
                "Stream {} under account {} not ACTIVE, instead in state {}",
                self.name,
                crate::kinesis::ACCOUNT,
                status.name()
            ))),
        }
    }

    pub(crate) fn shard(&self, index: u32) -> Option<&Shard> {
        self.shards.binary_search_by_key(&index, |shard| shard.index).ok().map(|at| &self.shards[at])
    }

    pub(crate) fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.is_open())
    }

    /// The time before which records have expired.
    pub(crate) fn trim_horizon(&self, now: Millis) -> Millis {
        now.saturating_sub(u64::from(self.retention_hours) * 3_600_000).max(self.expired_before)
    }

    /// Keeps records this long from now on; what has expired stays so.
    pub(crate) fn set_retention(&mut self, hours: u32, now: Millis) {
        self.expired_before = self.trim_horizon(now);
        self.retention_hours = hours;
    }

    /// Lets somebody else decide the number of shards.
    /// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>
    pub(crate) fn switch_mode(&mut self, mode: Mode, now: Millis) -> Result<(), ApiError> {
        if self.mode == mode {
            return Err(ApiError::invalid_argument(format!(
                "Stream {} is already in StreamMode {}.",
                self.name,
                mode.name()
            )));
        }
        self.mode_switches.retain(|at| at + DAY > now);
        if self.mode_switches.len() >= MODE_SWITCHES_PER_DAY {
            return Err(ApiError::limit(format!(
                "The mode of stream {} was switched {MODE_SWITCHES_PER_DAY} times within 24 hours.",
                self.name
            )));
        }
        self.mode_switches.push(now);
        self.mode = mode;
        Ok(())
    }

    /// Whether a shard's last record has expired, so that the shard is gone.
    pub(crate) fn has_expired(&self, shard: &Shard, now: Millis) -> bool {
        shard.closed.is_some_and(|closed| closed.at <= self.trim_horizon(now))
    }

    /// Shards that have not expired.
    pub(crate) fn visible_shards(&self, now: Millis) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |shard| !self.has_expired(shard, now))
    }

    /// The largest creation stamp of any shard.
    pub(crate) fn last_stamp(&self) -> u64 {
        self.shards.iter().map(|shard| shard.stamp).max().unwrap_or(0)
    }
}
