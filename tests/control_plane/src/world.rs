//! One test's part of the control plane.

use std::path::Path;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, ResourceExt as _};
use penstock_api::spec::PipelineStatus;
use penstock_operator::{Context as OperatorContext, Pipeline, Settings, control};
use penstock_runtime::Health;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::account::Account;
use crate::deployments;
use crate::plane::Plane;
use crate::wait::eventually;
use crate::wire::Wire;

/// The bucket of the examples.
const BUCKET: &str = "acme-lake";
/// The Secret of the examples.
const SECRET: &str = "ecommerce-keys";
/// Whoever applies manifests.
const USER: &str = "kubectl";

/// A namespace, an AWS account, and whoever fills in the status of Deployments.
#[allow(missing_debug_implementations, reason = "a client has none")]
pub struct World {
    /// A client of the test's own, which meets no fault.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The account.
    pub account: Account,
    /// Plays the controllers of Deployments and pods; aborted, pods that are new never become ready.
    pub roll_out: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.roll_out.abort();
    }
}

impl World {
    /// A new one, with the bucket and the Secret that the examples name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn new(plane: &Plane, prefix: &str) -> anyhow::Result<Self> {
        let namespace = plane.namespace(prefix).await?;
        let client = plane.client()?;
        let account = Account::start().await?;
        account.clients.s3.create_bucket().bucket(BUCKET).send().await.context("the bucket cannot be made")?;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let secret =
            serde_json::from_value(json!({ "metadata": { "name": SECRET }, "stringData": { "shop": "a-key" } }))?;
        secrets.create(&PostParams::default(), &secret).await?;
        let roll_out = tokio::spawn(deployments::roll_out(client.clone(), namespace.clone()));
        Ok(Self { client, namespace, account, roll_out })
    }

    /// The settings of an operator for this namespace alone.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings { namespaces: vec![self.namespace.clone()], ..Settings::new("penstock:test") }
    }

    /// Starts an operator whose calls go over a wire.
    ///
    /// # Errors
    /// When the way to AWS cannot be made.
    pub async fn operator(&self, wire: &Wire) -> anyhow::Result<Operator> {
        let health = Health::new();
        let client = wire.client(self.client.clone());
        let context = OperatorContext::new(client, self.account.over(wire).await?, self.settings());
        let task = tokio::spawn(control::control(context, health.clone()));
        Ok(Operator { task, health })
    }

    /// Pipelines, whole.
    #[must_use]
    pub fn pipelines(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &pipeline_resource())
    }

    /// Applies a manifest, as people do.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, manifest: &Manifest) -> anyhow::Result<DynamicObject> {
        let parameters = PatchParams::apply(USER).force();
        Ok(self.pipelines().patch(manifest.name(), &parameters, &Patch::Apply(&manifest.0)).await?)
    }

    /// Deletes a Pipeline. Whether it goes is up to its finalizer.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.pipelines().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// What the operator says of a Pipeline.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn status(&self, name: &str) -> anyhow::Result<PipelineStatus> {
        let pipeline = self.pipelines().get(name).await?;
        Ok(serde_json::from_value(pipeline.data["status"].clone()).unwrap_or_default())
    }

    /// Waits until the newest spec of a Pipeline is said to be Ready with this status and reason; gives the Pipeline.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn said(&self, name: &str, ready: &str, reason: &str) -> anyhow::Result<DynamicObject> {
        eventually(&format!("{name} is Ready={ready} because of {reason}"), async || {
            let pipeline = self.pipelines().get(name).await?;
            let conditions = pipeline.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is_said = conditions.iter().any(|condition| {
                condition["type"] == "Ready"
                    && condition["status"] == ready
                    && condition["reason"] == reason
                    && condition["observedGeneration"].as_i64() == pipeline.metadata.generation
            });
            if !is_said {
                bail!("generation {:?}: {}", pipeline.metadata.generation, Value::from(conditions));
            }
            Ok(pipeline)
        })
        .await
    }

    /// Waits until a Pipeline is ready; gives it.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn ready(&self, name: &str) -> anyhow::Result<DynamicObject> {
        self.said(name, "True", "Ready").await
    }

    /// Waits until a Pipeline is gone.
    ///
    /// # Errors
    /// When it stays.
    pub async fn gone(&self, name: &str) -> anyhow::Result<()> {
        eventually(&format!("{name} is gone"), async || match self.pipelines().get_opt(name).await? {
            None => Ok(()),
            Some(pipeline) => bail!("{}", pipeline.data["status"]),
        })
        .await
    }

    /// The versions of a Pipeline and of all children in the namespace: any write shows in them.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn versions(&self, name: &str) -> anyhow::Result<Vec<(String, Option<String>)>> {
        let pipeline = self.pipelines().get(name).await?;
        let children = crate::children(&self.client, &self.namespace).await?;
        let of_children = children.into_iter().map(|(name, child)| (name, child.resource_version()));
        Ok(of_children.chain([("Pipeline".to_owned(), pipeline.resource_version())]).collect())
    }
}

/// A running operator, which may be dropped at any moment.
#[derive(Debug)]
pub struct Operator {
    task: JoinHandle<()>,
    /// What it says of its health.
    pub health: Health,
}

impl Operator {
    /// Ends it in the middle of whatever it does.
    pub async fn crash(mut self) {
        self.task.abort();
        // It says that it was aborted.
        drop((&mut self.task).await);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A Pipeline as people write it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest(pub Value);

impl Manifest {
    /// One of `examples/`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn example(name: &str) -> anyhow::Result<Self> {
        Ok(Self(serde_yaml::from_str(&repository_file(&format!("examples/{name}/pipeline.yaml"))?)?))
    }

    /// With another value at a JSON pointer, or without any when it is `null`.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> anyhow::Result<Self> {
        let (parent, field) = pointer.rsplit_once('/').context("no JSON pointer")?;
        let parent = self.0.pointer_mut(parent).with_context(|| format!("there is no {parent}"))?;
        match (parent, value.into()) {
            (Value::Object(map), Value::Null) => {
                map.remove(field);
            }
            (Value::Object(map), value) => {
                map.insert(field.to_owned(), value);
            }
            (Value::Array(list), Value::Null) => {
                list.remove(field.parse()?);
            }
            (Value::Array(list), value) if field == "-" => list.push(value),
            (Value::Array(list), value) => list[field.parse::<usize>()?] = value,
            _ => bail!("{pointer} is in nothing that holds fields"),
        }
        Ok(self)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }
}

fn pipeline_resource() -> ApiResource {
    ApiResource::erase::<Pipeline>(&())
}

/// A file of this repository.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn repository_file(path: &str) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}
