//! One test's part of the control plane.

use std::path::Path;

use anyhow::{Context, bail, ensure};
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
use crate::audit::{Audit, Request};
use crate::deployments;
use crate::plane::Plane;
use crate::rights::{self, Right};
use crate::wait::eventually;
use crate::wire::Wire;

/// The bucket of the examples.
const BUCKET: &str = "acme-lake";
/// The Secret of the examples.
const SECRET: &str = "ecommerce-keys";
/// The operator's role in the namespace of a world, and its role for the lease.
const ROLE: &str = "penstock-operator";
const LEASE_ROLE: &str = "penstock-operator-lease";
/// Whoever applies manifests.
const USER: &str = "kubectl";

/// A namespace, an AWS account, and whoever fills in the status of Deployments.
///
/// When it ends, it looks whether the operator was refused anything: it has the rights of the chart and no others.
#[allow(missing_debug_implementations, reason = "a client has none")]
pub struct World {
    /// A client of the test's own, with all rights, which meets no fault.
    pub client: Client,
    /// A client with the operator's rights.
    pub limited: Client,
    /// The namespace.
    pub namespace: String,
    /// The account.
    pub account: Account,
    /// Plays the controllers of Deployments and pods; aborted, pods that are new never become ready.
    pub roll_out: JoinHandle<()>,
    audit: Audit,
    began: u64,
    may_be_refused: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        self.roll_out.abort();
        if self.may_be_refused || std::thread::panicking() {
            return;
        }
        let refused: Vec<_> = self.requests().into_iter().flatten().filter(Request::is_forbidden).collect();
        assert!(refused.is_empty(), "the chart's role does not allow what the operator does: {refused:#?}");
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
        let [rules, lease] = rights::rules()?;
        let token = rights::grant(&client, &namespace, &[(ROLE, rules), (LEASE_ROLE, lease)]).await?;
        let limited = plane.client_with(token)?;
        rights::may_set_owners(&limited, &namespace).await?;
        let roll_out = tokio::spawn(deployments::roll_out(client.clone(), namespace.clone()));
        let (audit, began) = (plane.audit.clone(), plane.audit.end());
        Ok(Self { client, limited, namespace, account, roll_out, audit, began, may_be_refused: false })
    }

    /// A namespace that somebody else makes, where the operator has all rights and nobody rolls Deployments out yet.
    ///
    /// # Errors
    /// When there is no way to the API server.
    pub fn of_another(plane: &Plane, namespace: &str, account: Account) -> anyhow::Result<Self> {
        let client = plane.client()?;
        Ok(Self {
            limited: client.clone(),
            client,
            namespace: namespace.to_owned(),
            account,
            roll_out: tokio::spawn(std::future::ready(())),
            audit: plane.audit.clone(),
            began: plane.audit.end(),
            may_be_refused: true,
        })
    }

    /// What the operator asked the API server for in this namespace.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let user = format!("system:serviceaccount:{}:{}", self.namespace, rights::OPERATOR);
        Ok(self.audit.since(self.began)?.into_iter().filter(|request| request.user == user).collect())
    }

    /// The operator is to be refused something: it asks in a namespace where it has no rights.
    pub fn expect_refusals(&mut self) {
        self.may_be_refused = true;
    }

    /// Takes a right from the operator, and waits until the API server goes by that.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn revoke(&mut self, right: &Right) -> anyhow::Result<()> {
        self.may_be_refused = true;
        let [mut rules, _] = rights::rules()?;
        for rule in &mut rules {
            let of = |values: &Option<Vec<String>>, value: &str| values.iter().flatten().any(|one| one == value);
            if of(&rule.api_groups, &right.group) && of(&rule.resources, &right.resource) {
                rule.verbs.retain(|verb| *verb != right.verb);
            }
        }
        // A rule without verbs is none.
        rules.retain(|rule| !rule.verbs.is_empty());
        rights::set_rules(&self.client, &self.namespace, ROLE, rules).await?;
        rights::is_allowed(&self.client, &self.namespace, right, false).await
    }

    /// Gives the operator all rights of the chart back.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn restore(&self, right: &Right) -> anyhow::Result<()> {
        let [rules, _] = rights::rules()?;
        rights::set_rules(&self.client, &self.namespace, ROLE, rules).await?;
        rights::is_allowed(&self.client, &self.namespace, right, true).await
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
        self.operator_with(self.settings(), wire).await
    }

    /// Starts an operator with settings of the test's own.
    ///
    /// # Errors
    /// When the way to AWS cannot be made.
    pub async fn operator_with(&self, settings: Settings, wire: &Wire) -> anyhow::Result<Operator> {
        let health = Health::new();
        let client = wire.client(self.limited.clone());
        let context = OperatorContext::new(client, self.account.over(wire).await?, settings);
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
            let said = condition(&pipeline, "Ready").cloned().unwrap_or_default();
            let is_new = said["observedGeneration"].as_i64() == pipeline.metadata.generation;
            let is_said = said["status"] == ready && said["reason"] == reason;
            let conditions = &pipeline.data["status"]["conditions"];
            ensure!(is_new && is_said, "generation {:?}: {conditions}", pipeline.metadata.generation);
            Ok(pipeline)
        })
        .await
    }

    /// Waits until the newest spec of a Pipeline is said to have come to all that it can: everything works, or rests as asked.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn settled(&self, name: &str) -> anyhow::Result<DynamicObject> {
        eventually(&format!("{name} works or rests"), async || {
            let pipeline = self.pipelines().get(name).await?;
            let ready = condition(&pipeline, "Ready").cloned().unwrap_or_default();
            let is_new = ready["observedGeneration"].as_i64() == pipeline.metadata.generation;
            let is_settled = ready["status"] == "True" || ready["reason"] == "Suspended";
            ensure!(is_new && is_settled, "generation {:?}: {ready}", pipeline.metadata.generation);
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

/// A condition of a Pipeline.
#[must_use]
pub fn condition<'a>(pipeline: &'a DynamicObject, name: &str) -> Option<&'a Value> {
    pipeline.data["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
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
