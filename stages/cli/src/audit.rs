//! `penstock audit`: whether what a Pipeline stored is what came in, each record once.

mod chain;
mod deep;
mod letters;
mod objects;
pub(crate) mod report;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use penstock_api::plan::{SinkStage, SinkTarget, StageConfig, StageKind, WriteTarget};
use penstock_consumer::{CheckpointView, LeaseTableView, read_lease_table};
use penstock_contract::ShardId;
use penstock_provision::Clients;
use penstock_stream::{ShardFilter, list_shards};

use crate::running::Where;
use crate::{starting, validate};

use chain::Chain;
use letters::Letters;
use objects::Stored;
use report::{Counts, EXIT_UNKNOWN, Finding, Report, ShardReport, SinkReport, Verdict};

/// Shown below the options: the description of a command is taken from where the commands are listed.
const AFTER: &str = "\
For each sink it reads the lease table and, where the sink writes objects, their names and metadata. It shows for each \
shard that the ranges join, without gap or overlap, from the start to the checkpoint, and that objects and dead letters \
hold what was committed. Of a sink that writes items, the leases say how much was committed; --deep compares the items \
of tables with `write: put`, and says which tables it does not compare: the sums of those with `write: aggregate`.

Of a shard that the stream has deleted after it was processed to its end there is no lease any more. Its ranges must join \
all the same; how much there was beyond what is stored, nobody knows any more, and a note says so.

--deep reads every record that the streams still hold, and compares it with its line in an object and with its item. \
It holds some 100 bytes of memory a record.

The Pipeline may run meanwhile. Nothing is written.

Exit codes:
  0  nothing is wrong
  1  something is wrong: what and where is said
  2  it could not be found out: the arguments, a service that does not answer, or what nothing is known of any more";

/// Checks that what a Pipeline stored is what came in, each record once.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The file with the Pipeline.
    file: PathBuf,
    #[command(flatten)]
    place: Where,
    /// Read the streams as well, as far as they go back, and compare record by record.
    #[arg(long)]
    deep: bool,
    /// How it is printed.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table for each sink, and what was found.
    Text,
    /// A JSON document.
    Json,
}

/// `penstock audit`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some((_, plan)) = validate::plan_of(&args.file)? else { return Ok(ExitCode::from(EXIT_UNKNOWN)) };
    let report = match audited(&args, &plan).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(EXIT_UNKNOWN));
        }
    };
    let text = match args.output {
        Output::Text => report.text(),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the report could not be printed")
        }
        _ => Ok(report.exit_code()),
    }
}

async fn audited(args: &Args, plan: &penstock_api::Plan) -> anyhow::Result<Report> {
    let clients = starting::clients(&args.place.way_to_aws(plan).await?);
    let mut findings = Vec::new();
    let mut sinks = Vec::new();
    let mut pipeline = String::new();
    for config in &plan.stages {
        pipeline = format!("{}/{}", config.pipeline.namespace, config.pipeline.name);
        if let StageKind::Sink(sink) = &config.kind {
            let audit = Audit { clients: &clients, config, sink };
            sinks.push(audit.sink(args.deep, &mut findings).await?);
        }
    }
    Ok(Report::new(pipeline, args.deep, sinks, findings))
}

/// The audit of one sink.
struct Audit<'a> {
    clients: &'a Clients,
    config: &'a StageConfig,
    sink: &'a SinkStage,
}

/// What was read of a sink. The leases twice: before and after everything else.
struct Evidence {
    before: LeaseTableView,
    after: LeaseTableView,
    /// Absent where the sink writes no objects.
    stored: Option<Stored>,
    letters: Letters,
    /// The shards that the stream has, where it was asked for.
    listed: Option<BTreeSet<ShardId>>,
}

