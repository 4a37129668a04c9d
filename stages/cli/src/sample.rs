//! `penstock sample`: shop data of any size, and the totals that must come out of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use penstock_client::sample::{SampleOptions, generate};
use penstock_client::totals::Totals;

const MORE: &str = "\
The data have the shape of what shops hand over: ISO-8859-1, CRLF, dates M/D/YYYY H:MM, invoices of many lines, \
repeated stock codes, cancellations, missing customers, zero prices, duplicate rows. The same rows and seed give the \
same bytes everywhere.

Exit codes:
  0  it is written
  1  it could not be written
  2  the arguments are not valid";

/// Writes shop data of any size, and prints the totals that must come out of it.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(crate) struct Args {
    /// How many rows, without the header. The real shop had 541,909 in a year.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rows: u64,
    /// Another seed gives other rows.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The file to write; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Compress with gzip.
    #[arg(long)]
    gzip: bool,
    /// How the totals are printed: on standard error, with `json` on standard output unless the rows go there.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Writes the sample and prints its totals.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let to_stdout = args.out.as_os_str() == "-";
    let totals = write(&args, to_stdout)?;
    match args.output {
        Output::Text => eprint!("{}", text(&totals)),
        Output::Json => {
            let mut json = serde_json::to_string_pretty(&totals)?;
            json.push('\n');
            if to_stdout {
                io::stderr().write_all(json.as_bytes())?;
            } else {
                io::stdout().write_all(json.as_bytes())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Args, to_stdout: bool) -> anyhow::Result<Totals> {
    let options = SampleOptions { rows: args.rows, seed: args.seed };
    let out: Box<dyn Write> = match to_stdout {
        true => Box::new(io::stdout()),
        false => Box::new(create(&args.out)?),
    };
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let written = if args.gzip {
        let mut packer = GzEncoder::new(&mut out, Compression::fast());
        generate(options, &mut packer).and_then(|totals| packer.finish().map(|_| totals))
    } else {
        generate(options, &mut out)
    };
    let totals = written.with_context(|| format!("cannot write to {}", args.out.display()))?;
    out.flush().with_context(|| format!("cannot write to {}", args.out.display()))?;
    Ok(totals)
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

fn text(totals: &Totals) -> String {
    let lines = [
        ("rows", totals.rows.to_string()),
        ("revenue", totals.revenue.to_string()),
        ("quantity", totals.quantity.to_string()),
        ("invoices", totals.invoices.to_string()),
        ("customers", totals.customers.to_string()),
        ("stock codes", totals.stock_codes.to_string()),
        ("rows without a customer", totals.rows_without_customer.to_string()),
        ("rows of cancellations", totals.cancellation_rows.to_string()),
        ("rows that are not ASCII", totals.non_ascii_rows.to_string()),
        ("duplicate rows", totals.duplicate_rows.to_string()),
        ("distinct (InvoiceNo, StockCode)", totals.invoice_stock_pairs.to_string()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<34}{value:>16}\n")).collect()
}
