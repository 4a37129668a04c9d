//! The file of rows that could not be read or were refused: CSV in UTF-8, one line for each row.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::SendError;

const HEADER: [&str; 5] = ["line", "code", "field", "reason", "original"];

/// A row that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) line: u64,
    pub(crate) code: String,
    pub(crate) field: Option<String>,
    pub(crate) reason: String,
    pub(crate) original: String,
}

/// The file, which comes into being with its first row.
pub(crate) struct Rejects {
    path: Option<PathBuf>,
    file: Option<File>,
    /// How much of the file is ours; what is behind it was written by a run that crashed before it noted it.
    length: u64,
    pending: Vec<u8>,
}

impl Rejects {
    /// `keep` bytes of what an earlier run wrote stay; an older file of ours is removed when there is nothing to keep.
    pub(crate) fn new(path: Option<PathBuf>, keep: u64) -> Result<Self, SendError> {
        let mut length = 0;
        if let Some(path) = &path {
            match holds_rejects(path).map_err(SendError::file("read", path))? {
                Some(false) => return Err(SendError::RejectsForeign { path: path.clone() }),
                Some(true) if keep == 0 => {
                    std::fs::remove_file(path).map_err(SendError::file("remove the old rejects", path))?;
                }
                Some(true) => {
                    let there = std::fs::metadata(path).map_err(SendError::file("read", path))?.len();
                    length = keep.min(there);
                }
                None => {}
            }
        }
        Ok(Self { path, file: None, length, pending: Vec::new() })
    }

    /// The file, if there is any row in it.
    pub(crate) fn written(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.length > 0)
    }

    /// How long the file is after the last [`Self::flush`].
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn push(&mut self, reject: &Reject) {
        if self.path.is_none() {
            return;
        }
        let line = reject.line.to_string();
        let field = reject.field.as_deref().unwrap_or("");
        if self.length == 0 && self.pending.is_empty() {
            write_line(&mut self.pending, &HEADER);
        }
        write_line(&mut self.pending, &[&line, &reject.code, field, &reject.reason, &reject.original]);
    }

    /// Writes what is pending; with `sync` it is on the disk afterwards.
    pub(crate) fn flush(&mut self, sync: bool) -> Result<(), SendError> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write_pending(&path, sync).map_err(SendError::file("write", &path))
    }

    fn write_pending(&mut self, path: &Path, sync: bool) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
                file.set_len(self.length)?;
                file.seek(SeekFrom::End(0))?;
                self.file.insert(file)
            }
        };
        file.write_all(&self.pending)?;
        if sync {
            file.sync_data()?;
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Whether a file begins as ours do; nothing when there is none, or nothing in it.
fn holds_rejects(path: &Path) -> io::Result<Option<bool>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut first = String::new();
    let limit = 1 + HEADER.iter().map(|name| name.len() as u64 + 1).sum::<u64>();
    match BufReader::new(io::Read::take(file, limit)).read_line(&mut first) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(first.trim_end() == HEADER.join(","))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(false)),
        Err(error) => Err(error),
    }
}

fn write_line(out: &mut Vec<u8>, fields: &[&str]) {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(256).from_writer(out);
    // Writing to a vector cannot fail; the writer flushes when it is dropped.
    let _ = writer.write_record(fields);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn reject(line: u64, original: &str) -> Reject {
        Reject {
            line,
            code: "ragged_row".to_owned(),
            field: None,
            reason: "why, \"then\"".to_owned(),
            original: original.to_owned(),
        }
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        let mut rejects = Rejects::new(Some(path.clone()), 0).unwrap();
        assert!(!path.exists() && rejects.written().is_none());
        rejects.push(&reject(7, "a,\"b\nc\""));
        rejects.flush(true).unwrap();
        rejects.push(&reject(9, "d"));
        rejects.flush(false).unwrap();
        let mut reader = csv::Reader::from_path(&path).unwrap();
        assert_eq!(reader.headers().unwrap(), HEADER.as_slice());
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(
            rows,
            [["7", "ragged_row", "", "why, \"then\"", "a,\"b\nc\""], ["9", "ragged_row", "", "why, \"then\"", "d"]]
        );
        assert_eq!(rejects.length(), std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn a_resumed_file_loses_what_was_not_noted_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        let mut rejects = Rejects::new(Some(path.clone()), 0).unwrap();
        rejects.push(&reject(7, "a"));
        rejects.flush(true).unwrap();
        let noted = rejects.length();
        rejects.push(&reject(8, "b"));
        rejects.flush(true).unwrap();
        let mut resumed = Rejects::new(Some(path.clone()), noted).unwrap();
        resumed.push(&reject(8, "b"));
        resumed.push(&reject(9, "c"));
        resumed.flush(true).unwrap();
        let lines: Vec<String> =
            std::fs::read_to_string(&path).unwrap().lines().map(|line| line[..1].to_owned()).collect();
        assert_eq!(lines, ["l", "7", "8", "9"]);
    }

    #[test]
    fn an_old_file_of_ours_goes_and_a_foreign_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        std::fs::write(&path, "line,code,field,reason,original\n7,x,,y,z\n").unwrap();
        Rejects::new(Some(path.clone()), 0).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "line,code\n").unwrap();
        assert!(matches!(Rejects::new(Some(path.clone()), 0), Err(SendError::RejectsForeign { .. })));
        assert!(path.exists());
    }
}
