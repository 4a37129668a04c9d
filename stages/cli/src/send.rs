//! `penstock send`: arguments for the client, and what it prints.

pub(crate) mod drawing;
mod report;

use std::io::{BufWriter, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use penstock_client::{
    ApiKey, CellType, Compression, DateFormat, DateRange, Delimiter, Input, JournalOptions, Progress, RowRange,
    Selection, SendOptions, Summary, TimeBound,
};
use penstock_runtime::Stop;

use crate::signals;

/// Where the API key comes from when no file is named.
const API_KEY_VARIABLE: &str = "PENSTOCK_API_KEY";

/// Shown below the options: what a script has to know, and what is done where nobody says otherwise.
const MORE: &str = "\
The endpoint is asked for its JSON Schema, and each field is converted to the type that the schema wants; fields that \
it does not name stay strings. An empty cell is left out, unless the schema requires the field. Decimals keep their \
digits. Each row gets an id made of the file's content and the row's line, so a file that is sent twice is recognised. \
Rows of one partition key arrive in the order of the file; an endpoint that does not tell its partition key gets one \
request at a time.

Rows that cannot be read, converted or are refused do not stop the others: they are written to FILE.rejected.csv with \
their line, the reason and the original text. What fails for other reasons is tried again.

Exit codes:
  0    all chosen rows were accepted
  1    it could not begin, or going on made no sense
  2    the arguments are not valid
  3    some rows were bad or refused
  4    it gave up with rows unsent
  130  interrupted; the journal is kept";

/// Sends the rows of a CSV file to an HTTP source, each as a JSON object.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(crate) struct Args {
    /// The CSV file, plain, gzip or zstd; `-` is standard input.
    file: PathBuf,
    /// The endpoint, such as http://127.0.0.1:8080/orders.
    #[arg(long, value_name = "URL", required_unless_present = "dry_run")]
    to: Option<String>,
    /// Print the JSON lines and send nothing. With --to, the endpoint is asked for its schema.
    #[arg(long, conflicts_with_all = ["resume", "journal"])]
    dry_run: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    sending: Sending,
    /// Where rows go that cannot be read or are refused. Default: FILE.rejected.csv, written when there are any.
    #[arg(long, value_name = "CSV")]
    rejects: Option<PathBuf>,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which rows")]
struct Choice {
    /// Rows by number, counted from 1 after the header: 100..200 is 100 to 199, 100..=200, 100.. and ..200 work too.
    #[arg(long, value_name = "RANGE", default_value_t)]
    rows: RowRange,
    /// At most so many rows.
    #[arg(long, value_name = "N")]
    lines: Option<u64>,
    /// Rows from this date on, such as 2010-12-01 or 2010-12-01T08:00.
    #[arg(long, value_name = "DATE", requires = "date_column")]
    from: Option<TimeBound>,
    /// Rows before this date.
    #[arg(long, value_name = "DATE", requires = "date_column")]
    until: Option<TimeBound>,
    /// The column that --from and --until look at.
    #[arg(long, value_name = "COLUMN")]
    date_column: Option<String>,
    /// How that column writes dates, such as "%m/%d/%Y %H:%M". Told from its values when they allow one reading only.
    #[arg(long, value_name = "FORMAT", requires = "date_column")]
    date_format: Option<DateFormat>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How the file is read")]
struct Reading {
    /// The character set, such as iso-8859-1. Detected from the whole file by default.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// What parts the fields: one character, or comma, semicolon, tab, pipe. Detected by default.
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<Delimiter>,
    /// Numbers have a decimal comma.
    #[arg(long)]
    decimal_comma: bool,
    /// The type of a column, over what the schema says: string, integer, number, boolean or json. Repeatable.
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = column_type)]
    types: Vec<(String, CellType)>,
    /// Another name for a column. Repeatable.
    #[arg(long = "rename", value_name = "OLD=NEW", value_parser = rename)]
    renames: Vec<(String, String)>,
    /// Send strings only; do not convert to what the endpoint's schema wants.
    #[arg(long)]
    no_schema: bool,
    /// The field that takes a row's id, where the endpoint names none. Default: _id.
    #[arg(long, value_name = "FIELD")]
    id_field: Option<String>,
    /// With `-`: a name that stands for the content, of which ids are made. Other content needs another name.
    /// Without it the ids are new each time.
    #[arg(long, value_name = "NAME")]
    source_name: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How it is sent")]
struct Sending {
    /// Go on where the journal ends. Default journal: FILE.penstock-journal.
    #[arg(long)]
    resume: bool,
    /// Note in this file what was settled; without --resume it must not exist yet.
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// The most rows a second.
    #[arg(long, value_name = "ROWS")]
    rate: Option<NonZeroU32>,
    /// The most rows in a request.
    #[arg(long, value_name = "N", default_value = "1000")]
    batch_rows: NonZeroUsize,
    /// How many requests are on their way at a time.
    #[arg(long, value_name = "N", default_value = "4")]
    in_flight: NonZeroUsize,
    /// How requests are compressed.
    #[arg(long, value_enum, default_value = "none")]
    compress: Compress,
    /// A file that holds the API key. Else the variable PENSTOCK_API_KEY counts.
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,
    /// How long a request may take.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = penstock_api::units::duration)]
    timeout: Duration,
    /// How long to go on trying without getting anywhere, such as 10m. For ever by default.
    #[arg(long, value_name = "DURATION", value_parser = penstock_api::units::duration)]
    give_up_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people, on standard error.
    Text,
    /// A JSON document on standard output; on standard error in a dry run.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compress {
    None,
    Gzip,
    Zstd,
}

impl From<Compress> for Compression {
    fn from(compress: Compress) -> Self {
        match compress {
            Compress::None => Self::None,
            Compress::Gzip => Self::Gzip,
            Compress::Zstd => Self::Zstd,
        }
    }
}

/// Sends, shows progress and prints the summary.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = Stop::new();
    signals::drain_on_signals(&stop).context("signals cannot be caught")?;
    let (dry_run, quiet, output) = (args.dry_run, args.quiet, args.output);
    let options = options(args)?;
    let progress = Arc::new(Progress::new());
    let drawing = (!quiet && !dry_run).then(|| drawing::draw(&progress));
    let token = stop.drain.child_token();
    let summary = if dry_run {
        let out = Box::new(BufWriter::with_capacity(64 << 10, std::io::stdout()));
        penstock_client::dry_run(options, out, progress, token).await
    } else {
        penstock_client::send(options, progress, token).await
    };
    if let Some(drawing) = drawing {
        drawing.end().await;
    }
    match summary {
        Ok(summary) => {
            print(&summary, output, dry_run, quiet)?;
            Ok(ExitCode::from(summary.exit_code()))
        }
        Err(error) => {
            eprintln!("error: {}", error.chain());
            Ok(ExitCode::from(error.exit_code()))
        }
    }
}

