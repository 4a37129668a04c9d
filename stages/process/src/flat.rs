//! A row of plain fields, seen in the bytes that it came in.
//!
//! Nearly every row is flat: strings without escapes, short numbers, booleans and nulls. To look at one nothing is
//! allocated, and the strings are not copied. A row that is not so simple is read by [`parse_row`](crate::parse_row),
//! which also knows what is wrong with one that is none.

use arrayvec::ArrayVec;
use serde_json::{Map, Number, Value};

use crate::Row;

/// A flat row has at most so many fields: each new name is compared with those before it.
const MAX_FIELDS: usize = 32;
/// So many digits of a whole number fit into 64 bits, whatever they are.
const MAX_WHOLE_DIGITS: usize = 18;
/// A decimal number of so many digits is the shortest text of the float that it reads as.
const MAX_DECIMAL_DIGITS: usize = 15;
/// With more places a small number's shortest text has an exponent.
const MAX_PLACES: usize = 7;

/// A row whose fields are all plain; the fields are in the order in which they were sent.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatRow<'a> {
    fields: ArrayVec<(&'a str, Flat<'a>), MAX_FIELDS>,
}

/// The value of a field of a flat row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flat<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A string.
    Text(&'a str),
    /// A number.
    Number(FlatNumber<'a>),
}

/// A number of few digits, as its shortest decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlatNumber<'a> {
    text: &'a str,
    /// It was written without a decimal point.
    whole: bool,
}

impl<'a> FlatRow<'a> {
    /// Looks at a record's bytes. What it sees is what [`parse_row`](crate::parse_row) makes of them.
    ///
    /// `None` says nothing about the record: it may be a good row that is not flat, and it may be none.
    #[must_use]
    pub fn read(data: &'a [u8]) -> Option<Self> {
        let mut scanner = Scanner { text: std::str::from_utf8(data).ok()?, at: 0 };
        let row = scanner.row()?;
        scanner.skip_space();
        scanner.peek().is_none().then_some(row)
    }

    /// Adds a field at the end; `None` when there is no room or the row has one of that name.
    #[must_use]
    pub fn push(&mut self, name: &'a str, value: Flat<'a>) -> Option<()> {
        if self.get(name).is_some() {
            return None;
        }
        self.fields.try_push((name, value)).ok()
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Flat<'a>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, Flat<'a>)> {
        self.fields.iter().copied()
    }

    /// Whether it has no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The same row with values of its own.
    #[must_use]
    pub fn to_row(&self) -> Row {
        let mut fields = Map::with_capacity(self.fields.len());
        fields.extend(self.fields().map(|(name, value)| (name.to_owned(), value.to_value())));
        Row(fields)
    }
}

impl Flat<'_> {
    /// The same value as JSON.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Number(number) => number.to_number().map_or(Value::Null, Value::Number),
        }
    }
}

impl<'a> FlatNumber<'a> {
    /// Takes a number as JSON writes it.
    fn read(written: &'a str) -> Option<Self> {
        let digits = written.strip_prefix('-').unwrap_or(written);
        let (ones, places) = match digits.split_once('.') {
            Some((ones, places)) => (ones, Some(places)),
            None => (digits, None),
        };
        let leading_zero = ones.len() > 1 && ones.starts_with('0');
        if leading_zero || !is_digits(ones) {
            return None;
        }
        let text = match places {
            None if ones.len() <= MAX_WHOLE_DIGITS => written,
            Some(places) if is_digits(places) && is_short(ones, places) => {
                written.trim_end_matches('0').trim_end_matches('.')
            }
            _ => return None,
        };
        // A float's zero with a sign is a matter for those who read floats.
        (text != "-0").then_some(Self { text, whole: places.is_none() })
    }

    /// The shortest decimal text, as [`decimal_text`](crate::decimal_text) writes it.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.text
    }

    /// The number, if it was written without a decimal point.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        if self.whole { self.text.parse().ok() } else { None }
    }

    /// The number as a float.
    #[must_use]
    pub fn float(self) -> Option<f64> {
        self.text.parse().ok()
    }

    /// As the JSON reader gives it. Numbers that can be read are all numbers that there are.
    #[must_use]
    pub fn to_number(self) -> Option<Number> {
        match self.whole() {
            Some(whole) => Some(Number::from(whole)),
            None => self.float().and_then(Number::from_f64),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_short(ones: &str, places: &str) -> bool {
    ones.len() + places.len() <= MAX_DECIMAL_DIGITS && places.len() <= MAX_PLACES
}

/// Goes once over the text. Each method takes what it is named after, or gives up.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn row(&mut self) -> Option<FlatRow<'a>> {
        let mut row = FlatRow { fields: ArrayVec::new() };
        self.skip_space();
        self.take(b'{')?;
        self.skip_space();
        if self.take(b'}').is_some() {
            return Some(row);
        }
        loop {
            let name = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            let value = self.value()?;
            row.push(name, value)?;
            self.skip_space();
            if self.take(b'}').is_some() {
                return Some(row);
            }
            self.take(b',')?;
            self.skip_space();
        }
    }

    fn value(&mut self) -> Option<Flat<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Flat::Text),
            b'n' => self.word("null").map(|()| Flat::Null),
            b't' => self.word("true").map(|()| Flat::Bool(true)),
            b'f' => self.word("false").map(|()| Flat::Bool(false)),
            _ => self.number().map(Flat::Number),
        }
    }

    /// A string that stands for itself: nothing in it is escaped.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
        let string = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.take(b'"')?;
        Some(string)
    }

    fn number(&mut self) -> Option<FlatNumber<'a>> {
        let rest = self.text.get(self.at..)?;
        let length = rest.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let written = &rest[..length.unwrap_or(rest.len())];
        self.at += written.len();
        FlatNumber::read(written)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
#[path = "flat/tests.rs"]
mod tests;
