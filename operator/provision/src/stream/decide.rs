//! The next step towards a stream that fits the plan, from what was seen of it.

use std::time::Duration;

use penstock_api::plan::{EncryptionPlan, StreamPlan};
use penstock_api::spec::{Existing, StreamMode};

use crate::Options;
use crate::error::{Kind, ProvisionError};
use crate::ownership::{Owner, may_be_adopted, may_become_ours, may_use};

/// A stream as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) mode: StreamMode,
    pub(crate) open_shards: u32,
    pub(crate) retention_hours: u32,
    /// The largest record, where the service says it.
    pub(crate) record_kib: Option<u32>,
    pub(crate) encryption: EncryptionPlan,
    pub(crate) owner: Owner,
    pub(crate) age: Option<Duration>,
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
    /// Tag it as ours.
    Adopt,
    /// Keep records longer.
    Lengthen,
    /// Keep records shorter, which deletes those that are older: only once every sink has stored them.
    Shorten,
    /// Take larger records, in KiB.
    RaiseRecordSize(u32),
    /// Encrypt with this key, also when it is encrypted with another.
    Encrypt(String),
    /// Do not encrypt with this key any more.
    StopEncryption(String),
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
    if may_become_ours(&seen.owner, existing, seen.age) {
        return Ok(Step::Wait("the stream was made just now, and whose it is may not be seen yet"));
    }
    may_use(Kind::Stream, &plan.name, &seen.owner, existing)?;
    if existing == Existing::Adopt && may_be_adopted(&seen.owner) {
        return Ok(Step::Adopt);
    }
    if seen.owner != Owner::Ours {
        return fits(plan, seen).map(|()| Step::Ready(Vec::new()));
    }
    let step = complete(plan, seen).or_else(|| options.reshape.then(|| reshape(plan, seen)).flatten());
    Ok(step.unwrap_or_else(|| Step::Ready(drift(plan, seen))))
}

/// What stages need, and what nobody loses by. What AWS counts comes last, so that it holds up nothing else.
fn complete(plan: &StreamPlan, seen: &Seen) -> Option<Step> {
    if seen.retention_hours < plan.retention_hours {
        return Some(Step::Lengthen);
    }
    if let (Some(wanted), Some(there)) = (plan.max_record_kib, seen.record_kib)
        && there < wanted
    {
        return Some(Step::RaiseRecordSize(wanted));
    }
    match (plan.encryption.as_ref()?, &seen.encryption) {
        (EncryptionPlan::Kms(key), EncryptionPlan::None) => Some(Step::Encrypt(key.clone())),
        (EncryptionPlan::Kms(key), EncryptionPlan::Kms(there)) => {
            (compare(key, there) == Keys::Differ).then(|| Step::Encrypt(key.clone()))
        }
        (EncryptionPlan::None, EncryptionPlan::Kms(there)) => Some(Step::StopEncryption(there.clone())),
        (EncryptionPlan::None, EncryptionPlan::None) => None,
    }
}

/// The next step towards the plan's mode, shards and shorter retention.
fn reshape(plan: &StreamPlan, seen: &Seen) -> Option<Step> {
    if plan.mode != seen.mode {
        return Some(Step::SetMode);
    }
    let wanted = plan.shards.filter(|shards| plan.mode == StreamMode::Provisioned && *shards != seen.open_shards);
    if let Some(wanted) = wanted {
        // UpdateShardCount API reference: not more than double, not less than half.
        return Some(Step::Reshard(wanted.clamp(seen.open_shards.div_ceil(2), seen.open_shards.saturating_mul(2))));
    }
    (plan.may_shorten && plan.retention_hours < seen.retention_hours).then_some(Step::Shorten)
}

/// Two names of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Same,
    Differ,
    /// An alias and a key: only KMS knows what the alias points to.
    Unknown,
}

fn compare(one: &str, other: &str) -> Keys {
    /// What an ARN ends with; a bare id is a key's.
    fn tail(name: &str) -> String {
        let tail = name.rsplit(':').next().unwrap_or(name);
        if tail.contains('/') { tail.to_owned() } else { format!("key/{tail}") }
    }
    if one == other {
        return Keys::Same;
    }
    if one.starts_with("arn:") && other.starts_with("arn:") && one.contains(":alias/") == other.contains(":alias/") {
        return Keys::Differ;
    }
    let (one, other) = (tail(one), tail(other));
    match one.starts_with("alias/") == other.starts_with("alias/") {
        true if one == other => Keys::Same,
        true => Keys::Differ,
        false => Keys::Unknown,
    }
}

