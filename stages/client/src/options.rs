//! What a caller may choose.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use penstock_process::cell::CellType;
use serde::{Deserialize, Serialize};

use crate::input::dates::{DateFormat, TimeBound};

/// What to send, where to and how. [`SendOptions::new`] gives the defaults that `penstock send` documents.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// Where the rows come from.
    pub input: Input,
    /// The endpoint, such as `http://127.0.0.1:8080/orders`. Only a dry run may do without.
    pub to: Option<String>,
    /// Which rows.
    pub select: Selection,
    /// The character set's name; detected when absent.
    pub encoding: Option<String>,
    /// What parts the fields; detected when absent.
    pub delimiter: Option<Delimiter>,
    /// Numbers are written with a comma (`2,55`).
    pub decimal_comma: bool,
    /// Types of columns, over what the schema says.
    pub types: Vec<(String, CellType)>,
    /// New names of columns: `(old, new)`.
    pub renames: Vec<(String, String)>,
    /// Ask the endpoint for the schema of a row and convert fields to the types that it wants.
    pub use_schema: bool,
    /// The field that takes a row's id, when the endpoint names none.
    pub id_field: Option<String>,
    /// The most rows in a request.
    pub batch_rows: NonZeroUsize,
    /// The most bytes of JSON in a request, unless a single row is larger.
    pub batch_bytes: NonZeroUsize,
    /// How many requests may be on their way at one time.
    pub in_flight: NonZeroUsize,
    /// How bodies are compressed.
    pub compression: Compression,
    /// The most rows a second; unlimited when absent.
    pub rate: Option<NonZeroU32>,
    /// The API key.
    pub api_key: Option<ApiKey>,
    /// How long one request may take, its answer included.
    pub request_timeout: Duration,
    /// How long to go on trying without any answer that settles a row; for ever when absent.
    pub give_up_after: Option<Duration>,
    /// Where to note what was settled.
    pub journal: Option<JournalOptions>,
    /// Where rows go that could not be read or were refused. `None` writes no such file.
    pub rejects: Option<PathBuf>,
}

impl SendOptions {
    /// The defaults: all rows of `input` to `to`, four requests at a time, retried for ever, rejects beside the file.
    #[must_use]
    pub fn new(input: Input, to: Option<String>) -> Self {
        let rejects = Some(input.beside("rejected.csv"));
        Self {
            input,
            to,
            select: Selection::default(),
            encoding: None,
            delimiter: None,
            decimal_comma: false,
            types: Vec::new(),
            renames: Vec::new(),
            use_schema: true,
            id_field: None,
            batch_rows: const { NonZeroUsize::new(1_000).expect("is not zero") },
            batch_bytes: const { NonZeroUsize::new(1 << 20).expect("is not zero") },
            in_flight: const { NonZeroUsize::new(4).expect("is not zero") },
            compression: Compression::None,
            rate: None,
            api_key: None,
            request_timeout: Duration::from_secs(60),
            give_up_after: None,
            journal: None,
            rejects,
        }
    }
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file; a pipe that has a path is read like standard input.
    File(PathBuf),
    /// Standard input. Its content cannot be hashed before it is sent, so its ids are made from this name and the
    /// header, or are new each time when it has no name.
    Stdin {
        /// A name that stands for the content: whoever sends other content under the same name says that it is the
        /// same.
        name: Option<String>,
    },
}

impl Input {
    /// A path next to the file: its own with `suffix` behind a dot; `stdin.suffix` in the working folder else.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> PathBuf {
        match self {
            Self::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(".");
                name.push(suffix);
                PathBuf::from(name)
            }
            Self::Stdin { .. } => PathBuf::from(format!("stdin.{suffix}")),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin { name: Some(name) } => write!(f, "standard input ({name})"),
            Self::Stdin { name: None } => write!(f, "standard input"),
        }
    }
}

/// Which rows are sent: those that every part allows.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Rows by number.
    pub rows: RowRange,
    /// The most rows.
    pub limit: Option<u64>,
    /// Rows by date.
    pub dates: Option<DateRange>,
}

