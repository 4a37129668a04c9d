//! What every sink does first with a record: read it, and run it through the Pipeline's program.

use penstock_contract::{Record, Rejection};

use crate::{Program, ProgramError, RowView, look_at};

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

    /// The program; without one, rows come out as they came in.
    #[must_use]
    pub fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// Reads the record, runs the program, and shows what came of it.
    ///
    /// # Errors
    /// When the record is no row or the program does not want it, and those of `look`.
    pub fn apply<T>(
        &self,
        record: &Record,
        look: impl FnOnce(RowView<'_>) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        match &self.program {
            None => look_at(&record.data, look),
            Some(program) => {
                let row = look_at(&record.data, |row| program.run(row))?;
                look(RowView::Parsed(&row))
            }
        }
    }
}
