//! The expressions that a consumer sends, evaluated strictly: what is not known here is an error, and so is a
//! name or a value that is defined and not used, as in DynamoDB.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// An item: attributes as DynamoDB's JSON writes them.
pub(crate) type Item = BTreeMap<String, Value>;

/// What placeholders stand for.
pub(crate) struct Placeholders<'a> {
    names: Option<&'a Map<String, Value>>,
    values: Option<&'a Map<String, Value>>,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Placeholders<'a> {
    /// Those of a request.
    pub(crate) fn of(request: &'a Value) -> Self {
        Self {
            names: request["ExpressionAttributeNames"].as_object(),
            values: request["ExpressionAttributeValues"].as_object(),
            used: RefCell::default(),
        }
    }

    fn name(&self, token: &str) -> Result<&'a str, String> {
        self.used.borrow_mut().insert(token.to_owned());
        let name = self.names.and_then(|names| names.get(token)).and_then(Value::as_str);
        name.ok_or_else(|| format!("the name {token} is not defined"))
    }

    fn value(&self, token: &str) -> Result<&'a Value, String> {
        self.used.borrow_mut().insert(token.to_owned());
        self.values.and_then(|values| values.get(token)).ok_or_else(|| format!("the value {token} is not defined"))
    }

    /// Whether everything that was defined was used.
    pub(crate) fn check_used(&self) -> Result<(), String> {
        let defined = self.names.into_iter().chain(self.values).flat_map(Map::keys);
        match defined.into_iter().find(|token| !self.used.borrow().contains(*token)) {
            Some(unused) => Err(format!("{unused} is defined and not used")),
            None => Ok(()),
        }
    }
}

fn tokens(text: &str) -> Vec<String> {
    let spaced =
        ["(", ")", ",", "=", "<"].iter().fold(text.to_owned(), |text, sign| text.replace(sign, &format!(" {sign} ")));
    spaced.split_whitespace().map(ToOwned::to_owned).collect()
}

/// Whether the condition holds: terms joined by AND or by OR, not mixed.
pub(crate) fn holds(condition: &str, item: Option<&Item>, placeholders: &Placeholders<'_>) -> Result<bool, String> {
    let tokens = tokens(condition);
    let (mut rest, mut outcome, mut joined): (&[String], Option<bool>, Option<&str>) = (&tokens, None, None);
    loop {
        let (term, after) = term(rest, item, placeholders).map_err(|why| format!("{why} in {condition:?}"))?;
        outcome = Some(match (outcome, joined) {
            (Some(before), Some("AND")) => before && term,
            (Some(before), Some("OR")) => before || term,
            _ => term,
        });
        match after.split_first() {
            None => return Ok(outcome.unwrap_or(false)),
            Some((join, after)) if ["AND", "OR"].contains(&join.as_str()) && joined.is_none_or(|j| j == join) => {
                (rest, joined) = (after, Some(join.as_str()));
            }
            Some((other, _)) => return Err(format!("{other} is not understood in {condition:?}")),
        }
    }
}

fn term<'t>(
    tokens: &'t [String],
    item: Option<&Item>,
    placeholders: &Placeholders<'_>,
) -> Result<(bool, &'t [String]), String> {
    let attribute = |name: &str| placeholders.name(name).map(|name| item.and_then(|item| item.get(name)));
    let words: Vec<_> = tokens.iter().take(4).map(String::as_str).collect();
    match words[..] {
        ["attribute_not_exists", "(", name, ")"] => Ok((attribute(name)?.is_none(), &tokens[4..])),
        ["attribute_exists", "(", name, ")"] => Ok((attribute(name)?.is_some(), &tokens[4..])),
        [name, sign @ ("=" | "<"), value, ..] => {
            let wanted = if sign == "=" { Ordering::Equal } else { Ordering::Less };
            let value = placeholders.value(value)?;
            let order = attribute(name)?.map(|found| compare(found, value)).transpose()?.flatten();
            Ok((order == Some(wanted), &tokens[3..]))
        }
        _ => Err(format!("{words:?} is not understood")),
    }
}

