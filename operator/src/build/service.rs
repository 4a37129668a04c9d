//! Where a source or an api answers.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use penstock_api::plan::StageKind;

use super::Part;
use crate::names::{self, ADMIN_PORT, SERVICE_PORT};
use crate::validate::{ValidatedPipeline, ValidatedStage};

pub(super) fn build(part: Part<'_>) -> Option<Service> {
    let port = |name: &str, port| ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    part.stage.role.serves().then(|| Service {
        metadata: part.metadata(part.name()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(part.selector_labels()),
            ports: Some(vec![port("http", SERVICE_PORT), port("admin", ADMIN_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

/// Where a source or an api answers inside the cluster.
#[must_use]
pub fn endpoint(pipeline: &ValidatedPipeline, stage: &ValidatedStage) -> Option<String> {
    let path = match &stage.config.kind {
        StageKind::Http(http) => http.path.as_str(),
        StageKind::Api(_) => "/",
        StageKind::Sink(_) => return None,
    };
    let host = names::child(&pipeline.identity.name, &stage.name);
    Some(format!("http://{host}.{}.svc{path}", pipeline.identity.namespace))
}
