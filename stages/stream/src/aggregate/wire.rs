//! The little of protobuf's wire format that an aggregate needs
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A number in groups of seven bits.
const VARINT: u8 = 0;
/// Eight bytes.
const FIXED64: u8 = 1;
/// A length and so many bytes.
const LENGTH_DELIMITED: u8 = 2;
/// Four bytes.
const FIXED32: u8 = 5;

/// The first byte of a field that holds a number. Good for fields 1 to 15.
pub(super) const fn varint_tag(field: u8) -> u8 {
    field << 3 | VARINT
}

/// The first byte of a field that holds bytes. Good for fields 1 to 15.
pub(super) const fn bytes_tag(field: u8) -> u8 {
    field << 3 | LENGTH_DELIMITED
}

/// How many bytes a number takes.
pub(super) const fn varint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// A field's value. Fields of fixed size are read over: an aggregate has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Skipped,
}

/// The bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a message field by field.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// How many bytes were not read yet.
    pub(super) fn unread(&self) -> usize {
        self.rest.len()
    }

    /// The number and value of the next field; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag.to_le_bytes()[0] & 7 {
            VARINT => Value::Number(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Skipped)?,
            LENGTH_DELIMITED => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            FIXED32 => self.take(4).map(|_| Value::Skipped)?,
            _ => return Err(Malformed),
        };
        let field = tag >> 3;
        if field == 0 { Err(Malformed) } else { Ok(Some((field, value))) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for (place, byte) in self.rest.iter().enumerate().take(10) {
            let group = u64::from(byte & 0x7F);
            if place == 9 && group > 1 {
                return Err(Malformed);
            }
            number |= group << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[place + 1..];
                return Ok(number);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_as_many_bytes_as_was_said() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(out.len(), varint_len(number), "{number}");
            assert_eq!(Fields::of(&out).varint(), Ok(number));
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_malformed() {
        assert_eq!(Fields::of(&[0xFF; 11]).varint(), Err(Malformed));
        let mut just_too_large = vec![0xFF; 9];
        just_too_large.push(0x02);
        assert_eq!(Fields::of(&just_too_large).varint(), Err(Malformed));
    }
}
