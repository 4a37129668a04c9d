//! Values from outside as parts of an object key.

use std::fmt::Write as _;

use penstock_contract::Rejection;

use crate::FieldPath;

/// A key holds 1024 bytes in all (S3 user guide, "Naming Amazon S3 objects").
const MAX_VALUE_BYTES: usize = 255;
/// Stands for a value without characters, so that the level it makes can be seen.
const EMPTY: &str = "__empty__";

/// Adds a value, percent-encoded but for letters, digits, `-`, `_`, `.` and `~` (RFC 3986, "unreserved"). A value
/// of dots only is encoded whole, so that no tool takes it for the way up.
pub(super) fn append(text: &mut String, field: &FieldPath, value: &str) -> Result<(), Rejection> {
    if value.is_empty() {
        text.push_str(EMPTY);
        return Ok(());
    }
    let start = text.len();
    let dots_only = value.bytes().all(|byte| byte == b'.');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && !dots_only) {
            text.push(char::from(byte));
        } else if write!(text, "%{byte:02X}").is_err() {
            return Err(too_long(field));
        }
        if text.len() - start > MAX_VALUE_BYTES {
            return Err(too_long(field));
        }
    }
    Ok(())
}

fn too_long(field: &FieldPath) -> Rejection {
    let message = format!(
        "{} is longer than {MAX_VALUE_BYTES} bytes once it is encoded, which is the most that a part of a key may have",
        field.as_str()
    );
    Rejection::new("path_value_too_long", message).at(field.as_str())
}
