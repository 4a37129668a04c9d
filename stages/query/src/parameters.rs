//! The parameters of a request: what the route declares, and what every route has.

use penstock_api::spec::{Answer, ConsistentReads, ParameterType};

use crate::compile::{OF_EVERY_ROUTE, ParameterRule, Route};
use crate::decimal;
use crate::negotiation::Format;
use crate::problem::{Problem, ProblemKind};
use crate::template::Values;

/// The longest value of a parameter, in characters.
pub(crate) const MAX_LENGTH: usize = 256;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) values: Values,
    /// How many items, when it says so.
    pub(crate) limit: Option<usize>,
    pub(crate) next: Option<String>,
    pub(crate) format: Option<Format>,
    pub(crate) consistent: bool,
}

/// Reads the parameters of a request to a route.
pub(crate) fn read(route: &Route, in_path: Values, query: &str) -> Result<Asked, Problem> {
    let always = route.plan.consistent_reads == ConsistentReads::Always;
    let mut asked = Asked { values: in_path, limit: None, next: None, format: None, consistent: always };
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(bad(&name, "one value", "it is there more than once"));
        }
        match name.as_ref() {
            "limit" if lists(route) => asked.limit = Some(limit(route, &value)?),
            "next" if lists(route) => asked.next = Some(value.into_owned()),
            "format" => asked.format = Some(format(&value)?),
            "consistent" if route.plan.consistent_reads != ConsistentReads::Never => {
                asked.consistent |= boolean(&value)?;
            }
            declared if route.parameters.iter().any(|rule| !rule.in_path && rule.name == declared) => {
                asked.values.insert(name.clone().into_owned(), value.into_owned());
            }
            _ => return Err(unknown(route, &name)),
        }
        seen.push(name);
    }
    for rule in &route.parameters {
        match asked.values.get(&rule.name) {
            Some(value) => {
                if let Some(expected) = rule.refuses(value) {
                    return Err(bad(&rule.name, &expected, &format!("it is {:?}", shortened(value))));
                }
            }
            None => match &rule.default {
                Some(default) => {
                    asked.values.insert(rule.name.clone(), default.clone());
                }
                None if rule.required => return Err(bad(&rule.name, &rule.expected(), "it is missing")),
                None => {}
            },
        }
    }
    Ok(asked)
}

/// Whether the answer has pages.
pub(crate) fn lists(route: &Route) -> bool {
    route.plan.answer == Answer::Items
}

impl ParameterRule {
    /// What was expected, when the value is not that.
    pub(crate) fn refuses(&self, value: &str) -> Option<String> {
        let fits = match self.kind {
            ParameterType::String => true,
            ParameterType::Integer => is_integer(value),
            ParameterType::Number => decimal::read(value).is_some(),
            ParameterType::Date => is_date(value),
        };
        let known = self.values.is_empty() || self.values.iter().any(|known| known == value);
        let length = value.chars().count();
        (!fits || !known || length == 0 || length > MAX_LENGTH).then(|| self.expected())
    }

    fn expected(&self) -> String {
        if !self.values.is_empty() {
            return format!("one of {}", self.values.join(", "));
        }
        match self.kind {
            ParameterType::String => format!("a text of 1 to {MAX_LENGTH} characters"),
            ParameterType::Integer => "a whole number".to_owned(),
            ParameterType::Number => "a number".to_owned(),
            ParameterType::Date => "a day such as 2010-12-01".to_owned(),
        }
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    if !shape {
        return false;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn limit(route: &Route, value: &str) -> Result<usize, Problem> {
    let most = route.plan.max_page_items;
    let expected = || format!("a whole number from 1 to {most}");
    match value.parse::<u32>() {
        Ok(limit) if (1..=most).contains(&limit) && is_integer(value) => Ok(limit as usize),
        _ => Err(bad("limit", &expected(), &format!("it is {:?}", shortened(value)))),
    }
}

fn format(value: &str) -> Result<Format, Problem> {
    Format::named(value).ok_or_else(|| bad("format", "json, ndjson or csv", &format!("it is {:?}", shortened(value))))
}

fn boolean(value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(bad("consistent", "true or false", &format!("it is {:?}", shortened(other)))),
    }
}

fn unknown(route: &Route, name: &str) -> Problem {
    let own = route.parameters.iter().filter(|rule| !rule.in_path).map(|rule| rule.name.as_str());
    let known: Vec<_> = own.chain(OF_EVERY_ROUTE.into_iter().filter(|name| has(route, name))).collect();
    let detail = format!("there is no parameter {:?} here; there are: {}", shortened(name), known.join(", "));
    Problem::new(ProblemKind::BadParameter, detail)
}

/// Whether a route has a parameter that most have.
pub(crate) fn has(route: &Route, name: &str) -> bool {
    match name {
        "limit" | "next" => lists(route),
        "consistent" => route.plan.consistent_reads != ConsistentReads::Never,
        _ => true,
    }
}

pub(crate) fn bad(name: &str, expected: &str, found: &str) -> Problem {
    Problem::new(ProblemKind::BadParameter, format!("the parameter {:?} must be {expected}; {found}", shortened(name)))
}

fn shortened(text: &str) -> &str {
    const SHOWN: usize = 60;
    text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for day in ["2010-12-01", "2012-02-29", "2000-02-29"] {
            assert!(is_date(day), "{day}");
        }
        for day in [
            "2010-2-01",
            "2011-02-29",
            "1900-02-29",
            "2010-13-01",
            "2010-00-01",
            "2010-04-31",
            "2010-12-0١",
            "20101201",
        ] {
            assert!(!is_date(day), "{day}");
        }
    }

    #[test]
    fn whole_numbers_have_a_bound() {
        assert!(is_integer("-12") && is_integer("0") && is_integer("999999999999999"));
        for wrong in ["", "-", "+1", "1.0", "1e3", "9999999999999999", "٣"] {
            assert!(!is_integer(wrong), "{wrong}");
        }
    }
}
