//! Everything that must be known before the first row is sent.

use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::deliver::endpoint::Description;
use crate::deliver::journal::{Journal, Subject};
use crate::deliver::ledger::Ledger;
use crate::deliver::ranges::RangeSet;
use crate::deliver::rejects::Rejects;
use crate::error::SendError;
use crate::input::charset::{Charset, Decoding, looks_like_utf16};
use crate::input::dates::{DateError, DateFormat, Guess, TimeBound};
use crate::input::dialect::detect_delimiter;
use crate::input::records::{RecordReader, Step};
use crate::input::{Bytes, Opened, Survey};
use crate::options::{DateRange, Delimiter, Input, SendOptions};
use crate::progress::{Phase, Progress};
use crate::rows::key::LaneRule;
use crate::rows::layout::{Layout, LayoutInputs, find_column};
use crate::rows::schema::RowSchema;
use crate::rows::select::{DateSelector, Selector};

/// The field that takes the id when nobody names one.
const DEFAULT_ID_FIELD: &str = "_id";
/// So many hexadecimal digits of the content's hash are in each id.
const ID_DIGITS: usize = 16;

/// What was found out, for the summary.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) charset: Charset,
    pub(super) delimiter: Delimiter,
    pub(super) date_format: Option<String>,
    pub(super) id_field: Option<String>,
    pub(super) lanes: usize,
}

/// All that the reading of rows needs.
pub(super) struct RowSource {
    pub(super) survey: Survey,
    pub(super) records: RecordReader<Bytes>,
    pub(super) decoding: Decoding,
    pub(super) selector: Selector,
    pub(super) layout: Layout,
    /// What earlier runs settled.
    pub(super) done: RangeSet,
    pub(super) rate: Option<u32>,
}

pub(super) struct Prepared {
    pub(super) facts: Facts,
    pub(super) reader: RowSource,
    pub(super) ledger: Ledger,
}

/// Opens the input, reads its header and works out how its rows are read, converted and noted.
pub(super) fn prepare(
    options: &SendOptions,
    mut survey: Survey,
    description: &Description,
    progress: &Arc<Progress>,
) -> Result<Prepared, SendError> {
    let opened = survey.open(progress)?;
    let delimiter = options.delimiter.unwrap_or_else(|| detect_delimiter(&opened.sample, opened.decoding));
    let Opened { reader, decoding, sample, sample_is_all } = opened;
    let mut records = RecordReader::new(reader, delimiter, decoding);
    let header = read_header(&mut records, &survey)?;
    let dates = match &options.select.dates {
        None => None,
        Some(range) => {
            let names = renamed(&header, &options.renames);
            let index = find_column("--date-column", &range.column, &header, &names)?;
            let format = match &range.format {
                Some(format) => format.clone(),
                None if survey.can_reopen() => {
                    progress.enter(Phase::Looking);
                    let file = survey.open(progress)?;
                    guess_dates(RecordReader::new(file.reader, delimiter, decoding), index, range, &survey, true)?
                }
                None => {
                    let sample = RecordReader::new(sample.as_slice(), delimiter, decoding);
                    guess_dates(sample, index, range, &survey, sample_is_all)?
                }
            };
            Some(DateSelector { index, column: range.column.clone(), from: range.from, until: range.until, format })
        }
    };
    let date_format = dates.as_ref().map(|dates| dates.format.to_string());
    let schema = description.schema.clone().map(RowSchema::new);
    let id_field = id_field(options, description, schema.as_ref());
    let id_prefix = id_prefix(&options.input, &survey, &header);
    let layout = Layout::new(&LayoutInputs {
        name: &survey.name,
        header: &header,
        renames: &options.renames,
        types: &options.types,
        schema: schema.as_ref(),
        decimal_comma: options.decimal_comma,
        id: id_field.as_deref().map(|field| (field, id_prefix.as_str())),
        partition_key: description.partition_key.as_deref(),
    })?;
    let lanes = if layout.lanes == LaneRule::One { 1 } else { options.in_flight.get() };
    let journal = open_journal(options, &survey, delimiter, date_format.as_deref(), &id_prefix)?;
    let kept = journal.as_ref().map_or(0, Journal::rejects_length);
    let rejects = Rejects::new(options.rejects.clone(), kept)?;
    let done = journal.as_ref().map(|journal| journal.done().clone()).unwrap_or_default();
    let selector = Selector { rows: options.select.rows, limit: options.select.limit, dates };
    let rate = options.rate.map(std::num::NonZeroU32::get);
    Ok(Prepared {
        facts: Facts { charset: survey.charset, delimiter, date_format, id_field, lanes },
        reader: RowSource { survey, records, decoding, selector, layout, done, rate },
        ledger: Ledger { rejects, journal },
    })
}

