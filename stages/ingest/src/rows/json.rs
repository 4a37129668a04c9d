//! JSON bodies: an object, an array of objects, or an object a line.
//!
//! The elements of an array are found by brackets and quotes alone, without recursion, so that an element
//! that is no JSON, too deep or no UTF-8 is refused by itself.

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::{RawRow, Rows, Shape, malformed};
use crate::problem::Problem;

/// An object a line; empty lines are no rows.
pub(super) fn split_lines(body: &Bytes, rows: &mut impl Rows) -> Result<(), Problem> {
    let mut start = 0;
    while start < body.len() {
        let end = memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
        let line = trimmed(body, start, end);
        if !line.is_empty() {
            rows.row(RawRow::Slice(line))?;
        }
        start = end + 1;
    }
    Ok(())
}

/// One object, or an array of objects.
pub(super) fn split_json(body: &Bytes, rows: &mut impl Rows) -> Result<Shape, Problem> {
    let start = skip_space(body, 0);
    match body.get(start) {
        Some(b'{') => {
            rows.row(RawRow::Slice(trimmed(body, start, body.len())))?;
            Ok(Shape::One)
        }
        Some(b'[') => split_array(body, start + 1, rows).map(|()| Shape::Many),
        Some(_) => Err(malformed(format!(
            "at byte {start}: expected a JSON object or an array of objects; send an object a line as application/x-ndjson"
        ))),
        None => Err(malformed("the body is empty; send a JSON object or an array of objects")),
    }
}

fn split_array(body: &Bytes, after_bracket: usize, rows: &mut impl Rows) -> Result<(), Problem> {
    let mut at = skip_space(body, after_bracket);
    let mut row = 1_u64;
    if body.get(at) != Some(&b']') {
        loop {
            let end = end_of_element(body, at, row)?;
            let element = trimmed(body, at, end);
            if element.is_empty() {
                return Err(malformed(format!("at byte {end}, row {row}: there is nothing between two commas")));
            }
            rows.row(RawRow::Slice(element))?;
            at = end;
            if body.get(at) == Some(&b']') {
                break;
            }
            at += 1;
            row += 1;
        }
    }
    let rest = skip_space(body, at + 1);
    if rest < body.len() {
        return Err(malformed(format!("at byte {rest}: there is something behind the end of the array")));
    }
    Ok(())
}

/// The place of the comma or bracket that ends the element.
fn end_of_element(body: &[u8], start: usize, row: u64) -> Result<usize, Problem> {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => at = end_of_string(body, at + 1, row)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b']' | b',' if depth == 0 => return Ok(at),
            b'}' if depth == 0 => {
                return Err(malformed(format!("at byte {at}, row {row}: a brace closes what was not opened")));
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    Err(malformed(format!(
        "row {row}, which begins at byte {start}, is not complete: the array is not closed before the body ends"
    )))
}

/// The place behind the closing quote.
fn end_of_string(body: &[u8], start: usize, row: u64) -> Result<usize, Problem> {
    let mut at = start;
    while let Some(found) = body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if body[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
    let quote = start - 1;
    Err(malformed(format!("row {row}: the text that begins at byte {quote} is not closed before the body ends")))
}

fn skip_space(body: &[u8], start: usize) -> usize {
    let space = body.get(start..).unwrap_or_default().iter().take_while(|byte| is_space(**byte)).count();
    start + space
}

fn trimmed(body: &Bytes, start: usize, end: usize) -> Bytes {
    let start = skip_space(&body[..end], start);
    let space = body[start..end].iter().rev().take_while(|byte| is_space(**byte)).count();
    body.slice(start..end - space)
}

/// What RFC 8259 takes for white space.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::tests::Collected;

    fn json(body: &[u8]) -> Result<Vec<String>, String> {
        let mut rows = Collected::default();
        split_json(&Bytes::copy_from_slice(body), &mut rows).map_err(|problem| format!("{problem:?}"))?;
        Ok(rows.0)
    }

    fn lines(body: &[u8]) -> Vec<String> {
        let mut rows = Collected::default();
        split_lines(&Bytes::copy_from_slice(body), &mut rows).unwrap();
        rows.0
    }

    #[test]
    fn elements_are_found_by_brackets_and_quotes() {
        assert_eq!(
            json(b" [ {\"a\":\"],{\\\"\"} , {\"b\":[1,{}]}\n]\n").unwrap(),
            [r#"{"a":"],{\""}"#, r#"{"b":[1,{}]}"#]
        );
        assert_eq!(json(b"[]").unwrap(), [""; 0]);
        assert_eq!(json(b"\t{\"a\":\n1} ").unwrap(), ["{\"a\":\n1}"]);
    }

    #[test]
    fn an_element_that_is_wrong_does_not_hide_the_next() {
        assert_eq!(json(b"[{\"a\":},1e400,{},nul]").unwrap(), ["{\"a\":}", "1e400", "{}", "nul"]);
        let deep = format!("[{}{},{{}}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(json(deep.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_taken_apart_says_where() {
        for (body, place) in [
            ("", "empty"),
            ("7", "byte 0"),
            ("[{},]", "byte 4, row 2"),
            ("[,{}]", "byte 1, row 1"),
            ("[{}}]", "byte 3, row 1"),
            ("[{},{\"a\":1", "row 2, which begins at byte 4"),
            ("[{\"a\":\"x},{}]", "row 1: the text that begins at byte 6"),
            ("[{\"a\":\"x\\", "row 1: the text that begins at byte 6"),
            ("[{}] x", "byte 5"),
        ] {
            let problem = json(body.as_bytes()).unwrap_err();
            assert!(problem.contains(place), "{body}: {problem}");
        }
    }

    #[test]
    fn a_line_is_a_row_and_empty_lines_are_none() {
        assert_eq!(lines(b"{\"a\":1}\r\n\n  \n {\"b\":2} \nnul"), ["{\"a\":1}", "{\"b\":2}", "nul"]);
        assert_eq!(lines(b""), [""; 0]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in prop::collection::vec(prop_oneof![
            Just(b'['), Just(b']'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b','), any::<u8>()
        ], 0..60)) {
            let _ = json(&body);
            let _ = lines(&body);
        }
    }
}
