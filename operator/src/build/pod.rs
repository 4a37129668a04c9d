//! The pod template of a stage: what it runs, what it is told, and what it may not do.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, Lifecycle,
    LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, SleepAction, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;
use penstock_api::plan::StageKind;
use penstock_api::spec;

use super::config_map::{self, Content};
use super::{Part, Surroundings, hash, service_account};
use crate::names::{ADMIN_PORT, CONFIG_ANNOTATION, CONTAINER, HTTP_PORT, SECRETS_ANNOTATION};
use crate::observe::Live;
use crate::validate::ValidatedStage;

const CONFIG_FOLDER: &str = "/etc/penstock/stage";
const SECRETS_FOLDER: &str = "/etc/penstock/secrets";
/// The user of the image.
const USER: i64 = 65532;
/// How a stage is told to log as JSON.
const LOG_FORMAT: &str = "PENSTOCK_LOG_FORMAT";
/// How long an answer that is streamed may go on once its stage is to end.
const STREAMED_SECONDS: i64 = 20;
/// How long a source or an api goes on answering once it is to end: until every node has heard that it is no endpoint any more.
const UNLISTED_SECONDS: i64 = 10;
/// How long a sink may take to finish its ranges, write its checkpoints and hand its leases over.
const HAND_OVER_SECONDS: i64 = 60;

pub(super) fn template(part: Part<'_>, config: &Content, image: String, around: Surroundings<'_>) -> PodTemplateSpec {
    let told = &part.stage.template;
    let mut labels = told.labels.clone().unwrap_or_default();
    labels.extend(part.labels());
    let mut annotations = told.annotations.clone().unwrap_or_default();
    annotations.insert(CONFIG_ANNOTATION.to_owned(), config.hash.clone());
    annotations.extend(secrets_annotation(part, around));
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            service_account_name: Some(service_account::name(part)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace_seconds(part.stage)),
            image_pull_secrets: pull_secrets(around),
            security_context: Some(pod_security()),
            containers: vec![container(part, image, around)],
            volumes: Some(volumes(part, config)),
            node_selector: told.node_selector.clone(),
            tolerations: told.tolerations.as_ref().map(|all| all.iter().map(toleration).collect()),
            affinity: part.stage.affinity.clone(),
            priority_class_name: told.priority_class_name.clone(),
            topology_spread_constraints: Some(spread(part)),
            ..PodSpec::default()
        }),
    }
}

/// None where none is named: Kubernetes then takes those of the ServiceAccount.
fn pull_secrets(around: Surroundings<'_>) -> Option<Vec<LocalObjectReference>> {
    let secrets = &around.settings.stage_pull_secrets;
    let named = || secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    (!secrets.is_empty()).then(named)
}

/// The Pipeline's image; else the one that the stage was given before, as long as it does the same; else the operator's.
pub(super) fn image(part: Part<'_>, config: &Content, live: Option<&Live>, around: Surroundings<'_>) -> String {
    let given_before = || {
        let live = live?;
        let same =
            live.value()["spec"]["template"]["metadata"]["annotations"][CONFIG_ANNOTATION] == config.hash.as_str();
        (same && !around.settings.roll_on_upgrade).then(|| live.given_image.as_deref().map(str::to_owned))?
    };
    let told = part.stage.template.image.clone();
    told.or_else(given_before).unwrap_or_else(|| around.settings.stage_image.clone())
}

fn secrets_annotation(part: Part<'_>, around: Surroundings<'_>) -> Option<(String, String)> {
    let version = around.observed.secrets.get(part.stage.secret.as_ref()?)?.as_ref()?;
    Some((SECRETS_ANNOTATION.to_owned(), hash(version)))
}