fn read_header(records: &mut RecordReader<Bytes>, survey: &Survey) -> Result<Vec<String>, SendError> {
    let name = || survey.name.clone();
    let wrong = |problem: &str| SendError::Header { name: name(), problem: problem.to_owned() };
    loop {
        match records.advance().map_err(|source| SendError::Read { name: name(), source })? {
            Step::Idle => {}
            Step::End => return Err(SendError::NoHeader { name: name() }),
            Step::Unreadable(why) => return Err(wrong(&format!("cannot be read: {}", why.reason()))),
            Step::Record => {
                let header = records.record().map_err(|why| wrong(&format!("cannot be read: {}", why.reason())))?;
                if header.iter().any(|field| looks_like_utf16(field, survey.charset.encoding)) {
                    return Err(wrong("holds NUL characters; if the file is UTF-16, name it with --encoding utf-16le"));
                }
                // Spaces around a name do not belong to it, as at the endpoint when it reads CSV itself.
                return Ok(header.iter().map(|name| name.trim().to_owned()).collect());
            }
        }
    }
}

fn renamed(header: &[String], renames: &[(String, String)]) -> Vec<String> {
    let new = |name: &String| renames.iter().find(|(old, _)| old == name).map_or(name, |(_, new)| new).clone();
    header.iter().map(new).collect()
}

/// Tells the format of the dates from the rows: from all of them where the input can be read again.
fn guess_dates<R: Read>(
    mut records: RecordReader<R>,
    index: usize,
    range: &DateRange,
    survey: &Survey,
    complete: bool,
) -> Result<DateFormat, SendError> {
    let wrong = |source: DateError| SendError::Dates { column: range.column.clone(), source: Box::new(source) };
    let mut guess = Guess::new();
    let mut columns = None;
    // A row counts when another one comes behind it: the end of a sample may have cut it.
    let mut last: Option<String> = None;
    loop {
        match records.advance() {
            Ok(Step::Record) => {}
            Ok(Step::Unreadable(_) | Step::Idle) => continue,
            Ok(Step::End) => break,
            Err(source) => return Err(SendError::Read { name: survey.name.clone(), source }),
        }
        let Ok(record) = records.record() else { continue };
        let Some(columns) = columns else {
            columns = Some(record.len());
            continue;
        };
        if record.len() != columns {
            continue;
        }
        if let Some(value) = last.replace(record.get(index).to_owned())
            && guess.feed(&value).map_err(wrong)?
        {
            return guess.finish().map_err(wrong);
        }
    }
    if let Some(value) = last.filter(|_| complete) {
        guess.feed(&value).map_err(wrong)?;
    }
    guess.finish().map_err(wrong)
}

/// The field that takes a row's id. One that the schema would refuse is not made up.
fn id_field(options: &SendOptions, description: &Description, schema: Option<&RowSchema>) -> Option<String> {
    let named = description.id_field.clone().or_else(|| options.id_field.clone());
    named.or_else(|| schema.is_none_or(|schema| schema.allows(DEFAULT_ID_FIELD)).then(|| DEFAULT_ID_FIELD.to_owned()))
}

/// The first part of every id: from the content, else from the name that stands for it and the header, else a new one
/// each time. Two streams without a name must never get the same ids, or one would be taken for the other.
fn id_prefix(input: &Input, survey: &Survey, header: &[String]) -> String {
    let whole = match (&survey.hash, input) {
        (Some(hash), _) => hash.clone(),
        (None, Input::Stdin { name: Some(name) }) => {
            let mut hash = Sha256::new();
            for part in std::iter::once(name).chain(header) {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
            hex::encode(hash.finalize())
        }
        (None, _) => uuid::Uuid::new_v4().simple().to_string(),
    };
    whole.chars().take(ID_DIGITS).collect()
}

fn open_journal(
    options: &SendOptions,
    survey: &Survey,
    delimiter: Delimiter,
    date_format: Option<&str>,
    id_prefix: &str,
) -> Result<Option<Journal>, SendError> {
    let Some(journal) = &options.journal else { return Ok(None) };
    let source = match (&survey.hash, &options.input) {
        (Some(hash), _) => hash.clone(),
        (None, Input::Stdin { name: Some(_) }) => format!("named-{id_prefix}"),
        (None, _) => return Err(SendError::NamelessJournal),
    };
    let subject = Subject {
        source,
        file: survey.name.clone(),
        to: options.to.clone().unwrap_or_default(),
        selection: describe_selection(options, delimiter, date_format),
    };
    Journal::open(&journal.path, subject, journal.resume).map(Some)
}

/// Everything on which it depends which rows are chosen, and so their ordinals.
fn describe_selection(options: &SendOptions, delimiter: Delimiter, date_format: Option<&str>) -> String {
    let mut text = format!("rows {}", options.select.rows);
    if let Some(limit) = options.select.limit {
        text.push_str(&format!(", at most {limit}"));
    }
    if let (Some(dates), Some(format)) = (&options.select.dates, date_format) {
        let bound = |bound: Option<TimeBound>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        text.push_str(&format!(
            ", {} from {} until {} as {format}",
            dates.column,
            bound(dates.from),
            bound(dates.until)
        ));
    }
    text.push_str(&format!(", delimiter {delimiter}"));
    text
}
