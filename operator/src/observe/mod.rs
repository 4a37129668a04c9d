//! What there is: children from the caches, Secrets by name, pods where they are asked for.

mod cache;
mod live;
mod packed;
mod pods;
mod secrets;

use std::collections::BTreeMap;

pub use cache::{ChildCache, Children};
pub use live::{Kind, Live};
pub use pods::pods;
pub use secrets::{SecretVersion, SecretVersions};

use crate::context::Context;
use crate::pipeline::{Identity, Pipeline};
use crate::validate::ValidatedPipeline;

/// What was observed of one Pipeline.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The children that carry its label, whoever owns them.
    pub children: Children,
    /// The versions of its Secrets.
    pub secrets: SecretVersions,
}

/// Why something could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The list of a kind has not arrived.
    #[error("the {kind}s of the cluster have not been listed yet{}", .because.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    NotListed {
        /// The kind.
        kind: &'static str,
        /// The last failure.
        because: Option<String>,
    },
    /// A Secret could not be asked for.
    #[error("the Secret {name:?} could not be read")]
    Secret {
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The pods could not be listed.
    #[error("the pods of the Pipeline could not be listed")]
    Pods {
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// The children of a Pipeline. I/O: none, they are in the cache.
///
/// # Errors
/// Before every kind has been listed: nothing is decided on a part of what there is.
pub fn children(pipeline: &Pipeline, context: &Context) -> Result<Children, ObserveError> {
    let Identity { namespace, name, .. } = pipeline.identity();
    if let Some((kind, because)) = context.children.not_listed(&namespace) {
        return Err(ObserveError::NotListed { kind: kind.as_str(), because });
    }
    Ok(context.children.of(&namespace, &name))
}

/// The versions of the Secrets of a Pipeline. I/O: one call each.
///
/// # Errors
/// When one cannot be asked for. One that is not there is no error here.
pub async fn secrets(pipeline: &ValidatedPipeline, context: &Context) -> Result<SecretVersions, ObserveError> {
    let mut versions = BTreeMap::new();
    for name in pipeline.secrets() {
        let version = secrets::version(&context.client, &pipeline.identity.namespace, name).await;
        let version =
            version.map_err(|source| ObserveError::Secret { name: name.to_owned(), source: Box::new(source) })?;
        versions.insert(name.to_owned(), version);
    }
    Ok(versions)
}
