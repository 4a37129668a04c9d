//! Rows that are not slices of the body because something was added or converted.

use bytes::{Bytes, BytesMut};

use crate::budget::Hold;
use crate::compressed::overloaded;
use crate::problem::{Problem, ProblemKind};

/// Rows share pieces of memory of this size.
const PIECE: usize = 64 << 10;

/// Keeps rows that were made, within the memory that the request may hold.
#[derive(Debug)]
pub(crate) struct Made {
    piece: BytesMut,
    /// What the body itself holds.
    body_bytes: usize,
    made_bytes: usize,
    max_bytes: usize,
    hold: Hold,
}

impl Made {
    /// Keeps at most `max_bytes` beside the body.
    pub(crate) fn new(body_bytes: usize, max_bytes: u64, hold: Hold) -> Self {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Self { piece: BytesMut::new(), body_bytes, made_bytes: 0, max_bytes, hold }
    }

    /// Keeps a row.
    pub(crate) fn keep(&mut self, row: &[u8]) -> Result<Bytes, Problem> {
        self.made_bytes += row.len();
        if self.made_bytes > self.max_bytes {
            let detail = format!(
                "the rows take more than {} bytes once they are JSON with their ids, which is the most that is taken; \
                 send fewer rows in one request",
                self.max_bytes
            );
            return Err(Problem::new(ProblemKind::DecompressedTooLarge, detail));
        }
        self.hold.try_reach(self.body_bytes + self.made_bytes + PIECE).map_err(|_| overloaded())?;
        if self.piece.capacity() - self.piece.len() < row.len() {
            self.piece = BytesMut::with_capacity(PIECE.max(row.len()));
        }
        self.piece.extend_from_slice(row);
        Ok(self.piece.split().freeze())
    }

    /// The memory that the request holds, for as long as its rows are anywhere.
    pub(crate) fn into_hold(self) -> Hold {
        self.hold
    }
}
