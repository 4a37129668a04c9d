//! Requests in and answers out, as the service's JSON 1.1 protocol has them. CBOR is translated at the edge.

pub(super) mod answers;
mod cbor;
pub(super) mod events;
pub(super) mod format;
pub(super) mod put;
pub(super) mod requests;

use serde::Deserialize;

use super::error::{ApiError, ErrorKind};

/// Reads a request.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(ErrorKind::Serialization, format!("The request cannot be read: {error}")))
}

/// A parameter that must be there.
pub(super) fn required<T>(value: Option<T>, parameter: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| {
        ApiError::new(
            ErrorKind::Validation,
            format!(
                "1 validation error detected: Value null at '{parameter}' failed to satisfy constraint: Member must not \
                 be null"
            ),
        )
    })
}

/// A number within its bounds, both included.
pub(super) fn within(value: i64, parameter: &str, min: u32, max: u32) -> Result<u32, ApiError> {
    match u32::try_from(value) {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(ApiError::validation(
            parameter,
            value,
            if value < i64::from(min) {
                format!("Member must have value greater than or equal to {min}")
            } else {
                format!("Member must have value less than or equal to {max}")
            },
        )),
    }
}

/// A text within its length, in characters.
pub(super) fn of_length<'a>(value: &'a str, parameter: &str, min: usize, max: usize) -> Result<&'a str, ApiError> {
    // Characters are at most as many as bytes, so most texts need no counting.
    let length = if value.len() <= max { value.len() } else { value.chars().count() };
    if length < min {
        return Err(ApiError::validation(
            parameter,
            value,
            format!("Member must have length greater than or equal to {min}"),
        ));
    }
    if length > max {
        let shown: String = value.chars().take(300).collect();
        return Err(ApiError::validation(
            parameter,
            shown,
            format!("Member must have length less than or equal to {max}"),
        ));
    }
    Ok(value)
}

/// A name of 1 to 128 letters, digits, `_`, `.` and `-`.
pub(super) fn name<'a>(value: &'a str, parameter: &str) -> Result<&'a str, ApiError> {
    of_length(value, parameter, 1, 128)?;
    if value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        Ok(value)
    } else {
        Err(ApiError::validation(parameter, value, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"))
    }
}
