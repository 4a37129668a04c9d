//! The paths, and how each is measured: a warm-up, then what happens in a while of steady work.

use std::time::{Duration, Instant};

use penstock_bench::load::{self, Rate, Seen, post};
use penstock_bench::stand_in::Form;
use penstock_bench::used_by;

use crate::figure::{Figure, System};
use crate::lambda;
use crate::stage::Stage;
use crate::subject::World;

const WARM_UP: Duration = Duration::from_secs(3);
/// Java compiles what runs often while it runs.
const WARM_UP_JAVA: Duration = Duration::from_secs(20);
/// Connections of the load generator: clients that send a row at a time are many.
const CONNECTIONS_ONE: usize = 256;
const CONNECTIONS_MANY: usize = 64;
const ROWS_PER_POST: usize = 100;

/// A path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Path {
    /// HTTP to Kinesis, a row a POST.
    IngestOne,
    /// HTTP to Kinesis, a hundred rows a POST as NDJSON.
    IngestMany,
    /// HTTP to Kinesis, a hundred rows a POST as an array.
    IngestArray,
    /// Kinesis to nothing, each row a stream record.
    NothingRaw,
    /// Kinesis to nothing, rows in aggregates.
    NothingAggregated,
    /// Kinesis to S3.
    Raw,
    /// Kinesis to S3 with a prefix for each article.
    Articles,
    /// Kinesis to DynamoDB.
    Items,
    /// Kinesis to DynamoDB, rows in aggregates.
    ItemsAggregated,
    /// Kinesis to DynamoDB through the example's program.
    Computed,
}

impl Path {
    pub(crate) fn all() -> Vec<Self> {
        <Self as clap::ValueEnum>::value_variants().to_vec()
    }

    fn name(self) -> &'static str {
        match self {
            Self::IngestOne => "ingest-one",
            Self::IngestMany => "ingest-many",
            Self::IngestArray => "ingest-array",
            Self::NothingRaw => "nothing-raw",
            Self::NothingAggregated => "nothing-aggr",
            Self::Raw => "raw",
            Self::Articles => "articles",
            Self::Items => "items",
            Self::ItemsAggregated => "items-aggr",
            Self::Computed => "computed",
        }
    }

    /// Who goes this path.
    pub(crate) fn systems(self) -> &'static [System] {
        match self {
            Self::IngestOne => &[System::Penstock, System::Bento, System::Lambda, System::Floor],
            Self::IngestMany => &[System::Penstock, System::Bento, System::Floor],
            Self::NothingRaw => &[System::Penstock, System::Bento, System::Kcl],
            Self::NothingAggregated => &[System::Penstock, System::Kcl],
            Self::Raw => &[System::Penstock, System::Bento],
            Self::Items => &[System::Penstock, System::Bento, System::Lambda],
            _ => &[System::Penstock],
        }
    }

    pub(crate) async fn measure(
        self,
        system: System,
        rows: &[(String, String)],
        time: Duration,
        delay: Duration,
    ) -> anyhow::Result<Figure> {
        let form = match self {
            Self::NothingAggregated | Self::ItemsAggregated => Form::Aggregated,
            _ => Form::Raw,
        };
        let world = World::start(rows, form, delay).await?;
        let figure = match self {
            Self::IngestOne if system == System::Lambda => lambda::measure(&world, "ingest", rows, time).await,
            Self::Items if system == System::Lambda => lambda::measure(&world, "items", rows, time).await,
            Self::IngestOne => {
                let posts = rows.iter().map(|(_, row)| post("/orders", "application/json", row)).collect();
                let load = Load { posts, rows: 1, connections: CONNECTIONS_ONE };
                ingest(&world, source(&world, system, "ingest")?, load, time).await
            }
            Self::IngestMany => {
                let posts = posts_of(rows, "application/x-ndjson", "", "\n", "");
                let load = Load { posts, rows: ROWS_PER_POST, connections: CONNECTIONS_MANY };
                ingest(&world, source(&world, system, "ingest-many")?, load, time).await
            }
            Self::IngestArray => {
                let posts = posts_of(rows, "application/json", "[", ",", "]");
                let load = Load { posts, rows: ROWS_PER_POST, connections: CONNECTIONS_MANY };
                ingest(&world, source(&world, system, "ingest")?, load, time).await
            }
            Self::NothingRaw | Self::NothingAggregated if system == System::Kcl => {
                consume(&world, Stage::kcl(&world)?, "GetRecords", WARM_UP_JAVA, time).await
            }
            Self::NothingRaw | Self::Raw | Self::Items if system == System::Bento => {
                let config = if self == Self::NothingRaw { "nothing" } else { self.name() };
                consume(&world, Stage::bento(&world, config)?, self.counted(), WARM_UP, time).await
            }
            Self::NothingRaw | Self::NothingAggregated => {
                consume(&world, Stage::nothing(&world)?, self.counted(), WARM_UP, time).await
            }
            Self::ItemsAggregated => {
                consume(&world, Stage::start(&world, "items")?, self.counted(), WARM_UP, time).await
            }
            Self::Raw | Self::Articles | Self::Items | Self::Computed => {
                consume(&world, Stage::start(&world, self.name())?, self.counted(), WARM_UP, time).await
            }
        };
        world.stop().await;
        Ok(Figure { path: self.name(), system, ..figure? })
    }

    /// The operation whose records are the rows that went the whole way. Of items it is the writing: who reads a quarter of
    /// a million rows ahead would be measured by that, or by its pause after it.
    fn counted(self) -> &'static str {
        match self {
            Self::Items | Self::ItemsAggregated => "BatchWriteItem",
            _ => "GetRecords",
        }
    }
}

