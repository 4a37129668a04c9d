//! `penstock status`: how Pipelines are, for people. Of Pipelines in a cluster, named by their names, what the operator
//! says; of one that runs anywhere, named by its file, what its lease tables and stages say.
//!
//! `kubectl` asks the API server, so that every way to log in that it knows works here, and no client of Kubernetes is
//! built into this command.

mod age;
mod kubectl;
mod live;
mod text;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::running::Where;

use kubectl::{Asks, Scope};
use view::View;

/// The exit code when it could not be found out.
const EXIT_UNKNOWN: u8 = 2;
const EXIT_NOT_READY: u8 = 1;

/// Shown below the options: the description of a command is taken from where the commands are listed.
const AFTER: &str = "\
With names, or without any: `kubectl` must be on the PATH; contexts and logins are its own. The right to `get` and \
`list` Pipelines is enough.

With a file (an argument that ends in .yaml, .yml or .json, or that has a slash in it): the lease tables are read where \
the Pipeline runs, and the stages are asked for their metrics. For each shard it shows how far reading is behind, how \
old the oldest record is that is read and not stored, what was read, and what was committed; for each worker its \
leases and its heartbeat; for each sink what was applied, what went to dead letters, what was left out as a \
duplicate, and what was throttled. On a terminal it is shown again and again, until Ctrl-C.

Exit codes:
  0  every Pipeline that was asked for is ready; with a file: its state is shown
  1  one is not, or there is none
  2  it could not be found out: the arguments, kubectl, or a service that does not answer";

/// Shows how Pipelines are: in a cluster, conditions with what to do about them, and stages with their pods and endpoints; of a
/// file, the state of its shards, workers and sinks.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The names of Pipelines in a cluster, all of the namespace when none is given; or the file of one that runs
    /// anywhere.
    #[arg(value_name = "NAME|FILE", value_parser = subject)]
    subjects: Vec<Subject>,
    /// The namespace. Default: that of kubectl's context.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The Pipelines of all namespaces.
    #[arg(long, short = 'A', conflicts_with_all = ["namespace", "subjects"])]
    all_namespaces: bool,
    /// The context in kubectl's configuration. Default: the current one.
    #[arg(long)]
    context: Option<String>,
    /// How it is printed.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
    /// Go on showing it whenever it has changed, until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    place: Where,
    /// With a file: where a stage shows its metrics, such as http://127.0.0.1:9090. May be given several times. Default: the
    /// stages of the `penstock run` on the data folder.
    #[arg(long, value_name = "URL")]
    metrics: Vec<String>,
}

/// What is asked about.
#[derive(Debug, Clone)]
enum Subject {
    /// A Pipeline in a cluster.
    Name(String),
    /// One that runs anywhere.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// A JSON list with name, age and status of each; with --watch a list a line.
    Json,
}

/// How often --watch asks.
const PAUSE: Duration = Duration::from_secs(2);

/// A name, or a file: no name has a dot or a slash in it.
fn subject(text: &str) -> Result<Subject, String> {
    if text.contains(['.', '/']) {
        return Ok(Subject::File(text.into()));
    }
    let is_label = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-');
    if is_label {
        Ok(Subject::Name(text.to_owned()))
    } else {
        Err("it is no name of a Pipeline, and no file".to_owned())
    }
}

/// `penstock status`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match chosen(args) {
        Ok(Chosen::Names(names)) => of_cluster(&names, args),
        Ok(Chosen::File(file)) => crate::runtime()?.block_on(live::run(file, args)),
        Err(problem) => {
            eprintln!("error: {problem}");
            Ok(ExitCode::from(EXIT_UNKNOWN))
        }
    }
}

enum Chosen<'a> {
    Names(Vec<String>),
    File(&'a Path),
}

/// Names of a cluster, or one file; not both, and not the options of one with the other.
fn chosen(args: &Args) -> Result<Chosen<'_>, &'static str> {
    let files: Vec<_> = args.subjects.iter().filter_map(Subject::file).collect();
    let of_cluster = args.namespace.is_some() || args.all_namespaces || args.context.is_some();
    let of_file = args.place.is_said() || !args.metrics.is_empty();
    match files.as_slice() {
        [] if of_file => Err("--aws, --engines, --data-dir and --metrics go with a file"),
        [] => Ok(Chosen::Names(args.subjects.iter().filter_map(Subject::name).map(str::to_owned).collect())),
        [_] if of_cluster => Err("--namespace, --all-namespaces and --context go with names, not with a file"),
        [file] if args.subjects.len() == 1 => Ok(Chosen::File(file)),
        _ => Err("one file at a time, and names or a file"),
    }
}

impl Subject {
    fn file(&self) -> Option<&Path> {
        if let Self::File(file) = self { Some(file) } else { None }
    }

    fn name(&self) -> Option<&str> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }
}

fn of_cluster(names: &[String], args: &Args) -> anyhow::Result<ExitCode> {
    let scope = match (&args.namespace, args.all_namespaces) {
        (_, true) => Scope::Everywhere,
        (Some(namespace), _) => Scope::Namespace(namespace),
        (None, _) => Scope::Current,
    };
    let asks = Asks { names, scope, context: args.context.as_deref() };
    let mut shown = None;
    loop {
        let views = match asks.answer() {
            Ok(answer) => View::all(&answer),
            Err(error) => {
                eprintln!("error: {:#}", anyhow::Error::from(error));
                return Ok(ExitCode::from(EXIT_UNKNOWN));
            }
        };
        // Ages move by themselves: what has changed is told without them.
        if shown.as_ref() != Some(&views) {
            print(&views, args)?;
        }
        if !args.watch {
            return Ok(verdict(&views));
        }
        shown = Some(views);
        sleep(PAUSE);
    }
}

fn verdict(views: &[View]) -> ExitCode {
    let ready = !views.is_empty() && views.iter().all(View::is_ready);
    if ready { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_READY) }
}

fn print(views: &[View], args: &Args) -> anyhow::Result<()> {
    let text = match (args.output, args.watch) {
        (Output::Json, true) => serde_json::to_string(views)? + "\n",
        (Output::Json, false) => serde_json::to_string_pretty(views)? + "\n",
        (Output::Text, false) => text::of(views, SystemTime::now()),
        (Output::Text, true) => {
            // In place on a terminal; one below the other elsewhere.
            let before = if std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
            format!("{before}{}\n", text::of(views, SystemTime::now()))
        }
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("the status could not be printed"),
    }
}
