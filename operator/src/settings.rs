//! What the operator is told at its start.

use std::time::Duration;

/// What the operator is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The image of stages whose Pipeline names none.
    pub stage_image: String,
    /// Whether stages take a new `stage_image` at once. If not, a stage keeps its image until its configuration changes, so
    /// that an upgrade of the operator rolls nothing.
    pub roll_on_upgrade: bool,
    /// When a node asks the registry for the image of a stage, as Kubernetes has it.
    pub stage_pull_policy: String,
    /// The Secrets, in each Pipeline's own namespace, with which the images of stages are pulled.
    pub stage_pull_secrets: Vec<String>,
    /// Environment variables of every stage.
    pub stage_env: Vec<(String, String)>,
    /// The name of the cluster, written into the tags of what is created in AWS.
    pub cluster: Option<String>,
    /// Where AWS is for Pipelines that name no endpoint of their own: an emulator.
    pub aws_endpoint_url: Option<String>,
    /// The namespaces that are watched; all of them when empty.
    pub namespaces: Vec<String>,
    /// How many Pipelines are worked on at one time.
    pub concurrency: u16,
    /// How long streams and tables that were found ready are trusted, and how often a quiet Pipeline is looked at.
    pub recheck: Duration,
    /// The pod that this is, for events.
    pub instance: String,
    /// Leader election; `None` runs without.
    pub election: Option<ElectionSettings>,
}

impl Settings {
    /// The defaults, for stages of the given image.
    #[must_use]
    pub fn new(stage_image: impl Into<String>) -> Self {
        Self {
            stage_image: stage_image.into(),
            roll_on_upgrade: false,
            stage_pull_policy: "IfNotPresent".to_owned(),
            stage_pull_secrets: Vec::new(),
            stage_env: Vec::new(),
            cluster: None,
            aws_endpoint_url: None,
            namespaces: Vec::new(),
            concurrency: 16,
            recheck: Duration::from_secs(30 * 60),
            instance: "penstock-operator".to_owned(),
            election: None,
        }
    }
}

/// How leaders are elected. `attempt < renew_deadline < duration`: who cannot renew has stopped before another may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionSettings {
    /// The namespace of the lease.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Who this is.
    pub identity: String,
    /// How long a lease holds that is not renewed.
    pub duration: Duration,
    /// How long the leader goes on without having renewed.
    pub renew_deadline: Duration,
    /// How long one attempt may take.
    pub attempt: Duration,
    /// How long to wait between attempts.
    pub retry: Duration,
}

impl ElectionSettings {
    /// 15 s, of which the leader uses 10; attempts of at most 4 s, every 2.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            attempt: Duration::from_secs(4),
            retry: Duration::from_secs(2),
        }
    }
}
