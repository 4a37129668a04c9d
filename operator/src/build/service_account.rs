//! Who the pods are, where the Pipeline names no ServiceAccount of its own. A stage never talks to Kubernetes.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Part;

pub(super) fn build(part: Part<'_>) -> Option<ServiceAccount> {
    part.stage.template.service_account_name.is_none().then(|| ServiceAccount {
        metadata: part.metadata(part.name()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

pub(super) fn name(part: Part<'_>) -> String {
    part.stage.template.service_account_name.clone().unwrap_or_else(|| part.name())
}
