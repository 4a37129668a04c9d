//! The invariants of the workspace, read off the manifests (`cargo metadata`): see docs/architecture.md.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Sources, sinks and apis: they meet in contract, runtime, process, stream and consumer, never each other.
const STAGES: [&str; 4] = ["penstock-ingest", "penstock-raw-storage", "penstock-dynamodb", "penstock-query"];
const EVERYTHING_ELSE_THAT_RUNS: [&str; 3] = ["penstock-consumer", "penstock-client", "penstock-embedded"];
/// Crates that decide and never do: no runtime, no network, no AWS.
const PURE: [&str; 2] = ["penstock-contract", "penstock-api"];
/// What decides, deploys and shows.
const OPERATORS_SIDE: [&str; 4] = ["penstock-operator", "penstock-api", "penstock-provision", "penstock-console"];
const MAX_LINES: usize = 600;

struct Workspace {
    root: PathBuf,
    /// The direct dependencies of each of our crates, development dependencies left out.
    dependencies: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let dependencies = metadata["packages"].as_array().unwrap().iter().map(|package| {
            let normal =
                package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), names.collect())
        });
        Self { root: metadata["workspace_root"].as_str().unwrap().into(), dependencies: dependencies.collect() }
    }

    /// What a crate of ours needs, through our crates.
    fn reach(&self, name: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(next) = open.pop() {
            for dependency in self.dependencies.get(&next).into_iter().flatten() {
                if reached.insert(dependency.clone()) {
                    open.push(dependency.clone());
                }
            }
        }
        reached
    }
}

fn is_io(dependency: &str) -> bool {
    dependency.starts_with("aws-") || ["tokio", "reqwest", "axum", "hyper", "kube", "redb"].contains(&dependency)
}

#[test]
fn the_contract_and_the_pipeline_types_do_no_io() {
    let workspace = Workspace::read();
    for name in PURE {
        let io: Vec<_> = workspace.reach(name).into_iter().filter(|dependency| is_io(dependency)).collect();
        assert!(io.is_empty(), "{name} must not depend on {io:?}");
    }
}

#[test]
fn no_stage_links_kubernetes_or_another_stage() {
    let workspace = Workspace::read();
    for name in STAGES.iter().chain(&EVERYTHING_ELSE_THAT_RUNS) {
        let reached = workspace.reach(name);
        assert!(!reached.contains("kube"), "{name} must not depend on kube");
        let others: Vec<_> = STAGES.iter().filter(|stage| *stage != name && reached.contains(**stage)).collect();
        assert!(others.is_empty(), "{name} must not depend on {others:?}");
    }
}

#[test]
fn the_operators_side_links_no_stage() {
    let workspace = Workspace::read();
    for name in workspace.dependencies.keys().filter(|name| OPERATORS_SIDE.contains(&name.as_str())) {
        let stages: Vec<_> = STAGES
            .iter()
            .chain(&EVERYTHING_ELSE_THAT_RUNS)
            .filter(|stage| workspace.reach(name).contains(**stage))
            .collect();
        assert!(stages.is_empty(), "{name} must not depend on {stages:?}");
    }
}

#[test]
fn only_the_operator_links_kubernetes() {
    let workspace = Workspace::read();
    // The operator, and what tries it on a real API server, alone and under Argo CD.
    let may = ["penstock-operator", "penstock-control-plane", "penstock-argocd"];
    for (name, dependencies) in workspace.dependencies.iter().filter(|(name, _)| !may.contains(&name.as_str())) {
        let kubernetes: Vec<_> =
            ["kube", "k8s-openapi"].into_iter().filter(|one| dependencies.contains(*one)).collect();
        assert!(kubernetes.is_empty(), "{name} must not depend on {kubernetes:?}: the demo's build stays free of it");
    }
}

#[test]
fn only_the_command_sees_everything() {
    let workspace = Workspace::read();
    for (name, dependencies) in &workspace.dependencies {
        let stages = STAGES.iter().filter(|stage| dependencies.contains(**stage)).count();
        assert!(stages == 0 || name == "penstock", "{name} depends on stages; only the command `penstock` may");
    }
}

#[test]
fn the_engines_speak_the_service_and_know_nothing_of_ours() {
    let workspace = Workspace::read();
    let ours: Vec<_> =
        workspace.reach("penstock-embedded").into_iter().filter(|name| name.starts_with("penstock")).collect();
    assert!(ours.is_empty(), "penstock-embedded must not depend on {ours:?}: it stands in for AWS");
}

#[test]
fn files_stay_readable() {
    let workspace = Workspace::read();
    let mut long = Vec::new();
    for folder in ["operator", "stages", "tests", "xtask"] {
        for file in rust_files(&workspace.root.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
            if lines > MAX_LINES {
                long.push(format!("{}: {lines} lines", file.strip_prefix(&workspace.root).unwrap().display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {MAX_LINES} lines without their tests: {long:#?}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