impl Audit<'_> {
    async fn sink(&self, deep: bool, findings: &mut Vec<Finding>) -> anyhow::Result<SinkReport> {
        let before = self.leases().await?;
        let stored = match &self.sink.target {
            SinkTarget::S3(target) => Some(objects::stored(&self.clients.s3, self.config, target, findings).await?),
            SinkTarget::DynamoDb(_) => None,
        };
        let letters = letters::read(&self.clients.s3, self.config, self.sink, findings).await?;
        let after = self.leases().await?;
        let mut evidence = Evidence { before, after, stored, letters, listed: None };
        if !evidence.without_lease().is_empty() {
            evidence.listed = self.listed(findings).await;
        }
        let mut report = SinkReport {
            sink: self.config.name.clone(),
            lease_table: self.sink.lease_table.clone(),
            ..SinkReport::default()
        };
        let mut gaps = Vec::new();
        for shard in evidence.shards() {
            let chain = evidence.chain(&shard);
            findings.extend(
                chain
                    .findings
                    .into_iter()
                    .map(|(verdict, place, what)| self.finding(verdict, Some(&shard), place, what)),
            );
            gaps.push((shard.clone(), chain.gaps));
            report.shards.push(evidence.shard(&shard));
        }
        for (shard, what) in chain::early_children(&evidence.after.leases) {
            findings.push(self.finding(Verdict::Wrong, Some(&ShardId::new(shard)), "the lease".to_owned(), what));
        }
        for (shard, what) in &evidence.after.broken {
            findings.push(self.finding(Verdict::Unknown, Some(shard), "the lease".to_owned(), what.clone()));
        }
        if deep {
            report.compared = Some(deep::compare(self, &evidence, &gaps.into_iter().collect(), findings).await?);
            report.not_compared = self.not_compared();
        }
        Ok(report)
    }

    async fn leases(&self) -> anyhow::Result<LeaseTableView> {
        let table = &self.sink.lease_table;
        read_lease_table(&self.clients.dynamodb, table)
            .await
            .with_context(|| format!("the lease table {table} of the sink {:?} cannot be read", self.config.name))
    }

    /// The shards that the stream has; `None` where it does not say.
    async fn listed(&self, findings: &mut Vec<Finding>) -> Option<BTreeSet<ShardId>> {
        let stream = &self.sink.stream;
        match list_shards(&self.clients.kinesis, stream, &ShardFilter::FromTrimHorizon).await {
            Ok(listed) => Some(listed.into_iter().map(|shard| shard.id).collect()),
            Err(error) => {
                let what = format!("its shards cannot be listed, so nobody knows which it has deleted: {error}");
                findings.push(self.finding(Verdict::Unknown, None, format!("the stream {stream}"), what));
                None
            }
        }
    }

    /// The tables whose items no record makes by itself.
    fn not_compared(&self) -> Vec<String> {
        let SinkTarget::DynamoDb(target) = &self.sink.target else { return Vec::new() };
        let sums = target.tables.iter().filter(|table| table.write != WriteTarget::Put);
        sums.map(|table| table.name.clone()).collect()
    }

    fn finding(&self, verdict: Verdict, shard: Option<&ShardId>, place: String, what: String) -> Finding {
        Finding { verdict, sink: self.config.name.clone(), shard: shard.map(ToString::to_string), place, what }
    }
}

impl Evidence {
    fn shards(&self) -> BTreeSet<ShardId> {
        let stored = self.stored.iter().flat_map(|stored| stored.keys());
        self.after.leases.keys().chain(stored).chain(self.letters.keys()).cloned().collect()
    }

    /// The shards of which something is stored, and that have no lease.
    fn without_lease(&self) -> BTreeSet<ShardId> {
        self.shards().into_iter().filter(|shard| !self.after.leases.contains_key(shard)).collect()
    }

    /// The stream has deleted the shard, and its lease went with it: that happens when the shard was processed to its end.
    fn is_past(&self, shard: &ShardId) -> bool {
        let is_deleted = self.listed.as_ref().is_some_and(|listed| !listed.is_empty() && !listed.contains(shard));
        is_deleted && !self.after.leases.contains_key(shard)
    }

