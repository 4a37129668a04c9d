//! Everything that is computed from one record: its fields, its keys, what a program makes of it.
//!
//! - [`parse_row`]: from a record's bytes to a [`Row`]; [`FlatRow`] sees a plain one in its bytes, and a [`RowView`] is a
//!   look at either;
//! - [`Program`], [`Condition`]: VRL, without anything whose answer depends on when or where it runs;
//! - [`Template`]: keys made from fields and position;
//! - [`RowSchema`]: what a row must satisfy before it is taken;
//! - [`cell`]: CSV cells as JSON values of the types that a schema wants;
//! - [`Transform`]: what every sink does first with a record;
//! - [`dead_letter`]: how a record is written that could not be handled.
//!
//! The same record gives the same result, on every machine and at every time: a range that is applied again
//! after a crash must have the same effect. So there is no clock here, no random number, no environment and
//! no I/O; the only time is the record's arrival. Deliberately absent: AWS, HTTP, tasks, retries, metrics.

pub mod cell;
mod context;
pub mod dead_letter;
mod flat;
mod number;
mod program;
mod row;
mod schema;
mod template;
mod transform;
mod view;

pub use context::RecordContext;
pub use flat::{Flat, FlatNumber, FlatRow};
pub use number::decimal_text;
pub use program::{Condition, Diagnostic, Program, ProgramError, REFUSED_FUNCTIONS, RefusedFunction};
pub use row::{FieldPath, MAX_DEPTH, Row, parse_row};
pub use schema::{RowSchema, SchemaError};
pub use template::{Template, TemplateError};
pub use transform::Transform;
pub use view::{FieldView, NumberView, RowView, look_at};
