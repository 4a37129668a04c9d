//! What was settled, on disk: a client that is killed goes on where it was.
//!
//! A text file that only grows, each line with a checksum at its end:
//!
//! ```text
//! penstock-journal 1 {"source":…,"file":…,"to":…,"selection":…} 5d1f00c2
//! rows ACCEPTED REFUSED BAD REJECTS-LENGTH GAP+LENGTH,… 91ab33e0
//! complete 0badcafe
//! ```
//!
//! A line counts when it ends with its checksum; behind the first that does not, everything was torn by a crash and
//! is cut off: the rows that it spoke of are sent again, with the same ids. Ordinals (see [`Ordinal`]) make it small:
//! all that is settled is one range and what the lanes have on their way. From time to time it is written anew
//! as one line, into a file that then takes its name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Ordinal;
use super::ranges::RangeSet;
use crate::error::SendError;

const MAGIC: &str = "penstock-journal 1 ";
/// The journal is written anew when it has grown by so much.
const COMPACT_BYTES: u64 = 1 << 20;

/// What a journal is of: rows settled of one are not settled of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// The hash of the content, or the name that stands for it.
    pub(crate) source: String,
    /// The file's name, for people.
    pub(crate) file: String,
    /// The endpoint.
    pub(crate) to: String,
    /// How rows were chosen and parted, on which their ordinals depend.
    pub(crate) selection: String,
}

/// Counts of settled rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) bad: u64,
}

impl Settled {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.bad += other.bad;
    }
}

/// An open journal, locked against other clients.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    subject: Subject,
    done: RangeSet,
    settled: Settled,
    rejects_length: u64,
    complete: bool,
    /// Bytes behind the last compact form.
    grown: u64,
    staged: RangeSet,
    staged_counts: Settled,
}

impl Journal {
    /// Opens the journal of `subject`: an existing one with `resume`, else a new one.
    pub(crate) fn open(path: &Path, subject: Subject, resume: bool) -> Result<Self, SendError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(_) if !resume => Err(SendError::JournalExists { path: path.to_owned() }),
            Ok(file) => Self::read(path, file, subject),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path, subject),
            Err(error) => Err(SendError::file("open the journal", path)(error)),
        }
    }

    /// The rows that were settled before this run.
    pub(crate) fn done(&self) -> &RangeSet {
        &self.done
    }

    /// How many rows were accepted, refused and bad, in all runs.
    pub(crate) fn settled(&self) -> Settled {
        self.settled
    }

    /// How long the file of rejects was when it was noted last.
    pub(crate) fn rejects_length(&self) -> u64 {
        self.rejects_length
    }

    /// Whether everything was settled.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes up a settled row; [`Self::commit`] makes it last.
    pub(crate) fn stage(&mut self, ordinal: Ordinal) {
        self.staged.insert(ordinal, ordinal + 1);
    }

    /// Takes up what became of settled rows.
    pub(crate) fn count(&mut self, counts: Settled) {
        self.staged_counts.add(counts);
    }

    /// Writes what is staged; it is on the disk afterwards.
    pub(crate) fn commit(&mut self, rejects_length: u64) -> Result<(), SendError> {
        if self.staged.len() == 0 {
            return Ok(());
        }
        let line = rows_line(self.staged_counts, rejects_length, &self.staged);
        for (start, end) in self.staged.iter() {
            self.done.insert(start, end);
        }
        self.settled.add(self.staged_counts);
        self.rejects_length = rejects_length;
        self.staged.clear();
        self.staged_counts = Settled::default();
        self.append(&line).map_err(SendError::file("write the journal", &self.path))?;
        if self.grown > COMPACT_BYTES { self.compact() } else { Ok(()) }
    }

    /// Notes that nothing is left to send.
    pub(crate) fn complete(&mut self) -> Result<(), SendError> {
        self.complete = true;
        self.compact()
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.grown += line.len() as u64;
        Ok(())
    }

    fn create(path: &Path, subject: Subject) -> Result<Self, SendError> {
        let empty = RangeSet::default();
        let text = compact_text(&subject, Settled::default(), 0, &empty, false);
        let file = write_whole(path, &text)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            subject,
            done: empty,
            settled: Settled::default(),
            rejects_length: 0,
            complete: false,
            grown: 0,
            staged: RangeSet::default(),
            staged_counts: Settled::default(),
        })
    }

    fn read(path: &Path, file: File, subject: Subject) -> Result<Self, SendError> {
        lock(path, &file)?;
        let read_error = || SendError::file("read the journal", path);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        next_line(&mut reader, &mut line).map_err(read_error())?;
        let found: Subject = checked(&line)
            .and_then(|text| serde_json::from_str(text.strip_prefix(MAGIC)?).ok())
            .ok_or_else(|| SendError::NotAJournal { path: path.to_owned() })?;
        compare(path, &found, &subject)?;
        let mut valid = line.len() as u64;
        let mut contents = Contents::default();
        loop {
            next_line(&mut reader, &mut line).map_err(read_error())?;
            if line.is_empty() || !checked(&line).is_some_and(|text| contents.take(text)) {
                break;
            }
            valid += line.len() as u64;
        }
        let mut journal = Self {
            path: path.to_owned(),
            file,
            subject,
            done: contents.done,
            settled: contents.settled,
            rejects_length: contents.rejects_length,
            complete: contents.complete,
            grown: valid,
            staged: RangeSet::default(),
            staged_counts: Settled::default(),
        };
        journal.cut(valid).map_err(SendError::file("write the journal", path))?;
        Ok(journal)
    }

    /// Removes what a crash tore, so that the next line does not join it.
    fn cut(&mut self, valid: u64) -> io::Result<()> {
        if self.file.metadata()?.len() > valid {
            self.file.set_len(valid)?;
            self.file.sync_all()?;
        }
        self.file.seek(SeekFrom::Start(valid)).map(drop)
    }

    fn compact(&mut self) -> Result<(), SendError> {
        let text = compact_text(&self.subject, self.settled, self.rejects_length, &self.done, self.complete);
        self.file = write_whole(&self.path, &text)?;
        self.grown = 0;
        Ok(())
    }
}

