//! The next step towards a table that fits the plan, from what was seen of it.

use penstock_api::plan::{KeyAttribute, TablePlan, TablePurpose};
use penstock_api::spec::Existing;

use crate::Options;
use crate::error::{Kind, ProvisionError};
use crate::ownership::{Owner, may_use};

/// A table as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) partition: Option<SeenKey>,
    pub(crate) sort: Option<SeenKey>,
    pub(crate) ttl: Ttl,
    pub(crate) owner: Owner,
    pub(crate) arn: String,
}

/// A key attribute as DynamoDB writes it: name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenKey {
    pub(crate) name: String,
    pub(crate) key_type: String,
}

/// What a table is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Changing,
    Deleting,
    /// It does not work, and waiting does not help: archived, or its key of encryption is out of reach.
    Unusable,
}

/// The table's time to live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ttl {
    Off,
    On(String),
    Changing,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Wait(&'static str),
    /// Switch the time to live on, for this attribute.
    SetTtl(String),
    /// Tag it as ours.
    Adopt,
    /// Nothing: it is ready. In what it differs without being in the way.
    Ready(Vec<String>),
}

/// Decides.
///
/// # Errors
/// When the table differs and cannot or may not be changed.
pub(crate) fn next_step(plan: &TablePlan, options: &Options, seen: Option<&Seen>) -> Result<Step, ProvisionError> {
    let Some(seen) = seen else { return Ok(Step::Create) };
    match seen.state {
        State::Deleting => return Ok(Step::Wait("the table of that name is being deleted")),
        State::Changing => return Ok(Step::Wait("the table is being created or changed")),
        State::Unusable => {
            let difference = "it is archived or its KMS key cannot be used".to_owned();
            return Err(mismatch(plan, difference, "Restore it, or name another table in the Pipeline".to_owned()));
        }
        State::Active => {}
    }
    if let (TablePurpose::Leases, Owner::Another(owner)) = (plan.purpose, &seen.owner) {
        let (name, owner) = (plan.name.clone(), owner.clone());
        return Err(ProvisionError::OwnedByAnother { kind: Kind::Table, name, owner });
    }
    let existing = plan.existing.unwrap_or(options.existing);
    may_use(Kind::Table, &plan.name, &seen.owner, existing)?;
    check_keys(plan, seen)?;
    if existing == Existing::Adopt && seen.owner == Owner::Nobody {
        return Ok(Step::Adopt);
    }
    ttl_step(plan, seen)
}

/// A table's keys never change (DynamoDB Developer Guide, "Core components").
fn check_keys(plan: &TablePlan, seen: &Seen) -> Result<(), ProvisionError> {
    let planned = plan.sort.as_ref();
    for (part, wanted, there) in
        [("partition", Some(&plan.partition), seen.partition.as_ref()), ("sort", planned, seen.sort.as_ref())]
    {
        if matches(wanted, there) {
            continue;
        }
        let wanted = wanted.map_or_else(|| "none".to_owned(), |key| text(&key.name, key.key_type.as_str()));
        let there = there.map_or_else(|| "none".to_owned(), |key| text(&key.name, &key.key_type));
        let difference = format!("its {part} key is {there} and the Pipeline says {wanted}");
        let cure = "A table's key cannot change: name another table in the Pipeline, or set the key to the table's";
        return Err(mismatch(plan, difference, cure.to_owned()));
    }
    Ok(())
}

fn matches(wanted: Option<&KeyAttribute>, there: Option<&SeenKey>) -> bool {
    match (wanted, there) {
        (None, None) => true,
        (Some(wanted), Some(there)) => wanted.name == there.name && wanted.key_type.as_str() == there.key_type,
        _ => false,
    }
}

fn text(name: &str, key_type: &str) -> String {
    format!("{name:?} of type {key_type}")
}

fn ttl_step(plan: &TablePlan, seen: &Seen) -> Result<Step, ProvisionError> {
    let ours = seen.owner == Owner::Ours;
    match (&plan.ttl_attribute, &seen.ttl) {
        (None, Ttl::On(attribute)) if ours => {
            Ok(Step::Ready(vec![format!("it has a time to live on {attribute:?} and the Pipeline has none")]))
        }
        (None, _) => Ok(Step::Ready(Vec::new())),
        (Some(wanted), Ttl::On(attribute)) if wanted == attribute => Ok(Step::Ready(Vec::new())),
        (Some(_), Ttl::Changing) => Ok(Step::Wait("the table's time to live is being changed")),
        (Some(wanted), Ttl::Off) if ours => Ok(Step::SetTtl(wanted.clone())),
        (Some(wanted), Ttl::Off) => {
            let difference = format!(
                "it has no time to live and the Pipeline says {wanted:?} (it is not tagged as this Pipeline's, so it is not changed)"
            );
            Err(mismatch(plan, difference, enable(plan, wanted)))
        }
        (Some(wanted), Ttl::On(attribute)) => {
            let difference = format!("its time to live is on {attribute:?} and the Pipeline says {wanted:?}");
            let cure = format!(
                "Switch it off first, which DynamoDB lets happen once an hour (aws dynamodb update-time-to-live \
                 --table-name {} --time-to-live-specification Enabled=false,AttributeName={attribute})",
                plan.name
            );
            Err(mismatch(plan, difference, cure))
        }
    }
}

