//! Why nothing more can be sent. What goes wrong with single rows is no error: such rows are reported one by one.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::input::dates::DateError;
use crate::input::records::ReadError;

/// Why the client stopped. The message says what to do where the reader can do something.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The input cannot be opened.
    #[error("cannot open {name}")]
    Open {
        /// The input.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The input cannot be read on.
    #[error("cannot read {name}")]
    Read {
        /// The input.
        name: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The input was written to meanwhile, so its hash no longer says what was sent.
    #[error("{name} changed while it was being sent; send it again when it is complete")]
    InputChanged {
        /// The input.
        name: String,
    },
    /// The input holds no header.
    #[error("{name} is empty: a header line with the names of the columns is expected")]
    NoHeader {
        /// The input.
        name: String,
    },
    /// The header cannot name the fields of a row.
    #[error("the header of {name} {problem}")]
    Header {
        /// The input.
        name: String,
        /// What is wrong, and the cure.
        problem: String,
    },
    /// An option names a column that is not there.
    #[error("{option} names the column {column:?}, which the file does not have; its columns are {columns}")]
    NoSuchColumn {
        /// The option.
        option: &'static str,
        /// The name.
        column: String,
        /// Those that are there.
        columns: String,
    },
    /// The schema requires a field that no column gives.
    #[error(
        "the endpoint requires the field {field:?}, which no column gives ({columns}); --rename OLD={field} maps a column to it"
    )]
    RequiredColumn {
        /// The field.
        field: String,
        /// The columns that are there.
        columns: String,
    },
    /// The character set has no such name.
    #[error("{0:?} is no character set; write for example utf-8, iso-8859-1, windows-1252 or utf-16le")]
    UnknownEncoding(String),
    /// The format of the dates cannot be told.
    #[error("cannot tell how the column {column:?} writes dates")]
    Dates {
        /// The column.
        column: String,
        /// Why.
        #[source]
        source: Box<DateError>,
    },
    /// The address of the endpoint cannot be used.
    #[error("{url:?} is no address of an endpoint: {problem}; write for example http://127.0.0.1:8080/orders")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    HttpSetup(#[source] reqwest::Error),
    /// The API key cannot stand in a header.
    #[error("the API key holds characters that cannot stand in an HTTP header")]
    ApiKey,
    /// The endpoint answered that it will never take this.
    #[error("{url} answered {status}: {detail}{}", cure.as_deref().map(|cure| format!(" ({cure})")).unwrap_or_default())]
    Refused {
        /// The endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the endpoint said.
        detail: String,
        /// What it said to do about it.
        cure: Option<String>,
    },
    /// The endpoint's answer is not that of an ingest endpoint.
    #[error("the answer of {url} makes no sense: {problem}; is this the address of a Penstock source?")]
    Protocol {
        /// The endpoint.
        url: String,
        /// What was wrong.
        problem: String,
    },
    /// The endpoint did not answer in time, before anything was sent.
    #[error("gave up on {url} after {after:?}: {trouble}")]
    GaveUp {
        /// The endpoint.
        url: String,
        /// For how long it was tried.
        after: Duration,
        /// What went wrong the last time.
        trouble: String,
    },
    /// Somebody asked to stop before anything was sent.
    #[error("interrupted before anything was sent")]
    Interrupted,
    /// A file of ours cannot be written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A journal is there, and nobody said to go on with it.
    #[error("the journal {} exists: add --resume to go on where it ends, or delete it to send everything again", path.display())]
    JournalExists {
        /// The journal.
        path: PathBuf,
    },
    /// The journal belongs to something else.
    #[error("the journal {} is of another {what} ({found}, now {expected}): name another one with --journal, or delete it to send everything again", path.display())]
    JournalMismatch {
        /// The journal.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the journal says.
        found: String,
        /// What it would have to say.
        expected: String,
    },
    /// The file is no journal.
    #[error("{} is no journal of penstock send; name another file with --journal", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// Another client works with the journal.
    #[error("the journal {} is in use by another penstock send", path.display())]
    JournalBusy {
        /// The journal.
        path: PathBuf,
    },
    /// Standard input without a name cannot be recognised when it comes again.
    #[error(
        "standard input cannot be resumed without --source-name NAME, which says that it is the same content again"
    )]
    NamelessJournal,
    /// The file for rejects holds something else.
    #[error("{} exists and holds no rejects; name another file with --rejects", path.display())]
    RejectsForeign {
        /// The file.
        path: PathBuf,
    },
    /// A worker ended without saying why: a defect in Penstock.
    #[error("the client stopped by a defect of its own: {0}")]
    Defect(String),
}

impl SendError {
    /// A stable code for scripts and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Read { .. } => "read",
            Self::InputChanged { .. } => "input_changed",
            Self::NoHeader { .. } => "no_header",
            Self::Header { .. } => "header",
            Self::NoSuchColumn { .. } => "no_such_column",
            Self::RequiredColumn { .. } => "required_column",
            Self::UnknownEncoding(_) => "unknown_encoding",
            Self::Dates { .. } => "dates",
            Self::Address { .. } => "address",
            Self::HttpSetup(_) => "http_setup",
            Self::ApiKey => "api_key",
            Self::Refused { .. } => "refused",
            Self::Protocol { .. } => "protocol",
            Self::GaveUp { .. } => "gave_up",
            Self::Interrupted => "interrupted",
            Self::File { .. } => "file",
            Self::JournalExists { .. } => "journal_exists",
            Self::JournalMismatch { .. } => "journal_mismatch",
            Self::NotAJournal { .. } => "not_a_journal",
            Self::JournalBusy { .. } => "journal_busy",
            Self::NamelessJournal => "nameless_journal",
            Self::RejectsForeign { .. } => "rejects_foreign",
            Self::Defect(_) => "defect",
        }
    }

    /// The exit code that `penstock send` documents.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::GaveUp { .. } => 4,
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    /// The message with those of its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(crate) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
