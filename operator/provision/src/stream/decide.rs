//! The next step towards a stream that fits the plan, from what was seen of it.

use penstock_api::plan::StreamPlan;
use penstock_api::spec::{Existing, StreamMode};

use crate::Options;
use crate::error::{Kind, ProvisionError};
use crate::ownership::{Owner, may_use};

/// A stream as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) mode: StreamMode,
    pub(crate) open_shards: u32,
    pub(crate) retention_hours: u32,
    pub(crate) owner: Owner,
    pub(crate) arn: String,
}

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Changing,
    Deleting,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Wait(&'static str),
    LengthenRetention,
    /// Tag it as ours.
    Adopt,
    SetMode,
    /// Towards the plan's number of shards; AWS goes from half to double at one time.
    Reshard(u32),
    /// Nothing: it is ready. In what it differs without being in the way.
    Ready(Vec<String>),
}

/// Decides.
///
/// # Errors
/// When the stream differs and is not ours to change.
pub(crate) fn next_step(plan: &StreamPlan, options: &Options, seen: Option<&Seen>) -> Result<Step, ProvisionError> {
    let Some(seen) = seen else { return Ok(Step::Create) };
    match seen.state {
        State::Deleting => return Ok(Step::Wait("the stream of that name is being deleted")),
        State::Changing => return Ok(Step::Wait("the stream is being created or changed")),
        State::Active => {}
    }
    let existing = plan.existing.unwrap_or(options.existing);
    may_use(Kind::Stream, &plan.name, &seen.owner, existing)?;
    if existing == Existing::Adopt && seen.owner == Owner::Nobody {
        return Ok(Step::Adopt);
    }
    if seen.owner != Owner::Ours {
        return fits(plan, seen).map(|()| Step::Ready(Vec::new()));
    }
    if seen.retention_hours < plan.retention_hours {
        return Ok(Step::LengthenRetention);
    }
    Ok(options.reshape.then(|| reshape(plan, seen)).flatten().unwrap_or_else(|| Step::Ready(drift(plan, seen))))
}

/// The next step towards the plan's mode and shards.
fn reshape(plan: &StreamPlan, seen: &Seen) -> Option<Step> {
    if plan.mode != seen.mode {
        return Some(Step::SetMode);
    }
    let wanted = plan.shards.filter(|shards| plan.mode == StreamMode::Provisioned && *shards != seen.open_shards)?;
    // UpdateShardCount API reference: not more than double, not less than half.
    Some(Step::Reshard(wanted.clamp(seen.open_shards.div_ceil(2), seen.open_shards.saturating_mul(2))))
}

/// Our own stream works with any number of shards; it has been resharded by hand, or the plan has changed.
fn drift(plan: &StreamPlan, seen: &Seen) -> Vec<String> {
    let mut drift: Vec<_> = shape_difference(plan, seen).into_iter().map(|(difference, _)| difference).collect();
    if seen.retention_hours > plan.retention_hours {
        drift.push(format!(
            "it keeps records {} h and the Pipeline says {} h; a retention is never shortened, because that deletes records",
            seen.retention_hours, plan.retention_hours
        ));
    }
    drift
}

fn fits(plan: &StreamPlan, seen: &Seen) -> Result<(), ProvisionError> {
    let shape = shape_difference(plan, seen);
    let (difference, cure) = match shape {
        Some(difference) => difference,
        None if seen.retention_hours < plan.retention_hours => (
            format!("it keeps records {} h and the Pipeline says {} h", seen.retention_hours, plan.retention_hours),
            format!(
                "Lengthen it (aws kinesis increase-stream-retention-period --stream-name {} --retention-period-hours {}) \
                 or lower `retention` in the Pipeline",
                plan.name, plan.retention_hours
            ),
        ),
        None => return Ok(()),
    };
    let whose = match &seen.owner {
        Owner::Another(owner) => format!(" (it belongs to the Pipeline {owner})"),
        Owner::Nobody | Owner::Ours => " (it is not tagged as this Pipeline's, so it is not changed)".to_owned(),
    };
    let name = plan.name.clone();
    Err(ProvisionError::Mismatch { kind: Kind::Stream, name, difference: difference + &whose, cure })
}

