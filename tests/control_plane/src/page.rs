//! The page of an operator, asked as a browser asks it, and processes of stages that it can ask.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use penstock_operator::{names, page};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::wire::Wire;
use crate::world::World;

/// A page. One of a test's own ends when it is dropped.
#[derive(Debug)]
pub struct Page {
    addr: SocketAddr,
    stop: CancellationToken,
}

impl Page {
    /// The page of the Pipelines of a world, with the operator's rights, whose calls go over a wire.
    ///
    /// # Errors
    /// When it is not served.
    pub async fn of(world: &World, wire: &Wire) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (client, namespaces) = (wire.client(world.limited.clone()), vec![world.namespace.clone()]);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let addr = page::serve(client, namespaces, listen, None, stop.clone()).await?;
        Ok(Self { addr, stop })
    }

    /// One that somebody else serves.
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self { addr, stop: CancellationToken::new() }
    }

    /// Where a browser finds it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// The list of Pipelines.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn list(&self) -> anyhow::Result<Value> {
        self.get("/api/pipelines").await
    }

    /// All about one Pipeline.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn one(&self, namespace: &str, name: &str) -> anyhow::Result<Value> {
        self.get(&format!("/api/pipelines/{namespace}/{name}")).await
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut connection = TcpStream::connect(self.addr).await?;
        connection.write_all(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.addr).as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{answer}");
        Ok(serde_json::from_str(body)?)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A pod that runs, and a process that answers for it on loopback. The process ends when this is dropped.
#[derive(Debug)]
pub struct StandIn {
    /// The pod's name.
    pub name: String,
    waits: Arc<Mutex<Option<String>>>,
    process: JoinHandle<()>,
}

impl StandIn {
    /// A pod of a stage, which is ready.
    ///
    /// # Errors
    /// When there is no port, or the API server refuses the pod.
    pub async fn start(client: &Client, namespace: &str, pipeline: &str, stage: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let name = format!("{pipeline}-{stage}-0");
        let pod = json!({
            "metadata": { "name": name, "labels": {
                (names::PIPELINE_LABEL): pipeline, (names::STAGE_LABEL): stage,
                (names::MANAGED_BY_LABEL): names::MANAGED_BY,
            } },
            "spec": { "containers": [{ "name": names::CONTAINER, "image": "penstock:test",
                "ports": [{ "name": "admin", "containerPort": port }] }] },
        });
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        set_status(client, namespace, &name, json!({ "phase": "Running", "podIP": "127.0.0.1" })).await?;
        let waits = Arc::default();
        let process = tokio::spawn(answer(listener, Arc::clone(&waits)));
        Ok(Self { name, waits, process })
    }

    /// From now on it says that it waits for something.
    pub fn waits(&self, because: &str) {
        *self.waits.lock() = Some(because.to_owned());
    }

    /// The process ends, and its pod stays.
    pub fn kill(&self) {
        self.process.abort();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.process.abort();
    }
}

/// Says what a kubelet would say of a pod.
///
/// # Errors
/// When the API server refuses it.
pub async fn set_status(client: &Client, namespace: &str, pod: &str, status: Value) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(json!({ "status": status }))).await?;
    Ok(())
}

async fn answer(listener: TcpListener, waits: Arc<Mutex<Option<String>>>) {
    while let Ok((mut connection, _)) = listener.accept().await {
        let mut head = [0; 1024];
        // Requests are short, and whoever sends none gets no answer.
        let read = connection.read(&mut head).await.unwrap_or(0);
        let is_ready = head[..read].starts_with(b"GET /readyz");
        let (status, body) = match waits.lock().clone().filter(|_| is_ready) {
            Some(because) => ("503 Service Unavailable", because),
            None => ("200 OK", String::new()),
        };
        let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        // Who asked may have gone.
        drop(connection.write_all(answer.as_bytes()).await);
    }
}
