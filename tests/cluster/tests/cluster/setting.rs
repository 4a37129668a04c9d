//! A cluster with our image on it, and what has been done so far.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use penstock_cluster::{Cluster, Lifetime, built_image, machine};
use penstock_conformance::may_skip;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_penstock-cluster");
/// The image, as the chart names it.
pub(crate) const IMAGE: &str = "docker.io/library/penstock:0.1.0";

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Waits for its turn; `None` where this machine can have no cluster, which is said.
pub(crate) fn turn() -> Option<MutexGuard<'static, ()>> {
    // First, for what is missing is installed, and two cannot install at one time.
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(why) = machine::prepare() {
        may_skip("a real cluster", &why).unwrap();
        eprintln!("SKIPPED: nothing is tested on a real cluster: {why:#}");
        return None;
    }
    Some(turn)
}

/// A name that no other run has.
pub(crate) fn name(of: &str) -> String {
    format!("{of}-{}", std::process::id())
}

pub(crate) struct Setting {
    // First, so that it ends before the folder and the turn do.
    pub(crate) cluster: Cluster,
    pub(crate) folder: TempDir,
    begun: Instant,
    _turn: MutexGuard<'static, ()>,
}

impl Setting {
    /// `None` where this machine can have no cluster, which is said.
    pub(crate) fn new(of: &str) -> Option<Self> {
        let turn = turn()?;
        let begun = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::up(&name(of), Lifetime::Caller, Path::new(PROGRAM)).unwrap();
        let setting = Self { cluster, folder, begun, _turn: turn };
        setting.done("the cluster is up");
        let image = built_image("penstock:0.1.0", setting.folder.path()).unwrap();
        setting.cluster.load(&image).unwrap();
        setting.done("the image is loaded");
        Some(setting)
    }

    /// Notes how long it took to come here.
    pub(crate) fn done(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// Installs the chart with the values that people use on kind.
    pub(crate) fn install(&self) {
        self.install_chart("CHART");
        self.done("the chart is installed");
    }

    /// The same with another chart.
    pub(crate) fn install_chart(&self, chart: &str) {
        let values = root().join("examples/kind/values.yaml");
        self.helm(&[
            "install",
            "penstock",
            chart,
            "--namespace",
            "penstock",
            "--create-namespace",
            "--wait",
            "--timeout",
            "4m",
            "--set",
            "operator.replicas=2",
            "--values",
            values.to_str().unwrap(),
        ]);
    }

    /// Runs helm; `CHART` stands for ours.
    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        let chart = root().join("charts/penstock");
        let chart = chart.to_str().unwrap();
        let arguments = arguments.iter().map(|&argument| if argument == "CHART" { chart } else { argument });
        self.cluster.helm(arguments).unwrap()
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(arguments).unwrap()
    }

    /// The address of a Service.
    pub(crate) fn address(&self, namespace: &str, service: &str) -> String {
        self.kubectl(&["get", "service", service, "--namespace", namespace, "--output", "jsonpath={.spec.clusterIP}"])
    }

    /// Where the engines answer, from within the cluster's network.
    pub(crate) fn engines(&self) -> String {
        format!("http://{}:4566", self.address("penstock", "penstock-local-aws"))
    }
}

impl Drop for Setting {
    /// What a test that fails leaves to be looked at.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for arguments in [
            &["get", "pods,pipelines", "--all-namespaces", "--output", "wide"][..],
            &["get", "events", "--all-namespaces", "--field-selector", "type=Warning"],
            &["logs", "--namespace", "penstock", "--selector", "app.kubernetes.io/name=penstock", "--tail", "20"],
        ] {
            let shown = self.cluster.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}"));
            eprintln!("kubectl {}\n{shown}", arguments.join(" "));
        }
    }
}
