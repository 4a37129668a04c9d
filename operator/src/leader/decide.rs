//! Who may lead, from what was seen of the lease. Pure.
//!
//! Clocks of different machines are never compared: another's lease is over when it has not moved for its whole duration by the
//! observer's own monotonic clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;

/// What to do about the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// There is none: make it.
    Create,
    /// It is free, or its holder has not moved it for too long: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// It is another's.
    Wait,
}

/// Decides. `unmoved` is how long the lease has been seen as it is.
#[must_use]
pub fn decide(lease: Option<&LeaseSpec>, me: &str, unmoved: Duration) -> Decision {
    let Some(lease) = lease else { return Decision::Create };
    match lease.holder_identity.as_deref() {
        None | Some("") => Decision::Take,
        Some(holder) if holder == me => Decision::Renew,
        Some(_) if unmoved > duration(lease) => Decision::Take,
        Some(_) => Decision::Wait,
    }
}

fn duration(lease: &LeaseSpec) -> Duration {
    Duration::from_secs(lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(15))
}

/// Whether the leader must stop: it has not renewed for too long.
#[must_use]
pub fn must_stop(since_renewed: Duration, renew_deadline: Duration) -> bool {
    since_renewed >= renew_deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.to_owned()), lease_duration_seconds: Some(15), ..LeaseSpec::default() }
    }

    #[test]
    fn a_lease_is_made_taken_renewed_or_waited_for() {
        let now = Duration::ZERO;
        assert_eq!(decide(None, "a", now), Decision::Create);
        assert_eq!(decide(Some(&LeaseSpec::default()), "a", now), Decision::Take);
        assert_eq!(decide(Some(&lease("")), "a", now), Decision::Take, "it was given back");
        assert_eq!(decide(Some(&lease("a")), "a", now), Decision::Renew);
        assert_eq!(decide(Some(&lease("b")), "a", now), Decision::Wait);
    }

    #[test]
    fn anothers_lease_is_taken_only_when_it_has_not_moved_for_its_duration() {
        assert_eq!(decide(Some(&lease("b")), "a", Duration::from_secs(15)), Decision::Wait);
        assert_eq!(decide(Some(&lease("b")), "a", Duration::from_secs(16)), Decision::Take);
    }

    #[test]
    fn the_leader_stops_before_another_may_start() {
        let settings = crate::settings::ElectionSettings::new("ns", "lease", "a");
        assert!(must_stop(settings.renew_deadline, settings.renew_deadline));
        assert!(settings.attempt < settings.renew_deadline && settings.renew_deadline < settings.duration);
    }
}
