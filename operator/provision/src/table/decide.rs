//! The next step towards a table that fits the plan, from what was seen of it.

use std::time::Duration;

use penstock_api::plan::{BillingPlan, KeyAttribute, TablePlan, TablePurpose};
use penstock_api::spec::Existing;

use crate::Options;
use crate::error::{Kind, ProvisionError};
use crate::ownership::{Owner, may_be_adopted, may_become_ours, may_use};

/// A table as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) partition: Option<SeenKey>,
    pub(crate) sort: Option<SeenKey>,
    pub(crate) ttl: Ttl,
    /// Whether it can be restored to a point in time; nothing when that was not looked at.
    pub(crate) recovery: Option<bool>,
    /// Whether it cannot be deleted.
    pub(crate) protection: bool,
    pub(crate) billing: BillingPlan,
    /// How many secondary indexes it has, each with a capacity of its own.
    pub(crate) indexes: usize,
    pub(crate) owner: Owner,
    pub(crate) age: Option<Duration>,
    pub(crate) arn: String,
}

/// What is to be looked at beside the table itself: a call each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) ttl: bool,
    pub(crate) recovery: bool,
}

impl Wanted {
    pub(crate) fn of(plan: &TablePlan) -> Self {
        // A table of leases has no time to live; one of data might have one that it is to have no more.
        Self { ttl: plan.purpose == TablePurpose::Data, recovery: plan.point_in_time_recovery.is_some() }
    }
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
    /// It is being switched off, which takes up to an hour.
    Ending,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Wait(&'static str),
    /// Tag it as ours.
    Adopt,
    /// Let it be deleted or not.
    Protect(bool),
    /// Let it be restored to a point in time or not.
    SetRecovery(bool),
    /// Switch the time to live on, for this attribute.
    SwitchTtlOn(String),
    /// Switch it off, for this attribute.
    SwitchTtlOff(String),
    Bill(BillingPlan),
    /// Nothing for now: it works, and is to be looked at again soon.
    Defer(Vec<String>),
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
    if let (TablePurpose::Leases { .. }, Owner::Another(owner)) = (&plan.purpose, &seen.owner) {
        let (name, owner) = (plan.name.clone(), owner.clone());
        return Err(ProvisionError::OwnedByAnother { kind: Kind::Table, name, owner });
    }
    let existing = plan.existing.unwrap_or(options.existing);
    if may_become_ours(&seen.owner, existing, seen.age) {
        return Ok(Step::Wait("the table was made just now, and whose it is may not be seen yet"));
    }
    may_use(Kind::Table, &plan.name, &seen.owner, existing)?;
    check_keys(plan, seen)?;
    if existing == Existing::Adopt && may_be_adopted(&seen.owner) {
        return Ok(Step::Adopt);
    }
    if seen.owner != Owner::Ours {
        return foreign_ttl(plan, seen).map(|()| Step::Ready(Vec::new()));
    }
    Ok(complete(plan, seen))
}

/// The next step for a table of ours. What AWS counts comes last, so that it holds up nothing else.
fn complete(plan: &TablePlan, seen: &Seen) -> Step {
    if let Some(wanted) = plan.deletion_protection.filter(|wanted| *wanted != seen.protection) {
        return Step::Protect(wanted);
    }
    if let Some(wanted) = plan.point_in_time_recovery.filter(|wanted| Some(*wanted) != seen.recovery) {
        return Step::SetRecovery(wanted);
    }
    match (&plan.ttl_attribute, &seen.ttl) {
        (None, Ttl::Off | Ttl::Ending) => {}
        (Some(wanted), Ttl::On(there)) if wanted == there => {}
        // Another attribute can be named only once it is off.
        (_, Ttl::On(there)) => return Step::SwitchTtlOff(there.clone()),
        (Some(wanted), Ttl::Off) => return Step::SwitchTtlOn(wanted.clone()),
        (Some(wanted), Ttl::Ending) => {
            let drift = format!(
                "its time to live is being switched off, which takes up to an hour; then it is switched on for {wanted:?}"
            );
            return Step::Defer(vec![drift]);
        }
    }
    billing_step(plan, seen)
}

fn billing_step(plan: &TablePlan, seen: &Seen) -> Step {
    let Some(wanted) = plan.billing.filter(|wanted| *wanted != seen.billing) else { return Step::Ready(Vec::new()) };
    if seen.indexes > 0 && matches!(wanted, BillingPlan::Provisioned { .. }) && seen.billing == BillingPlan::OnDemand {
        return Step::Ready(vec![format!(
            "{}; it has secondary indexes, each of which needs a capacity of its own: switch it yourself (aws dynamodb \
             update-table --billing-mode PROVISIONED)",
            billing_difference(wanted, seen)
        )]);
    }
    Step::Bill(wanted)
}

fn billing_difference(wanted: BillingPlan, seen: &Seen) -> String {
    let text = |billing| match billing {
        BillingPlan::OnDemand => "on demand".to_owned(),
        BillingPlan::Provisioned { read, write } => format!("provisioned with {read} reads and {write} writes"),
    };
    format!("it is {} and the Pipeline says {}", text(seen.billing), text(wanted))
}

/// What a change waits for that AWS lets happen so often in a day or an hour.
pub(crate) fn waits_for_aws(step: &Step, seen: &Seen) -> Option<String> {
    match step {
        Step::Bill(wanted) => Some(format!(
            "{}; AWS switches to on demand four times in 24 hours and lowers a capacity some times a day: it follows when it \
             lets it",
            billing_difference(*wanted, seen)
        )),
        Step::SwitchTtlOn(attribute) => Some(format!(
            "its time to live is off and the Pipeline says {attribute:?}; DynamoDB changes it once an hour: it follows when \
             it lets it"
        )),
        Step::SwitchTtlOff(attribute) => Some(format!(
            "its time to live is on {attribute:?}, which the Pipeline does not say; DynamoDB changes it once an hour: it \
             follows when it lets it"
        )),
        _ => None,
    }
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

/// Whether the time to live of a table that is not ours is the plan's.
fn foreign_ttl(plan: &TablePlan, seen: &Seen) -> Result<(), ProvisionError> {
    let Some(wanted) = &plan.ttl_attribute else { return Ok(()) };
    let there = match &seen.ttl {
        Ttl::On(attribute) if attribute == wanted => return Ok(()),
        Ttl::On(attribute) => format!("its time to live is on {attribute:?}"),
        Ttl::Off | Ttl::Ending => "it has no time to live".to_owned(),
    };
    let difference =
        format!("{there} and the Pipeline says {wanted:?} (it is not tagged as this Pipeline's, so it is not changed)");
    Err(mismatch(plan, difference, enable(plan, wanted)))
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
            part: "tables".to_owned(),
            purpose: TablePurpose::Data,
            partition: key("InvoiceNo", KeyType::S),
            sort: Some(key("sk", KeyType::N)),
            ttl_attribute: Some("expires".to_owned()),
            billing: None,
            point_in_time_recovery: None,
            deletion_protection: None,
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
            recovery: Some(false),
            protection: false,
            billing: BillingPlan::OnDemand,
            indexes: 0,
            owner: Owner::Ours,
            age: Some(Duration::from_secs(3600)),
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

    fn step(plan: &TablePlan, seen: &Seen) -> Step {
        next_step(plan, &Options::default(), Some(seen)).unwrap()
    }

    #[test]
    fn a_time_to_live_follows_the_plan_and_is_switched_off_before_it_gets_another_attribute() {
        let with = |ttl| Seen { ttl, ..seen() };
        let none = TablePlan { ttl_attribute: None, ..plan() };
        assert_eq!(step(&plan(), &with(Ttl::Off)), Step::SwitchTtlOn("expires".to_owned()));
        let until = || Ttl::On("until".to_owned());
        assert_eq!(step(&plan(), &with(until())), Step::SwitchTtlOff("until".to_owned()));
        assert!(matches!(step(&plan(), &with(Ttl::Ending)), Step::Defer(_)), "it holds nothing up");
        assert_eq!(step(&none, &with(until())), Step::SwitchTtlOff("until".to_owned()));
        assert_eq!(step(&none, &with(Ttl::Ending)), Step::Ready(Vec::new()));
        let waits = waits_for_aws(&Step::SwitchTtlOff("until".to_owned()), &seen()).unwrap();
        assert!(waits.contains("once an hour"), "{waits}");
    }

    #[test]
    fn the_time_to_live_of_a_foreign_table_is_not_changed() {
        let foreign = |ttl| refusal(&plan(), &Seen { ttl, owner: Owner::Nobody, ..seen() });
        assert!(foreign(Ttl::Off).contains("Enabled=true,AttributeName=expires"));
        assert!(foreign(Ttl::On("until".to_owned())).contains("\"until\""));
    }

    #[test]
    fn what_the_plan_says_is_changed_one_at_a_time_and_what_it_does_not_say_is_left_as_it_is() {
        let provisioned = |read, write| BillingPlan::Provisioned { read, write };
        let plan = TablePlan {
            billing: Some(provisioned(5, 6)),
            point_in_time_recovery: Some(true),
            deletion_protection: Some(true),
            ..plan()
        };
        let mut seen = seen();
        assert_eq!(step(&plan, &seen), Step::Protect(true));
        seen.protection = true;
        assert_eq!(step(&plan, &seen), Step::SetRecovery(true));
        seen.recovery = Some(true);
        assert_eq!(step(&plan, &seen), Step::Bill(provisioned(5, 6)));
        let waits = waits_for_aws(&Step::Bill(provisioned(5, 6)), &seen).unwrap();
        assert!(waits.starts_with("it is on demand and the Pipeline says provisioned with 5 reads"), "{waits}");
        seen.billing = provisioned(5, 7);
        assert_eq!(step(&plan, &seen), Step::Bill(provisioned(5, 6)));
        seen.billing = provisioned(5, 6);
        assert_eq!(step(&plan, &seen), Step::Ready(Vec::new()));
        assert_eq!(step(&self::plan(), &seen), Step::Ready(Vec::new()), "nothing is said of it");
        assert!(Wanted::of(&plan).recovery && !Wanted::of(&self::plan()).recovery);
    }

    #[test]
    fn an_index_has_a_capacity_of_its_own_that_a_pipeline_cannot_say() {
        let plan = TablePlan { billing: Some(BillingPlan::Provisioned { read: 5, write: 5 }), ..plan() };
        let Step::Ready(drift) = step(&plan, &Seen { indexes: 1, ..seen() }) else { panic!("not ready") };
        assert!(drift[0].contains("secondary indexes"), "{drift:?}");
        let lowered = Seen { indexes: 1, billing: BillingPlan::Provisioned { read: 9, write: 5 }, ..seen() };
        assert!(matches!(step(&plan, &lowered), Step::Bill(_)), "the table's own is changed alone");
    }

    #[test]
    fn a_table_without_tags_that_was_made_just_now_is_not_taken_for_a_foreign_one() {
        let plan = TablePlan { existing: Some(Existing::Refuse), ..plan() };
        let young = Seen { owner: Owner::Nobody, age: Some(Duration::from_secs(2)), ..seen() };
        assert!(matches!(step(&plan, &young), Step::Wait(_)));
        let old = Seen { age: Some(Duration::from_secs(60)), ..young };
        let refused = next_step(&plan, &Options::default(), Some(&old)).unwrap_err();
        assert_eq!(refused.reason(), "resource_is_foreign");
    }

    #[test]
    fn leases_of_another_pipeline_are_never_used() {
        let purpose = TablePurpose::Leases { stream: "shop.orders.events".to_owned() };
        let plan = TablePlan { purpose, ..plan() };
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
