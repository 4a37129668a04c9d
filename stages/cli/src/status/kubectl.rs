//! Asks the API server, by `kubectl`.

use std::io;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Which Pipelines are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asks<'a> {
    /// Their names; all when there are none.
    pub(super) names: &'a [String],
    pub(super) scope: Scope<'a>,
    /// Whose cluster; that of the current context when absent.
    pub(super) context: Option<&'a str>,
}

/// In which namespaces.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    /// That of the context.
    Current,
    Namespace(&'a str),
    Everywhere,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum KubectlError {
    #[error("kubectl is not on the PATH: `penstock status` asks the cluster by it")]
    Missing,
    #[error("kubectl cannot be started")]
    NotStarted(#[source] io::Error),
    #[error("the cluster does not know Pipelines: install the chart, or apply crds/pipelines.penstock.dev.yaml")]
    NoDefinition,
    #[error("kubectl could not get the Pipelines: {0}")]
    Failed(String),
    #[error("kubectl's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// The full name, since others may have pipelines of their own.
const RESOURCE: &str = "pipelines.penstock.dev";
/// How long the API server may take.
const TIME_LIMIT: &str = "--request-timeout=30s";

impl Asks<'_> {
    /// What the API server answers: one Pipeline, or a list of them.
    pub(super) fn answer(&self) -> Result<Value, KubectlError> {
        let mut command = Command::new("kubectl");
        // A plug-in for logging in may ask for something, on the terminal.
        command.args(self.arguments()).stdin(Stdio::inherit());
        let output = command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KubectlError::Missing,
            _ => KubectlError::NotStarted(error),
        })?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr), output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(KubectlError::Unreadable)
    }

    fn arguments(&self) -> Vec<&str> {
        let mut arguments = vec!["get", RESOURCE];
        arguments.extend(self.names.iter().map(String::as_str));
        arguments.extend(["--output=json", TIME_LIMIT]);
        match self.scope {
            Scope::Current => {}
            Scope::Namespace(namespace) => arguments.extend(["--namespace", namespace]),
            Scope::Everywhere => arguments.push("--all-namespaces"),
        }
        if let Some(context) = self.context {
            arguments.extend(["--context", context]);
        }
        arguments
    }
}

fn failed(said: &str, status: std::process::ExitStatus) -> KubectlError {
    if said.contains("the server doesn't have a resource type") {
        return KubectlError::NoDefinition;
    }
    match said.trim() {
        "" => KubectlError::Failed(format!("it ended with {status} and said nothing")),
        said => KubectlError::Failed(said.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_is_asked_as_it_wants_to_be() {
        let names = ["orders".to_owned()];
        let asks = Asks { names: &names, scope: Scope::Namespace("shop"), context: Some("east") };
        let expected =
            "get pipelines.penstock.dev orders --output=json --request-timeout=30s --namespace shop --context east";
        assert_eq!(asks.arguments().join(" "), expected);
        let all = Asks { names: &[], scope: Scope::Everywhere, context: None };
        assert!(all.arguments().join(" ").ends_with("--request-timeout=30s --all-namespaces"));
    }
}
