//! The pods of a stage.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::config_map::Content;
use super::{Part, Surroundings, pod, replicas};
use crate::names::{DRAINED, IMAGE_ANNOTATION, REPLICAS_ANNOTATION, RESTS_ANNOTATION};
use crate::observe::Kind;

/// Kubernetes' own default, written down since a removed stage waits for it.
const PROGRESS_DEADLINE_SECONDS: i32 = 600;

pub(super) fn build(part: Part<'_>, config: &Content, around: Surroundings<'_>) -> Deployment {
    let live = around.observed.children.get(&(Kind::Deployment, part.name())).map(AsRef::as_ref);
    let rests = replicas::rests(part.pipeline, part.stage, around.drained);
    let image = pod::image(part, config, live, around);
    // An image that the Pipeline names is not kept once it names none.
    let given = part.stage.template.image.is_none().then(|| (IMAGE_ANNOTATION.to_owned(), image.clone()));
    let rests_because = rests.then(|| (RESTS_ANNOTATION.to_owned(), why(part, around).to_owned()));
    let asked_for = (REPLICAS_ANNOTATION.to_owned(), part.stage.replicas.to_string());
    let mut metadata = part.metadata(part.name());
    metadata.annotations = Some([asked_for].into_iter().chain(given).chain(rests_because).collect());
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: replicas::to_apply(rests, part.stage.replicas, live),
            selector: part.selector(),
            template: pod::template(part, config, image, around),
            // A new pod works before an old one goes: sources keep answering, and leases are handed over.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            revision_history_limit: Some(3),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn why(part: Part<'_>, around: Surroundings<'_>) -> &'static str {
    if !part.stage.suspended && around.drained.contains(&part.stage.name) { DRAINED } else { "asked" }
}