fn enable(plan: &TablePlan, attribute: &str) -> String {
    format!(
        "Switch it on (aws dynamodb update-time-to-live --table-name {} --time-to-live-specification \
         Enabled=true,AttributeName={attribute}) or leave `ttl` out of the Pipeline",
        plan.name
    )
}

fn mismatch(plan: &TablePlan, difference: String, cure: String) -> ProvisionError {
    ProvisionError::Mismatch { kind: Kind::Table, name: plan.name.clone(), difference, cure }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_api::plan::PipelineRef;
    use penstock_api::spec::{DeletionPolicy, KeyType};

    use super::*;

    fn plan() -> TablePlan {
        let key = |name: &str, key_type| KeyAttribute { name: name.to_owned(), key_type };
        TablePlan {
            name: "orders".to_owned(),
            owner: PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() },
            purpose: TablePurpose::Data,
            partition: key("InvoiceNo", KeyType::S),
            sort: Some(key("sk", KeyType::N)),
            ttl_attribute: Some("expires".to_owned()),
            existing: None,
            deletion_policy: DeletionPolicy::Retain,
        }
    }

    fn seen() -> Seen {
        let key = |name: &str, key_type: &str| Some(SeenKey { name: name.to_owned(), key_type: key_type.to_owned() });
        Seen {
            state: State::Active,
            partition: key("InvoiceNo", "S"),
            sort: key("sk", "N"),
            ttl: Ttl::On("expires".to_owned()),
            owner: Owner::Ours,
            arn: "arn:aws:dynamodb:eu-west-1:1:table/orders".to_owned(),
        }
    }

    fn refusal(plan: &TablePlan, seen: &Seen) -> String {
        let error = next_step(plan, &Options::default(), Some(seen)).unwrap_err();
        assert_eq!(error.reason(), "resource_mismatch");
        error.to_string()
    }

    #[test]
    fn a_missing_table_is_created_and_a_fitting_one_is_ready() {
        assert_eq!(next_step(&plan(), &Options::default(), None).unwrap(), Step::Create);
        for owner in [Owner::Ours, Owner::Nobody, Owner::Another("lab/x".to_owned())] {
            assert_eq!(
                next_step(&plan(), &Options::default(), Some(&Seen { owner, ..seen() })).unwrap(),
                Step::Ready(Vec::new())
            );
        }
    }

    #[test]
    fn another_key_is_refused_with_both_named() {
        let sort = refusal(&plan(), &Seen { sort: None, ..seen() });
        assert!(sort.contains("its sort key is none") && sort.contains("\"sk\" of type N"), "{sort}");
        let partition = refusal(&TablePlan { sort: None, ..plan() }, &seen());
        assert!(partition.contains("says none"), "{partition}");
        let typed =
            Seen { partition: Some(SeenKey { name: "InvoiceNo".to_owned(), key_type: "N".to_owned() }), ..seen() };
        assert!(refusal(&plan(), &typed).contains("\"InvoiceNo\" of type N"));
    }

    #[test]
    fn a_time_to_live_is_switched_on_where_the_table_is_ours() {
        let off = Seen { ttl: Ttl::Off, ..seen() };
        assert_eq!(next_step(&plan(), &Options::default(), Some(&off)).unwrap(), Step::SetTtl("expires".to_owned()));
        let foreign = refusal(&plan(), &Seen { owner: Owner::Nobody, ..off });
        assert!(foreign.contains("Enabled=true,AttributeName=expires"), "{foreign}");
        let other = refusal(&plan(), &Seen { ttl: Ttl::On("until".to_owned()), ..seen() });
        assert!(other.contains("\"until\"") && other.contains("\"expires\""), "{other}");
        assert!(matches!(
            next_step(&plan(), &Options::default(), Some(&Seen { ttl: Ttl::Changing, ..seen() })).unwrap(),
            Step::Wait(_)
        ));
    }

    #[test]
    fn leases_of_another_pipeline_are_never_used() {
        let plan = TablePlan { purpose: TablePurpose::Leases, ..plan() };
        let error =
            next_step(&plan, &Options::default(), Some(&Seen { owner: Owner::Another("lab/x".to_owned()), ..seen() }))
                .unwrap_err();
        assert_eq!(error.reason(), "resource_owned_by_another");
        assert!(
            next_step(&plan, &Options::default(), Some(&Seen { owner: Owner::Nobody, ..seen() })).is_ok(),
            "a KCL application's table"
        );
    }

    #[test]
    fn a_table_that_changes_or_goes_is_waited_for_and_a_broken_one_is_told() {
        for state in [State::Changing, State::Deleting] {
            assert!(matches!(
                next_step(&plan(), &Options::default(), Some(&Seen { state, ..seen() })).unwrap(),
                Step::Wait(_)
            ));
        }
        refusal(&plan(), &Seen { state: State::Unusable, ..seen() });
    }

    #[test]
    fn a_foreign_table_is_adopted_or_refused_as_asked() {
        let asked = |existing, owner| {
            let plan = TablePlan { existing: Some(existing), ..plan() };
            next_step(&plan, &Options::default(), Some(&Seen { owner, ..seen() }))
        };
        assert_eq!(asked(Existing::Adopt, Owner::Nobody).unwrap(), Step::Adopt);
        assert_eq!(asked(Existing::Adopt, Owner::Ours).unwrap(), Step::Ready(Vec::new()));
        for owner in [Owner::Nobody, Owner::Another("lab/x".to_owned())] {
            assert_eq!(asked(Existing::Refuse, owner).unwrap_err().reason(), "resource_is_foreign");
        }
    }
}
