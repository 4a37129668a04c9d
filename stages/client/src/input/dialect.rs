//! Which delimiter parts the fields, told from the beginning of a file.

use super::charset::Decoding;
use super::records::{RecordReader, Step};
use crate::options::Delimiter;

/// So many records are looked at.
const RECORDS: usize = 50;

/// The delimiter that parts the header into the most fields and the records behind it into as many; a comma when
/// there is but one column.
pub(crate) fn detect_delimiter(sample: &[u8], decoding: Decoding) -> Delimiter {
    let mut best = (Delimiter::KNOWN[0], 0);
    for delimiter in Delimiter::KNOWN {
        let score = score(sample, delimiter, decoding);
        if score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

/// Fields of the header for each record that has as many; none when the header is not parted at all.
fn score(sample: &[u8], delimiter: Delimiter, decoding: Decoding) -> usize {
    let mut reader = RecordReader::new(sample, delimiter, decoding);
    let mut columns = 0;
    let mut alike = 0;
    for _ in 0..RECORDS {
        match reader.advance() {
            Ok(Step::Record) => {}
            Ok(Step::Unreadable(_)) => continue,
            Ok(Step::Idle | Step::End) | Err(_) => break,
        }
        let Ok(record) = reader.record() else { continue };
        if columns == 0 {
            columns = record.len();
        }
        alike += usize::from(record.len() == columns);
    }
    if columns < 2 { 0 } else { columns * alike }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn detect(sample: &str) -> String {
        detect_delimiter(sample.as_bytes(), Decoding::Utf8).to_string()
    }

    #[test]
    fn the_delimiter_that_gives_even_records_is_taken() {
        assert_eq!(detect("a,b,c\n1,2,3\n"), ",");
        assert_eq!(detect("a;b;c\n1,5;2,5;3,5\n1,5;2,5;3,5\n"), ";");
        assert_eq!(detect("a\tb\n1\t\"x, y, z\"\n"), "tab");
        assert_eq!(detect("a|b|c\nx, y|z|1\n"), "|");
        assert_eq!(detect("a,b\n\"1;2;3;4;5\",6\n"), ",");
    }

    #[test]
    fn one_column_needs_no_delimiter() {
        assert_eq!(detect("only\n1\n2\n"), ",");
        assert_eq!(detect(""), ",");
    }
}
