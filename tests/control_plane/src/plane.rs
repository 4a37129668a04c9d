//! etcd and kube-apiserver as processes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use penstock_conformance::{free_ports, may_skip};
use penstock_kubernetes::{Kubernetes, kubernetes};
use tempfile::TempDir;

use crate::audit::{self, Audit};
use crate::wait::eventually;

/// How long a start may take, on a busy machine.
const START: Duration = Duration::from_secs(120);
/// Ports are taken free, and may be another's by the time they are used.
const TRIES: usize = 3;
const TOKEN: &str = "token-of-the-tests";

/// A running control plane. Its processes end with it, and with this process, however that ends.
#[derive(Debug)]
pub struct Plane {
    // In this order: the API server goes before what it stores in.
    apiserver: Process,
    etcd: Process,
    /// How it is reached, with all rights.
    pub config: Config,
    /// What the API server was asked for.
    pub audit: Audit,
    _folder: TempDir,
}

/// The control plane of this process, started when it is first asked for; `None` where this machine has none, which is said.
///
/// # Errors
/// When it is there and does not start, and in CI also when it is not there.
pub fn shared() -> anyhow::Result<Option<&'static Plane>> {
    static PLANE: OnceLock<Result<Option<Plane>, String>> = OnceLock::new();
    let plane = PLANE.get_or_init(|| Plane::start().map_err(|error| format!("{error:#}")));
    plane.as_ref().map(Option::as_ref).map_err(|error| anyhow!("{error}"))
}

impl Plane {
    /// Starts one of one's own, with the CRD of Pipelines; `None` where this machine has none, which is said.
    ///
    /// # Errors
    /// When it is there and does not start, and in CI also when it is not there.
    #[allow(clippy::print_stderr, reason = "what was skipped")]
    pub fn start() -> anyhow::Result<Option<Self>> {
        let binaries = match kubernetes() {
            Ok(binaries) => binaries,
            Err(why) => {
                may_skip("the control plane", &why)?;
                eprintln!("SKIPPED: nothing is tested on a real API server: {why:#}");
                return Ok(None);
            }
        };
        // A second provider cannot be there; if it were, it would do as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut failure = anyhow!("no try was made");
        for _ in 0..TRIES {
            match Self::start_once(&binaries) {
                Ok(plane) => return Ok(Some(plane)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn start_once(binaries: &Kubernetes) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("penstock-control-plane-").tempdir()?;
        let clients = free_ports(3)?;
        let (peers, secure) = (clients + 1, clients + 2);
        let etcd = start_etcd(&binaries.etcd, folder.path(), clients, peers)?;
        let mut apiserver = start_apiserver(&binaries.apiserver, folder.path(), clients, secure)?;
        let config = apiserver.configuration(folder.path(), secure)?;
        let audit = Audit::of(folder.path());
        let mut plane = Self { apiserver, etcd, config, audit, _folder: folder };
        // A runtime of its own, on a thread of its own: whoever asks may be inside one.
        std::thread::scope(|scope| {
            let ready =
                scope.spawn(|| -> anyhow::Result<()> { tokio::runtime::Runtime::new()?.block_on(plane.get_ready()) });
            ready.join().map_err(|_| anyhow!("the wait for the API server panicked"))?
        })?;
        Ok(plane)
    }

    async fn get_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client()?;
        let ready = eventually("the API server is ready", async || {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            client.request_text(request).await.map_err(anyhow::Error::from)
        });
        tokio::select! {
            ready = ready => ready.with_context(|| self.apiserver.said())?,
            ended = self.apiserver.ended() => return Err(ended.context("the API server has ended")),
            ended = self.etcd.ended() => return Err(ended.context("etcd has ended")),
        };
        install_crd(&client).await
    }

    /// A client with all rights, for the runtime that asks. It repeats nothing.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// A client with the rights of whoever has this token. It repeats nothing.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn client_with(&self, token: String) -> anyhow::Result<Client> {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        Ok(Client::try_from(config)?)
    }

    /// A kubeconfig for whoever has this token.
    #[must_use]
    pub fn kubeconfig(&self, token: &str, namespace: &str) -> String {
        let pem = self.config.root_cert.iter().flatten().map(|certificate| {
            let base64 = BASE64_STANDARD.encode(certificate);
            format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
        });
        let authority = BASE64_STANDARD.encode(pem.collect::<String>());
        let server = self.config.cluster_url.to_string();
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "plane",
            "clusters": [{ "name": "plane", "cluster": { "server": server, "certificate-authority-data": authority } }],
            "users": [{ "name": "operator", "user": { "token": token } }],
            "contexts": [{ "name": "plane", "context": { "cluster": "plane", "user": "operator", "namespace": namespace } }],
        })
        .to_string()
    }

    /// Makes a namespace; its name begins with `prefix`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn namespace(&self, prefix: &str) -> anyhow::Result<String> {
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespaces: Api<Namespace> = Api::all(self.client()?);
        let made = namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
        made.metadata.name.context("the namespace has no name")
    }
}

