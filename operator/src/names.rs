//! Names that the outside world relies on: labels, annotations, the finalizer, ports and paths.

/// The field manager of everything that is applied.
pub const FIELD_MANAGER: &str = "penstock";
/// The finalizer; there only while something has to be deleted in AWS with the Pipeline.
pub const FINALIZER: &str = "penstock.dev/cleanup";

/// The label with the Pipeline's name; children are watched by it.
pub const PIPELINE_LABEL: &str = "penstock.dev/pipeline";
/// The label with the stage's name.
pub const STAGE_LABEL: &str = "penstock.dev/stage";
/// Who manages a child.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "penstock";
/// The annotation of a child with the hash of what was applied.
pub const APPLIED_ANNOTATION: &str = "penstock.dev/applied-hash";
/// The annotation of a pod template with the hash of its stage's configuration.
pub const CONFIG_ANNOTATION: &str = "penstock.dev/config-hash";
/// The annotation of a pod template with the versions of the Secrets that it uses.
pub const SECRETS_ANNOTATION: &str = "penstock.dev/secrets-hash";
/// The annotation of a Deployment with the image that the operator gave it, where the Pipeline names none: what its
/// container says may be drift.
pub const IMAGE_ANNOTATION: &str = "penstock.dev/image";
/// The annotation of a Deployment with the number of pods that the Pipeline asks for: another one than before counts, whoever
/// has scaled the stage since.
pub const REPLICAS_ANNOTATION: &str = "penstock.dev/replicas";
/// The annotation of a Deployment that rests: why.
pub const RESTS_ANNOTATION: &str = "penstock.dev/rests";
/// The value of [`RESTS_ANNOTATION`] of a sink that has stored everything. It then rests on, whatever comes into the stream.
pub const DRAINED: &str = "drained";
/// The annotation of a Pipeline that asks for a reconcile now; any new value does.
pub const REQUEST_ANNOTATION: &str = "penstock.dev/requested-at";

/// The name of a stage's container.
pub const CONTAINER: &str = "stage";
/// Where records come in.
pub const HTTP_PORT: i32 = 8080;
/// `/livez`, `/readyz`, `/metrics`.
pub const ADMIN_PORT: i32 = 9090;
/// The port of a source's Service.
pub const SERVICE_PORT: i32 = 80;

/// The selector of everything that the operator made.
#[must_use]
pub fn selector() -> String {
    format!("{MANAGED_BY_LABEL}={MANAGED_BY},{PIPELINE_LABEL}")
}

/// The name of a stage's children.
#[must_use]
pub fn child(pipeline: &str, stage: &str) -> String {
    format!("{pipeline}-{stage}")
}
