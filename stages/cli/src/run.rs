//! `penstock run`: the whole Pipeline in this process.

mod endpoints;
mod page;
mod read_back;
mod report;
pub(crate) mod secrets;
mod sending;
mod stages;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use penstock_api::plan::{Plan, StageConfig};
use penstock_embedded::{Engines, Options};
use penstock_runtime::{Aws, Metrics, Stop};

use crate::local_aws::LimitsArg;
use crate::{signals, validate};

use endpoints::Endpoints;
use report::Report;
use stages::Stages;

/// Shown below the options: the description of a command is taken from where the commands are listed.
const MORE: &str = "\
Ctrl-C drains it, and a second one ends it at once. Started again on the same folder it goes on where it was.

Exit codes:
  0  all is well
  1  it could not be started or did not end well
  2  the arguments or the Pipeline are not valid
  3  with --until-drained: rows were refused, could not be read, or went to dead letters";

/// Runs a whole Pipeline in this process until Ctrl-C, which drains it; a second one ends at once.
/// Started again on the same folder it goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(crate) struct Args {
    /// The file with the Pipeline.
    file: PathBuf,
    /// Use AWS, with the credentials that the SDK finds, instead of the engines in this process.
    #[arg(long)]
    aws: bool,
    /// Where the engines keep their data, and where API keys are kept.
    #[arg(long, default_value = ".penstock")]
    data_dir: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// The port of the engines; 0 takes a free one.
    #[arg(long, default_value_t = 4566)]
    engine_port: u16,
    /// The port of the first HTTP source; each further one, and then each API, has the next. 0 takes free ones.
    #[arg(long, default_value_t = 8080)]
    http_port: u16,
    /// The port of the first stage's /livez, /readyz and /metrics, each further stage has the next;
    /// 0 takes free ones.
    #[arg(long, default_value_t = 9090)]
    admin_port: u16,
    /// The port of the page that shows the Pipeline; 0 takes a free one.
    #[arg(long, default_value_t = 4567)]
    page_port: u16,
    /// Which of the service's limits the engines enforce. Sizes always are.
    #[arg(long, value_enum, default_value = "sizes")]
    limits: LimitsArg,
    /// Write the endpoints and the names of what was provisioned to this file, as JSON, once they are ready.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Send this CSV file to the first HTTP source once it is ready. May be given several times.
    #[arg(long, value_name = "CSV")]
    send: Vec<PathBuf>,
    /// The HTTP source that `--send` sends to, where there are several.
    #[arg(long, value_name = "NAME")]
    send_to: Option<String>,
    /// End when everything that came in is stored, and print what is where.
    #[arg(long)]
    until_drained: bool,
    /// With --until-drained: add up a product of fields over the records of each store, such as
    /// Amount=Quantity*UnitPrice. A store that holds an attribute of that name is added up by it.
    #[arg(long, value_name = "NAME=FIELD*FIELD")]
    total: Option<report::Total>,
    /// With --until-drained: do not read the stores back; print only what the stages counted.
    #[arg(long)]
    no_read_back: bool,
    /// With --until-drained: how the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: report::Output,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some((pipeline, plan)) = validate::plan_of(&args.file)? else {
        return Ok(ExitCode::from(validate::EXIT_USAGE));
    };
    let stop = Stop::new();
    signals::drain_on_signals(&stop).context("signals cannot be caught")?;
    let metrics = Metrics::install()?;
    let engines = if args.aws { None } else { Some(start_engines(&args, &plan).await?) };
    let aws = way_to_aws(&plan, engines.as_ref()).await?;

    let mut stages = Stages::start(&args, &plan, &aws, &stop, metrics).await?;
    let page = page::serve(&args, pipeline, &stages, &aws).await?;
    let endpoints = Endpoints::of(&plan, &stages, engines.as_ref(), page);
    endpoints.announce(args.ready_file.as_deref())?;
    let running = endpoints.note_in(&args.data_dir)?;

    let sent = sending::send_all(&args.send, stages.source(args.send_to.as_deref()), &stop).await?;
    if args.until_drained {
        stages.drain_to_the_tip().await?;
    } else {
        stages.disturbed().await?;
    }
    let counted = stages.finished().await?;

    let code = if args.until_drained {
        let stores =
            if args.no_read_back { None } else { Some(read_back::read(&plan, &aws, args.total.as_ref()).await?) };
        Report { sent, counted, stores }.print(args.output, args.total.as_ref(), &endpoints)
    } else {
        ExitCode::SUCCESS
    };
    running.over();
    if let Some(engines) = engines {
        engines.stop().await;
    }
    Ok(code)
}

async fn start_engines(args: &Args, plan: &Plan) -> anyhow::Result<Engines> {
    let options = Options {
        data_dir: args.data_dir.join("engines"),
        limits: args.limits.into(),
        region: first_stage(plan)?.aws.region.clone(),
        listen: SocketAddr::new(args.bind, args.engine_port),
    };
    Engines::start(options).await.context("the engines did not start")
}

async fn way_to_aws(plan: &Plan, engines: Option<&Engines>) -> anyhow::Result<Aws> {
    let target = &first_stage(plan)?.aws;
    Ok(match engines {
        Some(engines) => Aws::local(&target.region, &engines.endpoint_url()).await,
        None => Aws::load(target).await,
    })
}

fn first_stage(plan: &Plan) -> anyhow::Result<&StageConfig> {
    plan.stages.first().context("the Pipeline has no stages")
}
