//! Whose a resource is, by its tags.

use std::collections::HashMap;

use penstock_api::plan::PipelineRef;
use penstock_api::spec::Existing;

use crate::error::{Kind, ProvisionError};

/// The tag that names the Pipeline's namespace.
const NAMESPACE_TAG: &str = "penstock.dev/namespace";
/// The tag that names the cluster, where the operator was given a name for it.
const CLUSTER_TAG: &str = "penstock.dev/cluster";
/// The tag that names the Pipeline.
const PIPELINE_TAG: &str = "penstock.dev/pipeline";

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The Pipeline that asks.
    Ours,
    /// Another Pipeline: `namespace/name`.
    Another(String),
    /// Nobody's that we know.
    Nobody,
}

/// The tags that a resource gets when it is created.
pub(crate) fn tags(owner: &PipelineRef, cluster: Option<&str>) -> HashMap<String, String> {
    let cluster = cluster.map(|cluster| (CLUSTER_TAG.to_owned(), cluster.to_owned()));
    [(NAMESPACE_TAG.to_owned(), owner.namespace.clone()), (PIPELINE_TAG.to_owned(), owner.name.clone())]
        .into_iter()
        .chain(cluster)
        .collect()
}

/// Whose a resource with the tags is.
pub(crate) fn owner(tags: &HashMap<String, String>, asks: &PipelineRef, cluster: Option<&str>) -> Owner {
    let get = |key| tags.get(key).map(String::as_str);
    let there = get(CLUSTER_TAG);
    match (get(NAMESPACE_TAG), get(PIPELINE_TAG)) {
        (Some(namespace), Some(name)) if namespace == asks.namespace && name == asks.name && there == cluster => {
            Owner::Ours
        }
        (Some(namespace), Some(name)) => Owner::Another(match there {
            Some(there) => format!("{namespace}/{name} of the cluster {there}"),
            None => format!("{namespace}/{name}"),
        }),
        _ => Owner::Nobody,
    }
}

/// Whether a resource that is there may be used at all.
///
/// # Errors
/// When it is not ours and is to be left alone, or is another Pipeline's and was to be adopted.
pub(crate) fn may_use(kind: Kind, name: &str, owner: &Owner, existing: Existing) -> Result<(), ProvisionError> {
    let whose = match (owner, existing) {
        (Owner::Ours, _) | (_, Existing::Use) | (Owner::Nobody, Existing::Adopt) => return Ok(()),
        (Owner::Another(owner), _) => format!("the Pipeline {owner}"),
        (Owner::Nobody, _) => "no Pipeline".to_owned(),
    };
    Err(ProvisionError::Foreign { kind, name: name.to_owned(), whose })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_ours_when_all_tags_are() {
        let us = PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
        let them = PipelineRef { namespace: "lab".to_owned(), name: "orders".to_owned() };
        assert_eq!(owner(&tags(&us, None), &us, None), Owner::Ours);
        assert_eq!(owner(&tags(&them, None), &us, None), Owner::Another("lab/orders".to_owned()));
        assert_eq!(owner(&HashMap::new(), &us, None), Owner::Nobody);
        let half = HashMap::from([(PIPELINE_TAG.to_owned(), "orders".to_owned())]);
        assert_eq!(owner(&half, &us, None), Owner::Nobody);
    }

    #[test]
    fn the_same_name_in_another_cluster_is_not_ours() {
        let us = PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
        assert_eq!(owner(&tags(&us, Some("east")), &us, Some("east")), Owner::Ours);
        let there = Owner::Another("shop/orders of the cluster east".to_owned());
        assert_eq!(owner(&tags(&us, Some("east")), &us, Some("west")), there);
        assert_eq!(owner(&tags(&us, Some("east")), &us, None), there);
        assert_eq!(owner(&tags(&us, None), &us, Some("east")), Owner::Another("shop/orders".to_owned()));
    }
}
