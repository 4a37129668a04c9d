//! Each rule of the CRD accepts what satisfies it and refuses what breaks it: see `rule_cases`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod rule_cases;

use std::collections::BTreeSet;

use penstock_api::check::{Severity, check, check_update};
use penstock_api::rules::RULES;

use rule_cases::{BASE, CASES, CHANGES, edited};

fn errors(text: &str, old: &[serde_json::Value]) -> Vec<&'static str> {
    let checked = check_update(text, old);
    checked.findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.code).collect()
}

#[test]
fn every_rule_takes_what_satisfies_it_and_refuses_what_breaks_it() {
    for case in CASES {
        assert_eq!(errors(&edited(case.accepted), &[]), [""; 0], "{} is to take {:?}", case.code, case.accepted);
        let found = errors(&edited(case.refused), &[]);
        assert!(
            !found.is_empty() && found.iter().all(|code| *code == case.code),
            "{}: {found:?} for {:?}",
            case.code,
            case.refused
        );
    }
}

#[test]
fn every_rule_about_change_takes_what_satisfies_it_and_refuses_what_breaks_it() {
    let old = [check(BASE).documents[0].root.to_json()];
    for case in CHANGES {
        assert_eq!(errors(&edited(case.accepted), &old), [""; 0], "{} is to take {:?}", case.code, case.accepted);
        assert_eq!(errors(&edited(case.refused), &old), [case.code], "{:?}", case.refused);
        assert_eq!(errors(&edited(case.refused), &[]), [""; 0], "{} is about change only", case.code);
    }
}

#[test]
fn a_pipeline_of_another_namespace_is_not_the_same() {
    let old = [check(&edited(&[("  name: shop\n", "  name: shop\n  namespace: other\n")])).documents[0].root.to_json()];
    assert_eq!(errors(&edited(&[("eu-west-1", "eu-west-2")]), &old), [""; 0]);
}

#[test]
fn no_rule_is_without_a_case() {
    let tested: BTreeSet<_> = CASES.iter().chain(CHANGES).map(|case| case.code).collect();
    let known: BTreeSet<_> = RULES.iter().map(|rule| rule.code).collect();
    assert_eq!(tested, known);
}
