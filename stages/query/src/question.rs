//! From a route and a request's parameters to what is read: keys, conditions, filters.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::BigDecimal;
use penstock_api::plan::KeyAttribute;
use penstock_api::spec::{KeyType, Operator};
use sha2::{Digest as _, Sha256};

use crate::compile::{Route, SortTemplate};
use crate::decimal;
use crate::parameters::{Asked, bad};
use crate::problem::{Problem, ProblemKind};
use crate::template::{Template, Values};
use crate::value::Item;

/// The longest keys (DynamoDB developer guide, "Constraints").
const MAX_PARTITION_KEY: usize = 2048;
const MAX_SORT_KEY: usize = 1024;

/// What is read.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) partitions: Vec<AttributeValue>,
    pub(crate) range: SortRange,
    pub(crate) tests: Vec<Test>,
    pub(crate) consistent: bool,
    /// By which tokens of other questions are told apart.
    pub(crate) fingerprint: Vec<u8>,
}

/// A condition on the sort key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SortRange {
    All,
    Equals(AttributeValue),
    Prefix(AttributeValue),
    From(AttributeValue),
    To(AttributeValue),
    Between(AttributeValue, AttributeValue),
    Above(AttributeValue),
}

/// A condition on an item.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    attribute: String,
    operator: Operator,
    text: String,
    number: Option<BigDecimal>,
}

impl Question {
    pub(crate) fn of(route: &Route, asked: &Asked) -> Result<Self, Problem> {
        let key = &route.plan.partition_key;
        let partitions = route.partitions.iter().map(|template| {
            let text = render(template, &asked.values)?;
            key_value(key, &text, MAX_PARTITION_KEY, template)
        });
        let partitions = partitions.collect::<Result<Vec<_>, _>>()?;
        let range = range(route, &asked.values)?;
        let tests: Vec<Test> = route
            .filters
            .iter()
            .filter_map(|filter| {
                let text = filter.value.render(&asked.values)?;
                let number = decimal::read(&text);
                Some(Test { attribute: filter.attribute.clone(), operator: filter.operator, number, text })
            })
            .collect();
        let fingerprint = fingerprint(route, &asked.values);
        Ok(Self { partitions, range, tests, consistent: asked.consistent, fingerprint })
    }

    /// Whether an item satisfies the route's filters.
    pub(crate) fn wants(&self, item: &Item) -> bool {
        self.tests.iter().all(|test| test.holds(item.get(&test.attribute)))
    }
}

/// The values of all parameters say what is asked; `limit`, `format` and `consistent` may change from page to page.
fn fingerprint(route: &Route, values: &Values) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(&route.plan.path);
    add(&route.plan.table);
    add(&format!("{:?}", route.plan.order));
    for (name, value) in values {
        add(name);
        add(value);
    }
    hash.finalize().to_vec()
}

/// Every parameter of it was asked for before.
fn render(template: &Template, values: &Values) -> Result<String, Problem> {
    let defect = || Problem::new(ProblemKind::Internal, "a key could not be made; please report this");
    template.render(values).ok_or_else(defect)
}

fn key_value(key: &KeyAttribute, text: &str, longest: usize, template: &Template) -> Result<AttributeValue, Problem> {
    let named = || template.parameters().next().unwrap_or(&key.name).to_owned();
    if text.is_empty() || text.len() > longest {
        return Err(bad(
            &named(),
            &format!("a key of 1 to {longest} bytes"),
            &format!("it makes one of {}", text.len()),
        ));
    }
    match key.key_type {
        KeyType::S => Ok(AttributeValue::S(text.to_owned())),
        KeyType::N => match decimal::read(text) {
            Some(_) => Ok(AttributeValue::N(text.to_owned())),
            None => Err(bad(&named(), "a number", &format!("it makes the key {text:?}"))),
        },
        KeyType::B => match STANDARD.decode(text) {
            Ok(bytes) => Ok(AttributeValue::B(Blob::new(bytes))),
            Err(_) => Err(bad(&named(), "bytes as base64", &format!("it makes the key {text:?}"))),
        },
    }
}

/// A sort key from the text of a token.
pub(crate) fn sort_key(route: &Route, text: &str) -> Option<AttributeValue> {
    let template = Template::parse("").ok()?;
    key_value(route.plan.sort_key.as_ref()?, text, MAX_SORT_KEY, &template).ok()
}