/// Values of different types have no order and are not equal.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a["N"].as_str(), b["N"].as_str(), a["S"].as_str(), b["S"].as_str()) {
        (Some(a), Some(b), _, _) => Ok(Some(number(a)?.cmp(&number(b)?))),
        (_, _, Some(a), Some(b)) => Ok(Some(a.cmp(b))),
        _ if a.as_object().map(|a| a.keys().next()) == b.as_object().map(|b| b.keys().next()) => {
            Err(format!("{a} and {b} are compared"))
        }
        _ => Ok(None),
    }
}

fn number(text: &str) -> Result<i128, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// The item after the update.
pub(crate) fn updated(update: &str, item: Item, placeholders: &Placeholders<'_>) -> Result<Item, String> {
    let tokens = tokens(update);
    let (mut after, mut rest, mut clause) = (item, &tokens[..], "");
    while let Some((token, others)) = rest.split_first() {
        rest = match (token.as_str(), others) {
            (word @ ("SET" | "REMOVE" | "ADD"), others) => {
                clause = word;
                others
            }
            (",", others) => others,
            (name, [sign, value, others @ ..]) if clause == "SET" && sign == "=" => {
                after.insert(placeholders.name(name)?.to_owned(), placeholders.value(value)?.clone());
                others
            }
            (name, others) if clause == "REMOVE" => {
                after.remove(placeholders.name(name)?);
                others
            }
            (name, [value, others @ ..]) if clause == "ADD" => {
                let name = placeholders.name(name)?;
                let more = placeholders.value(value)?["N"].as_str().ok_or("only numbers are added")?;
                let before = after.get(name).map_or(Ok("0"), |value| value["N"].as_str().ok_or("no number"))?;
                let sum = number(before)? + number(more)?;
                after.insert(name.to_owned(), serde_json::json!({ "N": sum.to_string() }));
                others
            }
            (other, _) => return Err(format!("{other} is not understood in {update:?}")),
        };
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> Value {
        json!({ "ExpressionAttributeNames": { "#a": "a", "#b": "b" }, "ExpressionAttributeValues": { ":a": { "N": "5" } } })
    }

    fn item(a: &str) -> Item {
        Item::from([("a".to_owned(), json!({ "N": a }))])
    }

    #[test]
    fn conditions_hold_as_they_say() {
        let request = request();
        let holds = |condition: &str, a: &str| holds(condition, Some(&item(a)), &Placeholders::of(&request));
        assert_eq!(holds("#a = :a AND attribute_not_exists(#b)", "5"), Ok(true));
        assert_eq!(holds("#a = :a AND attribute_not_exists(#b)", "6"), Ok(false));
        assert_eq!(holds("attribute_not_exists(#a) OR #a < :a", "4"), Ok(true));
        assert_eq!(holds("attribute_not_exists(#a) OR #a < :a", "10"), Ok(false));
        assert!(holds("size(#a) = :a", "5").is_err());
        assert!(holds("#a = :a AND #b = :a OR #a = :a", "5").is_err());
        assert!(holds("#c = :a", "5").is_err());
    }

    #[test]
    fn updates_set_remove_and_add() {
        let request = request();
        let placeholders = Placeholders::of(&request);
        let after = updated("SET #b = :a REMOVE #a", item("1"), &placeholders);
        assert_eq!(after, Ok(Item::from([("b".to_owned(), json!({ "N": "5" }))])));
        assert_eq!(updated("ADD #a :a", item("1"), &placeholders), Ok(item("6")));
        assert!(updated("DELETE #a :a", item("1"), &placeholders).is_err());
        assert_eq!(placeholders.check_used(), Ok(()));
        assert!(Placeholders::of(&request).check_used().is_err());
    }
}