/// Our own stream works with any number of shards; it has been resharded by hand, or the plan has changed.
pub(crate) fn drift(plan: &StreamPlan, seen: &Seen) -> Vec<String> {
    let mut drift: Vec<_> = shape_difference(plan, seen).into_iter().map(|(difference, _)| difference).collect();
    if seen.retention_hours > plan.retention_hours {
        drift.push(format!(
            "{}; a shorter retention deletes records, so it is not shortened unless the Pipeline's `retention` asks for it",
            retention_difference(plan, seen)
        ));
    }
    if let (Some(wanted), Some(there)) = (plan.max_record_kib, seen.record_kib)
        && there > wanted
    {
        drift.push(format!(
            "its largest record is {there} KiB and the Pipeline says {wanted} KiB; it is not lowered, because records on \
             their way could then be refused"
        ));
    }
    if let (Some(EncryptionPlan::Kms(key)), EncryptionPlan::Kms(there)) = (&plan.encryption, &seen.encryption)
        && compare(key, there) == Keys::Unknown
    {
        drift.push(format!("its key is {there:?}; whether {key:?} is the same one is not looked at"));
    }
    drift
}

fn retention_difference(plan: &StreamPlan, seen: &Seen) -> String {
    format!("it keeps records {} h and the Pipeline says {} h", seen.retention_hours, plan.retention_hours)
}

/// Why a stream is not shortened yet.
pub(crate) fn waits_for_readers(plan: &StreamPlan, seen: &Seen) -> String {
    format!(
        "{}; it is shortened once every sink is known to have stored the records that this deletes",
        retention_difference(plan, seen)
    )
}

/// What a change waits for that AWS lets happen so often in a day.
pub(crate) fn waits_for_aws(step: &Step) -> Option<&'static str> {
    match step {
        Step::Reshard(_) => Some(
            "AWS reshards a stream to half or double at one time, and ten times in 24 hours: the next step follows when it \
             lets it, or raise the account's limits",
        ),
        Step::SetMode => Some("AWS changes a stream's mode twice in 24 hours: it follows when it lets it"),
        Step::Encrypt(_) | Step::StopEncryption(_) => {
            Some("AWS changes a stream's encryption 25 times in 24 hours: it follows when it lets it")
        }
        _ => None,
    }
}

/// Whether a stream that is not ours can be used as it is.
fn fits(plan: &StreamPlan, seen: &Seen) -> Result<(), ProvisionError> {
    let differences = [shape_difference, short_retention, small_records, other_encryption];
    let Some((difference, cure)) = differences.into_iter().find_map(|difference| difference(plan, seen)) else {
        return Ok(());
    };
    let whose = match &seen.owner {
        Owner::Another(owner) => format!(" (it belongs to the Pipeline {owner})"),
        Owner::Nobody | Owner::OfUnnamedCluster(_) | Owner::Ours => {
            " (it is not tagged as this Pipeline's, so it is not changed)".to_owned()
        }
    };
    let name = plan.name.clone();
    Err(ProvisionError::Mismatch { kind: Kind::Stream, name, difference: difference + &whose, cure })
}

/// A difference, and what would mend it.
type Difference = Option<(String, String)>;

