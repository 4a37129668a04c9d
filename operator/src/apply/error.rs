//! Why the cluster could not be made as built.

use crate::observe::Kind;

/// Why the cluster could not be made as built.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server, or the way to it, failed or refused.
    #[error("{doing} the {} {name:?} failed: {}", .kind.as_str(), said(.source))]
    Call {
        /// What was being done.
        doing: &'static str,
        /// To what.
        kind: Kind,
        /// Its name.
        name: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of somebody else has the name.
    #[error(
        "the {} {name:?} belongs to {by}. Delete or rename it, or give the stage or the Pipeline another name", .kind.as_str()
    )]
    Taken {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
        /// Whose it is.
        by: String,
    },
    /// A former object of the name has to go first.
    #[error("the former {} {name:?} is being deleted", .kind.as_str())]
    Going {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The Pipeline could not be read again.
    #[error("the Pipeline could not be read again before something is deleted: {}", said(.source))]
    Pipeline {
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// The Pipeline has changed since it was observed; nothing was deleted.
    #[error("the Pipeline has changed meanwhile")]
    Outdated,
    /// The finalizer could not be set.
    #[error("the finalizer could not be changed: {}", said(.source))]
    Finalizer {
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Who has to act, if anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Waiting helps.
    Passing,
    /// Something is on its way.
    Moving,
    /// The operator lacks a right.
    Forbidden,
    /// The namespace's quota is used up.
    Quota,
    /// The API server takes no object like this.
    Rejected,
    /// A name is taken.
    Taken,
}

impl ApplyError {
    pub(super) fn call(doing: &'static str, kind: Kind, name: &str, source: kube::Error) -> Self {
        Self::Call { doing, kind, name: name.to_owned(), source: Box::new(source) }
    }

    pub(super) fn reading_pipeline(source: kube::Error) -> Self {
        Self::Pipeline { source: Box::new(source) }
    }

    /// Who has to act, if anybody.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Call { source, .. } | Self::Pipeline { source } | Self::Finalizer { source } => of_call(source),
            Self::Taken { .. } => Verdict::Taken,
            Self::Going { .. } | Self::Outdated => Verdict::Moving,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match (self, self.verdict()) {
            (Self::Going { .. }, _) => "child_is_going",
            (Self::Outdated, _) => "pipeline_has_changed",
            (_, Verdict::Passing | Verdict::Moving) => "kubernetes_fails",
            (_, Verdict::Forbidden) => "kubernetes_forbids",
            (_, Verdict::Quota) => "quota_exceeded",
            (_, Verdict::Rejected) => "child_rejected",
            (_, Verdict::Taken) => "name_taken",
        }
    }
}

/// Tells who has to act about a call that failed.
#[must_use]
pub fn of_call(error: &kube::Error) -> Verdict {
    let kube::Error::Api(status) = error else { return Verdict::Passing };
    match status.code {
        403 if status.message.contains("exceeded quota") => Verdict::Quota,
        // A namespace that is going takes nothing new, and will be gone.
        403 if status.message.contains("being terminated") => Verdict::Passing,
        401 | 403 => Verdict::Forbidden,
        400 | 422 => Verdict::Rejected,
        _ => Verdict::Passing,
    }
}

/// Whether the object that was named with its UID is gone, or another one has its name. The API server says so in several ways.
/// A conflict about anything else is none: somebody was faster, and it has to be tried again.
#[must_use]
pub fn is_gone(error: &kube::Error) -> bool {
    const ANOTHER: [&str; 3] = ["uid mismatch", "UID in precondition", "UID in the precondition"];
    let kube::Error::Api(status) = error else { return false };
    match status.code {
        404 => true,
        409 => ANOTHER.iter().any(|words| status.message.contains(words)),
        422 => status.message.contains("metadata.uid"),
        _ => false,
    }
}

/// What the API server said, in its own words.
#[must_use]
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status { code, message: message.to_owned(), ..Status::default() }.boxed())
    }

    #[test]
    fn who_has_to_act_follows_from_the_answer() {
        for (code, message, verdict) in [
            (403, "cannot patch", Verdict::Forbidden),
            (401, "who are you", Verdict::Forbidden),
            (403, "exceeded quota: pods", Verdict::Quota),
            (403, "namespace shop is being terminated", Verdict::Passing),
            (422, "is invalid", Verdict::Rejected),
            (400, "unknown field", Verdict::Rejected),
            (409, "changed", Verdict::Passing),
            (429, "later", Verdict::Passing),
            (500, "oh", Verdict::Passing),
            (404, "namespace not found", Verdict::Passing),
        ] {
            assert_eq!(of_call(&answered(code, message)), verdict, "{code} {message}");
        }
    }

    #[test]
    fn another_uid_means_gone_however_it_is_said() {
        assert!(is_gone(&answered(404, "")));
        for said in ["uid mismatch: no such object", "UID in precondition: 1", "the UID in the precondition (1)"] {
            assert!(is_gone(&answered(409, said)));
        }
        assert!(!is_gone(&answered(409, "the object \"fluid\" has been modified")), "it has to be tried again");
        assert!(is_gone(&answered(422, "metadata.uid: Invalid value: field is immutable")));
        assert!(!is_gone(&answered(422, "spec.region: Invalid value")));
    }
}