    fn chain(&self, shard: &ShardId) -> Chain {
        let (before, after) = (self.before.leases.get(shard), self.after.leases.get(shard));
        if self.is_past(shard) {
            let found = self.stored.as_ref().and_then(|stored| stored.get(shard)).map_or(&[][..], Vec::as_slice);
            let none = BTreeSet::new();
            return Chain::of_past(found, self.letters.get(shard).unwrap_or(&none));
        }
        let mut chain = match &self.stored {
            Some(stored) => Chain::of_objects(before, after, stored.get(shard).map_or(&[], Vec::as_slice)),
            None => Chain::of_lease(after),
        };
        let letters = self.letters.get(shard).map_or(0, |letters| letters.len() as u64);
        let committed = |lease: Option<&penstock_consumer::LeaseView>| Some(lease?.tally.as_ref()?.dead_letters);
        // Those of the pinned range may be there already.
        let pinned = after.and_then(|lease| lease.pinned.as_ref()).map_or(0, |pin| pin.records);
        if let (Some(least), Some(most)) = (committed(before.or(after)), committed(after))
            && !(least..=most + pinned).contains(&letters)
        {
            let what = format!("{letters} lines, and {most} records went there");
            chain.findings.push((Verdict::Wrong, "dead letters".to_owned(), what));
        }
        chain
    }

    fn shard(&self, shard: &ShardId) -> ShardReport {
        let lease = self.after.leases.get(shard);
        let found = self.stored.as_ref().map(|stored| stored.get(shard).map_or(&[][..], Vec::as_slice));
        ShardReport {
            shard: shard.to_string(),
            checkpoint: lease.map_or_else(|| "none".to_owned(), |lease| shown(&lease.checkpoint)),
            committed: lease.and_then(|lease| lease.tally.as_ref()).map(|tally| Counts {
                ranges: tally.ranges,
                records: tally.records,
                stored: tally.stored,
                dead_letters: tally.dead_letters,
                repeats: tally.repeats,
            }),
            stored: found.map(|found| report::Stored {
                ranges: found.len() as u64,
                objects: found.iter().map(|range| range.keys.len() as u64).sum(),
                records: found.iter().filter_map(|range| range.records).sum(),
            }),
            dead_letters: self.letters.get(shard).map_or(0, |letters| letters.len() as u64),
            pinned: lease.is_some_and(|lease| lease.pinned.is_some()),
        }
    }
}

pub(crate) fn shown(checkpoint: &CheckpointView) -> String {
    match checkpoint {
        CheckpointView::At(position) => position.to_string(),
        CheckpointView::AtTimestamp(_) => "AT_TIMESTAMP".to_owned(),
        CheckpointView::TrimHorizon => "TRIM_HORIZON".to_owned(),
        CheckpointView::Latest => "LATEST".to_owned(),
        CheckpointView::ShardEnd => "SHARD_END".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_past_when_neither_the_stream_nor_the_lease_table_has_it() {
        let shard = ShardId::new("shardId-000000000000");
        let letters = Letters::from([(shard.clone(), BTreeSet::new())]);
        let none = LeaseTableView::default;
        let evidence = |listed: Option<&[&str]>| Evidence {
            before: none(),
            after: none(),
            stored: None,
            letters: letters.clone(),
            listed: listed.map(|listed| listed.iter().map(|id| ShardId::new(*id)).collect()),
        };
        assert_eq!(evidence(None).without_lease(), BTreeSet::from([shard.clone()]));
        assert!(evidence(Some(&["shardId-000000000001"])).is_past(&shard));
        assert!(!evidence(Some(&["shardId-000000000000"])).is_past(&shard), "something deleted its lease");
        assert!(!evidence(Some(&[])).is_past(&shard), "a stream always has shards");
        assert!(!evidence(None).is_past(&shard), "nobody knows");
    }
}