/// Rows whose date is in `[from, until)`.
#[derive(Debug, Clone)]
pub struct DateRange {
    /// The column that holds the date.
    pub column: String,
    /// The first moment that counts.
    pub from: Option<TimeBound>,
    /// The first moment that no longer counts.
    pub until: Option<TimeBound>,
    /// How the column writes dates; guessed from its values when absent.
    pub format: Option<DateFormat>,
}

/// Row numbers `[start, end)`, counted from 1 after the header; blank lines do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    /// The first row.
    pub start: u64,
    /// The first row that is no longer meant.
    pub end: Option<u64>,
}

impl Default for RowRange {
    fn default() -> Self {
        Self { start: 1, end: None }
    }
}

impl fmt::Display for RowRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{}..{end}", self.start),
            None => write!(f, "{}..", self.start),
        }
    }
}

/// A value of an option that cannot be read. The message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseOptionError(pub(crate) String);

impl FromStr for RowRange {
    type Err = ParseOptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            ParseOptionError(format!(
                "{text:?} is no range of rows: write 100..200 (rows 100 to 199), 100..=200, 100.. or ..200, counted from 1"
            ))
        };
        let number = |part: &str| part.trim().parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(wrong);
        let (start, end) = text.split_once("..").ok_or_else(wrong)?;
        let start = if start.trim().is_empty() { 1 } else { number(start)? };
        let end = match end.strip_prefix('=') {
            Some(last) => Some(number(last)?.checked_add(1).ok_or_else(wrong)?),
            None if end.trim().is_empty() => None,
            None => Some(number(end)?),
        };
        if end.is_some_and(|end| end <= start) {
            return Err(ParseOptionError(format!("{text:?} holds no row: the end must come after the start")));
        }
        Ok(Self { start, end })
    }
}

/// The byte between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Delimiter {
    /// Those that are looked for when none is named, the likeliest first.
    pub(crate) const KNOWN: [Self; 4] = [Self(b','), Self(b';'), Self(b'\t'), Self(b'|')];

    pub(crate) fn byte(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => f.write_str("tab"),
            other => write!(f, "{}", char::from(other)),
        }
    }
}

impl FromStr for Delimiter {
    type Err = ParseOptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tab" | "\\t" | "\t" => Ok(Self(b'\t')),
            "comma" => Ok(Self(b',')),
            "semicolon" => Ok(Self(b';')),
            "pipe" => Ok(Self(b'|')),
            _ => match text.as_bytes() {
                [byte] if byte.is_ascii_graphic() && *byte != b'"' => Ok(Self(*byte)),
                _ => Err(ParseOptionError(format!(
                    "{text:?} is no delimiter: write one ASCII character, or comma, semicolon, tab or pipe"
                ))),
            },
        }
    }
}

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all: best on loopback and in one data centre.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// zstd: best over slow lines.
    Zstd,
}

/// A key that the endpoint asks for. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key, without the line end that files put behind it.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Where to note what was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// The file.
    pub path: PathBuf,
    /// Go on where an existing journal ends; a new one must not exist otherwise.
    pub resume: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn row_ranges_are_half_open_unless_they_say_otherwise() {
        let range = |text: &str| text.parse::<RowRange>().unwrap();
        assert_eq!(range("100..200"), RowRange { start: 100, end: Some(200) });
        assert_eq!(range("100..=200"), RowRange { start: 100, end: Some(201) });
        assert_eq!(range("100.."), RowRange { start: 100, end: None });
        assert_eq!(range("..200"), RowRange { start: 1, end: Some(200) });
        for wrong in ["", "7", "0..5", "5..5", "9..3", "a..b", "1...3"] {
            assert!(wrong.parse::<RowRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn delimiters_have_names() {
        assert_eq!("tab".parse::<Delimiter>().unwrap().byte(), b'\t');
        assert_eq!(";".parse::<Delimiter>().unwrap().byte(), b';');
        assert!("ab".parse::<Delimiter>().is_err());
        assert!("\"".parse::<Delimiter>().is_err());
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", ApiKey::new("secret\n")), "ApiKey(…)");
        assert_eq!(ApiKey::new("secret\n").secret(), "secret");
    }
}
