//! `penstock cost`: what a Pipeline costs in a month, beside what people would run instead.
//!
//! From the Pipeline's plan (`shape`) and the load (`load`) follow the calls and what is paid for (`usage`): of
//! Penstock (`penstock`, with `puts`, `reads`, `tables`, `objects`, `stream`, `pods`), of functions (`lambda`), of a KCL
//! fleet (`kcl`), and the least that there is (`least`). All of it is pure; `prices` says what it comes to. Whether the
//! calls are those that are made is checked against the engines, in `tests/cost/model.rs`.

mod kcl;
mod lambda;
mod least;
mod load;
mod objects;
mod penstock;
mod pods;
mod prices;
mod puts;
mod reads;
mod report;
mod shape;
mod stream;
mod tables;
mod usage;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use penstock_api::{Pipeline, Plan, units};

use crate::validate;

use lambda::Sums;
use load::{HOUR_SECONDS, Load};
use prices::Prices;
use report::{Bill, Estimate};
use shape::{Instead, Misfit};

/// Shown below the options: the description of a command is taken from where the commands are listed.
const AFTER: &str = "\
The calls are those that Penstock makes, by a model that is checked against the calls that the engines count. Beside them \
stands the same load on functions (API Gateway, Lambda, Firehose) and on a fleet of the Kinesis Client Library; --explain \
says what is taken for granted of each, and where each price is from. Left out: the query API, traffic to the internet, \
logs and metrics.

The rows of examples/ecommerce have 280 bytes, an invoice 21 rows, and three quarters of them a customer:
  penstock cost examples/ecommerce/pipeline.yaml --rows-per-second 1000 --row-bytes 280 --rows-per-key 21 \\
      --share ecommerce-customers=0.75

Exit codes:
  0  printed
  1  it could not be printed
  2  the arguments, the Pipeline or the price table are not valid, or the Pipeline cannot carry the load";

/// Estimates what a Pipeline costs in a month, beside what people would run instead.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The file with the Pipeline.
    file: PathBuf,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    around: Around,
    /// Another price table than the one that is built in (us-east-1).
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Also say what is taken for granted, and where the prices are from.
    #[arg(long)]
    explain: bool,
    /// How it is printed.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The load")]
struct Rows {
    /// Rows a second, over all sources.
    #[arg(long, value_name = "N", value_parser = above_zero)]
    rows_per_second: f64,
    /// Bytes of a row as JSON, its id included.
    #[arg(long, value_name = "N", default_value = "250", value_parser = above_zero)]
    row_bytes: f64,
    /// Rows in a request.
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    rows_per_request: f64,
    /// Rows of one key that come one after the other: sums take so many of them in one write.
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    rows_per_key: f64,
    /// The share of the rows that a table takes, where it has a `when`. Repeatable.
    #[arg(long = "share", value_name = "TABLE=SHARE", value_parser = share)]
    shares: Vec<(String, f64)>,
    /// How many values the fields in the key of an S3 sink have: each makes an object.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    prefixes: Option<f64>,
    /// Hours of a day in which there is load.
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = hours)]
    hours_per_day: f64,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is around it")]
struct Around {
    /// How long streams keep records, in place of what the Pipeline says.
    #[arg(long, value_name = "DURATION", value_parser = retention)]
    retention: Option<Duration>,
    /// Shards of each stream, in place of what the Pipeline says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: Option<u32>,
    /// How long objects and items are kept.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = units::duration)]
    keep: Duration,
    /// What compression leaves of the bytes of an object.
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = part)]
    compressed_to: f64,
    /// How long a call to a service takes.
    #[arg(long, value_name = "DURATION", default_value = "15ms", value_parser = units::duration)]
    call_time: Duration,
    /// How functions and KCL applications write sums.
    #[arg(long, value_enum, default_value = "by-row")]
    their_sums: Sums,
    /// Count the Kubernetes cluster, which no other application uses.
    #[arg(long)]
    own_cluster: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// A JSON document.
    Json,
}

/// `penstock cost`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let prices = match Prices::load(args.prices.as_ref()) {
        Ok(prices) => prices,
        Err(error) => return Ok(refused(&error)),
    };
    let Some((pipeline, plan)) = validate::plan_of(&args.file)? else {
        return Ok(ExitCode::from(validate::EXIT_USAGE));
    };
    let estimate = match estimate(args, &pipeline, &plan, &prices) {
        Ok(estimate) => estimate,
        Err(misfit) => return Ok(refused(&misfit)),
    };
    let text = match args.output {
        Output::Text => estimate.text(args.explain),
        Output::Json => serde_json::to_string_pretty(&estimate)? + "\n",
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the estimate could not be printed")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn refused(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(validate::EXIT_USAGE)
}

fn estimate(args: &Args, pipeline: &Pipeline, plan: &Plan, prices: &Prices) -> Result<Estimate, Misfit> {
    let load = args.load();
    let instead = Instead {
        shards: args.around.shards,
        retention_hours: args.around.retention.map(|time| time.as_secs_f64() / HOUR_SECONDS),
    };
    let flows = shape::of(pipeline, plan, &load, instead)?;
    let sums = args.around.their_sums;
    let ours = penstock::usage(&flows, &load, args.around.own_cluster)?;
    let designs = vec![
        Bill::new("Penstock", &ours, prices, penstock::assumptions(&load)),
        Bill::new(
            "Lambda + Firehose",
            &lambda::usage(&flows, &load, sums),
            prices,
            lambda::assumptions(&flows, &load, sums),
        ),
        Bill::new("KCL fleet", &kcl::usage(&flows, &load, sums), prices, kcl::assumptions(&flows, &load, sums)),
    ];
    let least = Bill::new("least possible", &least::usage(&flows, &load), prices, Vec::new());
    let name = format!("{}/{}", pipeline.metadata.namespace(), pipeline.metadata.name);
    Ok(Estimate::new(name, pipeline.spec.aws.region.clone(), load, prices, designs, least))
}