/// A sort key as the text of a token.
pub(crate) fn sort_text(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => Some(text.clone()),
        AttributeValue::B(bytes) => Some(STANDARD.encode(bytes)),
        _ => None,
    }
}

fn range(route: &Route, values: &Values) -> Result<SortRange, Problem> {
    let Some(key) = &route.plan.sort_key else { return Ok(SortRange::All) };
    let read = |template: &Template| {
        let Some(text) = template.render(values) else { return Ok(None) };
        key_value(key, &text, MAX_SORT_KEY, template).map(Some)
    };
    let one =
        |template: &Template, make: fn(AttributeValue) -> SortRange| Ok(read(template)?.map_or(SortRange::All, make));
    match &route.sort {
        SortTemplate::All => Ok(SortRange::All),
        SortTemplate::Equals(template) => one(template, SortRange::Equals),
        SortTemplate::Prefix(template) => one(template, SortRange::Prefix),
        SortTemplate::NewerThan(template) => one(template, SortRange::Above),
        SortTemplate::Between(from, to) => {
            let end = |template: &Option<Template>| match template {
                Some(template) => read(template),
                None => Ok(None),
            };
            match (end(from)?, end(to)?) {
                (None, None) => Ok(SortRange::All),
                (Some(from), None) => Ok(SortRange::From(from)),
                (None, Some(to)) => Ok(SortRange::To(to)),
                (Some(from), Some(to)) if is_above(&from, &to) => {
                    let detail = "the range of sort keys is empty: its first end lies behind its last";
                    Err(Problem::new(ProblemKind::BadParameter, detail))
                }
                (Some(from), Some(to)) => Ok(SortRange::Between(from, to)),
            }
        }
    }
}

fn is_above(left: &AttributeValue, right: &AttributeValue) -> bool {
    match (left, right) {
        (AttributeValue::S(left), AttributeValue::S(right)) => left.as_bytes() > right.as_bytes(),
        (AttributeValue::N(left), AttributeValue::N(right)) => decimal::read(left) > decimal::read(right),
        (AttributeValue::B(left), AttributeValue::B(right)) => left.as_ref() > right.as_ref(),
        _ => false,
    }
}

impl Test {
    fn holds(&self, value: Option<&AttributeValue>) -> bool {
        use Operator as O;
        let negative = matches!(self.operator, O::NotEquals | O::NotPrefix);
        let order = match value {
            Some(AttributeValue::N(number)) => match (&self.number, decimal::read(number)) {
                (Some(wanted), Some(number)) => number.cmp(wanted),
                _ => return negative,
            },
            Some(AttributeValue::S(text)) => text.as_bytes().cmp(self.text.as_bytes()),
            Some(AttributeValue::Bool(value)) => value.to_string().cmp(&self.text),
            _ => return negative,
        };
        let begins =
            || matches!(value, Some(AttributeValue::S(text) | AttributeValue::N(text)) if text.starts_with(&self.text));
        match self.operator {
            O::Equals => order.is_eq(),
            O::NotEquals => order.is_ne(),
            O::Prefix => begins(),
            O::NotPrefix => !begins(),
            O::Above => order.is_gt(),
            O::AtLeast => order.is_ge(),
            O::Below => order.is_lt(),
            O::AtMost => order.is_le(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(operator: Operator, wanted: &str, value: Option<AttributeValue>) -> bool {
        let test = Test { attribute: "a".to_owned(), operator, text: wanted.to_owned(), number: decimal::read(wanted) };
        test.holds(value.as_ref())
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_texts_as_texts() {
        let number = |text: &str| Some(AttributeValue::N(text.to_owned()));
        let text = |text: &str| Some(AttributeValue::S(text.to_owned()));
        assert!(holds(Operator::Below, "10", number("9")) && !holds(Operator::Below, "10", text("9")));
        assert!(holds(Operator::Equals, "1.0", number("1")));
        assert!(holds(Operator::Prefix, "C", text("C536379")) && holds(Operator::NotPrefix, "C", text("536379")));
        assert!(!holds(Operator::Above, "x", number("9")));
    }

    #[test]
    fn an_item_without_the_attribute_satisfies_negations_only() {
        for operator in [Operator::Equals, Operator::Prefix, Operator::Above, Operator::AtMost] {
            assert!(!holds(operator, "a", None));
        }
        assert!(holds(Operator::NotEquals, "a", None) && holds(Operator::NotPrefix, "a", None));
    }
}
