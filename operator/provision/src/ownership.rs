//! Whose a resource is, by its tags.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use penstock_api::plan::PipelineRef;
use penstock_api::spec::Existing;

use crate::error::{Kind, ProvisionError};

/// The tag that names the Pipeline's namespace.
const NAMESPACE_TAG: &str = "penstock.dev/namespace";
/// The tag that names the cluster, where the operator was given a name for it.
const CLUSTER_TAG: &str = "penstock.dev/cluster";
/// The tag that names the Pipeline.
const PIPELINE_TAG: &str = "penstock.dev/pipeline";

/// The tag that names the buffer or the sink that it is for. For people: it decides nothing.
const PART_TAG: &str = "penstock.dev/part";
/// For how long tags that are not to be seen may be on their way: both services show them some time after the resource.
const TAGS_APPEAR_WITHIN: Duration = Duration::from_secs(30);

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The Pipeline that asks.
    Ours,
    /// Another Pipeline: `namespace/name`.
    Another(String),
    /// A Pipeline of this name, tagged when its operator had no name for its cluster. Whether that was this cluster, nobody
    /// can tell: the name of this one.
    OfUnnamedCluster(String),
    /// Nobody's that we know.
    Nobody,
}

/// The tags that a resource gets when it is created.
pub(crate) fn tags(owner: &PipelineRef, part: &str, cluster: Option<&str>) -> HashMap<String, String> {
    let cluster = cluster.map(|cluster| (CLUSTER_TAG.to_owned(), cluster.to_owned()));
    [(NAMESPACE_TAG, owner.namespace.as_str()), (PIPELINE_TAG, owner.name.as_str()), (PART_TAG, part)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
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
        (Some(namespace), Some(name)) => match (there, cluster) {
            (None, Some(cluster)) if namespace == asks.namespace && name == asks.name => {
                Owner::OfUnnamedCluster(cluster.to_owned())
            }
            (Some(there), _) => Owner::Another(format!("{namespace}/{name} of the cluster {there}")),
            (None, _) => Owner::Another(format!("{namespace}/{name}")),
        },
        _ => Owner::Nobody,
    }
}

/// Whether a resource that seems to be nobody's may be ours all the same, since it was made just now.
pub(crate) fn may_become_ours(owner: &Owner, existing: Existing, age: Option<Duration>) -> bool {
    *owner == Owner::Nobody && existing == Existing::Refuse && age.is_some_and(|age| age < TAGS_APPEAR_WITHIN)
}

/// How old something is by our clock; nothing when it is not said. What was made in the future was made just now.
pub(crate) fn age(made_at: Option<SystemTime>) -> Option<Duration> {
    made_at.map(|made_at| SystemTime::now().duration_since(made_at).unwrap_or_default())
}

/// Whether it becomes ours by a tag, where that is asked for.
pub(crate) fn may_be_adopted(owner: &Owner) -> bool {
    matches!(owner, Owner::Nobody | Owner::OfUnnamedCluster(_))
}

/// How somebody who knows whose it is says so.
fn tag_command(kind: Kind, name: &str, cluster: &str) -> String {
    match kind {
        Kind::Table => format!(
            "aws dynamodb tag-resource --tags Key={CLUSTER_TAG},Value={cluster} --resource-arn $(aws dynamodb describe-table \
             --table-name {name} --query Table.TableArn --output text)"
        ),
        _ => format!("aws kinesis add-tags-to-stream --stream-name {name} --tags {CLUSTER_TAG}={cluster}"),
    }
}