/// What the lines behind the first say together.
#[derive(Default)]
struct Contents {
    done: RangeSet,
    settled: Settled,
    rejects_length: u64,
    complete: bool,
}

impl Contents {
    /// Takes up a line whose checksum holds. False when it is none that is known.
    fn take(&mut self, text: &str) -> bool {
        if text == "complete" {
            self.complete = true;
            return true;
        }
        let mut words = text.strip_prefix("rows ").unwrap_or("").split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(accepted), Some(refused), Some(bad), Some(rejects)) = (number(), number(), number(), number()) else {
            return false;
        };
        self.settled.add(Settled { accepted, refused, bad });
        self.rejects_length = rejects;
        words.next().is_some_and(|ranges| self.done.add_text(ranges))
    }
}

fn compare(path: &Path, found: &Subject, expected: &Subject) -> Result<(), SendError> {
    let parts = [
        ("content", &found.source, &expected.source),
        ("endpoint", &found.to, &expected.to),
        ("choice of rows", &found.selection, &expected.selection),
    ];
    for (what, is, should) in parts {
        if is != should {
            let path = path.to_owned();
            return Err(SendError::JournalMismatch { path, what, found: is.clone(), expected: should.clone() });
        }
    }
    Ok(())
}

fn rows_line(counts: Settled, rejects_length: u64, ranges: &RangeSet) -> String {
    let Settled { accepted, refused, bad } = counts;
    with_checksum(&format!("rows {accepted} {refused} {bad} {rejects_length} {}", ranges.to_text()))
}

fn compact_text(subject: &Subject, settled: Settled, rejects_length: u64, done: &RangeSet, complete: bool) -> String {
    let header = serde_json::to_string(subject).unwrap_or_else(|_| unreachable!("strings become JSON"));
    let mut text = with_checksum(&format!("{MAGIC}{header}"));
    if done.len() > 0 {
        text.push_str(&rows_line(settled, rejects_length, done));
    }
    if complete {
        text.push_str(&with_checksum("complete"));
    }
    text
}

/// Puts the text into a new file that takes the name of the old one, and is locked before anybody can see it.
fn write_whole(path: &Path, text: &str) -> Result<File, SendError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let write = || -> io::Result<File> {
        let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(file)
    };
    let file = write().map_err(SendError::file("write the journal", &fresh))?;
    lock(path, &file)?;
    let rename = || -> io::Result<()> {
        std::fs::rename(&fresh, path)?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    rename().map_err(SendError::file("write the journal", path))?;
    Ok(file)
}

fn lock(path: &Path, file: &File) -> Result<(), SendError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(SendError::JournalBusy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(SendError::file("lock the journal", path)(error)),
    }
}

fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    reader.read_until(b'\n', line).map(drop)
}

fn checksum(text: &str) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

fn with_checksum(text: &str) -> String {
    format!("{text} {:08x}\n", checksum(text))
}

/// The text of a whole line whose checksum holds.
fn checked(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (text, sum) = line.rsplit_once(' ')?;
    (sum == format!("{:08x}", checksum(text))).then_some(text)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