async fn install_crd(client: &Client) -> anyhow::Result<()> {
    let crd: CustomResourceDefinition =
        serde_yaml::from_str(&crate::world::repository_file("crds/pipelines.penstock.dev.yaml")?)?;
    let name = crd.metadata.name.clone().context("the CRD has no name")?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.create(&PostParams::default(), &crd).await.context("the API server refuses the CRD")?;
    eventually("the CRD is served", async || {
        let conditions = crds.get(&name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
        let established =
            conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True");
        if !established {
            bail!("{conditions:?}");
        }
        let listed = http::Request::get("/apis/penstock.dev/v1alpha1/pipelines").body(Vec::new())?;
        client.request_text(listed).await.map_err(anyhow::Error::from)
    })
    .await?;
    Ok(())
}

/// A process that is killed when it is dropped; it ends by itself when this process does.
#[derive(Debug)]
struct Process {
    child: Child,
    log: std::path::PathBuf,
}

impl Process {
    fn start(program: &Path, arguments: &[String], folder: &Path) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or_default();
        let log = folder.join(name).with_extension("log");
        let output = File::create(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .env("PENSTOCK_CONTROL_PLANE_FOLDER", folder)
            // Held open by this process: its end is how the program learns of ours.
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self { child, log })
    }

    /// Waits until it ends, which it should not; gives its last words.
    async fn ended(&mut self) -> anyhow::Error {
        while matches!(self.child.try_wait(), Ok(None)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow!("{}", self.said())
    }

    /// The last that it said.
    fn said(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Waits for the certificate that the API server makes for itself.
    fn configuration(&mut self, folder: &Path, port: u16) -> anyhow::Result<Config> {
        let certificate = folder.join("certificates/apiserver.crt");
        let begun = Instant::now();
        let authority = loop {
            let found = fs::read_to_string(&certificate).unwrap_or_default();
            if found.ends_with("-----END CERTIFICATE-----\n") {
                break found;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the API server ended with {status}: {}", self.said());
            }
            if begun.elapsed() > START {
                bail!("the API server made no certificate within {START:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        configuration(&authority, port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start_etcd(program: &Path, folder: &Path, clients: u16, peers: u16) -> anyhow::Result<Process> {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let arguments = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--unsafe-no-fsync".to_owned(),
    ];
    Process::start(program, &arguments, folder)
}

fn start_apiserver(program: &Path, folder: &Path, etcd: u16, port: u16) -> anyhow::Result<Process> {
    let tokens = folder.join("tokens.csv");
    // What it makes for itself when it is given none; the key serves for tokens of ServiceAccounts, too.
    let certificates = folder.join("certificates");
    let key = certificates.join("apiserver.key");
    fs::write(&tokens, format!("{TOKEN},tests,tests,system:masters\n"))?;
    let policy = folder.join("audit-policy.yaml");
    fs::write(&policy, audit::POLICY)?;
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", certificates.display()),
        format!("--token-auth-file={}", tokens.display()),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // Off by default, and on in some clusters: it asks for the right to set an owner that cannot go before its child.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", folder.join(audit::LOG).display()),
    ];
    Process::start(program, &arguments, folder)
}

fn configuration(authority: &str, port: u16) -> anyhow::Result<Config> {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
    config.root_cert = Some(certificates(authority)?);
    config.auth_info = AuthInfo { token: Some(TOKEN.to_owned().into()), ..AuthInfo::default() };
    config.default_retry = false;
    Ok(config)
}

/// The certificates of a PEM file.
fn certificates(pem: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks
        .map(|block| {
            let base64 = block.split("-----END").next().unwrap_or_default().split_whitespace().collect::<String>();
            BASE64_STANDARD.decode(base64).context("the API server's certificate cannot be read")
        })
        .collect()
}