fn posts_of(rows: &[(String, String)], content_type: &str, begin: &str, between: &str, end: &str) -> Vec<Vec<u8>> {
    let body = |rows: &[(String, String)]| {
        let rows: Vec<_> = rows.iter().map(|(_, row)| row.as_str()).collect();
        format!("{begin}{}{end}", rows.join(between))
    };
    rows.chunks_exact(ROWS_PER_POST).map(|rows| post("/orders", content_type, &body(rows))).collect()
}

/// What a source is given.
struct Load {
    posts: Vec<Vec<u8>>,
    /// Rows of each.
    rows: usize,
    connections: usize,
}

/// The source that is measured; of Bento by its configuration's name.
fn source(world: &World, system: System, config: &str) -> anyhow::Result<Stage> {
    match system {
        System::Floor => Stage::floor(world),
        System::Bento => Stage::bento(world, config),
        System::Penstock | System::Lambda | System::Kcl => Stage::start(world, "orders"),
    }
}

/// A source under as much load as it takes; then the time until its answers, at half of that.
async fn ingest(world: &World, mut stage: Stage, load: Load, time: Duration) -> anyhow::Result<Figure> {
    stage.listens().await?;
    let Load { posts, rows, connections } = load;
    let addr = stage.addr;
    load::run(addr, &posts, connections, Rate::Closed, WARM_UP).await?;
    let before = Meter::read(world, &stage)?;
    let seen = load::run(addr, &posts, connections, Rate::Closed, time).await?;
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let (answered, rows) = (seen.answered as f64, rows as f64);
    let mut figure = before.figure(world, &mut stage, |_| answered * rows)?;
    let half = answered / time.as_secs_f64() / 2.0;
    let seen: Seen = load::run(addr, &posts, connections, Rate::Open(half), time).await?;
    figure.latency = Some([seen.quantile(0.5), seen.quantile(0.99), seen.quantile(0.999)]);
    Ok(figure)
}

/// A sink that reads a stream without end, by the records of an operation.
async fn consume(
    world: &World,
    mut stage: Stage,
    counted: &str,
    warm_up: Duration,
    time: Duration,
) -> anyhow::Result<Figure> {
    while !world.stand_in.counts().all().contains_key("GetRecords") {
        stage.lives()?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(warm_up).await;
    let before = Meter::read(world, &stage)?;
    tokio::time::sleep(time).await;
    before.figure(world, &mut stage, |calls| {
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let records = calls.get(counted).map_or(0.0, |call| call.records as f64);
        records
    })
}

type Calls = std::collections::BTreeMap<&'static str, penstock_bench::stand_in::Call>;

/// The state of everything at one moment.
struct Meter {
    at: Instant,
    cpu: f64,
    own_cpu: f64,
    calls: Calls,
}

impl Meter {
    fn read(world: &World, stage: &Stage) -> anyhow::Result<Self> {
        let (cpu, _) = used_by(stage.pid())?;
        let (own_cpu, _) = used_by(std::process::id())?;
        Ok(Self { at: Instant::now(), cpu, own_cpu, calls: world.stand_in.counts().all() })
    }

    /// What happened since.
    fn figure(self, world: &World, stage: &mut Stage, rows: impl Fn(&Calls) -> f64) -> anyhow::Result<Figure> {
        stage.lives()?;
        let (cpu, peak_rss_mib) = used_by(stage.pid())?;
        let (own_cpu, _) = used_by(std::process::id())?;
        let seconds = self.at.elapsed().as_secs_f64();
        let calls = world.stand_in.counts().since(&self.calls);
        let rows = rows(&calls);
        Ok(Figure {
            path: "",
            system: System::Penstock,
            run: 0,
            seconds,
            rows_per_second: rows / seconds,
            cpu_seconds_per_million: (cpu - self.cpu) / rows * 1e6,
            peak_rss_mib,
            busy: (cpu - self.cpu) / seconds,
            stand_in_busy: (own_cpu - self.own_cpu) / seconds,
            latency: None,
            calls,
        })
    }
}
