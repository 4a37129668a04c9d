//! From a Pipeline to what it means, once and completely: later steps never see the raw spec. Pure.

use k8s_openapi::api::core::v1::Affinity;
use penstock_api::plan::{AwsTarget, PlanError, Resources, StageConfig, StageKind};
use penstock_api::spec::{self, Metadata, PipelineSpec, StageTemplate, Suspend};

use crate::pipeline::{Identity, Pipeline};
use crate::settings::Settings;

/// A Pipeline that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedPipeline {
    /// Which object it is.
    pub identity: Identity,
    /// The generation of its spec.
    pub generation: i64,
    /// Its stages: sources, sinks, apis.
    pub stages: Vec<ValidatedStage>,
    /// Where AWS is.
    pub aws: AwsTarget,
    /// What it needs in AWS.
    pub resources: Resources,
    /// Whether and how it rests.
    pub suspend: Option<Suspend>,
}

/// A stage that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedStage {
    /// Its name.
    pub name: String,
    /// Whether it takes records in, stores them or answers questions about them.
    pub role: Role,
    /// Its whole configuration.
    pub config: StageConfig,
    /// How many pods it has when it does not rest.
    pub replicas: i32,
    /// Whether it alone rests.
    pub suspended: bool,
    /// The Secret that it needs.
    pub secret: Option<String>,
    /// What its pods are told beside.
    pub template: StageTemplate,
    /// The affinity of `template`, read.
    pub affinity: Option<Affinity>,
}

/// Whether a stage takes records in, stores them or answers questions about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes records in.
    Source,
    /// It stores them.
    Sink,
    /// It answers questions about what was stored.
    Api,
}

impl Role {
    /// For labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Api => "api",
        }
    }

    /// Whether others ask it over HTTP.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Source | Self::Api)
    }
}

/// Why a Pipeline makes no sense. The API server's rules let none of it through but an affinity.
#[derive(Debug, thiserror::Error)]
pub enum ValidationError {
    /// The spec has not the shape of one.
    #[error("the spec cannot be read: {0}. `penstock validate` says where the fault is")]
    Shape(#[source] serde_json::Error),
    /// There is no plan.
    #[error("{0}. `penstock validate` says where the fault is")]
    Plan(#[from] PlanError),
    /// An affinity has not the shape of one.
    #[error(
        "the `template.affinity` of the stage {stage:?} cannot be read: {source}. Write it as in a pod's `spec.affinity`"
    )]
    Affinity {
        /// The stage.
        stage: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl ValidatedPipeline {
    /// The Secrets that its stages need, each once.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        let mut secrets: Vec<_> = self.stages.iter().filter_map(|stage| stage.secret.as_deref()).collect();
        secrets.sort_unstable();
        secrets.dedup();
        secrets
    }
}

/// Validates.
///
/// # Errors
/// When the Pipeline makes no sense.
pub fn validate(pipeline: &Pipeline, settings: &Settings) -> Result<ValidatedPipeline, ValidationError> {
    let identity = pipeline.identity();
    let mut spec: PipelineSpec = serde_json::from_str(&pipeline.spec).map_err(ValidationError::Shape)?;
    spec.aws.endpoint_url = spec.aws.endpoint_url.or_else(|| settings.aws_endpoint_url.clone());
    let whole = spec::Pipeline {
        api_version: format!("{}/{}", spec::GROUP, spec::VERSION),
        kind: spec::KIND.to_owned(),
        metadata: Metadata {
            name: identity.name.clone(),
            namespace: Some(identity.namespace.clone()),
            ..Metadata::default()
        },
        spec,
    };
    let plan = penstock_api::plan(&whole)?;
    let spec = &whole.spec;
    let stages = plan.stages.into_iter().map(|config| stage(spec, config)).collect::<Result<_, _>>()?;
    Ok(ValidatedPipeline {
        identity,
        generation: pipeline.generation(),
        stages,
        aws: AwsTarget { region: spec.aws.region.clone(), endpoint_url: spec.aws.endpoint_url.clone() },
        resources: plan.resources,
        suspend: spec.suspend,
    })
}

fn stage(spec: &PipelineSpec, config: StageConfig) -> Result<ValidatedStage, ValidationError> {
    let source = spec.sources.iter().find(|source| source.name == config.name);
    let sink = spec.sinks.iter().find(|sink| sink.name == config.name);
    let api = spec.apis.iter().flatten().find(|api| api.name == config.name);
    let (replicas, suspend, template) = match (source, sink, api) {
        (Some(source), _, _) => (source.replicas, source.suspend, source.template.clone()),
        (None, Some(sink), _) => (sink.replicas, sink.suspend, sink.template.clone()),
        (None, None, Some(api)) => (api.replicas, api.suspend, api.template.clone()),
        (None, None, None) => (None, None, None),
    };
    let (role, secret) = match &config.kind {
        StageKind::Http(http) => (Role::Source, http.api_keys_secret.clone()),
        StageKind::Sink(_) => (Role::Sink, None),
        StageKind::Api(api) => (Role::Api, api.api_keys_secret.clone()),
    };
    let template = template.unwrap_or_default();
    let affinity = template.affinity.clone().map(serde_json::Value::Object).map(serde_json::from_value).transpose();
    let affinity = affinity.map_err(|source| ValidationError::Affinity { stage: config.name.clone(), source })?;
    Ok(ValidatedStage {
        name: config.name.clone(),
        role,
        config,
        replicas: replicas.unwrap_or(1),
        suspended: suspend.unwrap_or(false),
        secret,
        template,
        affinity,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::build::fixtures::PipelineFixture;

    fn settings() -> Settings {
        Settings::new("image")
    }

    #[test]
    fn the_example_makes_sense() {
        let validated = validate(&PipelineFixture::ecommerce().object(), &settings()).unwrap();
        let names: Vec<_> = validated.stages.iter().map(|stage| (stage.name.as_str(), stage.role)).collect();
        assert_eq!(names, [("orders", Role::Source), ("raw", Role::Sink), ("tables", Role::Sink), ("shop", Role::Api)]);
        assert_eq!(validated.secrets(), ["ecommerce-keys"]);
    }

    #[test]
    fn the_operators_endpoint_is_for_pipelines_that_name_none() {
        let settings = Settings { aws_endpoint_url: Some("http://local-aws:4566".to_owned()), ..settings() };
        let of = |fixture: PipelineFixture| validate(&fixture.object(), &settings).unwrap();
        let named = PipelineFixture::ecommerce().spec("/aws/endpointURL", "http://own:1");
        assert_eq!(of(named).aws.endpoint_url.as_deref(), Some("http://own:1"));
        let unnamed = of(PipelineFixture::ecommerce());
        assert_eq!(unnamed.aws.endpoint_url.as_deref(), Some("http://local-aws:4566"));
        assert!(unnamed.stages.iter().all(|stage| stage.config.aws == unnamed.aws), "stages are told, too");
    }

    #[test]
    fn a_spec_that_makes_no_sense_is_told_with_the_cure() {
        let mut object = PipelineFixture::ecommerce().object();
        object.spec = r#"{"sources":7}"#.into();
        assert!(validate(&object, &settings()).unwrap_err().to_string().contains("penstock validate"));
        let affinity = PipelineFixture::ecommerce()
            .spec("/sinks/0/template", serde_json::json!({ "affinity": { "nodeAffinity": 7 } }));
        assert!(validate(&affinity.object(), &settings()).unwrap_err().to_string().contains("template.affinity"));
    }
}
