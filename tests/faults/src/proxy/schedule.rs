//! Which fault meets which request.
//!
//! Faults come in weather: for two seconds at a time the way to each service is fair, rainy or stormy, or the service is out.
//! So there are quiet stretches in which work is begun, and rough ones in which it is broken off.

use std::time::Duration;

use super::request::Asked;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The service says that it is asked for too much, and does nothing.
    Throttle,
    /// The service breaks before it does anything.
    Break,
    /// The service does it, and breaks before it says so.
    BreakAfter,
    /// The service does a part of the batch.
    Part,
    /// The connection is reset, and nothing was done.
    Reset,
    /// It is done, and the connection is reset before the answer.
    ResetAfter,
    /// It is done, and the connection breaks off in the middle of the answer.
    Cut,
    /// No answer for a time, then a broken connection, and nothing was done.
    Hang(Duration),
    /// It is done, and no answer comes for a time, then a broken connection.
    HangAfter(Duration),
    /// It comes late.
    Delay(Duration),
    /// The answer comes late.
    DelayAfter(Duration),
    /// It is delivered twice, one after the other.
    Twice,
    /// It is delivered, and once more after a time.
    Again(Duration),
}

impl Fault {
    /// Its name, for counting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttled",
            Self::Break => "broken",
            Self::BreakAfter => "broken after the effect",
            Self::Part => "done in part",
            Self::Reset => "reset",
            Self::ResetAfter => "reset after the effect",
            Self::Cut => "answer cut",
            Self::Hang(_) => "hung",
            Self::HangAfter(_) => "hung after the effect",
            Self::Delay(_) => "delayed",
            Self::DelayAfter(_) => "answer delayed",
            Self::Twice => "delivered twice",
            Self::Again(_) => "delivered again later",
        }
    }
}

/// How long the weather stays as it is.
const SPELL: Duration = Duration::from_secs(2);

/// The schedule of one gate.
#[derive(Debug, Clone)]
pub struct Schedule {
    seed: u64,
    /// The longest that anything hangs.
    patience: Duration,
}

impl Schedule {
    /// The schedule that follows from a seed for the gate of this name.
    #[must_use]
    pub fn new(seed: u64, gate: &str, patience: Duration) -> Self {
        Self { seed: mixed(seed, gate.as_bytes()), patience }
    }

    /// What happens to the `count`th request for an operation, when it comes `elapsed` after the beginning.
    pub(super) fn fault(&self, asked: &Asked, count: u64, elapsed: Duration) -> Option<Fault> {
        let spell = elapsed.as_millis() / SPELL.as_millis();
        let mut weather = self.random(&[&[asked.service as u8], &spell.to_le_bytes()]);
        let mut request = self.random(&[asked.operation.as_bytes(), &count.to_le_bytes()]);
        let odds = match weather.u32(..100) {
            0..50 => 0.01,
            50..78 => 0.08,
            78..95 => 0.3,
            _ => return Some(outage(&mut weather)),
        };
        (request.f64() < odds).then(|| self.any(asked, &mut request))
    }

    /// For what is decided about one request beside its fault.
    pub(super) fn details(&self, asked: &Asked, count: u64) -> fastrand::Rng {
        self.random(&[b"details", asked.operation.as_bytes(), &count.to_le_bytes()])
    }

    fn any(&self, asked: &Asked, random: &mut fastrand::Rng) -> Fault {
        if asked.is_batch() && random.u32(..3) == 0 {
            return Fault::Part;
        }
        let millis = |random: &mut fastrand::Rng, most: Duration| {
            let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(random.u64(20.min(most)..=most))
        };
        match random.u32(..40) {
            0..8 => Fault::Throttle,
            8..12 => Fault::Break,
            12..16 => Fault::BreakAfter,
            16..20 => Fault::Reset,
            20..24 => Fault::ResetAfter,
            24..26 => Fault::Cut,
            26 => Fault::Hang(millis(random, self.patience)),
            27 => Fault::HangAfter(millis(random, self.patience)),
            28..31 => Fault::Delay(millis(random, Duration::from_secs(1))),
            31..34 => Fault::DelayAfter(millis(random, Duration::from_secs(1))),
            34..37 => Fault::Twice,
            _ => Fault::Again(millis(random, Duration::from_secs(5))),
        }
    }

    fn random(&self, parts: &[&[u8]]) -> fastrand::Rng {
        fastrand::Rng::with_seed(parts.iter().fold(self.seed, |seed, part| mixed(seed, part)))
    }
}

/// Everything fails in the same way.
fn outage(weather: &mut fastrand::Rng) -> Fault {
    match weather.u32(..4) {
        0 => Fault::Throttle,
        1 => Fault::Break,
        2 => Fault::Reset,
        _ => Fault::ResetAfter,
    }
}

/// FNV-1a: the same on every machine and with every compiler, so that a seed keeps its meaning.
pub(crate) fn mixed(seed: u64, bytes: &[u8]) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::request::Service;
    use super::*;

    fn asked(service: Service, operation: &str) -> Asked {
        Asked { service, operation: operation.to_owned() }
    }

    fn faults(seed: u64, gate: &str) -> Vec<Option<Fault>> {
        let schedule = Schedule::new(seed, gate, Duration::from_secs(5));
        let put = asked(Service::Kinesis, "PutRecords");
        (0..2_000_u64).map(|count| schedule.fault(&put, count, Duration::from_millis(count * 50))).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_gate_others() {
        assert_eq!(faults(7, "a"), faults(7, "a"));
        assert_ne!(faults(7, "a"), faults(7, "b"));
        assert_ne!(faults(7, "a"), faults(8, "a"));
    }

    #[test]
    fn every_kind_of_fault_happens_and_most_requests_meet_none() {
        let all: Vec<_> = (0..5).flat_map(|seed| faults(seed, "a")).collect();
        let names: BTreeSet<_> = all.iter().flatten().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), 13, "{names:?}");
        let spared = all.iter().filter(|fault| fault.is_none()).count();
        assert!(spared * 10 > all.len() * 7 && spared * 100 < all.len() * 95, "{spared} of {}", all.len());
    }
}