impl Args {
    fn load(&self) -> Load {
        let Self { rows, around, .. } = self;
        Load {
            rows_per_second: rows.rows_per_second,
            row_bytes: rows.row_bytes,
            rows_per_request: rows.rows_per_request,
            rows_per_key: rows.rows_per_key,
            hours_per_day: rows.hours_per_day,
            keep_hours: around.keep.as_secs_f64() / HOUR_SECONDS,
            call_seconds: around.call_time.as_secs_f64(),
            compressed_to: around.compressed_to,
            shares: rows.shares.iter().cloned().collect(),
            prefixes: rows.prefixes,
        }
    }
}

fn number(text: &str, fits: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && fits(*number)).ok_or_else(|| wanted.to_owned())
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0, "write a number above 0, such as 1000")
}

fn at_least_one(text: &str) -> Result<f64, String> {
    number(text, |number| number >= 1.0, "write a number from 1 on, such as 100")
}

fn part(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0 && number <= 1.0, "write a number above 0 and up to 1, such as 0.25")
}

fn hours(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0 && number <= 24.0, "write hours above 0 and up to 24, such as 8")
}

fn share(text: &str) -> Result<(String, f64), String> {
    let wanted = "write a table and its share of the rows, such as orders=0.75";
    let (table, share) = text.split_once('=').filter(|(table, _)| !table.is_empty()).ok_or(wanted)?;
    Ok((table.to_owned(), part(share)?))
}

fn retention(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let time = units::duration(text).map_err(|error| error.to_string())?;
    if (DAY..=365 * DAY).contains(&time) { Ok(time) } else { Err("a stream keeps records for 24h to 365d".to_owned()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    /// A Pipeline of the examples.
    pub(super) fn example(file: &str) -> (Pipeline, Plan) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(file);
        validate::plan_of(&file).unwrap().unwrap()
    }

    /// What the shop costs with these arguments.
    fn shop(arguments: &str) -> Result<Estimate, Misfit> {
        let told = "--row-bytes 280 --rows-per-key 21 --share ecommerce-customers=0.75";
        let all = format!("cost FILE {told} {arguments}");
        let Cli { args } = Cli::try_parse_from(all.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
        let (pipeline, plan) = example("ecommerce/pipeline.yaml");
        estimate(&args, &pipeline, &plan, &Prices::load(None).unwrap())
    }

    #[test]
    fn the_lines_of_a_bill_add_up_to_it() {
        for design in &shop("--rows-per-second 1000").unwrap().designs {
            let sum: f64 = design.lines.iter().map(|line| line.usd).sum();
            assert!((sum - design.usd).abs() < 1e-6 && sum > 0.0, "{}", design.name);
        }
    }

    #[test]
    fn at_a_thousand_rows_a_second_the_shop_costs_less_than_half_of_functions() {
        let estimate = shop("--rows-per-second 1000").unwrap();
        let [ours, lambda, kcl] = estimate.designs.as_slice() else { panic!("three designs") };
        assert!(ours.usd < 0.5 * lambda.usd, "{} {}", ours.usd, lambda.usd);
        assert!(ours.usd < kcl.usd, "{} {}", ours.usd, kcl.usd);
        assert!(estimate.least.usd < ours.usd);
    }

    #[test]
    fn a_load_that_the_shards_do_not_take_is_refused_with_the_number_that_does() {
        let told = shop("--rows-per-second 20000").unwrap_err();
        assert_eq!(told.place, "spec.buffers[0].kinesis.shards");
        let shards = told.cure.rsplit(' ').next().unwrap();
        assert!(shop(&format!("--rows-per-second 20000 --shards {shards}")).is_ok(), "{told}");
    }

    #[test]
    fn fewer_hours_of_load_cost_less_and_the_streams_the_same() {
        let (day, morning) =
            (shop("--rows-per-second 1000").unwrap(), shop("--rows-per-second 1000 --hours-per-day 6").unwrap());
        let line = |estimate: &Estimate, id: &str| {
            estimate.designs[0].lines.iter().find(|line| line.meter.id() == id).unwrap().usd
        };
        assert_eq!(line(&day, "kinesis.shard_hour"), line(&morning, "kinesis.shard_hour"));
        assert!(line(&day, "kinesis.put_unit") > 3.9 * line(&morning, "kinesis.put_unit"));
    }

    #[test]
    fn retention_is_paid_for_from_a_day_on() {
        let has = |arguments: &str| {
            let estimate = shop(arguments).unwrap();
            estimate.designs[0].lines.iter().any(|line| line.meter.id() == "kinesis.extended_retention_shard_hour")
        };
        assert!(has("--rows-per-second 10"));
        assert!(!has("--rows-per-second 10 --retention 24h"));
    }

    #[test]
    fn arguments_that_are_none_are_refused_in_words() {
        for (arguments, words) in [
            ("--rows-per-second -1", "above 0"),
            ("--rows-per-second 1 --share orders", "orders=0.75"),
            ("--rows-per-second 1 --retention 1h", "24h to 365d"),
            ("--rows-per-second 1 --hours-per-day 25", "up to 24"),
        ] {
            let all = format!("cost FILE {arguments}").replace(" -1", "=-1");
            let Err(error) = Cli::try_parse_from(all.split_whitespace()) else { panic!("{arguments}") };
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
