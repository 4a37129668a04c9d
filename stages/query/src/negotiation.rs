//! What a client wants an answer to look like: its format and its coding.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName};

use crate::problem::{Problem, ProblemKind};

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Ndjson,
    Csv,
}

impl Format {
    /// As `?format=` names it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "ndjson" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// How well a media range fits: the more of it is said, the better.
    fn fits(self, range: &str) -> Option<u8> {
        let (names, family): (&[&str], &str) = match self {
            Self::Json => (&["application/json"], "application/*"),
            Self::Ndjson => (&["application/x-ndjson", "application/ndjson", "application/jsonl"], "application/*"),
            Self::Csv => (&["text/csv"], "text/*"),
        };
        if names.contains(&range) {
            return Some(2);
        }
        if range == family { Some(1) } else { (range == "*/*").then_some(0) }
    }
}

/// The format that a request wants, of those that the answer has, best first.
pub(crate) fn format(named: Option<Format>, headers: &HeaderMap, has: &[Format]) -> Result<Format, Problem> {
    if let Some(named) = named {
        return if has.contains(&named) { Ok(named) } else { Err(not_acceptable(has)) };
    }
    let ranges = weighted(headers, &ACCEPT);
    let Some(first) = has.first().filter(|_| ranges.is_empty()) else {
        let weight = |format: &Format| {
            let fitting = ranges.iter().filter_map(|(range, weight)| Some((format.fits(range)?, *weight)));
            // Of several ranges that fit, the one that says most counts (RFC 9110, 12.5.1).
            fitting.max_by_key(|(fit, _)| *fit).map_or(0, |(_, weight)| weight)
        };
        let mut best = None;
        for format in has {
            let weight = weight(format);
            if weight > best.map_or(0, |(_, best)| best) {
                best = Some((*format, weight));
            }
        }
        return best.map(|(format, _)| format).ok_or_else(|| not_acceptable(has));
    };
    Ok(*first)
}

fn not_acceptable(has: &[Format]) -> Problem {
    let types: Vec<_> = has.iter().map(|format| format.content_type()).collect();
    let mut detail = format!("the answer comes as {}", types.join(" or "));
    if !has.contains(&Format::Csv) {
        detail.push_str("; a route needs `fields` to answer as CSV");
    }
    Problem::new(ProblemKind::NotAcceptable, detail)
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The coding that a client takes; of equals the one that packs better.
pub(crate) fn coding(headers: &HeaderMap) -> Coding {
    let told = weighted(headers, &ACCEPT_ENCODING);
    let weight = |name: &str| {
        let named = told.iter().find(|(told, _)| told == name);
        named.or_else(|| told.iter().find(|(told, _)| told == "*")).map_or(0, |(_, weight)| *weight)
    };
    match (weight("zstd"), weight("gzip")) {
        (0, 0) => Coding::Identity,
        (zstd, gzip) if zstd >= gzip => Coding::Zstd,
        _ => Coding::Gzip,
    }
}

/// The members of a list with weights, in thousandths. What cannot be read weighs nothing.
fn weighted(headers: &HeaderMap, name: &HeaderName) -> Vec<(String, u16)> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|member| {
            let mut parts = member.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
            let told = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = told.map_or(Some(1.0), |told| told.parse::<f32>().ok()).unwrap_or(0.0).clamp(0.0, 1.0);
            // Between 0 and 1000.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
            Some((name, (weight * 1000.0) as u16))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ALL: [Format; 3] = [Format::Json, Format::Ndjson, Format::Csv];

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_format_is_what_the_client_likes_best() {
        let of = |accept: &str| format(None, &headers(ACCEPT, accept), &ALL).map_err(|problem| problem.kind());
        assert_eq!(format(None, &HeaderMap::new(), &ALL), Ok(Format::Json));
        assert_eq!(of("*/*"), Ok(Format::Json));
        assert_eq!(of("text/csv, application/json;q=0.5"), Ok(Format::Csv));
        assert_eq!(of("application/ndjson"), Ok(Format::Ndjson));
        assert_eq!(of("text/*"), Ok(Format::Csv));
        assert_eq!(of("application/json;q=0, */*"), Ok(Format::Ndjson));
        assert_eq!(of("text/html"), Err(ProblemKind::NotAcceptable));
        assert_eq!(format(Some(Format::Csv), &headers(ACCEPT, "text/html"), &ALL), Ok(Format::Csv));
        assert!(format(Some(Format::Csv), &HeaderMap::new(), &ALL[..2]).is_err());
    }

    #[test]
    fn a_coding_is_used_when_the_client_takes_it() {
        let of = |accept: &str| coding(&headers(ACCEPT_ENCODING, accept));
        assert_eq!(coding(&HeaderMap::new()), Coding::Identity);
        assert_eq!(of("gzip, deflate, br, zstd"), Coding::Zstd);
        assert_eq!(of("gzip;q=1.0, zstd;q=0.5"), Coding::Gzip);
        assert_eq!(of("gzip;q=0"), Coding::Identity);
        assert_eq!(of("br"), Coding::Identity);
    }
}
