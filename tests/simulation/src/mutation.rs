//! Breaking one rule of the protocol on purpose, at the services' side, so that the consumer stays as it is and
//! yet behaves as if the rule were not in it.

use serde_json::{Value, json};

use crate::dynamodb::Item;

/// A rule that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Ranges are not pinned: what is to be pinned is not written.
    NoPin,
    /// Leases are not fenced: the table takes a write whatever its row looks like.
    NoFence,
    /// Children do not wait for their parents: rows do not say who the parents are.
    NoParentGate,
    /// A range is committed before it is applied: the sink says yes first and stores later.
    CommitFirst,
    /// Children are read from their newest record on.
    ChildFromLatest,
    /// A pinned range is applied again with another end.
    OtherEnd,
    /// The lease of a child is written also when it is there already.
    CreateOverwrites,
    /// The sink does not know what was applied already.
    SinkForgets,
    /// A pinned range is applied again with the recipe of today.
    OtherRecipe,
    /// Leases do not say of which stream they are.
    OneStreamForEver,
    /// Whoever takes a shard over does not know what came before: reading at a time begins with the newest record.
    NoWindow,
    /// The log of a shard does not go on those of its parents.
    NoLineage,
    /// Leases do not say at which time reading began.
    LatestAgain,
    /// The time at which reading begins is the machine's own.
    MachineTime,
    /// What is pushed names a place to go on that is further than it has come.
    OtherContinuation,
}

impl Mutation {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 15] = [
        ("no-pin", Self::NoPin),
        ("no-fence", Self::NoFence),
        ("no-parent-gate", Self::NoParentGate),
        ("commit-first", Self::CommitFirst),
        ("child-from-latest", Self::ChildFromLatest),
        ("other-end", Self::OtherEnd),
        ("create-overwrites", Self::CreateOverwrites),
        ("sink-forgets", Self::SinkForgets),
        ("other-recipe", Self::OtherRecipe),
        ("one-stream-for-ever", Self::OneStreamForEver),
        ("no-window", Self::NoWindow),
        ("no-lineage", Self::NoLineage),
        ("latest-again", Self::LatestAgain),
        ("machine-time", Self::MachineTime),
        ("other-continuation", Self::OtherContinuation),
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mutation)| *mutation == self).map_or("", |(name, _)| name)
    }

    /// Whether the table takes a write although its condition does not hold.
    pub(crate) fn ignores_condition(self, operation: &str) -> bool {
        match self {
            Self::NoFence => operation == "UpdateItem",
            Self::CreateOverwrites => operation == "PutItem",
            _ => false,
        }
    }

    /// A row is on its way into the table.
    pub(crate) fn written(self, item: &mut Item) {
        match self {
            Self::OneStreamForEver => drop(item.remove("penstockKnownSequenceNumber")),
            Self::NoPin => item.retain(|name, _| !name.starts_with("pendingCheckpoint")),
            Self::LatestAgain if item.get("checkpoint") == Some(&json!({ "S": "AT_TIMESTAMP" })) => {
                item.insert("checkpoint".to_owned(), json!({ "S": "LATEST" }));
            }
            Self::ChildFromLatest
                if item.contains_key("parentShardId")
                    && item.get("checkpoint") == Some(&json!({ "S": "TRIM_HORIZON" })) =>
            {
                item.insert("checkpoint".to_owned(), json!({ "S": "LATEST" }));
            }
            _ => {}
        }
    }

    /// A shard is on its way to somebody who lists all, or those since a time.
    pub(crate) fn listed(self, since_a_time: bool, shard: &mut Value) {
        if let (Self::NoLineage, true, Some(shard)) = (self, since_a_time, shard.as_object_mut()) {
            shard.retain(|name, _| !name.ends_with("ParentShardId"));
        }
    }

    /// A row is on its way to somebody who asked for it.
    pub(crate) fn read(self, item: &mut Item) {
        if self == Self::NoParentGate {
            item.remove("parentShardId");
        }
    }

    /// A row is on its way to somebody who reads the table.
    pub(crate) fn scanned(self, item: &mut Item) {
        self.read(item);
        if self != Self::OtherEnd {
            return;
        }
        if let Some((sequence, sub_sequence)) = first_of_pin(item) {
            item.insert("pendingCheckpoint".to_owned(), json!({ "S": sequence }));
            item.insert("pendingCheckpointSubSequenceNumber".to_owned(), json!({ "N": sub_sequence }));
        }
    }
}

/// The position of the first record of the range that a row has pinned.
fn first_of_pin(item: &Item) -> Option<(String, String)> {
    let first = &state(item)?["first"];
    Some((first["sequence"].as_str()?.to_owned(), first["subSequence"].as_u64()?.to_string()))
}

/// What the pin of a row says beside its end.
fn state(item: &Item) -> Option<Value> {
    use base64::Engine as _;
    let text = item.get("pendingCheckpointState")?["B"].as_str()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}
