//! What every sink does first with a record: read it, and run it through the Pipeline's program.

use penstock_contract::{Record, Rejection};

use crate::{Program, ProgramError, Row, parse_row};

/// The way from a record's bytes to the row that a sink stores.
#[derive(Debug, Clone)]
pub struct Transform {
    program: Option<Program>,
}

impl Transform {
    /// Compiles the program, where there is one.
    ///
    /// # Errors
    /// When the program is not valid.
    pub fn new(program: Option<&str>) -> Result<Self, ProgramError> {
        Ok(Self { program: program.map(Program::compile).transpose()? })
    }

    /// Whether rows come out as they came in.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.program.is_none()
    }

    /// Reads the record and runs the program.
    ///
    /// # Errors
    /// When the record is no row or the program does not want it.
    pub fn apply(&self, record: &Record) -> Result<Row, Rejection> {
        let row = parse_row(&record.data)?;
        match &self.program {
            None => Ok(row),
            Some(program) => program.run(row),
        }
    }
}
