//! Whether a resource has the shape that the schema asks for.
//!
//! It reads the keywords of a structural schema, which are few, and knows the place of everything it looks at.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::path::Path;
use super::words::{listed, shortened, similar, suggestion, what_it_is};
use super::yaml::{Node, NodeKind};
use super::{Document, Finding, Severity, Span};
use crate::spec::patterns;
use crate::units;

/// What is wrong with a resource's shape.
pub(super) struct Shape {
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
    /// Whether rules can be asked of it: a field too many does no harm.
    pub(super) sound: bool,
}

pub(super) fn check(schema: &Value, document: &Document) -> Shape {
    let mut walk = Walk { document, findings: Vec::new(), sound: true, patterns: HashMap::new() };
    walk.node(schema, &document.root, &Path::default());
    Shape { findings: walk.findings, sound: walk.sound }
}

struct Walk<'a> {
    document: &'a Document,
    findings: Vec<Finding>,
    sound: bool,
    patterns: HashMap<&'a str, Option<Regex>>,
}

impl<'a> Walk<'a> {
    fn node(&mut self, schema: &'a Value, node: &Node, path: &Path) {
        if schema["x-kubernetes-int-or-string"] == true {
            return self.int_or_string(schema, node, path);
        }
        match schema["type"].as_str() {
            // As good as absent: see `absent`.
            Some("object") if schema["nullable"] == true && node.is_null() => {}
            Some("object") => self.object(schema, node, path),
            Some("array") => self.list(schema, node, path),
            Some("string") => self.string(schema, node, path),
            Some("integer") => self.integer(schema, node, path),
            Some("boolean") if !node.scalar().is_some_and(|scalar| scalar.value.is_boolean()) => {
                self.wrong_type(node, path, "true or false", "write `true` or `false`");
            }
            _ => {}
        }
    }

    fn object(&mut self, schema: &'a Value, node: &Node, path: &Path) {
        let NodeKind::Map(entries) = &node.kind else {
            let example = example_of_map(schema, path);
            return self.wrong_type(node, path, "a map", &example);
        };
        self.size(schema, "maxProperties", entries.len(), path, "entries");
        let mut misspelt = None;
        if let Some(properties) = schema["properties"].as_object() {
            for entry in entries {
                let path = path.key(&entry.key.text);
                match properties.get(&entry.key.text) {
                    Some(property) => self.node(property, &entry.value, &path),
                    None => {
                        misspelt = misspelt.or_else(|| similar(&entry.key.text, properties.keys().map(String::as_str)));
                        self.unknown_field(schema, &entry.key.text, entry.key.span, &path);
                    }
                }
            }
        } else if schema["additionalProperties"].is_object() {
            for entry in entries {
                self.node(&schema["additionalProperties"], &entry.value, &path.key(&entry.key.text));
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if node.get(required).is_none() {
                self.sound = false;
                // A field that is there under a wrong name is told of once.
                if misspelt != Some(required) {
                    self.missing_field(schema, required, path);
                }
            }
        }
    }

    fn list(&mut self, schema: &'a Value, node: &Node, path: &Path) {
        let NodeKind::List(items) = &node.kind else {
            let cure = "write a list: each item on a line of its own behind `- `";
            return self.wrong_type(node, path, "a list", cure);
        };
        self.size(schema, "maxItems", items.len(), path, "items");
        let min = schema["minItems"].as_u64().unwrap_or(0);
        if (items.len() as u64) < min {
            let message = format!("`{}` is empty, and needs at least {min} item", name(path));
            self.error("too_few", path, message, "add an item, behind `- `".to_owned());
        }
        for (index, item) in items.iter().enumerate() {
            self.node(&schema["items"], item, &path.index(index));
        }
        self.duplicate_items(schema, items, path);
    }

    /// Items of a list that is a map by a key (`name`) are told apart by it.
    fn duplicate_items(&mut self, schema: &Value, items: &[Node], path: &Path) {
        let Some(key) = schema["x-kubernetes-list-map-keys"][0].as_str() else { return };
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            let Some(value) = item.get(key) else { continue };
            let Some(text) = value.text() else { continue };
            if let Some(line) = seen.insert(text, value.span.line) {
                let message = format!("`{}` has the {key} `{text}` twice; it is first in line {line}", name(path));
                self.error(
                    "duplicate_item",
                    &path.index(index).key(key),
                    message,
                    format!("give one of the two another {key}"),
                );
            }
        }
    }

