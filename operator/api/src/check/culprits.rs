//! Who broke a rule: the API server only says that a rule is broken somewhere beneath a node.
//!
//! Nothing here decides whether a Pipeline is valid. A rule without an entry is reported as it stands.

mod apis;

use std::collections::HashMap;

use serde_json::Value;

use super::path::Path;
use super::words::suggestion;
use crate::rules::Rule;
use crate::units;

/// A part that broke a rule.
pub(super) struct Culprit {
    /// Where it is, from the rule's node.
    pub(super) path: Path,
    /// What was found.
    pub(super) message: String,
    /// What to write instead, where it can be said better than for the rule.
    pub(super) cure: Option<String>,
}

pub(super) fn of(rule: &Rule, node: &Value) -> Vec<Culprit> {
    match (rule.code, rule.field_path) {
        ("unknown_buffer", Some(".sources")) => unknown_buffers(node, "sources", "to", "source", "writes to"),
        ("unknown_buffer", _) => unknown_buffers(node, "sinks", "from", "sink", "reads"),
        ("choose_one", _) => unions(rule, node),
        ("name_too_long", _) => long_names(node),
        ("duplicate_name", _) => {
            repeated(names(node), "name", "a name may be used once, by one source, buffer, sink or api")
        }
        ("duplicate_path", _) => duplicate_paths(node),
        ("duplicate_stream", _) => repeated(streams(node), "stream", "two buffers cannot be the same stream"),
        ("duplicate_table", _) => repeated(tables(node), "table", "a table may be written by one sink only"),
        ("id_fields_differ", _) => id_fields(node),
        ("duplicates_without_id", _) => duplicates_without_id(node),
        ("row_too_large", _) => large_rows(node),
        ("sums_in_put", _) => present(node, &["set", "add"], rule.message),
        ("attribute_twice", _) => attributes_twice(node),
        ("key_is_written", _) => written_keys(node),
        _ => apis::of(rule, node).unwrap_or_default(),
    }
}

fn items<'a>(node: &'a Value, list: &str) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
    node[list].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate()
}

fn text<'a>(node: &'a Value, field: &str) -> &'a str {
    node[field].as_str().unwrap_or_default()
}

fn unknown_buffers(spec: &Value, list: &str, field: &str, part: &str, verb: &str) -> Vec<Culprit> {
    let buffers: Vec<&str> = items(spec, "buffers").map(|(_, buffer)| text(buffer, "name")).collect();
    items(spec, list)
        .filter(|(_, item)| !buffers.contains(&text(item, field)))
        .map(|(index, item)| {
            let (name, wanted) = (text(item, "name"), text(item, field));
            Culprit {
                path: Path::default().key(list).index(index).key(field),
                message: format!("the {part} `{name}` {verb} the buffer `{wanted}`, which the Pipeline does not have"),
                cure: Some(suggestion(wanted, buffers.iter().copied(), "name one of its buffers")),
            }
        })
        .collect()
}

/// A union that holds no member, or the members after its first. The rule's message ends with their names.
fn unions(rule: &Rule, node: &Value) -> Vec<Culprit> {
    let Some((_, names)) = rule.message.rsplit_once(": ") else { return Vec::new() };
    let members: Vec<&str> = names.split(", ").collect();
    let mut held = members.iter().filter(|member| node.get(**member).is_some());
    let Some(first) = held.next() else {
        let message = match members.as_slice() {
            [only] => format!("{}, and there is no `{only}`", rule.message),
            _ => format!("{}, and there is none of them", rule.message),
        };
        let examples = members.iter().map(|member| example(member)).collect::<Vec<_>>().join(" or ");
        let cure = (members.len() > 1).then(|| format!("add {examples}"));
        return vec![Culprit { path: Path::default(), message, cure }];
    };
    held.map(|member| Culprit {
        path: Path::default().key(member),
        message: format!("`{member}` stands beside `{first}`: {}", rule.message),
        cure: None,
    })
    .collect()
}

