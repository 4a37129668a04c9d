//! Texts made of parameters: `{Year}-{Month}`. `{{` and `}}` stand for braces.

use std::collections::BTreeMap;

/// Parameters by name, as they came or by their defaults.
pub(crate) type Values = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Parameter(String),
}

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                return Err(format!("`{text}` has a brace without the other; write `{{{{` for a brace"));
            };
            if !is_name(name) {
                return Err(format!("`{{{name}}}` is no parameter: a name has letters, digits and `_`"));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Parameter(name.to_owned()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The one parameter that it is, when it is nothing else.
    pub(crate) fn alone(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Parameter(name)] => Some(name),
            _ => None,
        }
    }

    /// The text, when every parameter is there.
    pub(crate) fn render(&self, values: &Values) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Parameter(name) => text.push_str(values.get(name)?),
            }
        }
        Some(text)
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_rendered_when_all_of_its_parameters_are_there() {
        let template = Template::parse("{Year}-{{{Month}}}").unwrap();
        let mut values = Values::from([("Year".to_owned(), "2010".to_owned())]);
        assert_eq!(template.render(&values), None);
        values.insert("Month".to_owned(), "12".to_owned());
        assert_eq!(template.render(&values).as_deref(), Some("2010-{12}"));
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["Year", "Month"]);
    }

    #[test]
    fn what_is_no_template_is_told() {
        for wrong in ["{a", "a}", "{}", "{a b}", "{1}", "{$id}", "{a}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
