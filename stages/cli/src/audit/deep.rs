//! Record by record: the stream, as far as it goes back, against what a sink stored.

mod items;
mod lines;
mod repeats;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use penstock_api::plan::SinkTarget;
use penstock_contract::{Position, Record, ShardId};
use penstock_runtime::Backoff;
use penstock_stream::{
    ErrorKind, MAX_RECORDS_PER_READ, Shard, ShardFilter, StartingAt, get_records, get_shard_iterator, list_shards,
    user_records,
};

use super::chain::{self, Gap};
use super::report::{Finding, Verdict};
use super::{Audit, Evidence};

use items::Items;
use lines::Lines;
use repeats::Repeats;

/// So many findings of a sink are told one by one.
const TOLD: usize = 20;

/// What was found, with what is only counted.
pub(super) struct Told<'a> {
    audit: &'a Audit<'a>,
    findings: &'a mut Vec<Finding>,
    count: usize,
}

impl Told<'_> {
    fn say(&mut self, verdict: Verdict, shard: Option<&ShardId>, place: String, what: String) {
        self.count += 1;
        if self.count <= TOLD {
            self.findings.push(self.audit.finding(verdict, shard, place, what));
        }
    }

    fn end(self) {
        if self.count > TOLD {
            let what = format!("{} more of this kind", self.count - TOLD);
            self.findings.push(self.audit.finding(Verdict::Wrong, None, "other records".to_owned(), what));
        }
    }
}

/// What the records are compared with.
enum Against<'a> {
    Lines(Lines<'a>),
    Items(Items),
}

/// Compares; says how many records were compared.
pub(super) async fn compare(
    audit: &Audit<'_>,
    evidence: &Evidence,
    gaps: &BTreeMap<ShardId, Vec<Gap>>,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<u64> {
    let stream = &audit.sink.stream;
    let listed = list_shards(&audit.clients.kinesis, stream, &ShardFilter::FromTrimHorizon)
        .await
        .with_context(|| format!("the shards of the stream {stream:?} cannot be listed"))?;
    let mut told = Told { audit, findings, count: 0 };
    let mut against = match &audit.sink.target {
        SinkTarget::S3(target) => Against::Lines(Lines::new(audit, target, evidence, gaps)?),
        SinkTarget::DynamoDb(target) => Against::Items(Items::new(audit, target)?),
    };
    let mut repeats = Repeats::new(audit.sink, &listed);
    let mut compared = 0;
    for shard in parents_first(&listed) {
        let due = evidence.before.leases.get(&shard.id).and_then(chain::committed);
        compared += read_shard(audit, shard, due.as_ref(), &mut repeats, &mut against, &mut told)
            .await
            .with_context(|| format!("the shard {} of the stream {stream:?} cannot be read", shard.id))?;
    }
    if let Against::Items(items) = against {
        items.end(audit, &mut told).await?;
    }
    told.end();
    if repeats.across > 0 {
        let what = format!(
            "{} records have an id that came before in another shard, which is none that theirs was made from: they are \
             stored twice. Their producer sent them again with another partition key, or in an aggregate for a shard that was gone",
            repeats.across
        );
        findings.push(audit.finding(Verdict::Wrong, None, format!("the stream {stream}"), what));
    }
    Ok(compared)
}

/// Reads a shard; counts what was committed of it.
async fn read_shard(
    audit: &Audit<'_>,
    listed: &Shard,
    due: Option<&Position>,
    repeats: &mut Repeats,
    against: &mut Against<'_>,
    told: &mut Told<'_>,
) -> anyhow::Result<u64> {
    let shard = &listed.id;
    let mut log = Log::open(audit, listed).await?;
    let mut compared = 0;
    'log: while let Some(records) = log.next().await? {
        for record in records {
            let is_due = due.is_some_and(|due| record.position <= *due);
            if !is_due && matches!(against, Against::Lines(_)) {
                break 'log;
            }
            compared += u64::from(is_due);
            let judged = repeats.judge(&record, shard);
            match against {
                Against::Lines(lines) => lines.take(&record, shard, judged, told).await?,
                Against::Items(items) => items.take(&record, shard, judged, is_due, told),
            }
        }
    }
    if let Against::Lines(lines) = against {
        lines.end_of_shard(shard, told).await?;
    }
    Ok(compared)
}

/// The user records of one shard, from the oldest to the newest.
struct Log<'a> {
    audit: &'a Audit<'a>,
    shard: &'a Shard,
    next: Option<penstock_stream::ShardIterator>,
}

impl<'a> Log<'a> {
    async fn open(audit: &'a Audit<'a>, shard: &'a Shard) -> anyhow::Result<Self> {
        let (client, stream) = (&audit.clients.kinesis, &audit.sink.stream);
        let next = get_shard_iterator(client, stream, &shard.id, &StartingAt::TrimHorizon).await?;
        Ok(Self { audit, shard, next: Some(next) })
    }

    /// The next records, which may be none; `None` at the tip or the end.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<Record>>> {
        let mut backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(5));
        let Some(iterator) = self.next.take() else { return Ok(None) };
        loop {
            match get_records(&self.audit.clients.kinesis, &iterator, MAX_RECORDS_PER_READ).await {
                Ok(answer) => {
                    let at_tip = answer.records.is_empty() && answer.millis_behind_latest == Some(0);
                    self.next = if at_tip { None } else { answer.next_iterator };
                    let opened = |record| user_records(&self.shard.id, &self.shard.hash_range, record);
                    return Ok(Some(answer.records.into_iter().flat_map(opened).collect()));
                }
                Err(error) if error.kind() == ErrorKind::Throttled && backoff.attempts() < 20 => {
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Each shard after those that it was made from.
fn parents_first(listed: &[Shard]) -> Vec<&Shard> {
    let known: BTreeSet<_> = listed.iter().map(|shard| &shard.id).collect();
    let mut done: BTreeSet<&ShardId> = BTreeSet::new();
    let mut rest: Vec<&Shard> = listed.iter().collect();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let is_next =
            |shard: &&Shard| shard.parents.iter().all(|parent| !known.contains(parent) || done.contains(parent));
        let (mut next, later): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_next);
        if next.is_empty() {
            // No shard is its own ancestor; a service that says so is taken by its word.
            ordered.extend(later);
            break;
        }
        next.sort_by(|one, other| one.id.cmp(&other.id));
        done.extend(next.iter().map(|shard| &shard.id));
        ordered.extend(next);
        rest = later;
    }
    ordered
}