/// What a member of a union looks like and is for.
fn example(member: &str) -> String {
    match member {
        "s3" => "`s3: { bucket: BUCKET, key: raw/ }` for objects".to_owned(),
        "dynamodb" => "`dynamodb: { tables: [ … ] }` for items".to_owned(),
        "field" => "`field: NAME` for a field's value".to_owned(),
        "template" => "`template: \"{NAME}\"` for a text that is made of fields".to_owned(),
        other => format!("`{other}`"),
    }
}

fn long_names(object: &Value) -> Vec<Culprit> {
    const MOST: usize = 62;
    let pipeline = text(&object["metadata"], "name").chars().count();
    let mut culprits = Vec::new();
    for list in ["sources", "buffers", "sinks", "apis"] {
        for (index, item) in items(&object["spec"], list) {
            let name = text(item, "name");
            let length = name.chars().count();
            if pipeline + length > MOST {
                culprits.push(Culprit {
                    path: Path::of("spec").key(list).index(index).key("name"),
                    message: format!(
                        "the Pipeline's name has {pipeline} characters and `{name}` has {length}; together they may have {MOST}, \
                         because pods, streams and lease tables are named after both"
                    ),
                    cure: None,
                });
            }
        }
    }
    culprits
}

/// A text of which there may be one, with its path.
type Found = Vec<(Path, String)>;

fn names(spec: &Value) -> Found {
    let of = |list: &'static str| {
        items(spec, list).map(move |(index, item)| {
            (Path::default().key(list).index(index).key("name"), text(item, "name").to_owned())
        })
    };
    of("sources").chain(of("buffers")).chain(of("sinks")).chain(of("apis")).collect()
}

fn streams(spec: &Value) -> Found {
    items(spec, "buffers")
        .filter_map(|(index, buffer)| {
            let name = buffer["kinesis"]["streamName"].as_str()?;
            Some((Path::default().key("buffers").index(index).key("kinesis").key("streamName"), name.to_owned()))
        })
        .collect()
}

fn tables(spec: &Value) -> Found {
    items(spec, "sinks")
        .flat_map(|(index, sink)| {
            let path = Path::default().key("sinks").index(index).key("dynamodb").key("tables");
            items(&sink["dynamodb"], "tables")
                .map(move |(table, item)| (path.index(table).key("name"), text(item, "name").to_owned()))
        })
        .collect()
}

/// Those that were there before.
fn repeated(found: Found, what: &str, why: &str) -> Vec<Culprit> {
    let mut first: HashMap<String, Path> = HashMap::new();
    let mut culprits = Vec::new();
    for (path, name) in found {
        match first.get(&name) {
            Some(before) => {
                culprits.push(Culprit {
                    path,
                    message: format!("the {what} `{name}` is also at {before}: {why}"),
                    cure: None,
                });
            }
            None => {
                first.insert(name, path);
            }
        }
    }
    culprits
}

fn duplicate_paths(spec: &Value) -> Vec<Culprit> {
    let paths: Vec<(usize, &str)> =
        items(spec, "sources").filter_map(|(index, source)| Some((index, source["http"]["path"].as_str()?))).collect();
    let mut culprits = Vec::new();
    for (index, path) in &paths {
        for (other, theirs) in &paths {
            let clash = (other < index && theirs == path) || path.strip_suffix("/schema") == Some(theirs);
            if clash {
                let why = if theirs == path { "which has that path too" } else { "whose schema is served there" };
                let owner = text(&spec["sources"][*other], "name");
                culprits.push(Culprit {
                    path: Path::of("sources").index(*index).key("http").key("path"),
                    message: format!("the path `{path}` is taken by the source `{owner}`, {why}"),
                    cure: None,
                });
            }
        }
    }
    culprits
}

