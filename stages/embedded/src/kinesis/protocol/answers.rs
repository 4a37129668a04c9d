//! Writing answers straight into bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::model::Millis;
use super::super::model::sequence::SequenceNumber;

/// A JSON object that is being written.
pub(in super::super) struct Json {
    out: Vec<u8>,
}

impl Json {
    pub(in super::super) fn object() -> Self {
        Self::with_capacity(256)
    }

    pub(in super::super) fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self { out }
    }

    fn key(&mut self, key: &str) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(in super::super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        // Writing a string into memory cannot fail.
        drop(serde_json::to_writer(&mut self.out, value));
    }

    pub(in super::super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    pub(in super::super) fn null(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    /// Seconds with a fraction of milliseconds, as the protocol writes times.
    pub(in super::super) fn time(&mut self, key: &str, value: Millis) {
        self.key(key);
        self.out.extend_from_slice(format!("{}.{:03}", value / 1000, value % 1000).as_bytes());
    }

    pub(in super::super) fn sequence(&mut self, key: &str, value: SequenceNumber) {
        self.key(key);
        self.out.push(b'"');
        value.write(&mut self.out);
        self.out.push(b'"');
    }

    /// Bytes as Base64, encoded in place.
    pub(in super::super) fn blob(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        let start = self.out.len();
        let length = value.len().div_ceil(3) * 4;
        self.out.resize(start + length, 0);
        // The room is exactly what Base64 needs.
        drop(STANDARD.encode_slice(value, &mut self.out[start..]));
        self.out.push(b'"');
    }

    /// A value that `serde_json` writes.
    pub(in super::super) fn value(&mut self, key: &str, value: &serde_json::Value) {
        self.key(key);
        // Writing a value into memory cannot fail.
        drop(serde_json::to_writer(&mut self.out, value));
    }

    /// A list of objects.
    pub(in super::super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.begin_list(key);
        for item in items {
            self.begin_item();
            write(self, item);
            self.end_item();
        }
        self.end_list();
    }

    pub(in super::super) fn begin_list(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'[');
    }

    pub(in super::super) fn begin_item(&mut self) {
        if self.out.last() != Some(&b'[') {
            self.out.push(b',');
        }
        self.out.push(b'{');
    }

    pub(in super::super) fn end_item(&mut self) {
        self.out.push(b'}');
    }

    pub(in super::super) fn end_list(&mut self) {
        self.out.push(b']');
    }

    pub(in super::super) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}
