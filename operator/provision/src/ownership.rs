//! Whose a resource is, by its tags.

use std::collections::HashMap;

use penstock_api::plan::PipelineRef;

/// The tag that names the Pipeline's namespace.
const NAMESPACE_TAG: &str = "penstock.dev/namespace";
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
pub(crate) fn tags(owner: &PipelineRef) -> HashMap<String, String> {
    HashMap::from([(NAMESPACE_TAG.to_owned(), owner.namespace.clone()), (PIPELINE_TAG.to_owned(), owner.name.clone())])
}

/// Whose a resource with the tags is.
pub(crate) fn owner(tags: &HashMap<String, String>, asks: &PipelineRef) -> Owner {
    let get = |key| tags.get(key).map(String::as_str);
    match (get(NAMESPACE_TAG), get(PIPELINE_TAG)) {
        (Some(namespace), Some(name)) if namespace == asks.namespace && name == asks.name => Owner::Ours,
        (Some(namespace), Some(name)) => Owner::Another(format!("{namespace}/{name}")),
        _ => Owner::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_ours_when_both_tags_are() {
        let us = PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
        let them = PipelineRef { namespace: "lab".to_owned(), name: "orders".to_owned() };
        assert_eq!(owner(&tags(&us), &us), Owner::Ours);
        assert_eq!(owner(&tags(&them), &us), Owner::Another("lab/orders".to_owned()));
        assert_eq!(owner(&HashMap::new(), &us), Owner::Nobody);
        let half = HashMap::from([(PIPELINE_TAG.to_owned(), "orders".to_owned())]);
        assert_eq!(owner(&half, &us), Owner::Nobody);
    }
}
