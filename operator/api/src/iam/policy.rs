//! Policies as IAM reads them: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

/// Something that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    sid: String,
    effect: &'static str,
    action: BTreeSet<&'static str>,
    resource: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
}

/// What must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    string_equals: BTreeMap<String, String>,
}

impl Statement {
    pub(super) fn new(sid: &str, actions: &[&'static str], resources: Vec<String>) -> Self {
        Self {
            sid: sid.to_owned(),
            effect: "Allow",
            action: actions.iter().copied().collect(),
            resource: resources.into_iter().collect(),
            condition: None,
        }
    }

    /// Only where the resource has these tags.
    pub(super) fn where_tagged(mut self, tags: &[(&str, &str)]) -> Self {
        let key = |(tag, value): &(&str, &str)| (format!("aws:ResourceTag/{tag}"), (*value).to_owned());
        self.condition = Some(Condition { string_equals: tags.iter().map(key).collect() });
        self
    }

    fn allows_the_same(&self, other: &Self) -> bool {
        self.action == other.action && self.condition == other.condition
    }
}

impl Policy {
    /// Of these statements, without those that are about nothing; those that allow the same are one.
    pub(super) fn of(statements: Vec<Statement>) -> Self {
        let mut kept: Vec<Statement> = Vec::new();
        for statement in statements.into_iter().filter(|statement| !statement.resource.is_empty()) {
            match kept.iter_mut().find(|there| there.allows_the_same(&statement)) {
                Some(there) => there.resource.extend(statement.resource),
                None => kept.push(statement),
            }
        }
        name_apart(&mut kept);
        // The only version that knows variables.
        Self { version: "2012-10-17", statement: kept }
    }
}

/// IAM refuses two statements of one name.
fn name_apart(statements: &mut [Statement]) {
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for statement in statements {
        let base = statement.sid.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_owned();
        let count = used.entry(base.clone()).or_insert(0);
        *count += 1;
        statement.sid = if *count == 1 { base } else { format!("{base}{count}") };
    }
}

/// One policy that allows what all of these do.
#[must_use]
pub fn merged<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Policy {
    Policy::of(policies.into_iter().flat_map(|policy| policy.statement.iter().cloned()).collect())
}