    fn string(&mut self, schema: &'a Value, node: &Node, path: &Path) {
        let Some(text) = node.text() else {
            let cure = quoting(schema, node);
            let wanted = if schema["enum"].is_array() { "one of the words that are allowed" } else { "a text" };
            return self.wrong_type(node, path, wanted, &cure);
        };
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                let message = format!(
                    "`{}` is `{}`, which is not one of {}",
                    name(path),
                    shortened(text),
                    listed(allowed.iter().copied())
                );
                let cure = match similar(text, allowed.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write one of {}{}", listed(allowed), what_to_add(schema)),
                };
                self.error("unknown_value", path, message, cure);
            }
            return;
        }
        self.length(schema, text, path);
        if self.pattern(schema, text, path) {
            self.day(schema, text, path);
        }
    }

    fn length(&mut self, schema: &Value, text: &str, path: &Path) {
        let length = text.chars().count() as u64;
        if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
            let message = format!("`{}` has {length} characters, and may have {max}", name(path));
            self.error("too_long", path, message, format!("shorten it to {max} characters"));
        }
        if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
            let (message, cure) = if length == 0 {
                (format!("`{}` is empty", name(path)), "write a text".to_owned())
            } else {
                (
                    format!("`{}` has {length} characters, and needs {min}", name(path)),
                    format!("write at least {min} characters"),
                )
            };
            self.error("too_short", path, message, cure);
        }
    }

    /// The API server refuses days that are in no calendar; the pattern of a time does not know them.
    fn day(&mut self, schema: &Value, text: &str, path: &Path) {
        if schema["format"] == "date-time" && units::time(text).is_err() {
            let message = format!("`{}` is {text:?}, and its month has no such day", name(path));
            self.error("no_such_day", path, message, "write a day of the calendar".to_owned());
        }
    }

    /// Says whether the text matches.
    fn pattern(&mut self, schema: &'a Value, text: &str, path: &Path) -> bool {
        let Some(pattern) = schema["pattern"].as_str() else { return true };
        let regex = self.patterns.entry(pattern).or_insert_with(|| Regex::new(pattern).ok());
        let matches = regex.as_ref().is_some_and(|regex| regex.is_match(text));
        if !matches && !text.is_empty() {
            let meaning = patterns::meaning(pattern).map_or_else(|| format!("a match of {pattern}"), str::to_owned);
            let message = format!("`{}` is {:?}, and must be {meaning}", name(path), shortened(text));
            let cure = corrected(pattern, text).unwrap_or_else(|| format!("write {meaning}"));
            self.error("malformed", path, message, cure);
        }
        matches
    }

    fn integer(&mut self, schema: &Value, node: &Node, path: &Path) {
        let value = node.scalar().and_then(|scalar| scalar.value.as_i64());
        let (lowest, highest) =
            if schema["format"] == "int32" { (i32::MIN.into(), i32::MAX.into()) } else { (i64::MIN, i64::MAX) };
        let min = schema["minimum"].as_f64().map_or(lowest, |min| min as i64);
        let max = schema["maximum"].as_f64().map_or(highest, |max| max as i64);
        match value {
            None => {
                let quoted = node.text().filter(|text| text.parse::<i64>().is_ok());
                let cure = quoted.map_or_else(
                    || format!("write a whole number from {min} to {max}"),
                    |text| format!("write `{text}` without quotes"),
                );
                self.wrong_type(node, path, "a whole number", &cure);
            }
            Some(value) if value < min || value > max => {
                let message = format!("`{}` is {value}, and must be {min} to {max}", name(path));
                self.error("out_of_range", path, message, format!("write a number from {min} to {max}"));
            }
            Some(_) => {}
        }
    }

    fn int_or_string(&mut self, schema: &Value, node: &Node, path: &Path) {
        if let Some(text) = node.text() {
            self.length(schema, text, path);
        } else if !node.scalar().is_some_and(|scalar| scalar.value.is_i64()) {
            self.wrong_type(
                node,
                path,
                "a field's name or a whole number",
                "write a field's name, or a whole number such as `1`",
            );
        }
    }

    fn size(&mut self, schema: &Value, keyword: &str, found: usize, path: &Path, what: &str) {
        if let Some(max) = schema[keyword].as_u64().filter(|max| found as u64 > *max) {
            let message = format!("`{}` has {found} {what}, and may have {max}", name(path));
            self.error("too_many", path, message, format!("keep {max} of them at most"));
        }
    }

    fn wrong_type(&mut self, node: &Node, path: &Path, wanted: &str, cure: &str) {
        let message = format!("`{}` must be {wanted}, and is {}", name(path), what_it_is(node));
        let cure = if node.is_empty() { format!("{cure}, or remove the key") } else { cure.to_owned() };
        self.error("wrong_type", path, message, cure);
    }

    fn unknown_field(&mut self, schema: &Value, field: &str, span: Span, path: &Path) {
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let around = path_above(path);
        let message = format!("{around} has no field `{field}`");
        let cure = match (similar(field, known.iter().copied()), home_of(schema, field)) {
            (None, Some(home)) => format!("`{field}` belongs into `{home}`"),
            _ => suggestion(field, known, "the fields are"),
        };
        let mut finding = self.document.finding(Severity::Error, "unknown_field", path, message, cure);
        finding.span = span;
        self.findings.push(finding);
    }

    fn missing_field(&mut self, schema: &Value, field: &str, path: &Path) {
        let around = match path.last_key() {
            None => "the resource".to_owned(),
            Some(_) => format!("`{path}`"),
        };
        let message = format!("{around} has no `{field}`");
        let cure = format!("add `{field}`{}", what_to_add(&schema["properties"][field]));
        self.error("missing_field", path, message, cure);
    }

    fn error(&mut self, code: &'static str, path: &Path, message: String, cure: String) {
        self.sound = false;
        self.findings.push(self.document.finding(Severity::Error, code, path, message, cure));
    }
}

