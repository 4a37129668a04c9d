//! Words for people: suggestions, lists, what a value is.

use serde_json::Value;

use super::scalar::Style;
use super::yaml::{Node, NodeKind};

/// The known name that is nearest to what was written, if one is near.
#[must_use]
pub fn similar<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let near = |known: &&str| {
        let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
        let allowed = if known.len() <= 3 { 1 } else { 2 };
        (distance <= allowed).then_some(distance)
    };
    known
        .into_iter()
        .filter_map(|name| near(&name).map(|distance| (distance, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean …?`, else what there is.
pub(super) fn suggestion<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    otherwise: &str,
) -> String {
    match similar(written, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{otherwise}: {}", listed(known)),
    }
}

/// `` `a`, `b`, `c` ``.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a node is, to follow "is".
pub(super) fn what_it_is(node: &Node) -> String {
    match &node.kind {
        NodeKind::Map(_) => "a map".to_owned(),
        NodeKind::List(_) => "a list".to_owned(),
        NodeKind::Scalar(scalar) => match &scalar.value {
            Value::Null if scalar.text.is_empty() => "empty".to_owned(),
            Value::Null => "null".to_owned(),
            // `N` and `on` surprise people: say what they came to.
            Value::Bool(value) if scalar.text != value.to_string() => {
                format!("the boolean {value}: that is how `kubectl` reads a bare `{}`", scalar.text)
            }
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(_) => format!("the number {}", scalar.text),
            _ if scalar.style == Style::Plain || scalar.style == Style::Quoted => {
                format!("the text {:?}", shortened(&scalar.text))
            }
            _ => "a block of text".to_owned(),
        },
    }
}

/// A text short enough for a message.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
