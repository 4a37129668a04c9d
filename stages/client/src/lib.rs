//! The client: reads a CSV file as shops hand such files over, and posts its rows to an ingest endpoint.
//!
//! What it knows: character sets, delimiters, dates, the JSON Schema that the endpoint serves, the protocol of the
//! endpoint's answers, and how to go on where it was ([`send`]). It also writes sample data of the same shape
//! ([`sample`]) and counts what must come out at the other end ([`totals`]).
//!
//! What it deliberately does not: it links no other stage, prints nothing, never holds more than a few batches
//! of a file in memory, never guesses where a wrong guess would change data (an ambiguous date, a broken
//! character), and never decides that a row is a duplicate: it gives each row an id by which others can.
//!
//! How a row travels: `input` turns a file into records, `rows` turns records into JSON lines and chooses a lane by
//! the partition key, `deliver` posts each lane's batches one after the other, and what was answered ends up in the
//! journal and in the file of rejects.

mod deliver;
mod error;
mod input;
mod options;
mod progress;
mod rows;
mod run;
pub mod sample;
mod summary;
pub mod totals;

pub use error::SendError;
pub use input::dates::{DateFormat, TimeBound};
pub use options::{
    ApiKey, Compression, DateRange, Delimiter, Input, JournalOptions, ParseOptionError, RowRange, Selection,
    SendOptions,
};
pub use penstock_process::cell::CellType;
pub use progress::{Phase, Progress, Snapshot};
pub use run::{dry_run, send};
pub use summary::{End, Summary, Totals};
