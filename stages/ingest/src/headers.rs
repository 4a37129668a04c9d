//! What the headers of a `POST` say about its body and about the answer that is wanted.

use std::time::Duration;

use encoding_rs::{Encoding, UTF_8};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use crate::problem::{Problem, ProblemKind};

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How the rows stand in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One object, or an array of objects.
    Json,
    /// An object a line.
    Ndjson,
    /// A header row, then a row a line; in this character set.
    Csv(&'static Encoding),
}

/// How the body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Reads `Content-Type`.
pub(crate) fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let unsupported = |found: &str| {
        let detail = format!(
            "the content type is {found}; send application/json (an object or an array of objects), \
             application/x-ndjson (an object a line) or text/csv (with a header row)"
        );
        Problem::new(ProblemKind::UnsupportedType, detail)
    };
    let value = headers.get(CONTENT_TYPE).ok_or_else(|| unsupported("missing"))?;
    let value = value.to_str().map_err(|_| unsupported("not text"))?;
    let mut parts = value.split(';');
    let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters: Vec<(String, String)> = parts.filter_map(parameter).collect();
    match media_type.as_str() {
        "application/json" => {
            only_utf8(&parameters)?;
            Ok(Format::Json)
        }
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            only_utf8(&parameters)?;
            Ok(Format::Ndjson)
        }
        "text/csv" => {
            if parameters.contains(&("header".to_owned(), "absent".to_owned())) {
                return Err(unsupported("text/csv without a header row"));
            }
            charset(&parameters).map(Format::Csv)
        }
        _ => Err(unsupported(&shown(value))),
    }
}

/// Reads `Content-Encoding`.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    let mut codings = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity");
    match (codings.next().as_deref(), codings.next()) {
        (None, _) => Ok(Coding::Identity),
        (Some("gzip" | "x-gzip"), None) => Ok(Coding::Gzip),
        (Some("zstd"), None) => Ok(Coding::Zstd),
        (Some(one), None) => {
            let detail = format!("the content encoding {} is not taken; send gzip, zstd or none", shown(one));
            Err(Problem::new(ProblemKind::UnsupportedEncoding, detail))
        }
        (Some(_), Some(_)) => {
            let detail = "the body is encoded more than once; send gzip, zstd or none";
            Err(Problem::new(ProblemKind::UnsupportedEncoding, detail))
        }
    }
}

/// What `Prefer` asks for (RFC 7240).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// `return=minimal`: only refused rows in the answer.
    pub(crate) minimal: bool,
    /// `wait=SECONDS`: answer within this time, although the stream may still take the rows afterwards.
    pub(crate) wait: Option<Duration>,
}

/// Reads `Prefer`; what is not known is passed over.
pub(crate) fn preferences(headers: &HeaderMap) -> Preferences {
    let mut found = Preferences::default();
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    for preference in values.flat_map(|value| value.split([',', ';'])).map(|text| text.trim().to_ascii_lowercase()) {
        if preference == "return=minimal" {
            found.minimal = true;
        } else if let Some(seconds) = preference.strip_prefix("wait=") {
            found.wait = seconds.parse().ok().map(Duration::from_secs);
        }
    }
    found
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_ascii_lowercase()))
}

fn charset(parameters: &[(String, String)]) -> Result<&'static Encoding, Problem> {
    let Some((_, label)) = parameters.iter().find(|(name, _)| name == "charset") else { return Ok(UTF_8) };
    Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| {
        let detail = format!("the character set {} is not known; send UTF-8 or ISO-8859-1", shown(label));
        Problem::new(ProblemKind::UnsupportedCharset, detail)
    })
}

/// RFC 8259 leaves JSON no other character set.
fn only_utf8(parameters: &[(String, String)]) -> Result<(), Problem> {
    let found = charset(parameters)?;
    // ASCII is UTF-8, although its label stands for another set on the web.
    let ascii = parameters.contains(&("charset".to_owned(), "us-ascii".to_owned()));
    if found == UTF_8 || ascii {
        return Ok(());
    }
    let detail = format!("JSON is sent as UTF-8, not as {}; leave the charset parameter out", found.name());
    Err(Problem::new(ProblemKind::UnsupportedCharset, detail))
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn format_of(value: &'static str) -> Result<Format, ProblemKind> {
        format(&with(CONTENT_TYPE, &[value])).map_err(|problem| problem.kind())
    }

    #[test]
    fn content_types_tell_the_format() {
        assert_eq!(format_of("application/json"), Ok(Format::Json));
        assert_eq!(format_of("Application/JSON; charset=\"UTF-8\""), Ok(Format::Json));
        assert_eq!(format_of("application/x-ndjson;charset=us-ascii"), Ok(Format::Ndjson));
        assert_eq!(format_of("text/csv"), Ok(Format::Csv(UTF_8)));
        assert_eq!(
            format_of("text/csv; header=present; charset=iso-8859-1"),
            Ok(Format::Csv(encoding_rs::WINDOWS_1252))
        );
        assert_eq!(format_of("text/csv; header=absent"), Err(ProblemKind::UnsupportedType));
        assert_eq!(format_of("text/csv; charset=klingon"), Err(ProblemKind::UnsupportedCharset));
        assert_eq!(format_of("application/json; charset=iso-8859-1"), Err(ProblemKind::UnsupportedCharset));
        assert_eq!(format_of("text/plain"), Err(ProblemKind::UnsupportedType));
        assert_eq!(format(&HeaderMap::new()).unwrap_err().kind(), ProblemKind::UnsupportedType);
    }

    #[test]
    fn one_coding_is_taken_at_a_time() {
        let coding_of = |values| coding(&with(CONTENT_ENCODING, values)).map_err(|problem| problem.kind());
        assert_eq!(coding(&HeaderMap::new()), Ok(Coding::Identity));
        assert_eq!(coding_of(&["identity"]), Ok(Coding::Identity));
        assert_eq!(coding_of(&["GZIP"]), Ok(Coding::Gzip));
        assert_eq!(coding_of(&["identity, zstd"]), Ok(Coding::Zstd));
        assert_eq!(coding_of(&["br"]), Err(ProblemKind::UnsupportedEncoding));
        assert_eq!(coding_of(&["gzip, gzip"]), Err(ProblemKind::UnsupportedEncoding));
        assert_eq!(coding_of(&["gzip", "zstd"]), Err(ProblemKind::UnsupportedEncoding));
    }

    #[test]
    fn preferences_are_read_from_any_of_the_headers() {
        let both = preferences(&with(PREFER, &["respond-async", "wait=7, return=minimal"]));
        assert_eq!(both, Preferences { minimal: true, wait: Some(Duration::from_secs(7)) });
        assert_eq!(preferences(&with(PREFER, &["return=representation; wait=soon"])), Preferences::default());
    }
}
