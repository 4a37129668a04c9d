//! What the API server was asked for by ServiceAccounts, as it says itself.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

/// The operator is a ServiceAccount; the tests and what stands in for controllers are none, and are not noted.
pub(crate) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: [\"system:serviceaccounts\"]
  - level: None
";

/// The name of the log in the folder of a control plane.
pub(crate) const LOG: &str = "audit.log";

/// The audit log of an API server.
#[derive(Debug, Clone)]
pub struct Audit {
    log: PathBuf,
}

/// A request of a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// As RBAC has it.
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The resource, with `/` and the subresource where there is one.
    pub resource: String,
    /// The namespace, empty for all of them.
    pub namespace: String,
    /// The object's name; empty for a list.
    pub name: String,
    /// The path and the query.
    pub uri: String,
    /// The status of the answer.
    pub status: u64,
}

impl Audit {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { log: folder.join(LOG) }
    }

    /// Where the log ends now.
    #[must_use]
    pub fn end(&self) -> u64 {
        // Before the first request there is no log.
        self.log.metadata().map(|metadata| metadata.len()).unwrap_or(0)
    }

    /// What was asked for since the log ended there, each request once: a watch when it begins.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn since(&self, end: u64) -> anyhow::Result<Vec<Request>> {
        if self.end() == end {
            return Ok(Vec::new());
        }
        let mut log = File::open(&self.log).context("there is no audit log")?;
        log.seek(SeekFrom::Start(end))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |last| &text[..last]);
        whole.lines().filter_map(|line| request(line).transpose()).collect()
    }
}

fn request(line: &str) -> anyhow::Result<Option<Request>> {
    let event: Value = serde_json::from_str(line).context("the audit log holds something else than events")?;
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (verb, stage) = (text("/verb"), text("/stage"));
    let once = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    let status = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
    // A watch that is refused never starts.
    if stage != once && !(verb == "watch" && status >= 400) {
        return Ok(None);
    }
    let (resource, subresource) = (text("/objectRef/resource"), text("/objectRef/subresource"));
    let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
    Ok(Some(Request {
        user: text("/user/username"),
        verb,
        group: text("/objectRef/apiGroup"),
        resource,
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        uri: text("/requestURI"),
        status,
    }))
}

impl Request {
    /// Whether the API server said that this ServiceAccount may not do that.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status == 403
    }
}
