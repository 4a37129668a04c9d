//! The operator as it ships: the program, in a process of its own, with the rights of the chart's roles in the whole cluster.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use penstock_conformance::free_ports;
use serde_json::Value;
use tempfile::TempDir;

use crate::page::Page;
use crate::plane::Plane;
use crate::rights::{self, OPERATOR};
use crate::wait::eventually;

/// Where the chart puts it.
const NAMESPACE: &str = "penstock";
/// What of the chart it needs here.
const NEEDED: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
/// How long it may take to end.
const END: Duration = Duration::from_secs(30);

/// Where the operator is installed: its rights, and how it comes to the API server.
#[derive(Debug)]
pub struct Installation {
    folder: TempDir,
    endpoint: String,
    /// What it watches; all namespaces when there is none.
    watched: Option<String>,
    /// Whether it asks for no lease.
    alone: bool,
}

/// A running operator. It is killed when it is dropped.
#[derive(Debug)]
pub struct OperatorProcess {
    child: Child,
    log: PathBuf,
    port: u16,
    page: Page,
}

impl Installation {
    /// Installs the chart's ServiceAccount and roles; AWS is at this endpoint.
    ///
    /// # Errors
    /// When the API server refuses them.
    pub async fn new(plane: &Plane, endpoint: &str) -> anyhow::Result<Self> {
        let client = plane.client()?;
        install_rights(&client).await?;
        let token = rights::token(&client, NAMESPACE, OPERATOR).await?;
        rights::may_set_owners(&plane.client_with(token.clone())?, NAMESPACE).await?;
        let folder = tempfile::Builder::new().prefix("penstock-operator-").tempdir()?;
        fs::write(folder.path().join("kubeconfig"), plane.kubeconfig(&token, NAMESPACE))?;
        Ok(Self { folder, endpoint: endpoint.to_owned(), watched: None, alone: false })
    }

    /// With an operator that watches one namespace only.
    #[must_use]
    pub fn watching(self, namespace: &str) -> Self {
        Self { watched: Some(namespace.to_owned()), ..self }
    }

    /// With an operator that asks for no lease, beside those that do.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Its lease.
    ///
    /// # Errors
    /// When there is no way to the API server.
    pub fn leases(plane: &Plane) -> anyhow::Result<Api<Lease>> {
        Ok(Api::namespaced(plane.client()?, NAMESPACE))
    }

    /// The user that the API server knows it as.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{NAMESPACE}:{OPERATOR}")
    }

    /// Starts it, and waits until it leads and has listed everything.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub async fn start(&self, identity: &str) -> anyhow::Result<OperatorProcess> {
        let operator = self.spawn(identity)?;
        operator.leads().await?;
        Ok(operator)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn spawn(&self, identity: &str) -> anyhow::Result<OperatorProcess> {
        let port = free_ports(2)?;
        let page = SocketAddr::from(([127, 0, 0, 1], port + 1));
        let log = self.folder.path().join(format!("{identity}.log"));
        let child = Command::new(program()?)
            .args(["--stage-image=penstock:test", "--identity", identity, "--lease-namespace", NAMESPACE])
            .args([format!("--admin=127.0.0.1:{port}"), format!("--page={page}")])
            .arg(format!("--aws-endpoint-url={}", self.endpoint))
            .args(self.watched.iter().map(|namespace| format!("--namespace={namespace}")))
            .args(self.alone.then_some("--no-election"))
            .env_clear()
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .stdout(Stdio::null())
            // Its log is there.
            .stderr(File::create(&log)?)
            .spawn()
            .context("the operator cannot be started")?;
        Ok(OperatorProcess { child, log, port, page: Page::at(page) })
    }
}

impl OperatorProcess {
    /// Waits until it leads and has listed everything.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn leads(&self) -> anyhow::Result<()> {
        let leads = eventually("the operator leads and is ready", async || {
            ensure!(self.said()?.contains("\"leading\""), "it does not lead");
            ready(self.port).await
        });
        leads.await.with_context(|| self.said().unwrap_or_default())
    }

    /// Waits until it leads, or has seen that another does.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn is_ready(&self) -> anyhow::Result<()> {
        let is_ready = eventually("the operator is ready", async || ready(self.port).await);
        is_ready.await.with_context(|| self.said().unwrap_or_default())
    }

    /// Its page.
    #[must_use]
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Its resident memory now and at its highest, in bytes.
    ///
    /// # Errors
    /// When it is gone.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("it has ended")?;
        let bytes = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
            let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
            anyhow::Ok(kib * 1024)
        };
        Ok((bytes("VmRSS:")?, bytes("VmHWM:")?))
    }

    /// Ends it as Kubernetes does, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "it cannot be told");
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    break anyhow::Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let status = tokio::time::timeout(END, ended).await.context("it does not end")??;
        if !status.success() {
            bail!("it ended with {status}: {}", self.said()?);
        }
        Ok(())
    }

    /// Its log.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Its metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        get(self.port, "/metrics").await
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn ready(port: u16) -> anyhow::Result<()> {
    get(port, "/readyz").await?;
    Ok(())
}

/// What its admin port answers, unless it is a refusal.
async fn get(port: u16, path: &str) -> anyhow::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

async fn install_rights(client: &Client) -> anyhow::Result<()> {
    let namespace = serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    apply(client, &namespace).await?;
    for document in rights::manifests()? {
        if NEEDED.iter().any(|kind| document["kind"] == *kind) {
            apply(client, &document).await?;
        }
    }
    Ok(())
}

async fn apply(client: &Client, document: &Value) -> anyhow::Result<()> {
    let text = |field: &str| document[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    let api: Api<DynamicObject> = match document["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = document["metadata"]["name"].as_str().context("a document without a name")?;
    api.patch(name, &PatchParams::apply("helm"), &Patch::Apply(document)).await?;
    Ok(())
}

/// The `penstock-operator` command: what `PENSTOCK_OPERATOR_BIN` names, else the one that was built beside this program.
/// `cargo test --workspace` and `cargo xtask plane` build it first.
fn program() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("PENSTOCK_OPERATOR_BIN") {
        return Ok(named.into());
    }
    let this = std::env::current_exe().context("this program does not know where it is")?;
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("penstock-operator"));
    beside.into_iter().find(|path: &PathBuf| Path::is_file(path)).with_context(|| {
        format!("there is no penstock-operator beside {}: cargo build --workspace, in the same profile", this.display())
    })
}