/// The difference in mode or shards.
fn shape_difference(plan: &StreamPlan, seen: &Seen) -> Difference {
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

fn short_retention(plan: &StreamPlan, seen: &Seen) -> Difference {
    (seen.retention_hours < plan.retention_hours).then(|| {
        let cure = format!(
            "Lengthen it (aws kinesis increase-stream-retention-period --stream-name {} --retention-period-hours {}) or \
             lower `retention` in the Pipeline",
            plan.name, plan.retention_hours
        );
        (retention_difference(plan, seen), cure)
    })
}

fn small_records(plan: &StreamPlan, seen: &Seen) -> Difference {
    let (wanted, there) = (plan.max_record_kib?, seen.record_kib?);
    (there < wanted).then(|| {
        let difference = format!("its largest record is {there} KiB and the Pipeline says {wanted} KiB");
        let cure = format!(
            "Raise it (aws kinesis update-max-record-size --stream-arn {} --max-record-size-in-ki-b {wanted}) or lower \
             `maxRecordSize` in the Pipeline",
            seen.arn
        );
        (difference, cure)
    })
}

fn other_encryption(plan: &StreamPlan, seen: &Seen) -> Difference {
    let said = |encryption: &EncryptionPlan| match encryption {
        EncryptionPlan::None => "it is not encrypted".to_owned(),
        EncryptionPlan::Kms(key) => format!("it is encrypted with the key {key:?}"),
    };
    let wanted = plan.encryption.as_ref()?;
    let fits = match (wanted, &seen.encryption) {
        (EncryptionPlan::Kms(key), EncryptionPlan::Kms(there)) => compare(key, there) != Keys::Differ,
        (wanted, there) => wanted == there,
    };
    (!fits).then(|| {
        let difference = format!("{} and the Pipeline says that {}", said(&seen.encryption), said(wanted));
        let cure = "Change it (aws kinesis start-stream-encryption, stop-stream-encryption) or leave `encryption` out of \
                    the Pipeline";
        (difference, cure.to_owned())
    })
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
            part: "events".to_owned(),
            may_shorten: true,
            max_record_kib: None,
            encryption: None,
            readers: Vec::new(),
            consumers: Vec::new(),
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
            record_kib: Some(1024),
            encryption: EncryptionPlan::None,
            owner: Owner::Ours,
            age: Some(Duration::from_secs(3600)),
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

    const RESHAPE: Options = Options { create_buckets: false, reshape: true, existing: Existing::Use, cluster: None };

    fn step(plan: &StreamPlan, seen: &Seen) -> Step {
        next_step(plan, &RESHAPE, Some(seen)).unwrap()
    }

    fn drift_of(plan: &StreamPlan, options: &Options, seen: &Seen) -> String {
        match next_step(plan, options, Some(seen)).unwrap() {
            Step::Ready(drift) => drift.join("; "),
            other => panic!("not ready: {other:?}"),
        }
    }

    #[test]
    fn our_own_retention_is_lengthened_and_shortened_only_where_that_was_written_down() {
        let short = Seen { retention_hours: 24, ..seen() };
        assert_eq!(next_step(&plan(), &Options::default(), Some(&short)).unwrap(), Step::Lengthen);
        let long = Seen { retention_hours: 72, ..seen() };
        assert_eq!(step(&plan(), &long), Step::Shorten);
        assert!(waits_for_readers(&plan(), &long).contains("once every sink is known to have stored"));
        let by_default = StreamPlan { may_shorten: false, ..plan() };
        assert!(drift_of(&by_default, &RESHAPE, &long).contains("72 h"));
        assert!(drift_of(&plan(), &Options::default(), &long).contains("72 h"));
    }

    #[test]
    fn a_larger_record_is_allowed_and_never_a_smaller_one() {
        let plan = |kib| StreamPlan { max_record_kib: Some(kib), ..plan() };
        assert_eq!(step(&plan(4096), &seen()), Step::RaiseRecordSize(4096));
        let large = Seen { record_kib: Some(10_240), ..seen() };
        assert!(drift_of(&plan(4096), &RESHAPE, &large).contains("10240 KiB"));
        assert!(drift_of(&plan(4096), &RESHAPE, &Seen { record_kib: None, ..seen() }).is_empty(), "it is not said");
        assert!(drift_of(&self::plan(), &RESHAPE, &large).is_empty(), "it is left as it is");
    }

    #[test]
    fn encryption_follows_the_plan_and_is_left_alone_without_one() {
        let wanted = |encryption| StreamPlan { encryption: Some(encryption), ..plan() };
        let kms = |key: &str| EncryptionPlan::Kms(key.to_owned());
        let with = |key: &str| Seen { encryption: kms(key), ..seen() };
        assert_eq!(step(&wanted(kms("alias/a")), &seen()), Step::Encrypt("alias/a".to_owned()));
        assert_eq!(step(&wanted(kms("alias/a")), &with("alias/a")), Step::Ready(Vec::new()));
        assert_eq!(step(&wanted(kms("alias/a")), &with("alias/b")), Step::Encrypt("alias/a".to_owned()));
        assert_eq!(step(&wanted(EncryptionPlan::None), &with("alias/b")), Step::StopEncryption("alias/b".to_owned()));
        assert_eq!(step(&wanted(EncryptionPlan::None), &seen()), Step::Ready(Vec::new()));
        assert_eq!(step(&plan(), &with("alias/b")), Step::Ready(Vec::new()));
        let resolved = with("arn:aws:kms:eu-west-1:123456789012:key/0b1e5c3a");
        assert!(drift_of(&wanted(kms("alias/a")), &RESHAPE, &resolved).contains("not looked at"));
    }

    #[test]
    fn a_key_has_several_names() {
        let arn = |name: &str| format!("arn:aws:kms:eu-west-1:123456789012:{name}");
        for (one, other, expected) in [
            ("alias/a", arn("alias/a"), Keys::Same),
            ("0b1e5c3a", arn("key/0b1e5c3a"), Keys::Same),
            ("0b1e5c3a", arn("key/1b1e5c3a"), Keys::Differ),
            ("alias/a", arn("key/0b1e5c3a"), Keys::Unknown),
            ("alias/a", "0b1e5c3a".to_owned(), Keys::Unknown),
            ("alias/a", "alias/b".to_owned(), Keys::Differ),
            ("arn:aws:kms:eu-west-2:123456789012:key/0b1e5c3a", arn("key/0b1e5c3a"), Keys::Differ),
        ] {
            assert_eq!(compare(one, &other), expected, "{one} {other}");
            assert_eq!(compare(&other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn what_aws_counts_comes_last_and_says_what_it_waits_for() {
        let plan = StreamPlan {
            mode: StreamMode::OnDemand,
            shards: None,
            retention_hours: 72,
            max_record_kib: Some(2048),
            encryption: Some(EncryptionPlan::Kms("alias/a".to_owned())),
            ..plan()
        };
        let mut seen = seen();
        assert_eq!(step(&plan, &seen), Step::Lengthen);
        seen.retention_hours = 72;
        assert_eq!(step(&plan, &seen), Step::RaiseRecordSize(2048));
        seen.record_kib = Some(2048);
        assert_eq!(step(&plan, &seen), Step::Encrypt("alias/a".to_owned()));
        seen.encryption = EncryptionPlan::Kms("alias/a".to_owned());
        assert_eq!(step(&plan, &seen), Step::SetMode);
        assert!(waits_for_aws(&Step::SetMode).unwrap().contains("twice in 24 hours"));
        assert!(waits_for_aws(&Step::Reshard(8)).unwrap().contains("ten times in 24 hours"));
    }

    #[test]
    fn a_stream_without_tags_that_was_made_just_now_is_not_taken_for_a_foreign_one() {
        let plan = StreamPlan { existing: Some(Existing::Refuse), ..plan() };
        let young = Seen { owner: Owner::Nobody, age: Some(Duration::from_secs(2)), ..seen() };
        assert!(matches!(step(&plan, &young), Step::Wait(_)));
        let old = Seen { age: Some(Duration::from_secs(60)), ..young };
        assert_eq!(next_step(&plan, &RESHAPE, Some(&old)).unwrap_err().reason(), "resource_is_foreign");
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
            let mode = mismatch(&Seen { mode: StreamMode::OnDemand, ..foreign.clone() });
            assert!(mode.contains("OnDemand"), "{mode}");
            let large = StreamPlan { max_record_kib: Some(2048), ..plan() };
            let error = next_step(&large, &Options::default(), Some(&foreign)).unwrap_err().to_string();
            assert!(error.contains("1024 KiB") && error.contains("update-max-record-size"), "{error}");
            let encryption = Some(EncryptionPlan::Kms("alias/a".to_owned()));
            let encrypted = StreamPlan { encryption, ..plan() };
            let error = next_step(&encrypted, &Options::default(), Some(&foreign)).unwrap_err().to_string();
            assert!(error.contains("is not encrypted") && error.contains("start-stream-encryption"), "{error}");
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
