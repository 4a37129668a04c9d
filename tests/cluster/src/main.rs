//! `penstock-cluster`: a real cluster on this machine. People call it as `cargo xtask cluster`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use penstock_cluster::{Cluster, Lifetime, init};

/// A real cluster on this machine: one node, with its own network. Needs Linux and root.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask cluster", bin_name = "cargo xtask cluster")]
struct Args {
    /// The name of the cluster: several may run side by side.
    #[arg(long, global = true, default_value = "penstock", env = "PENSTOCK_CLUSTER_NAME")]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start it, and give it these images.
    Up {
        /// An archive as `cargo xtask image` makes them.
        #[arg(long)]
        image: Vec<PathBuf>,
    },
    /// End it, and clear away all that was its; also what a crash has left.
    Down,
    /// Which there are.
    List,
    /// Give it an image.
    Load {
        /// An archive as `cargo xtask image` makes them.
        archive: PathBuf,
    },
    /// Run kubectl.
    #[command(disable_help_flag = true)]
    Kubectl(Rest),
    /// Run helm.
    #[command(disable_help_flag = true)]
    Helm(Rest),
    /// Run a program in its network: there its Services have addresses, and there is nothing else.
    Run {
        program: String,
        #[command(flatten)]
        rest: Rest,
    },
    /// Run a program on its node, such as `ctr -n k8s.io containers list`.
    Node {
        program: String,
        #[command(flatten)]
        rest: Rest,
    },
    /// Be its first process.
    #[command(hide = true)]
    Init { cluster: String, lifetime: Lifetime },
}

#[derive(Debug, clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Args { name, action } = Args::parse();
    match action {
        Action::Up { image } => up(&name, &image)?,
        Action::Down => Cluster::down(&name)?,
        Action::List => list()?,
        Action::Load { archive } => Cluster::named(&name)?.load(&archive)?,
        Action::Kubectl(rest) => return tool(&name, "kubectl", &rest),
        Action::Helm(rest) => return tool(&name, "helm", &rest),
        Action::Run { program, rest } => return run(Cluster::named(&name)?.command(program).args(rest.arguments)),
        Action::Node { program, rest } => {
            return run(Cluster::named(&name)?.node_command(program).args(rest.arguments));
        }
        Action::Init { cluster, lifetime } => init::run_cluster(&cluster, lifetime)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stderr, reason = "what comes next")]
fn up(name: &str, images: &[PathBuf]) -> anyhow::Result<()> {
    eprintln!("starting the cluster {name} (the first time Kubernetes and CoreDNS are built: some ten minutes)");
    let cluster = Cluster::up(name, Lifetime::Lasting, &std::env::current_exe()?)?;
    for image in images {
        cluster.load(image)?;
    }
    eprintln!("it is ready: cargo xtask cluster kubectl get pods --all-namespaces");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn list() -> anyhow::Result<()> {
    for (name, runs) in Cluster::all()? {
        println!(
            "{name}\t{}",
            if runs { "runs" } else { "has ended: `cargo xtask cluster down --name` clears it away" }
        );
    }
    Ok(())
}

fn tool(name: &str, tool: &str, rest: &Rest) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::named(name)?;
    run(cluster.command(penstock_cluster::tool(tool)?).args(&rest.arguments))
}

/// Runs it as if it had been called itself.
fn run(command: &mut Command) -> anyhow::Result<ExitCode> {
    let status = command.status().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
