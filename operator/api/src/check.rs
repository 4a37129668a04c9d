//! Checks Pipelines as they stand in a file, with the verdict that the API server would give, and more words.
//!
//! [`check`] reads the YAML with the positions of every key and value, and then asks of each Pipeline what the
//! API server asks: does it satisfy the schema (`structure`), and the rules ([`crate::rules`], evaluated
//! by `kube-cel`)? A field that the API server would only warn about and drop is an error here. At last the
//! [`crate::plan`] must come out. Each [`Finding`] says where the fault is, what was found, and what to write.
//!
//! The API server tolerates a rule that fails where nothing changed (*ratcheting*); here every rule counts.
//! Deliberately absent: templates, VRL and JSON Schemas, whose compilers `penstock validate` brings.

mod absent;
mod advice;
mod cel;
mod culprits;
mod path;
mod resource;
mod scalar;
mod structure;
mod words;
mod yaml;

use serde::Serialize;
use serde_json::Value;

use crate::plan::{PlanError, plan};
use crate::spec::Pipeline;

pub use path::{Path, Step};
pub use scalar::{Scalar, Style};
pub use words::similar;
pub use yaml::{Entry, Key, Node, NodeKind};

/// The largest text that is read: far above any Pipeline, and far below what would hurt.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// A stretch of the text. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The first line.
    pub line: usize,
    /// The first column.
    pub column: usize,
    /// The last line.
    pub end_line: usize,
    /// The column after the last.
    pub end_column: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its stable name, in lower_snake_case.
    pub code: &'static str,
    /// The document in the text, from 0.
    pub document: usize,
    /// The field, such as `spec.sinks[1].dynamodb.tables[0].partition`; empty for the whole document.
    pub path: String,
    /// What was found.
    pub message: String,
    /// What to write instead.
    pub cure: String,
    /// The key or value at fault.
    pub span: Span,
}

/// One resource of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Which document of the text it stands in, from 0.
    pub index: usize,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it begins within its document: not empty for the items of a `List`.
    pub base: Path,
    /// The text as a tree with positions.
    pub root: Node,
    /// The Pipeline, when it is a valid one.
    pub pipeline: Option<Pipeline>,
}

/// What a text holds and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// The resources, in the order of the text, those of other kinds too.
    pub documents: Vec<Document>,
    /// What is wrong, in the order of the text.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether nothing is wrong; warnings do not count.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// Puts the findings into the order of the text.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.document, finding.span));
    }
}

impl Document {
    /// A finding at a place in this resource. The place is the value, or, where it is a list or a map, the key;
    /// for a field that is missing, the nearest thing around it that is there.
    #[must_use]
    pub fn finding(
        &self,
        severity: Severity,
        code: &'static str,
        path: &Path,
        message: String,
        cure: String,
    ) -> Finding {
        let span = self.root.locate(path);
        let path = self.base.join(path).to_string();
        Finding { severity, code, document: self.index, path, message, cure, span }
    }

    /// Whether it is a Pipeline of ours.
    #[must_use]
    pub fn is_pipeline(&self) -> bool {
        self.kind == crate::spec::KIND && self.api_version == resource::api_version()
    }
}

/// Checks a text as if everything in it were new.
#[must_use]
pub fn check(text: &str) -> Checked {
    check_update(text, &[])
}

/// Checks a text whose Pipelines replace the ones in `old` that have their namespace and name, so that rules
/// about change apply.
#[must_use]
pub fn check_update(text: &str, old: &[Value]) -> Checked {
    let (trees, mut findings) = yaml::parse(text);
    let mut documents = Vec::new();
    for (index, root) in trees {
        resource::identify(index, root, &mut documents, &mut findings);
    }
    let checker = Checker { schema: resource::schema(), rules: cel::Rules::compile() };
    for document in documents.iter_mut().filter(|document| document.is_pipeline()) {
        let value = absent::without_nulls(&checker.schema, document.root.to_json());
        let old = old.iter().find(|old| resource::same_object(old, &value));
        let old = old.map(|old| absent::without_nulls(&checker.schema, old.clone()));
        findings.extend(checker.pipeline(document, &value, old.as_ref()));
    }
    let mut checked = Checked { documents, findings };
    checked.sort();
    checked
}

struct Checker {
    schema: Value,
    rules: cel::Rules,
}

impl Checker {
    fn pipeline(&self, document: &mut Document, value: &Value, old: Option<&Value>) -> Vec<Finding> {
        let structure::Shape { mut findings, sound } = structure::check(&self.schema, document);
        // As on the API server, rules apply to what has the right shape.
        if !sound {
            return findings;
        }
        findings.extend(self.rules.check(document, value, old));
        if !findings.is_empty() {
            return findings;
        }
        match planned(value) {
            Ok(pipeline) => {
                findings.extend(advice::of(document, &pipeline));
                document.pipeline = Some(pipeline);
            }
            Err(message) => {
                let cure = "this is a gap in Penstock's own rules: please report it".to_owned();
                findings.push(document.finding(Severity::Error, "no_plan", &Path::default(), message, cure));
            }
        }
        findings
    }
}

fn planned(value: &Value) -> Result<Pipeline, String> {
    let pipeline: Pipeline = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    plan(&pipeline).map_err(|error: PlanError| error.to_string())?;
    Ok(pipeline)
}
