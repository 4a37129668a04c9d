//! The operator's rights: those of the chart's roles, and nothing else.
//!
//! They are taken from `deploy/penstock.yaml`, which is the rendered chart; `cargo xtask manifests --check` compares the two.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::wait::eventually;
use crate::world::repository_file;

const MANIFESTS: &str = "deploy/penstock.yaml";
const GROUP: &str = "rbac.authorization.k8s.io";
/// The ServiceAccount of an operator in a test, and its roles.
pub const OPERATOR: &str = "penstock-operator";

/// A verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group.
    pub group: String,
    /// The resource, with `/` and the subresource where there is one.
    pub resource: String,
    /// The verb.
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.verb, self.resource, self.group)
    }
}

/// The documents that people apply.
///
/// # Errors
/// When they cannot be read.
pub fn manifests() -> anyhow::Result<Vec<Value>> {
    let text = repository_file(MANIFESTS)?;
    let all = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// The rules of the operator's ClusterRole, and those about its lease.
///
/// # Errors
/// When they are not where they should be.
pub fn rules() -> anyhow::Result<[Vec<PolicyRule>; 2]> {
    let (mut operator, mut lease) = (None, None);
    for document in manifests()? {
        match document["kind"].as_str() {
            Some("ClusterRole") => operator = serde_json::from_value::<ClusterRole>(document)?.rules,
            Some("Role") => lease = serde_json::from_value::<Role>(document)?.rules,
            _ => {}
        }
    }
    Ok([operator.context("there is no ClusterRole")?, lease.context("there is no Role")?])
}

/// What rules allow, one by one.
#[must_use]
pub fn granted(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                }));
            }
        }
    }
    rights
}

/// Gives the operator of a namespace these rules there, and waits until the API server goes by them; gives its token.
///
/// # Errors
/// When the API server refuses it.
pub(crate) async fn grant(
    client: &Client,
    namespace: &str,
    roles: &[(&str, Vec<PolicyRule>)],
) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let (metadata, create) = (named(OPERATOR), PostParams::default());
    accounts.create(&create, &ServiceAccount { metadata, ..ServiceAccount::default() }).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    for (name, rules) in roles {
        set_rules(client, namespace, name, rules.clone()).await?;
        let role_ref = RoleRef { api_group: GROUP.to_owned(), kind: "Role".to_owned(), name: (*name).to_owned() };
        let subject = Subject {
            kind: "ServiceAccount".to_owned(),
            name: OPERATOR.to_owned(),
            namespace: Some(namespace.to_owned()),
            ..Subject::default()
        };
        let binding = RoleBinding { metadata: named(name), role_ref, subjects: Some(vec![subject]) };
        bindings.create(&create, &binding).await?;
    }
    for (_, rules) in roles {
        let first = granted(rules).pop_first().context("a role without rules")?;
        is_allowed(client, namespace, &first, true).await?;
    }
    token(client, namespace, OPERATOR).await
}

/// Makes a role have these rules.
///
/// # Errors
/// When the API server refuses it.
pub(crate) async fn set_rules(
    client: &Client,
    namespace: &str,
    name: &str,
    rules: Vec<PolicyRule>,
) -> anyhow::Result<()> {
    let api: Api<Role> = Api::namespaced(client.clone(), namespace);
    let mut role = Role { metadata: named(name), rules: Some(rules) };
    match api.get_opt(name).await? {
        Some(there) => {
            role.metadata.resource_version = there.metadata.resource_version;
            api.replace(name, &PostParams::default(), &role).await?;
        }
        None => {
            api.create(&PostParams::default(), &role).await?;
        }
    }
    Ok(())
}

/// Waits until the API server says that the operator of a namespace may do something there, or may not.
///
/// # Errors
/// When it does not come to that.
pub(crate) async fn is_allowed(client: &Client, namespace: &str, right: &Right, wanted: bool) -> anyhow::Result<()> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(right.verb.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{namespace}:{OPERATOR}")),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    eventually(&format!("{right} is allowed: {wanted}"), async || {
        let status = reviews.create(&PostParams::default(), &review).await?.status.context("no answer")?;
        ensure!(status.allowed == wanted, "{:?}", status.reason);
        Ok(())
    })
    .await
}

/// Waits until the API server lets a client set Pipelines as owners: for seconds after a CRD is there, it knows no such kind.
///
/// # Errors
/// When it does not come to that.
pub(crate) async fn may_set_owners(limited: &Client, namespace: &str) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(limited.clone(), namespace);
    let owner = json!({
        "apiVersion": "penstock.dev/v1alpha1", "kind": "Pipeline", "name": "nobody", "uid": "nobody",
        "controller": true, "blockOwnerDeletion": true,
    });
    let owned =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owned", "ownerReferences": [owner] } });
    let dry = PatchParams { dry_run: true, ..PatchParams::apply(OPERATOR) };
    eventually("a Pipeline may be an owner", async || Ok(api.patch("owned", &dry, &Patch::Apply(&owned)).await?))
        .await?;
    Ok(())
}

/// A token of a ServiceAccount.
///
/// # Errors
/// When the API server refuses it.
pub async fn token(client: &Client, namespace: &str, account: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(made.status.context("there is no token")?.token)
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}