/// What a drain may take: a source and an api finish the requests that they have, a sink its ranges.
pub(crate) fn grace_seconds(stage: &ValidatedStage) -> i64 {
    match &stage.config.kind {
        StageKind::Http(http) => {
            let requests = i64::try_from(http.body_timeout_millis.div_ceil(1000)).unwrap_or(i64::MAX);
            // The row of a request that came last also has to be acknowledged by the stream.
            UNLISTED_SECONDS.saturating_add(requests).saturating_add(20).min(3600)
        }
        StageKind::Sink(_) => HAND_OVER_SECONDS,
        StageKind::Api(api) => {
            let requests = i64::try_from(api.timeout_millis.div_ceil(1000)).unwrap_or(i64::MAX);
            UNLISTED_SECONDS.saturating_add(requests).saturating_add(STREAMED_SECONDS).min(3600)
        }
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container(part: Part<'_>, image: String, around: Surroundings<'_>) -> Container {
    let serves = part.stage.role.serves();
    let port = |name: &str, port| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mut mounts = vec![mount("config", CONFIG_FOLDER.to_owned())];
    mounts.extend(part.stage.secret.iter().map(|secret| mount("api-keys", format!("{SECRETS_FOLDER}/{secret}"))));
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image),
        image_pull_policy: Some(around.settings.stage_pull_policy.clone()),
        command: Some(vec!["penstock".to_owned(), "stage".to_owned()]),
        args: Some(vec![
            format!("--config={CONFIG_FOLDER}/{}", config_map::FILE),
            format!("--secrets-dir={SECRETS_FOLDER}"),
            format!("--listen=0.0.0.0:{HTTP_PORT}"),
            format!("--admin=0.0.0.0:{ADMIN_PORT}"),
        ]),
        env: Some(env(around)),
        ports: Some(serves.then(|| port("http", HTTP_PORT)).into_iter().chain([port("admin", ADMIN_PORT)]).collect()),
        resources: Some(resources(part)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        startup_probe: Some(probe("/livez", 2, 60)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        lifecycle: serves.then(|| Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: UNLISTED_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn env(around: Surroundings<'_>) -> Vec<EnvVar> {
    let pod_name = EnvVar {
        name: "POD_NAME".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.name".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    };
    let told = &around.settings.stage_env;
    let variable =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None };
    // A variable that is told wins: a list in which one stands twice is refused.
    let logs = (!told.iter().any(|(name, _)| name == LOG_FORMAT)).then(|| variable(LOG_FORMAT, "json"));
    let told = told.iter().map(|(name, value)| variable(name, value));
    [pod_name].into_iter().chain(logs).chain(told).collect()
}

/// The Pipeline's words, and ours where it has none. No limit on the processor: it would only slow a stage down.
fn resources(part: Part<'_>) -> ResourceRequirements {
    let told = part.stage.template.resources.clone().unwrap_or_default();
    let quantities = |told: Option<BTreeMap<String, String>>, defaults: &[(&str, &str)]| {
        let defaults = || defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        told.unwrap_or_else(defaults).into_iter().map(|(name, value)| (name, Quantity(value))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(told.requests, &[("cpu", "100m"), ("memory", "192Mi")])),
        limits: Some(quantities(told.limits, &[("memory", "512Mi")])),
        claims: None,
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn mount(name: &str, path: String) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path, read_only: Some(true), ..VolumeMount::default() }
}

fn volumes(part: Part<'_>, config: &Content) -> Vec<Volume> {
    let configuration = Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map::name(part, config),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let secret = part.stage.secret.as_ref().map(|secret| Volume {
        name: "api-keys".to_owned(),
        secret: Some(SecretVolumeSource { secret_name: Some(secret.clone()), ..SecretVolumeSource::default() }),
        ..Volume::default()
    });
    [configuration].into_iter().chain(secret).collect()
}

fn toleration(told: &spec::Toleration) -> Toleration {
    Toleration {
        key: told.key.clone(),
        operator: told.operator.map(|operator| match operator {
            spec::TolerationOperator::Exists => "Exists".to_owned(),
            spec::TolerationOperator::Equal => "Equal".to_owned(),
        }),
        value: told.value.clone(),
        effect: told.effect.map(|effect| match effect {
            spec::TaintEffect::NoSchedule => "NoSchedule".to_owned(),
            spec::TaintEffect::PreferNoSchedule => "PreferNoSchedule".to_owned(),
            spec::TaintEffect::NoExecute => "NoExecute".to_owned(),
        }),
        toleration_seconds: told.toleration_seconds,
    }
}

/// Over zones and nodes where that is possible; each rollout for itself.
fn spread(part: Part<'_>) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        topology_key: key.to_owned(),
        max_skew: 1,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(part.selector()),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    };
    vec![over("topology.kubernetes.io/zone"), over("kubernetes.io/hostname")]
}
