#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Read};

use super::*;

/// What a reader saw: line, fields or what was wrong, original text.
type Seen = (u64, Result<Vec<String>, &'static str>, String);

fn read_all<R: Read>(input: R, decoding: Decoding) -> Vec<Seen> {
    let mut reader = RecordReader::new(input, Delimiter::KNOWN[0], decoding);
    let mut seen = Vec::new();
    loop {
        match reader.advance().unwrap() {
            Step::End => return seen,
            Step::Idle => {}
            Step::Unreadable(why) => seen.push((reader.line(), Err(why.code()), reader.raw_text().into_owned())),
            Step::Record => {
                let fields = match reader.record() {
                    Ok(record) => Ok(record.iter().map(str::to_owned).collect()),
                    Err(why) => Err(why.code()),
                };
                seen.push((reader.line(), fields, reader.raw_text().into_owned()));
            }
        }
    }
}

fn rows(text: &str) -> Vec<Seen> {
    let at_once = read_all(text.as_bytes(), Decoding::Utf8);
    let in_bits = read_all(Bits(text.as_bytes()), Decoding::Utf8);
    assert_eq!(at_once, in_bits, "how the bytes arrive must not matter");
    at_once
}

fn row(line: u64, fields: &[&str], raw: &str) -> Seen {
    (line, Ok(fields.iter().map(|field| (*field).to_owned()).collect()), raw.to_owned())
}

/// Gives one byte at a time.
struct Bits<'a>(&'a [u8]);

impl Read for Bits<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

#[test]
fn every_kind_of_line_end_gives_the_same_records_and_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["a,b", "1,2", "", "3,4"].join(end);
        let expected = [row(1, &["a", "b"], "a,b"), row(2, &["1", "2"], "1,2"), row(4, &["3", "4"], "3,4")];
        assert_eq!(rows(&text), expected, "{end:?}");
        assert_eq!(rows(&(text + end)), expected, "{end:?} at the end");
    }
}

#[test]
fn a_quoted_field_may_hold_line_ends_quotes_and_delimiters() {
    let text = "a,\"one\r\ntwo, \"\"three\"\"\"\r\nb,\"x\ny\"\nc,d";
    assert_eq!(
        rows(text),
        [
            row(1, &["a", "one\r\ntwo, \"three\""], "a,\"one\r\ntwo, \"\"three\"\"\""),
            row(3, &["b", "x\ny"], "b,\"x\ny\""),
            row(5, &["c", "d"], "c,d"),
        ]
    );
}

#[test]
fn a_quote_inside_a_field_is_a_character() {
    assert_eq!(rows("a,7\" SINGLE\nb,c\n"), [row(1, &["a", "7\" SINGLE"], "a,7\" SINGLE"), row(2, &["b", "c"], "b,c")]);
}

#[test]
fn nul_bytes_are_characters() {
    assert_eq!(rows("a\0b,\0\n"), [row(1, &["a\0b", "\0"], "a\0b,\0")]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_field() {
    assert_eq!(read_all("\u{feff}a,b\n".as_bytes(), Decoding::Utf8)[0].1, Ok(vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_quote_that_is_never_closed_costs_its_own_line_only() {
    assert_eq!(
        rows("a,b\n1,\"2\n3,4\n5,6"),
        [
            row(1, &["a", "b"], "a,b"),
            (2, Err("quote_not_closed"), "1,\"2".to_owned()),
            row(3, &["3", "4"], "3,4"),
            row(4, &["5", "6"], "5,6"),
        ]
    );
    assert_eq!(rows("a,b\n1,\"2"), [row(1, &["a", "b"], "a,b"), (2, Err("quote_not_closed"), "1,\"2".to_owned())]);
}

#[test]
fn an_unclosed_quote_in_a_long_file_is_given_up_within_the_bound() {
    let mut text = "a,b\n1,\"2\n".to_owned();
    let many = 3 * MAX_RECORD_BYTES / 10;
    for number in 0..many {
        text.push_str(&format!("{number:07},x\n"));
    }
    let seen = read_all(text.as_bytes(), Decoding::Utf8);
    assert_eq!(seen.len(), many + 2);
    assert_eq!(seen[1], (2, Err("quote_not_closed"), "1,\"2".to_owned()));
    assert_eq!(seen.last().unwrap().0, many as u64 + 2);
}

#[test]
fn quotes_that_make_no_sense_at_all_end_the_reading() {
    // Each line leaves a quote open, wherever the reading of it begins.
    let text = "a\"b,\"\n".repeat(1 << 20);
    let mut reader = RecordReader::new(text.as_bytes(), Delimiter::KNOWN[0], Decoding::Utf8);
    let error = loop {
        match reader.advance() {
            Ok(Step::End) => panic!("came to the end"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Quotes { .. }), "{error}");
}

#[test]
fn a_line_beyond_the_bound_is_thrown_away_and_the_next_one_read() {
    let text = format!("a,b\n{}\nc,d\n", "x".repeat(5 * MAX_RECORD_BYTES));
    let mut reader = RecordReader::new(text.as_bytes(), Delimiter::KNOWN[0], Decoding::Utf8);
    assert_eq!(reader.advance().unwrap(), Step::Record);
    assert_eq!(reader.advance().unwrap(), Step::Unreadable(Unreadable::TooLong));
    assert_eq!(reader.line(), 2);
    assert_eq!(reader.advance().unwrap(), Step::Record);
    assert_eq!((reader.line(), reader.record().unwrap().get(0)), (3, "c"));
    assert!(reader.buffer.len() <= MAX_RECORD_BYTES + 2 * READ_BYTES, "{}", reader.buffer.len());
}

#[test]
fn a_record_with_very_many_fields_is_read() {
    let text = format!("{}\nx\n", ",".repeat(100_000));
    let seen = read_all(text.as_bytes(), Decoding::Utf8);
    assert_eq!(seen[0].1.as_ref().unwrap().len(), 100_001);
    assert_eq!(seen[1], row(2, &["x"], "x"));
}

#[test]
fn bytes_of_a_named_character_set_become_text_and_broken_ones_are_told() {
    let windows = Decoding::SingleByte(encoding_rs::WINDOWS_1252);
    let seen = read_all(&b"caf\xe9,\xa340\nplain,x\n"[..], windows);
    assert_eq!(seen, [row(1, &["café", "£40"], "café,£40"), row(2, &["plain", "x"], "plain,x")]);
    let seen = read_all(&b"caf\xe9,1\nplain,x\n"[..], Decoding::Utf8);
    assert_eq!(seen[0], (1, Err("encoding"), "caf\u{fffd},1".to_owned()));
    assert_eq!(seen[1], row(2, &["plain", "x"], "plain,x"));
}

#[test]
fn an_input_that_waits_is_told_apart_from_one_that_ended() {
    struct Waits(u32);
    impl Read for Waits {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => (&b"a,b\n1,"[..]).read(buffer),
                2 => Err(io::ErrorKind::WouldBlock.into()),
                3 => (&b"2\n"[..]).read(buffer),
                _ => Ok(0),
            }
        }
    }
    let mut reader = RecordReader::new(Waits(0), Delimiter::KNOWN[0], Decoding::Utf8);
    assert_eq!(reader.advance().unwrap(), Step::Record);
    assert_eq!(reader.advance().unwrap(), Step::Idle);
}
