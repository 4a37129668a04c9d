//! A policy as IAM reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::asked::Needs;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Policy {
    pub(crate) statement: Vec<Statement>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Statement {
    pub(crate) sid: String,
    effect: String,
    pub(crate) action: Vec<String>,
    pub(crate) resource: Vec<String>,
    #[serde(default)]
    pub(crate) condition: Option<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Condition {
    pub(crate) string_equals: BTreeMap<String, String>,
}

impl Policy {
    /// The statement that grants it; conditions are taken to be met.
    pub(crate) fn grants(&self, needs: &Needs) -> Option<&str> {
        let granting = self.statement.iter().find(|statement| {
            let is_about = |wanted| statement.resource.iter().any(|pattern| is_like(pattern, wanted));
            let is_action = statement.effect == "Allow" && statement.action.contains(&needs.action);
            is_action && needs.resource.as_deref().is_none_or(is_about)
        });
        granting.map(|statement| statement.sid.as_str())
    }

    /// Everything that it grants, as `Statement: action`.
    pub(crate) fn grants_at_all(&self) -> BTreeSet<String> {
        let of = |statement: &Statement| {
            statement.action.iter().map(|action| format!("{}: {action}", statement.sid)).collect::<Vec<_>>()
        };
        self.statement.iter().flat_map(of).collect()
    }
}

/// With `*` for anything, `?` for a letter, and `${*}` for the letter itself.
fn is_like(pattern: &str, text: &str) -> bool {
    if pattern.is_empty() {
        return text.is_empty();
    }
    if let Some(escaped) = pattern.strip_prefix("${") {
        let (letter, rest) = escaped.split_once('}').unwrap_or((escaped, ""));
        return text.strip_prefix(letter).is_some_and(|text| is_like(rest, text));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        return text.char_indices().any(|(at, _)| is_like(rest, &text[at..])) || is_like(rest, "");
    }
    let mut letters = (pattern.chars(), text.chars());
    match (letters.0.next(), letters.1.next()) {
        (Some(wanted), Some(there)) if wanted == there || wanted == '?' => {
            is_like(letters.0.as_str(), letters.1.as_str())
        }
        _ => false,
    }
}

#[test]
fn wildcards_mean_what_they_mean_in_iam() {
    for (pattern, text, matches) in [
        ("a/*", "a/b/c", true),
        ("a/*", "b/a/", false),
        ("a/*/c", "a/b/d/c", true),
        ("a?c", "abc", true),
        ("a${*}c*", "a*cd", true),
        ("a${*}c*", "abcd", false),
        ("abc", "abcd", false),
    ] {
        assert_eq!(is_like(pattern, text), matches, "{pattern} {text}");
    }
}
