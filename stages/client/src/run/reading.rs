//! The thread that reads: from records to rows in their lanes, or to standard output in a dry run.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::prepare::{Prepared, RowSource};
use crate::deliver::Ordinal;
use crate::deliver::batch::{Batch, LaneWriters};
use crate::deliver::lane::Shared;
use crate::deliver::ledger::{Entry, Ledger};
use crate::deliver::rejects::Reject;
use crate::error::SendError;
use crate::input::records::Step;
use crate::progress::{Count, Progress};
use crate::rows::BadRow;
use crate::rows::select::Verdict;

/// After so many rows it is asked whether to stop.
const ROWS_BETWEEN_CHECKS: u64 = 64;
/// A paced run sends what it has so many times a second.
const TICKS_PER_SECOND: u32 = 10;
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How the reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// Every chosen row was handed over.
    All,
    /// Somebody asked to stop.
    Stopped,
}

/// What came next.
enum Next {
    /// A row, as JSON in the caller's buffer.
    Row { key: u64, ordinal: Ordinal, line: u64 },
    /// A chosen row that cannot be sent.
    Bad(Ordinal, Reject),
    /// The input waits.
    Idle,
    /// No more rows are chosen.
    End,
}

/// The chosen rows, one after the other.
struct Rows<'a> {
    source: RowSource,
    progress: &'a Progress,
    number: u64,
    taken: Ordinal,
}

impl<'a> Rows<'a> {
    fn new(source: RowSource, progress: &'a Progress) -> Self {
        Self { source, progress, number: 0, taken: 0 }
    }

    /// The next chosen row that no earlier run settled.
    fn next(&mut self, json: &mut Vec<u8>) -> Result<Next, SendError> {
        loop {
            let by_number = self.source.selector.by_number(self.number + 1, self.taken);
            if by_number == Verdict::Stop {
                return Ok(Next::End);
            }
            let step = self.source.records.advance().map_err(|source| {
                let name = self.source.survey.name.clone();
                SendError::Read { name, source }
            })?;
            let unreadable = match step {
                Step::End => return Ok(Next::End),
                Step::Idle => return Ok(Next::Idle),
                Step::Unreadable(why) => Some(why),
                Step::Record => None,
            };
            self.number += 1;
            self.progress.add(Count::Read, 1);
            if by_number == Verdict::Leave {
                continue;
            }
            let line = self.source.records.line();
            let record = match unreadable {
                Some(why) => Err(why),
                None => self.source.records.record(),
            };
            let made = match record {
                Err(why) => Err(BadRow { code: why.code(), field: None, reason: why.reason().to_owned() }),
                Ok(record) => match self.source.selector.by_content(&record) {
                    Verdict::Leave | Verdict::Stop => continue,
                    Verdict::Bad(bad) => Err(bad),
                    Verdict::Take => {
                        json.clear();
                        self.source.layout.write(&record, line, json)
                    }
                },
            };
            let ordinal = self.taken;
            self.taken += 1;
            self.progress.add(Count::Selected, 1);
            if self.source.done.contains(ordinal) {
                self.progress.add(Count::SettledBefore, 1);
                continue;
            }
            return Ok(match made {
                Ok(key) => Next::Row { key, ordinal, line },
                Err(bad) => Next::Bad(ordinal, self.reject(line, bad)),
            });
        }
    }

    fn reject(&self, line: u64, bad: BadRow) -> Reject {
        self.progress.add(Count::Bad, 1);
        let original = self.source.records.raw_text().into_owned();
        Reject { line, code: bad.code.to_owned(), field: bad.field, reason: bad.reason, original }
    }
}

