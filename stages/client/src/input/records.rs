//! Cuts a stream of bytes into CSV records, each with its physical line and its original text.
//!
//! The fields are told apart by `csv-core` (see [`Fields`]); what is added here is the raw text of a record, the line it begins on
//! for every kind of line end, a bound on what one record may hold, and how to go on behind a quote that nobody
//! closed. Memory is bounded by [`MAX_RECORD_BYTES`].

use std::io::{self, Read};

use memchr::{memchr_iter, memchr2};

use super::charset::Decoding;
use super::fields::Fields;
use crate::options::Delimiter;

/// The largest record: what Kinesis takes by default is no more (PutRecords API reference).
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 20;
/// Each unclosed quote costs a look at up to [`MAX_RECORD_BYTES`]; a file with more of them is not what we think.
const MAX_UNCLOSED_QUOTES: u32 = 100;
const READ_BYTES: usize = 256 << 10;

/// Why the input cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes do not come.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The quotes make no sense.
    #[error(
        "more than {MAX_UNCLOSED_QUOTES} records open a quote that is never closed, the last one on line {line}; is the delimiter right?"
    )]
    Quotes {
        /// The physical line.
        line: u64,
    },
}

/// What came next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record: see [`RecordReader::record`].
    Record,
    /// Something that is no record: see [`RecordReader::raw`].
    Unreadable(Unreadable),
    /// Nothing for now: the input waits for somebody.
    Idle,
    /// The end.
    End,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It opens a quote that is not closed before the end of the file or within the bound.
    QuoteNotClosed,
    /// It is larger than the bound.
    TooLong,
    /// Its bytes are no text in the file's character set.
    Encoding,
}

impl Unreadable {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::QuoteNotClosed => "quote_not_closed",
            Self::TooLong => "record_too_long",
            Self::Encoding => "encoding",
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::QuoteNotClosed => "a quote is opened and never closed",
            Self::TooLong => "the line is longer than 1 MiB",
            Self::Encoding => "its bytes are no text in the file's character set; name the right one with --encoding",
        }
    }
}

/// A record's fields as text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field at `index`; empty beyond the end.
    pub(crate) fn get(&self, index: usize) -> &'a str {
        let start = if index == 0 { 0 } else { self.ends.get(index - 1).copied().unwrap_or(0) };
        self.ends.get(index).and_then(|&end| self.text.get(start..end)).unwrap_or("")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a str> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Reads records one after the other.
pub(crate) struct RecordReader<R> {
    input: R,
    decoding: Decoding,
    parser: csv_core::Reader,
    /// Bytes of the input; `start` is where the current record begins, `scanned` how far the parser went.
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    filled: usize,
    at_end: bool,
    /// The rest of a line that is too long is thrown away up to its end.
    skipping: bool,
    unclosed: u32,
    fields: Fields,
    decoded: String,
    decoded_ends: Vec<usize>,
    /// The last record: its original text in `buffer`, and its line.
    raw: (usize, usize),
    record_line: u64,
    /// The line on which `buffer[start]` stands.
    line: u64,
    after_cr: bool,
}

