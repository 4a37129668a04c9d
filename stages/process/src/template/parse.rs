//! From a text to the parts of a template.

use std::fmt::Write as _;

use chrono::DateTime;
use chrono::format::StrftimeItems;

use super::{Part, Template, TemplateError};
use crate::FieldPath;

/// Which specials a template may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Specials {
    All,
    None,
}

const KNOWN_SPECIALS: &str = "{$id}, {$shard} and {$arrival:%Y/%m/%d}";

pub(super) fn parse(text: &str, specials: Specials) -> Result<Template, TemplateError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '}']) {
        literal.push_str(&text[at..at + found]);
        at += found;
        let rest = &text[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            literal.push_str(&rest[..1]);
            at += 2;
            continue;
        }
        let inner = placeholder(rest, at)?;
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(part(inner, at, specials)?);
        at += inner.len() + 2;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(Template { parts })
}

/// What stands between the braces at the beginning of `rest`.
fn placeholder(rest: &str, offset: usize) -> Result<&str, TemplateError> {
    if rest.starts_with('}') {
        return Err(error(offset, "a `}` without its `{`", "write `}}` for a brace"));
    }
    let inner = &rest[1..];
    match inner.find(['{', '}']) {
        Some(end) if inner[end..].starts_with('}') => Ok(&inner[..end]),
        _ => Err(error(offset, "a `{` without its `}`", "close it with `}`, or write `{{` for a brace")),
    }
}

fn part(inner: &str, offset: usize, specials: Specials) -> Result<Part, TemplateError> {
    if let Some(special) = inner.strip_prefix('$') {
        return match specials {
            Specials::All => special_part(special, offset),
            Specials::None => Err(error(
                offset,
                format!("`{{{inner}}}` cannot be used here: a row has no position and no arrival yet"),
                "use fields of the row, such as {InvoiceNo}",
            )),
        };
    }
    if inner.trim().is_empty() {
        return Err(error(offset, "`{}` names no field", "name one, such as {InvoiceNo}, or write `{{}}` for braces"));
    }
    if inner.trim() != inner {
        let cure = format!("write {{{}}}", inner.trim());
        return Err(error(offset, format!("`{{{inner}}}` has spaces around the field's name"), cure));
    }
    if inner.contains(':') {
        let cure = "leave out what follows the colon; only {$arrival:…} takes a format";
        return Err(error(offset, format!("`{{{inner}}}`: a field takes no format"), cure));
    }
    if inner.split('.').any(str::is_empty) {
        let cure = "write a name on each side of every dot, such as {address.city}";
        return Err(error(offset, format!("`{{{inner}}}` has an empty part"), cure));
    }
    Ok(Part::Field(FieldPath::new(inner)))
}

fn special_part(special: &str, offset: usize) -> Result<Part, TemplateError> {
    let (name, format) = match special.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (special, None),
    };
    match (name, format) {
        ("id", None) => Ok(Part::Id),
        ("shard", None) => Ok(Part::Shard),
        ("arrival", Some(format)) if !format.is_empty() => arrival(format, offset),
        ("arrival", _) => Err(error(offset, "`$arrival` needs a format", "write it as {$arrival:%Y/%m/%d}")),
        ("id" | "shard", Some(_)) => {
            Err(error(offset, format!("`${name}` takes no format"), format!("write {{${name}}}")))
        }
        _ => Err(error(offset, format!("`${name}` is not known"), suggestion(name))),
    }
}

fn suggestion(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let near = ["id", "shard", "arrival"].into_iter().find(|known| strsim::jaro_winkler(known, &lower) > 0.85);
    match near {
        Some("arrival") => "did you mean {$arrival:%Y/%m/%d}?".to_owned(),
        Some(near) => format!("did you mean {{${near}}}?"),
        None => format!("there are {KNOWN_SPECIALS}"),
    }
}

fn arrival(format: &str, offset: usize) -> Result<Part, TemplateError> {
    let invalid = || {
        let cure = "use strftime letters, such as %Y/%m/%d/%H, and `%%` for a percent sign";
        error(offset, format!("`{format}` is not a time format"), cure)
    };
    let items = StrftimeItems::new(format).parse_to_owned().map_err(|_| invalid())?;
    // Some letters are for reading only: they show when a time is written.
    let mut sample = String::new();
    write!(sample, "{}", DateTime::UNIX_EPOCH.format_with_items(items.iter())).map_err(|_| invalid())?;
    Ok(Part::Arrival(items))
}

fn error(offset: usize, message: impl Into<String>, cure: impl Into<String>) -> TemplateError {
    TemplateError { offset, message: message.into(), cure: cure.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_where_they_are_and_come_with_a_cure() {
        for (text, offset, message, cure) in [
            ("a{b", 1, "without its `}`", "close it"),
            ("a{b{c}}", 1, "without its `}`", "close it"),
            ("a}b", 1, "without its `{`", "`}}`"),
            ("{a}{}", 3, "names no field", "{InvoiceNo}"),
            ("{ a }", 0, "spaces", "{a}"),
            ("{a:%Y}", 0, "takes no format", "$arrival"),
            ("{a..b}", 0, "empty part", "{address.city}"),
            ("x{$arival:%Y}", 1, "not known", "did you mean {$arrival:%Y/%m/%d}?"),
            ("{$arrival_time}", 0, "not known", "did you mean {$arrival:%Y/%m/%d}?"),
            ("{$ID}", 0, "not known", "did you mean {$id}?"),
            ("{$now}", 0, "not known", "{$id}, {$shard}"),
            ("{$}", 0, "not known", "{$id}, {$shard}"),
            ("{$arrival}", 0, "needs a format", "%Y/%m/%d"),
            ("{$id:%Y}", 0, "takes no format", "{$id}"),
            ("ä{$arrival:%Q}", 2, "not a time format", "strftime"),
            ("{$arrival:%#z}", 0, "not a time format", "strftime"),
            ("{$arrival:%}", 0, "not a time format", "strftime"),
        ] {
            let error = parse(text, Specials::All).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {error:?}");
            assert!(error.message.contains(message), "{text}: {error:?}");
            assert!(error.cure.contains(cure), "{text}: {error:?}");
        }
    }

    #[test]
    fn rows_have_no_specials() {
        for text in ["{$id}", "{$shard}", "{$arrival:%Y}", "{$anything}"] {
            let error = parse(text, Specials::None).unwrap_err();
            assert!(error.message.contains("no position"), "{text}: {error:?}");
        }
    }
}