/// The difference in mode or shards, and what would mend it.
fn shape_difference(plan: &StreamPlan, seen: &Seen) -> Option<(String, String)> {
    let name = &plan.name;
    if plan.mode != seen.mode {
        let difference = format!("its mode is {:?} and the Pipeline says {:?}", seen.mode, plan.mode);
        let cure = format!(
            "Set `mode: {:?}` in the Pipeline, or switch the stream (aws kinesis update-stream-mode)",
            seen.mode
        );
        return Some((difference, cure));
    }
    let shards = plan.shards.filter(|shards| plan.mode == StreamMode::Provisioned && *shards != seen.open_shards)?;
    let difference = format!("it has {} open shards and the Pipeline says {shards}", seen.open_shards);
    let cure = format!(
        "Set `shards: {}` in the Pipeline, or reshard the stream (aws kinesis update-shard-count --stream-name {name} \
         --target-shard-count {shards} --scaling-type UNIFORM_SCALING)",
        seen.open_shards
    );
    Some((difference, cure))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_api::plan::PipelineRef;
    use penstock_api::spec::DeletionPolicy;

    use super::*;

    fn plan() -> StreamPlan {
        StreamPlan {
            name: "shop.orders.events".to_owned(),
            owner: PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() },
            mode: StreamMode::Provisioned,
            shards: Some(4),
            retention_hours: 48,
            existing: None,
            deletion_policy: DeletionPolicy::Retain,
        }
    }

    fn seen() -> Seen {
        Seen {
            state: State::Active,
            mode: StreamMode::Provisioned,
            open_shards: 4,
            retention_hours: 48,
            owner: Owner::Ours,
            arn: "arn:aws:kinesis:eu-west-1:1:stream/shop.orders.events".to_owned(),
        }
    }

    fn mismatch(seen: &Seen) -> String {
        let error = next_step(&plan(), &Options::default(), Some(seen)).unwrap_err();
        assert_eq!(error.reason(), "resource_mismatch");
        error.to_string()
    }

    #[test]
    fn a_missing_stream_is_created_and_an_active_one_is_ready() {
        assert_eq!(next_step(&plan(), &Options::default(), None).unwrap(), Step::Create);
        assert_eq!(next_step(&plan(), &Options::default(), Some(&seen())).unwrap(), Step::Ready(Vec::new()));
    }

    #[test]
    fn a_stream_that_changes_or_goes_is_waited_for() {
        for state in [State::Changing, State::Deleting] {
            assert!(matches!(
                next_step(&plan(), &Options::default(), Some(&Seen { state, ..seen() })).unwrap(),
                Step::Wait(_)
            ));
        }
    }

    #[test]
    fn our_own_retention_is_lengthened_and_never_shortened() {
        let short = Seen { retention_hours: 24, ..seen() };
        assert_eq!(next_step(&plan(), &Options::default(), Some(&short)).unwrap(), Step::LengthenRetention);
        let long = Seen { retention_hours: 72, ..seen() };
        let Step::Ready(drift) = next_step(&plan(), &Options::default(), Some(&long)).unwrap() else {
            panic!("not ready")
        };
        assert!(drift[0].contains("72 h"), "{drift:?}");
    }

    #[test]
    fn our_own_stream_with_other_shards_is_used_and_reported() {
        let Step::Ready(drift) =
            next_step(&plan(), &Options::default(), Some(&Seen { open_shards: 8, ..seen() })).unwrap()
        else {
            panic!("not ready")
        };
        assert_eq!(drift, ["it has 8 open shards and the Pipeline says 4"]);
    }

    #[test]
    fn a_foreign_stream_is_used_when_it_fits_and_never_changed() {
        for owner in [Owner::Nobody, Owner::Another("lab/x".to_owned())] {
            let foreign = Seen { owner, retention_hours: 72, ..seen() };
            assert_eq!(next_step(&plan(), &Options::default(), Some(&foreign)).unwrap(), Step::Ready(Vec::new()));
            let shards = mismatch(&Seen { open_shards: 2, ..foreign.clone() });
            assert!(shards.contains("2 open shards") && shards.contains("update-shard-count"), "{shards}");
            let retention = mismatch(&Seen { retention_hours: 24, ..foreign.clone() });
            assert!(retention.contains("24 h"), "{retention}");
            let mode = mismatch(&Seen { mode: StreamMode::OnDemand, ..foreign });
            assert!(mode.contains("OnDemand"), "{mode}");
        }
    }

    #[test]
    fn on_demand_streams_may_have_any_number_of_shards() {
        let plan = StreamPlan { mode: StreamMode::OnDemand, shards: None, ..plan() };
        let seen = Seen { mode: StreamMode::OnDemand, open_shards: 16, owner: Owner::Nobody, ..seen() };
        assert_eq!(next_step(&plan, &Options::default(), Some(&seen)).unwrap(), Step::Ready(Vec::new()));
    }

    #[test]
    fn where_it_may_be_reshaped_our_own_stream_follows_the_plan_within_what_aws_allows() {
        let options = Options { reshape: true, ..Options::default() };
        let step = |open, wanted| {
            let plan = StreamPlan { shards: Some(wanted), ..plan() };
            next_step(&plan, &options, Some(&Seen { open_shards: open, ..seen() })).unwrap()
        };
        assert_eq!(step(4, 8), Step::Reshard(8));
        assert_eq!(step(4, 20), Step::Reshard(8));
        assert_eq!(step(5, 1), Step::Reshard(3));
        assert_eq!(step(4, 4), Step::Ready(Vec::new()));
        let on_demand = Seen { mode: StreamMode::OnDemand, ..seen() };
        assert_eq!(next_step(&plan(), &options, Some(&on_demand)).unwrap(), Step::SetMode);
        let foreign = Seen { open_shards: 2, owner: Owner::Nobody, ..seen() };
        assert!(next_step(&plan(), &options, Some(&foreign)).is_err(), "a foreign stream is never changed");
    }

    #[test]
    fn a_foreign_stream_is_adopted_or_refused_as_asked() {
        let asked = |existing, owner| {
            let plan = StreamPlan { existing: Some(existing), ..plan() };
            next_step(&plan, &Options::default(), Some(&Seen { owner, ..seen() }))
        };
        assert_eq!(asked(Existing::Adopt, Owner::Nobody).unwrap(), Step::Adopt);
        let another = || Owner::Another("lab/x".to_owned());
        for error in [
            asked(Existing::Adopt, another()),
            asked(Existing::Refuse, another()),
            asked(Existing::Refuse, Owner::Nobody),
        ] {
            assert_eq!(error.unwrap_err().reason(), "resource_is_foreign");
        }
        assert_eq!(asked(Existing::Refuse, Owner::Ours).unwrap(), Step::Ready(Vec::new()));
        assert_eq!(asked(Existing::Use, another()).unwrap(), Step::Ready(Vec::new()));
    }
}