/// Whether a resource that is there may be used at all.
///
/// # Errors
/// When it is not ours and is to be left alone, or is another Pipeline's and was to be adopted.
pub(crate) fn may_use(kind: Kind, name: &str, owner: &Owner, existing: Existing) -> Result<(), ProvisionError> {
    let whose = match (owner, existing) {
        (Owner::Ours, _) | (_, Existing::Use) => return Ok(()),
        (owner, Existing::Adopt) if may_be_adopted(owner) => return Ok(()),
        (Owner::OfUnnamedCluster(cluster), _) => {
            let (name, cluster) = (name.to_owned(), cluster.clone());
            return Err(ProvisionError::OfUnnamedCluster {
                kind,
                cure: tag_command(kind, &name, &cluster),
                name,
                cluster,
            });
        }
        (Owner::Another(owner), _) => format!("the Pipeline {owner}"),
        (Owner::Nobody, _) => "no Pipeline".to_owned(),
    };
    Err(ProvisionError::Foreign { kind, name: name.to_owned(), whose })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_ours_when_all_tags_are() {
        let us = PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
        let them = PipelineRef { namespace: "lab".to_owned(), name: "orders".to_owned() };
        assert_eq!(owner(&tags(&us, "events", None), &us, None), Owner::Ours);
        assert_eq!(owner(&tags(&them, "events", None), &us, None), Owner::Another("lab/orders".to_owned()));
        assert_eq!(owner(&HashMap::new(), &us, None), Owner::Nobody);
        let half = HashMap::from([(PIPELINE_TAG.to_owned(), "orders".to_owned())]);
        assert_eq!(owner(&half, &us, None), Owner::Nobody);
    }

    #[test]
    fn tags_that_are_not_to_be_seen_yet_are_waited_for_where_a_foreign_resource_would_be_refused() {
        let young = Some(Duration::from_secs(1));
        assert!(may_become_ours(&Owner::Nobody, Existing::Refuse, young));
        assert!(!may_become_ours(&Owner::Nobody, Existing::Refuse, Some(TAGS_APPEAR_WITHIN)));
        assert!(!may_become_ours(&Owner::Nobody, Existing::Refuse, None));
        assert!(!may_become_ours(&Owner::Another("lab/x".to_owned()), Existing::Refuse, young));
        assert!(!may_become_ours(&Owner::Nobody, Existing::Use, young));
        assert_eq!(age(Some(SystemTime::now() + Duration::from_secs(60))), Some(Duration::ZERO));
    }

    #[test]
    fn what_was_made_before_the_cluster_had_a_name_is_refused_with_the_cure_and_adopted_where_that_is_asked_for() {
        let unnamed = Owner::OfUnnamedCluster("east".to_owned());
        for (kind, command) in [(Kind::Stream, "add-tags-to-stream"), (Kind::Table, "tag-resource")] {
            let refused = may_use(kind, "events", &unnamed, Existing::Refuse).unwrap_err();
            assert_eq!(refused.reason(), "resource_is_foreign");
            let text = refused.to_string();
            assert!(text.contains(command) && text.contains("penstock.dev/cluster") && text.contains("east"), "{text}");
            assert!(may_use(kind, "events", &unnamed, Existing::Adopt).is_ok());
        }
        assert!(may_be_adopted(&unnamed) && may_be_adopted(&Owner::Nobody));
        assert!(!may_be_adopted(&Owner::Another("lab/x".to_owned())) && !may_be_adopted(&Owner::Ours));
    }

    #[test]
    fn the_same_name_in_another_cluster_is_not_ours() {
        let us = PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
        assert_eq!(owner(&tags(&us, "events", Some("east")), &us, Some("east")), Owner::Ours);
        let there = Owner::Another("shop/orders of the cluster east".to_owned());
        assert_eq!(owner(&tags(&us, "events", Some("east")), &us, Some("west")), there);
        assert_eq!(owner(&tags(&us, "events", Some("east")), &us, None), there);
        let unnamed = owner(&tags(&us, "events", None), &us, Some("east"));
        assert_eq!(unnamed, Owner::OfUnnamedCluster("east".to_owned()), "it may be this one's, or not");
        let them = PipelineRef { namespace: "lab".to_owned(), name: "orders".to_owned() };
        assert_eq!(owner(&tags(&them, "events", None), &us, Some("east")), Owner::Another("lab/orders".to_owned()));
    }
}
