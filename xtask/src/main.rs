//! `cargo xtask`: the project's own commands. Light on purpose: it is built before anything else.

mod bench;
mod cluster;
mod demo;
mod generated;
mod image;
mod instructions;
mod manifests;
mod paths;
mod process;
mod programs;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
cargo xtask COMMAND

  demo [-- FILE.csv]   set up, build and run the main job on embedded engines; a generated file when none is named
  test [-- ARGS]       run the tests, several programs at a time; with ARGS one after the other: they go to `cargo test`
  lint                 formatting, clippy, licences (cargo-deny), generated files
  ci                   both, lint while the last tests wait
  crds [--check]       write crds/ from the Pipeline types; with --check only tell whether it is up to date
  image [-- ARGS]      an OCI image of the binaries as an archive; --name NAME:TAG, --output FILE, --root FOLDER
  manifests [--check]  write deploy/ from the chart; with --check only tell whether it is up to date
  tools                fetch helm and kubectl into the user's cache folder
  bench [-- ARGS]      the main job at the size of a month and a year; with `paths`, each path alone on a stand-in for AWS;
                       with `visible`, from the post of a row until it can be read from its table; with `loops`, the
                       loops that run for every row, by criterion
  instructions [--write]  how many instructions the loops take that run for every row, under callgrind; fails when one takes
                       5 % more than noted
  plane [-- ARGS]      the operator on a real API server, in full: a crash at every write, hundreds of specs,
                       a thousand Pipelines; half an hour and more
  argocd [-- ARGS]     Argo CD itself, built once, over a git repository with Pipelines: in sync for five minutes
  cluster up | down | kubectl … | helm … | run …   a real cluster on this machine, with the image of this working copy
  cluster test         what happens on a cluster, in full; see tests/cluster
  simulate [-- ARGS]   the consumer under thousands of schedules; --seeds FROM..TO, --seed N, --mutation NAME
  leases [-- ARGS]     how quickly leases change hands, and what they cost: takeover [--planned] | idle
  kill [-- ARGS]       send a file while server and client are killed again and again; see tests/faults
  chaos [-- ARGS]      send a file under every fault of network, services and processes; --runs N, --seed S, --file CSV
";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let rest = rest.strip_prefix(&["--".to_owned()][..]).unwrap_or(rest);
    match command {
        "demo" => demo::run(rest),
        "test" => test::run(rest),
        "lint" => test::lint(),
        "ci" => test::ci(),
        "crds" => generated::crds(rest.iter().any(|argument| argument == "--check")),
        "image" => image::image(rest),
        "manifests" => manifests::manifests(rest.iter().any(|argument| argument == "--check")),
        "tools" => tools::fetch(),
        "bench" => bench::bench(rest),
        "instructions" => instructions::instructions(rest.iter().any(|argument| argument == "--write")),
        "cluster" => cluster::cluster(rest),
        "simulate" => bench::simulate(rest),
        "kill" => bench::kill(rest),
        "leases" => bench::leases(rest),
        "chaos" => bench::chaos(rest),
        "plane" => test::in_full(&["plane", "scale"], rest),
        "argocd" => test::in_full(&["argocd"], rest),
        "help" | "--help" | "-h" => {
            print_usage();
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command {other:?}\n\n{USAGE}"),
    }
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn print_usage() {
    println!("{USAGE}");
}