/// Hands the chosen rows to the lanes, at the rate that was asked for.
pub(super) fn read_into_lanes(
    source: RowSource,
    queues: Vec<mpsc::Sender<Batch>>,
    shared: &Shared,
    entries: &mpsc::Sender<Entry>,
) -> Result<ReadEnd, SendError> {
    let mut lanes = LaneWriters::new(queues, &shared.limits);
    let mut pacer = source.rate.map(Pacer::new);
    let mut rows = Rows::new(source, &shared.progress);
    let mut json = Vec::new();
    for handled in 0_u64.. {
        if handled.is_multiple_of(ROWS_BETWEEN_CHECKS) && shared.stop.is_cancelled() {
            return Ok(ReadEnd::Stopped);
        }
        let handed_over = match rows.next(&mut json) {
            Err(_) if shared.stop.is_cancelled() => return Ok(ReadEnd::Stopped),
            Err(error) => return Err(error),
            Ok(Next::End) => break,
            Ok(Next::Idle) => lanes.flush_idle().is_ok() && !shared.stop.is_cancelled(),
            Ok(Next::Bad(ordinal, reject)) => {
                entries.blocking_send(Entry { bad: vec![(ordinal, reject)], ..Entry::default() }).is_ok()
            }
            Ok(Next::Row { key, ordinal, line }) => {
                let in_time = match pacer.as_mut().and_then(Pacer::due) {
                    Some(due) => lanes.flush_idle().is_ok() && sleep_until(due, &shared.stop),
                    None => true,
                };
                in_time && lanes.push(key, ordinal, line, &json, rows.source.records.raw()).is_ok()
            }
        };
        if !handed_over {
            return Ok(ReadEnd::Stopped);
        }
    }
    if lanes.flush().is_err() {
        return Ok(ReadEnd::Stopped);
    }
    rows.source.survey.check_unchanged()?;
    Ok(ReadEnd::All)
}

/// Writes the JSON lines of the chosen rows to `out`.
pub(super) fn print_rows(
    prepared: Prepared,
    mut out: Box<dyn Write + Send>,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<(ReadEnd, Ledger), SendError> {
    let Prepared { reader, mut ledger, .. } = prepared;
    let mut rows = Rows::new(reader, progress);
    let mut json = Vec::new();
    let mut end = ReadEnd::All;
    for handled in 0_u64.. {
        if handled.is_multiple_of(ROWS_BETWEEN_CHECKS) && stop.is_cancelled() {
            end = ReadEnd::Stopped;
            break;
        }
        let wanted = match rows.next(&mut json) {
            Err(_) if stop.is_cancelled() => {
                end = ReadEnd::Stopped;
                break;
            }
            Err(error) => return Err(error),
            Ok(Next::End) => break,
            Ok(Next::Idle) => still_wanted(out.flush())?,
            Ok(Next::Row { .. }) => {
                progress.add(Count::Sent, 1);
                still_wanted(out.write_all(&json))?
            }
            Ok(Next::Bad(_, reject)) => {
                ledger.rejects.push(&reject);
                ledger.rejects.flush(false)?;
                true
            }
        };
        if !wanted {
            break;
        }
    }
    still_wanted(out.flush())?;
    Ok((end, ledger))
}

/// False when whoever reads what is printed has seen enough.
fn still_wanted(written: io::Result<()>) -> Result<bool, SendError> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(SendError::File { action: "write to", path: "standard output".into(), source }),
    }
}

/// Spreads rows over time: a tenth of a second's rows at a time.
struct Pacer {
    rate: u32,
    burst: u64,
    started: Instant,
    given: u64,
}

impl Pacer {
    fn new(rate: u32) -> Self {
        Self { rate, burst: u64::from(rate / TICKS_PER_SECOND).max(1), started: Instant::now(), given: 0 }
    }

    /// When the next row may go, if that is not now.
    fn due(&mut self) -> Option<Instant> {
        let first_of_burst = self.given.is_multiple_of(self.burst);
        let offset = Duration::from_nanos(self.given.saturating_mul(1_000_000_000) / u64::from(self.rate));
        self.given += 1;
        if !first_of_burst {
            return None;
        }
        let due = self.started + offset;
        let now = Instant::now();
        if now.duration_since(due) > Duration::from_secs(1) {
            // The input or the endpoint was slower; what was missed is not made up for.
            self.started = now;
            self.given = 1;
        }
        (due > now).then_some(due)
    }
}

/// False when it is told to stop meanwhile.
fn sleep_until(due: Instant, stop: &CancellationToken) -> bool {
    loop {
        if stop.is_cancelled() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(LONGEST_SLEEP));
    }
}