impl<R: Read> RecordReader<R> {
    pub(crate) fn new(input: R, delimiter: Delimiter, decoding: Decoding) -> Self {
        Self {
            input,
            decoding,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter.byte()).build(),
            buffer: vec![0; READ_BYTES],
            start: 0,
            scanned: 0,
            filled: 0,
            at_end: false,
            skipping: false,
            unclosed: 0,
            fields: Fields::new(),
            decoded: String::new(),
            decoded_ends: Vec::new(),
            raw: (0, 0),
            record_line: 0,
            line: 1,
            after_cr: false,
        }
    }

    /// The physical line on which the last record begins, counted from 1.
    #[allow(clippy::misnamed_getters, reason = "the line of the last record, not the one that is being read")]
    pub(crate) fn line(&self) -> u64 {
        self.record_line
    }

    /// The last record's bytes, without the line end.
    pub(crate) fn raw(&self) -> &[u8] {
        let (start, end) = self.raw;
        trim_line_end(&self.buffer[start..end])
    }

    /// The last record's original text, with � for what is no text.
    pub(crate) fn raw_text(&self) -> std::borrow::Cow<'_, str> {
        self.decoding.lossy(self.raw())
    }

    /// Reads the next record, skipping blank lines.
    pub(crate) fn advance(&mut self) -> Result<Step, ReadError> {
        self.fields.clear();
        loop {
            if self.scanned < self.filled {
                if self.skipping {
                    self.skip_line();
                } else if let Some(step) = self.parse()? {
                    return Ok(step);
                }
            } else if self.at_end {
                return self.finish();
            } else {
                match self.fill() {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Idle),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// The last record's fields; an error when they are no text in the file's character set.
    pub(crate) fn record(&mut self) -> Result<Record<'_>, Unreadable> {
        let (fields, ends) = (self.fields.bytes(), self.fields.ends());
        if let Decoding::SingleByte(encoding) = self.decoding
            && !fields.is_ascii()
        {
            self.decoded.clear();
            self.decoded_ends.clear();
            let mut start = 0;
            for &end in ends {
                let (text, broken) = encoding.decode_without_bom_handling(&fields[start..end]);
                if broken {
                    return Err(Unreadable::Encoding);
                }
                self.decoded.push_str(&text);
                self.decoded_ends.push(self.decoded.len());
                start = end;
            }
            return Ok(Record { text: &self.decoded, ends: &self.decoded_ends });
        }
        let text = std::str::from_utf8(fields).map_err(|_| Unreadable::Encoding)?;
        if self.decoding == Decoding::Transcoded && text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Unreadable::Encoding);
        }
        Ok(Record { text, ends })
    }

    /// Runs the parser over what is there. `None` asks for more input.
    fn parse(&mut self) -> Result<Option<Step>, ReadError> {
        let (read, complete) = self.fields.read(&mut self.parser, &self.buffer[self.scanned..self.filled]);
        self.scanned += read;
        if complete {
            self.close_record();
            return Ok(Some(Step::Record));
        }
        self.drop_blank_lines();
        if self.scanned - self.start > MAX_RECORD_BYTES {
            return self.give_up_on_record().map(Some);
        }
        Ok(None)
    }

    /// At the end of the input: a last line without a line end is a record, an open quote is not.
    fn finish(&mut self) -> Result<Step, ReadError> {
        self.drop_blank_lines();
        if self.start == self.filled {
            return Ok(Step::End);
        }
        match self.fields.read(&mut self.parser, b"\n") {
            (_, true) => {
                self.close_record();
                Ok(Step::Record)
            }
            (_, false) => self.give_up_on_record(),
        }
    }

    /// Marks `start..scanned` as the last record and moves behind it.
    fn close_record(&mut self) {
        self.drop_blank_lines();
        self.raw = (self.start, self.scanned);
        self.record_line = self.line;
        self.count_lines(self.start, self.scanned);
        self.start = self.scanned;
    }

    /// Reports the first physical line of the current record and starts again behind it.
    fn give_up_on_record(&mut self) -> Result<Step, ReadError> {
        let pending = &self.buffer[self.start..self.filled];
        let (end, step) = match memchr2(b'\n', b'\r', pending) {
            Some(at) => {
                let crlf = pending[at] == b'\r' && pending.get(at + 1) == Some(&b'\n');
                (self.start + at + if crlf { 2 } else { 1 }, Unreadable::QuoteNotClosed)
            }
            None if self.at_end => (self.filled, Unreadable::QuoteNotClosed),
            None => {
                self.skipping = true;
                (self.filled, Unreadable::TooLong)
            }
        };
        if step == Unreadable::QuoteNotClosed {
            self.unclosed += 1;
            if self.unclosed > MAX_UNCLOSED_QUOTES {
                return Err(ReadError::Quotes { line: self.line });
            }
        }
        self.parser.reset();
        self.fields.clear();
        self.scanned = end;
        self.close_record();
        Ok(Step::Unreadable(step))
    }

    /// Throws away what is left of a line that is too long.
    fn skip_line(&mut self) {
        let pending = &self.buffer[self.start..self.filled];
        let end = match memchr2(b'\n', b'\r', pending) {
            Some(at) => {
                self.skipping = false;
                self.start + at + 1
            }
            None => self.filled,
        };
        self.count_lines(self.start, end);
        self.start = end;
        self.scanned = end;
    }

    /// Line ends in front of a record are blank lines, or the second half of the last record's CRLF.
    fn drop_blank_lines(&mut self) {
        let blank =
            self.buffer[self.start..self.scanned].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.count_lines(self.start, self.start + blank);
            self.start += blank;
        }
    }

    fn count_lines(&mut self, from: usize, until: usize) {
        let bytes = &self.buffer[from..until];
        let Some(last) = bytes.last() else { return };
        let mut lines = memchr_iter(b'\n', bytes).count() as u64;
        if self.after_cr && bytes.first() == Some(&b'\n') {
            lines -= 1;
        }
        lines += memchr_iter(b'\r', bytes).filter(|at| bytes.get(at + 1) != Some(&b'\n')).count() as u64;
        self.after_cr = *last == b'\r';
        self.line += lines;
    }

    /// Reads more, keeping what belongs to the current record.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.scanned -= self.start;
            self.filled -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.filled < READ_BYTES / 2 {
            self.buffer.resize(self.filled + READ_BYTES, 0);
        }
        let read = self.input.read(&mut self.buffer[self.filled..])?;
        self.filled += read;
        self.at_end = read == 0;
        Ok(())
    }
}

fn trim_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