/// The name of a field for a message: that of its list for an item.
fn name(path: &Path) -> String {
    path.last_key().map_or_else(|| "the resource".to_owned(), str::to_owned)
}

fn path_above(path: &Path) -> String {
    let text = path.to_string();
    let end = path.last_key().map_or(0, |key| text.len().saturating_sub(key.len() + 1));
    match text.get(..end) {
        Some(above) if !above.is_empty() => format!("`{above}`"),
        _ => "the resource".to_owned(),
    }
}

/// The field of this object that has the field which was looked for here.
fn home_of<'a>(schema: &'a Value, field: &str) -> Option<&'a str> {
    let properties = schema["properties"].as_object()?;
    let mut homes = properties.iter().filter(|(_, property)| property["properties"].get(field).is_some());
    homes.next().map(|(name, _)| name.as_str())
}

/// The first sentence of a field's description says what to add.
fn what_to_add(schema: &Value) -> String {
    let words = schema["description"].as_str().and_then(|text| text.lines().next()).unwrap_or_default();
    let sentence = words.split_once(". ").map_or(words, |(first, _)| first).trim_end_matches('.');
    if sentence.is_empty() {
        return String::new();
    }
    format!(": {}{}", sentence[..1].to_lowercase(), &sentence[1..])
}

fn example_of_map(schema: &Value, path: &Path) -> String {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    if required.is_empty() {
        return "write a map: `key: value` on lines of their own".to_owned();
    }
    let members = required.iter().map(|field| format!("{field}: …")).collect::<Vec<_>>().join(", ");
    format!("write a map, such as `{}: {{ {members} }}`", name(path))
}

/// How a value becomes the text that was meant.
fn quoting(schema: &Value, node: &Node) -> String {
    // Quotes alone do not make a duration of a number.
    let misses = |pattern: &str, text: &str| Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text));
    if let (NodeKind::Scalar(scalar), Some(pattern)) = (&node.kind, schema["pattern"].as_str())
        && misses(pattern, &scalar.text)
        && let Some(meaning) = patterns::meaning(pattern)
    {
        return format!("write {meaning}");
    }
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.text.is_empty() => "write a text".to_owned(),
        NodeKind::Scalar(scalar) => format!("put it into quotes: \"{}\"", scalar.text),
        // A bare `{InvoiceNo}` is a map with one key to YAML.
        NodeKind::Map(entries) => match entries.as_slice() {
            [entry] if entry.value.is_empty() => format!("put it into quotes: \"{{{}}}\"", entry.key.text),
            _ => "write a text".to_owned(),
        },
        NodeKind::List(_) => "write a text".to_owned(),
    }
}

/// What was meant by a text that misses a pattern, where that is plain to see.
fn corrected(pattern: &str, text: &str) -> Option<String> {
    let candidate = match pattern {
        patterns::NAME_PATTERN | patterns::PIPELINE_NAME => text.to_lowercase().replace(['_', '.', ' '], "-"),
        patterns::BUCKET => text.trim_start_matches("s3://").trim_end_matches('/').to_lowercase().replace('_', "-"),
        patterns::HTTP_PATH => format!("/{}", text.trim_matches('/')),
        patterns::KEY_PREFIX => text.trim_start_matches('/').to_owned(),
        crate::units::SIZE_PATTERN => text
            .replace(' ', "")
            .replace("MiB", "Mi")
            .replace("MB", "Mi")
            .replace("GiB", "Gi")
            .replace("GB", "Gi")
            .replace("KB", "Ki")
            .replace("kB", "Ki"),
        crate::units::DURATION_PATTERN => {
            text.replace(' ', "").replace("minutes", "m").replace("min", "m").replace("sec", "s")
        }
        patterns::RETENTION => {
            text.replace(' ', "").replace("days", "d").replace("day", "d").replace("hours", "h").replace("hour", "h")
        }
        patterns::REGION => region(text),
        _ => return None,
    };
    let fits = Regex::new(pattern).is_ok_and(|regex| regex.is_match(&candidate));
    fits.then(|| format!("did you mean `{candidate}`?"))
}

/// A region in another spelling: `EU_WEST_1`, `eu-west1`, or the zone `eu-west-1a`.
fn region(text: &str) -> String {
    let mut text = text.to_lowercase().replace(['_', ' '], "-");
    if text.ends_with(|c: char| c.is_ascii_lowercase()) && text.contains(|c: char| c.is_ascii_digit()) {
        text.pop();
    }
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    if name < text.len() && !text[..name].ends_with('-') {
        text.insert(name, '-');
    }
    text
}