fn print(summary: &Summary, output: Output, dry_run: bool, quiet: bool) -> anyhow::Result<()> {
    match output {
        Output::Text if dry_run && quiet => {}
        Output::Text => eprint!("{}", report::text(summary, dry_run)),
        Output::Json => {
            let mut json = serde_json::to_string_pretty(&report::json(summary)?)?;
            json.push('\n');
            if dry_run {
                std::io::stderr().write_all(json.as_bytes())?;
            } else {
                std::io::stdout().write_all(json.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn options(args: Args) -> anyhow::Result<SendOptions> {
    let Args { choice, reading, sending, .. } = args;
    let input = match args.file.as_os_str() == "-" {
        true => Input::Stdin { name: reading.source_name },
        false => Input::File(args.file),
    };
    let dates = choice.date_column.map(|column| DateRange {
        column,
        from: choice.from,
        until: choice.until,
        format: choice.date_format,
    });
    let journal = (sending.resume || sending.journal.is_some()).then(|| JournalOptions {
        path: sending.journal.clone().unwrap_or_else(|| input.beside("penstock-journal")),
        resume: sending.resume,
    });
    let defaults = SendOptions::new(input, args.to);
    // A dry run writes no file that nobody asked for.
    let rejects = args.rejects.or(if args.dry_run { None } else { defaults.rejects.clone() });
    Ok(SendOptions {
        select: Selection { rows: choice.rows, limit: choice.lines, dates },
        encoding: reading.encoding,
        delimiter: reading.delimiter,
        decimal_comma: reading.decimal_comma,
        types: reading.types,
        renames: reading.renames,
        use_schema: !reading.no_schema,
        id_field: reading.id_field,
        batch_rows: sending.batch_rows,
        in_flight: sending.in_flight,
        compression: sending.compress.into(),
        rate: sending.rate,
        api_key: api_key(sending.api_key_file)?,
        request_timeout: sending.timeout,
        give_up_after: sending.give_up_after,
        journal,
        rejects,
        ..defaults
    })
}

fn api_key(file: Option<PathBuf>) -> anyhow::Result<Option<ApiKey>> {
    match file {
        Some(path) => {
            let key = std::fs::read_to_string(&path);
            let key = key.with_context(|| format!("the API key in {} cannot be read", path.display()))?;
            Ok(Some(ApiKey::new(&key)))
        }
        None => {
            Ok(std::env::var(API_KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty()).map(|key| ApiKey::new(&key)))
        }
    }
}

fn column_type(text: &str) -> Result<(String, CellType), String> {
    let (column, kind) = pair(text, "COLUMN=TYPE")?;
    kind.parse::<CellType>().map(|kind| (column, kind)).map_err(|error| error.to_string())
}

fn rename(text: &str) -> Result<(String, String), String> {
    pair(text, "OLD=NEW")
}

/// The last `=` parts, since a column's name may hold one.
fn pair(text: &str, expected: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => Err(format!("expected {expected}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(arguments: &[&str]) -> Result<SendOptions, String> {
        let words = std::iter::once("send").chain(arguments.iter().copied());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        options(command.args).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_client() {
        let options = parse(&["orders.csv", "--to", "http://x/y"]).unwrap();
        let defaults = SendOptions::new(Input::File("orders.csv".into()), None);
        assert_eq!((options.batch_rows, options.in_flight), (defaults.batch_rows, defaults.in_flight));
        assert_eq!(options.request_timeout, defaults.request_timeout);
        assert_eq!(options.rejects.unwrap(), PathBuf::from("orders.csv.rejected.csv"));
        assert_eq!(options.journal, None);
    }

    #[test]
    fn every_option_arrives() {
        let options = parse(&[
            "-",
            "--to",
            "http://x/y",
            "--source-name",
            "n",
            "--rows",
            "5..",
            "--lines",
            "9",
            "--from",
            "2010-12-01",
            "--until",
            "2010-12-02",
            "--date-column",
            "D",
            "--date-format",
            "%d/%m/%Y",
            "--encoding",
            "iso-8859-1",
            "--delimiter",
            "tab",
            "--type",
            "a=b=integer",
            "--rename",
            "A=B",
            "--id-field",
            "i",
            "--rate",
            "7",
            "--compress",
            "zstd",
            "--give-up-after",
            "2m",
            "--resume",
        ])
        .unwrap();
        assert_eq!(options.input, Input::Stdin { name: Some("n".to_owned()) });
        assert_eq!((options.select.rows.start, options.select.limit), (5, Some(9)));
        assert_eq!(options.select.dates.unwrap().column, "D");
        assert_eq!(options.types, [("a=b".to_owned(), CellType::Integer)]);
        assert_eq!(options.give_up_after, Some(Duration::from_secs(120)));
        let journal = options.journal.unwrap();
        assert_eq!((journal.path, journal.resume), (PathBuf::from("stdin.penstock-journal"), true));
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for arguments in [
            &["x.csv"][..],
            &["x.csv", "--to", "u", "--from", "2010-12-01"],
            &["x.csv", "--to", "u", "--rows", "9"],
            &["x.csv", "--to", "u", "--type", "a"],
            &["x.csv", "--dry-run", "--resume"],
            &["x.csv", "--to", "u", "--rate", "0"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
        assert!(parse(&["x.csv", "--dry-run"]).unwrap().rejects.is_none());
    }
}
