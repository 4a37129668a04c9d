//! The fields of one record, as `csv-core` tells them apart.

use csv_core::{ReadRecordResult, Reader};

/// The record that is being read: the bytes of its fields one behind the other, and where each ends.
pub(super) struct Fields {
    bytes: Vec<u8>,
    length: usize,
    ends: Vec<usize>,
    count: usize,
}

impl Fields {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; 4 << 10], length: 0, ends: vec![0; 64], count: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.count = 0;
    }

    /// Takes up some input. Says how much of it belongs to the record, and whether the record ends there.
    pub(super) fn read(&mut self, parser: &mut Reader, input: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let (result, read, written, ended) =
                parser.read_record(&input[taken..], &mut self.bytes[self.length..], &mut self.ends[self.count..]);
            taken += read;
            self.length += written;
            self.count += ended;
            match result {
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return (taken, true),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return (taken, false),
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn ends(&self) -> &[usize] {
        &self.ends[..self.count]
    }
}
