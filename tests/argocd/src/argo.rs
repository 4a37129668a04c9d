//! Argo CD itself, beside a control plane: the repo server, the application controller, and their cache.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use penstock_conformance::{cache, free_ports};
use penstock_control_plane::{Plane, eventually};
use penstock_manifests::{documents, read};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::programs::Programs;
use crate::tree::{self, Node};

/// Where Argo CD is, in its own documentation and in ours.
const NAMESPACE: &str = "argocd";

/// How Argo CD knows what belongs to an Application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// The annotation `argocd.argoproj.io/tracking-id`.
    Annotation,
    /// The label `app.kubernetes.io/instance`.
    Label,
}

impl Tracking {
    /// As Argo CD's settings call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
            Self::Label => "label",
        }
    }
}

/// A running Argo CD, which looks after the control plane that it is beside.
#[allow(missing_debug_implementations, reason = "a client has none")]
pub struct Argo {
    /// A client of the test's own.
    pub client: Client,
    // In this order: whoever asks goes before whom it asks.
    controller: Process,
    repo_server: Process,
    _redis: Process,
    redis_port: u16,
    _folder: TempDir,
}

impl Argo {
    /// Starts one, set up as `examples/argocd` tells people to; `None` where this machine has none, which is said.
    ///
    /// # Errors
    /// When it is there and does not start, and in CI also when it is not there.
    pub async fn start(plane: &Plane, tracking: Tracking) -> anyhow::Result<Option<Self>> {
        let Some(programs) = Programs::find()? else { return Ok(None) };
        let client = plane.client()?;
        install(&client, &programs).await?;
        set_up(&client, tracking).await?;
        let folder = tempfile::Builder::new().prefix("penstock-argocd-").tempdir()?;
        fs::write(folder.path().join("kubeconfig"), kubeconfig(plane)?.to_string())?;
        let start = |name, arguments: &[String]| {
            let mut command = Command::new(programs.path(name));
            command.args(arguments);
            surround(&mut command, folder.path())?;
            Process::start(command, folder.path())
        };

        let redis_port = free_ports(4)?;
        let (repo_server_port, repo_server_metrics, controller_metrics) =
            (redis_port + 1, redis_port + 2, redis_port + 3);
        let redis_address = format!("127.0.0.1:{redis_port}");
        let mut redis = start("argocd-redis", std::slice::from_ref(&redis_address))?;
        redis.listens(redis_port).await?;
        let cached = ["--redis".to_owned(), redis_address, "--redis-compress=none".to_owned()];
        let mut arguments = vec![
            "--address=127.0.0.1".to_owned(),
            format!("--port={repo_server_port}"),
            "--metrics-address=127.0.0.1".to_owned(),
            format!("--metrics-port={repo_server_metrics}"),
            "--disable-tls".to_owned(),
        ];
        arguments.extend(cached.clone());
        let mut repo_server = start("argocd-repo-server", &arguments)?;
        repo_server.listens(repo_server_port).await?;
        let mut arguments = vec![
            format!("--repo-server=127.0.0.1:{repo_server_port}"),
            "--repo-server-plaintext".to_owned(),
            format!("--metrics-port={controller_metrics}"),
        ];
        arguments.extend(cached);
        let mut controller = start("argocd-application-controller", &arguments)?;
        controller.listens(controller_metrics).await?;
        Ok(Some(Self { client, controller, repo_server, _redis: redis, redis_port, _folder: folder }))
    }

    /// The Applications.
    #[must_use]
    pub fn applications(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource("Application"))
    }

    /// What Argo CD shows under an Application: its objects, and what they own.
    ///
    /// # Errors
    /// When it shows nothing yet.
    pub async fn tree(&self, application: &str) -> anyhow::Result<Vec<Node>> {
        tree::read(self.redis_port, application).await
    }

    /// The last that its programs said.
    #[must_use]
    pub fn said(&self) -> String {
        format!("controller:\n{}\nrepo server:\n{}", self.controller.said(), self.repo_server.said())
    }
}

/// What Argo CD's own manifests bring that these programs need.
async fn install(client: &Client, programs: &Programs) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for text in programs.definitions()? {
        let definition = serde_yaml::from_str(&text)?;
        definitions.create(&PostParams::default(), &definition).await?;
    }
    let namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;

    let metadata = |name: &str| json!({ "name": name, "labels": { "app.kubernetes.io/part-of": "argocd" } });
    let map = serde_json::from_value(json!({ "metadata": metadata("argocd-cm") }))?;
    Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &map).await?;
    let secret = json!({ "metadata": metadata("argocd-secret"), "stringData": { "server.secretkey": "of-the-tests" } });
    let secret = serde_json::from_value(secret)?;
    Api::<Secret>::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &secret).await?;

    let any = json!([{ "group": "*", "kind": "*" }]);
    let project: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": { "name": "default" },
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{ "server": "*", "namespace": "*" }],
            "clusterResourceWhitelist": any,
        },
    }))?;
    let projects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource("AppProject"));
    // Its definition may not be served yet.
    eventually("Argo CD's own project is made", async || {
        projects.create(&PostParams::default(), &project).await.map_err(anyhow::Error::from)
    })
    .await?;
    Ok(())
}

/// `kubectl patch configmap argocd-cm --namespace argocd --patch-file …`, as `examples/argocd/README.md` says.
async fn set_up(client: &Client, tracking: Tracking) -> anyhow::Result<()> {
    let patch = documents(&read(settings_file(tracking))?)?.remove(0);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    maps.patch("argocd-cm", &PatchParams::default(), &Patch::Strategic(&patch)).await?;
    Ok(())
}

/// What people are told to patch Argo CD's settings with.
pub(crate) fn settings_file(tracking: Tracking) -> String {
    format!("examples/argocd/argocd-cm-{}.yaml", tracking.as_str())
}

/// What a program needs around it.
fn surround(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let helm = cache()?.join("tools/kubernetes");
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", helm.display()))
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("ARGOCD_ASK_PASS_SOCK", folder.join("ask-pass.sock"))
        // The cluster that it runs in is that of the kubeconfig.
        .env("ARGOCD_FAKE_IN_CLUSTER", "true")
        .env("ARGOCD_GPG_ENABLED", "false")
        .current_dir(folder);
    Ok(())
}

/// JSON, which is YAML.
fn kubeconfig(plane: &Plane) -> anyhow::Result<Value> {
    let certificates = plane.config.root_cert.as_ref().context("the API server has no certificate")?;
    let pem: String = certificates.iter().map(|certificate| pem(certificate)).collect();
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "plane", "cluster": {
            "server": plane.config.cluster_url.to_string().trim_end_matches('/'),
            "certificate-authority-data": BASE64_STANDARD.encode(pem),
        } }],
        "users": [{ "name": "tests", "user": serde_json::to_value(&plane.config.auth_info)? }],
        "contexts": [{ "name": "plane", "context": { "cluster": "plane", "user": "tests", "namespace": NAMESPACE } }],
        "current-context": "plane",
    }))
}

fn pem(certificate: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(certificate))
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind))
}
