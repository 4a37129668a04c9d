//! How a sink reads a shard, and how often it closes a range: pure.
//!
//! At the tip a reader waits 250 ms after an answer with records, and half a second and a second after empty ones
//! (`stages/consumer/src/pace.rs`). A range is open from the answer that begins it until it is full or as old as its sink
//! lets it be (`fill.rs`); the next answer with records begins the next.

/// The waits after an answer: with records, empty, empty again.
const WAITS: [f64; 3] = [0.25, 0.5, 1.0];
/// From this age on it does not matter at which answer a range was begun.
const LONG: f64 = 3.0;
/// What is less likely than this is left out.
const UNLIKELY: f64 = 1e-6;

/// Reads of a shard into which so many records come a second, by chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads {
    /// From one read to the next, by what the one before brought.
    between: [f64; 3],
    /// The chance that nothing comes meanwhile.
    nothing: [f64; 3],
}

impl Reads {
    pub(super) fn new(records_per_second: f64, call_seconds: f64) -> Self {
        let between = WAITS.map(|wait| wait + call_seconds);
        Self { between, nothing: between.map(|time| (-records_per_second * time).exp()) }
    }

    /// `GetRecords` a second.
    pub(super) fn per_second(&self) -> f64 {
        // How often each wait occurs, for each time that the first does.
        let second = self.nothing[0];
        let third = second * self.nothing[1] / (1.0 - self.nothing[2]).max(UNLIKELY);
        let (reads, time) = [1.0, second, third]
            .iter()
            .zip(self.between)
            .fold((0.0, 0.0), |(reads, time), (share, between)| (reads + share, time + share * between));
        reads / time
    }

    /// From the begin of a range to the begin of the next, when a range is closed at this age.
    pub(super) fn range_seconds(&self, age: f64) -> f64 {
        if age > LONG {
            // The range ends somewhere between two reads.
            return age + self.between[0] / 2.0 + self.nothing[0] * self.until_records(1);
        }
        self.begun(age, 0, 0.0, 1.0)
    }

    /// The time at which the next range begins, times the chance of getting here: a read at this time of the range, the
    /// wait after it.
    fn begun(&self, age: f64, wait: usize, time: f64, chance: f64) -> f64 {
        if chance < UNLIKELY {
            return chance * (age + self.between[0]);
        }
        let next = time + self.between[wait];
        let (empty, longer) = (chance * self.nothing[wait], (wait + 1).min(WAITS.len() - 1));
        let brought = chance - empty;
        if next <= age {
            self.begun(age, 0, next, brought) + self.begun(age, longer, next, empty)
        } else {
            brought * next + empty * (next + self.until_records(longer))
        }
    }

    /// From a read to the first one that brings records.
    fn until_records(&self, wait: usize) -> f64 {
        let last = WAITS.len() - 1;
        if wait >= last {
            return self.between[last] / (1.0 - self.nothing[last]).max(UNLIKELY);
        }
        self.between[wait] + self.nothing[wait] * self.until_records(wait + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_shard_is_read_four_times_a_second_and_an_idle_one_once() {
        assert!((Reads::new(1_000.0, 0.0).per_second() - 4.0).abs() < 1e-9);
        assert!((Reads::new(0.0, 0.0).per_second() - 1.0).abs() < 1e-3);
        let between = Reads::new(2.0, 0.01).per_second();
        assert!((1.5..3.0).contains(&between), "{between}");
    }

    #[test]
    fn ranges_begin_at_reads() {
        // Read at 0, 0.26 and 0.52: the third is after the end.
        assert!((Reads::new(1_000.0, 0.01).range_seconds(0.5) - 0.52).abs() < 1e-9);
        // Hardly anything comes: a range a record.
        let rare = Reads::new(0.01, 0.01).range_seconds(0.5);
        assert!((100.0..103.0).contains(&rare), "{rare}");
        let long = Reads::new(1_000.0, 0.01).range_seconds(300.0);
        assert!((300.0..300.3).contains(&long), "{long}");
    }

    #[test]
    fn the_time_between_ranges_is_what_throwing_dice_gives() {
        for (records_per_second, age) in [(4.0, 0.5), (1.5, 0.5), (20.0, 1.0), (3.0, 2.0)] {
            let reads = Reads::new(records_per_second, 0.02);
            let (found, thrown) = (reads.range_seconds(age), thrown(&reads, age));
            assert!((found - thrown).abs() < 0.02 * thrown, "{records_per_second} {age}: {found} {thrown}");
        }
    }

    /// The mean of many ranges, read by read.
    fn thrown(reads: &Reads, age: f64) -> f64 {
        let mut random = dice(7);
        let (mut time, mut wait, mut opened, mut ranges) = (0.0, 0, 0.0, 0);
        while ranges < 40_000 {
            time += reads.between[wait];
            if random() < reads.nothing[wait] {
                wait = (wait + 1).min(2);
                continue;
            }
            wait = 0;
            if time - opened > age {
                (opened, ranges) = (time, ranges + 1);
            }
        }
        time / f64::from(ranges)
    }

    /// Numbers between 0 and 1.
    fn dice(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }
}
