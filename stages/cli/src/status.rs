//! `penstock status`: what the operator says about Pipelines in a cluster, for people.
//!
//! `kubectl` asks the API server, so that every way to log in that it knows works here, and no client of Kubernetes is
//! built into this command.

mod age;
mod kubectl;
mod text;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use kubectl::{Asks, Scope};
use view::View;

/// The exit code when it could not be found out.
const EXIT_UNKNOWN: u8 = 2;
const EXIT_NOT_READY: u8 = 1;

/// Shown below the options: the description of a command is taken from where the commands are listed.
const AFTER: &str = "\
`kubectl` must be on the PATH; contexts and logins are its own. The right to `get` and `list` Pipelines is enough.

Exit codes:
  0  every Pipeline that was asked for is ready
  1  one is not, or there is none
  2  it could not be found out: the arguments, kubectl, or its answer";

/// Shows how Pipelines in a cluster are: conditions with what to do about them, stages with their pods and endpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The names of Pipelines; all of the namespace when none is given.
    #[arg(value_name = "NAME", value_parser = name)]
    names: Vec<String>,
    /// The namespace. Default: that of kubectl's context.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The Pipelines of all namespaces.
    #[arg(long, short = 'A', conflicts_with_all = ["namespace", "names"])]
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

/// A name, and not a file: files are for other questions than those that a cluster's API can answer.
fn name(text: &str) -> Result<String, String> {
    let is_label = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-');
    if is_label { Ok(text.to_owned()) } else { Err("it is no name of a Pipeline; files are not read here".to_owned()) }
}

/// `penstock status`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let scope = match (&args.namespace, args.all_namespaces) {
        (_, true) => Scope::Everywhere,
        (Some(namespace), _) => Scope::Namespace(namespace),
        (None, _) => Scope::Current,
    };
    let asks = Asks { names: &args.names, scope, context: args.context.as_deref() };
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