fn id_fields(spec: &Value) -> Vec<Culprit> {
    let shown = |source: &Value| {
        source["idField"].as_str().map_or("no `idField`".to_owned(), |field| format!("`idField: {field}`"))
    };
    items(spec, "sources")
        .filter_map(|(index, source)| {
            let (_, first) = items(spec, "sources").find(|(_, other)| other["to"] == source["to"])?;
            (first["idField"] != source["idField"]).then(|| Culprit {
                path: Path::of("sources").index(index).key("idField"),
                message: format!(
                    "the source `{}` has {}, and `{}`, which writes to the same buffer, has {}: sinks know repeats by it",
                    text(source, "name"),
                    shown(source),
                    text(first, "name"),
                    shown(first)
                ),
                cure: None,
            })
        })
        .collect()
}

fn duplicates_without_id(spec: &Value) -> Vec<Culprit> {
    let has_id = |buffer: &Value| {
        items(spec, "sources").any(|(_, source)| source["to"] == buffer["name"] && source["idField"].is_string())
    };
    items(spec, "buffers")
        .filter(|(_, buffer)| buffer["duplicates"].is_object() && buffer["duplicates"]["policy"] != "Keep")
        .filter(|(_, buffer)| !has_id(buffer))
        .map(|(index, buffer)| Culprit {
            path: Path::of("buffers").index(index).key("duplicates"),
            message: format!(
                "no source of the buffer `{}` has an `idField`, by which duplicates are known",
                text(buffer, "name")
            ),
            cure: None,
        })
        .collect()
}

fn large_rows(spec: &Value) -> Vec<Culprit> {
    items(spec, "sources")
        .filter_map(|(index, source)| {
            let row = source["http"]["limits"]["row"].as_str()?;
            let (_, buffer) = items(spec, "buffers").find(|(_, buffer)| buffer["name"] == source["to"])?;
            let record = buffer["kinesis"]["maxRecordSize"].as_str().unwrap_or("1Mi");
            let most = units::size(record).ok()?.saturating_sub(1024);
            (units::size(row).ok()? > most).then(|| Culprit {
                path: Path::of("sources").index(index).key("http").key("limits").key("row"),
                message: format!(
                    "a row of the source `{}` may have {}Ki: a record of the buffer `{}` holds {record} with its partition key",
                    text(source, "name"),
                    most / 1024,
                    text(buffer, "name")
                ),
                cure: None,
            })
        })
        .collect()
}

fn present(node: &Value, fields: &[&str], message: &str) -> Vec<Culprit> {
    fields
        .iter()
        .filter(|field| node.get(**field).is_some())
        .map(|field| Culprit { path: Path::default().key(field), message: message.to_owned(), cure: None })
        .collect()
}

fn attributes(table: &Value, field: &str) -> Vec<String> {
    table[field].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn attributes_twice(table: &Value) -> Vec<Culprit> {
    let summed = attributes(table, "add");
    attributes(table, "set")
        .into_iter()
        .filter(|name| summed.contains(name))
        .map(|name| Culprit {
            path: Path::default().key("set").key(&name),
            message: format!("the attribute `{name}` is in `set` and in `add`"),
            cure: None,
        })
        .collect()
}

fn written_keys(table: &Value) -> Vec<Culprit> {
    let attribute =
        |key: &Value, default: &str| key["attribute"].as_str().or(key["field"].as_str()).unwrap_or(default).to_owned();
    let mut keys = vec![attribute(&table["partition"], "pk")];
    if !table["sort"].is_null() {
        keys.push(attribute(&table["sort"], "sk"));
    }
    ["set", "add"]
        .into_iter()
        .flat_map(|field| attributes(table, field).into_iter().map(move |name| (field, name)))
        .filter(|(_, name)| keys.contains(name))
        .map(|(field, name)| Culprit {
            path: Path::default().key(field).key(&name),
            message: format!("`{field}` writes `{name}`, which is a key of the table"),
            cure: None,
        })
        .collect()
}
