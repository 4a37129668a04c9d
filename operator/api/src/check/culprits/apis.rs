//! Which route broke a rule about routes and tables.

use serde_json::Value;

use super::super::path::Path;
use super::super::words::suggestion;
use super::{Culprit, items, text};
use crate::rules::Rule;

/// The routes at fault; `None` for rules about something else.
pub(super) fn of(rule: &Rule, node: &Value) -> Option<Vec<Culprit>> {
    Some(match rule.code {
        "unknown_table" => unknown_tables(node),
        "partition_not_given" => routes(node, "path", |route, table| {
            let key = key_name(&table["partition"], "pk");
            let given = route["partition"].is_string()
                || route["partitions"].is_array()
                || text(route, "path").contains(&format!("{{{key}}}"));
            (!given).then(|| {
                let found = format!(
                    "the table `{}` is read by its partition key `{key}`, and neither the path `{}` nor `partition` gives it",
                    text(route, "table"),
                    text(route, "path")
                );
                (found, Some(format!("put `{{{key}}}` into the path, or write `partition: \"{{parameter}}\"`")))
            })
        }),
        "no_sort_key" => routes(node, "table", |route, table| {
            let asks =
                ["sort", "totals", "groupBy", "orderBy", "chart"].into_iter().find(|field| !route[*field].is_null());
            let asks = asks.or((route["answer"].is_string() && route["answer"] != "Item").then_some("answer"))?;
            let found = format!("the table `{}` has no sort key, and the route has `{asks}`", text(route, "table"));
            table["sort"].is_null().then_some((found, None))
        }),
        "item_needs_sort_key" => routes(node, "answer", |route, table| {
            let at_fault =
                route["answer"] == "Item" && !table["sort"].is_null() && !route["sort"]["equals"].is_string();
            let key = key_name(&table["sort"], "sk");
            let found = format!(
                "the table `{}` has the sort key `{key}`, and `sort.equals` does not give it",
                text(route, "table")
            );
            at_fault
                .then(|| (found, Some(format!("add `sort: {{ equals: \"{{{key}}}\" }}`, or write `answer: Items`"))))
        }),
        "prefix_of_number" => routes(node, "sort", |route, table| {
            let at_fault = route["sort"]["prefix"].is_string() && table["sort"]["type"] == "N";
            let key = key_name(&table["sort"], "sk");
            at_fault.then(|| (format!("the sort key `{key}` of the table is a number, which has no prefix"), None))
        }),
        _ => return None,
    })
}

/// Routes of which `fault` has something to say, beside the table that they name.
fn routes(
    spec: &Value,
    field: &str,
    fault: impl Fn(&Value, &Value) -> Option<(String, Option<String>)>,
) -> Vec<Culprit> {
    let mut culprits = Vec::new();
    for (path, route) in all_routes(spec) {
        let Some(table) = tables(spec).find(|table| table["name"] == route["table"]) else { continue };
        if let Some((message, cure)) = fault(route, table) {
            culprits.push(Culprit { path: path.key(field), message, cure });
        }
    }
    culprits
}

fn all_routes(spec: &Value) -> impl Iterator<Item = (Path, &Value)> {
    items(spec, "apis").flat_map(|(api, declared)| {
        let path = Path::of("apis").index(api).key("routes");
        items(declared, "routes").map(move |(route, declared)| (path.index(route), declared))
    })
}

fn tables(spec: &Value) -> impl Iterator<Item = &Value> {
    items(spec, "sinks").flat_map(|(_, sink)| items(&sink["dynamodb"], "tables").map(|(_, table)| table))
}

fn key_name(key: &Value, default: &str) -> String {
    key["attribute"].as_str().or(key["field"].as_str()).unwrap_or(default).to_owned()
}

fn unknown_tables(spec: &Value) -> Vec<Culprit> {
    let known: Vec<&str> = tables(spec).map(|table| text(table, "name")).collect();
    let unknown = all_routes(spec).filter(|(_, route)| !known.contains(&text(route, "table")));
    unknown
        .map(|(path, route)| {
            let wanted = text(route, "table");
            let cure = match known.is_empty() {
                true => "add a sink with `dynamodb` that fills it".to_owned(),
                false => suggestion(wanted, known.iter().copied(), "name one that a sink fills"),
            };
            Culprit {
                path: path.key("table"),
                message: format!(
                    "the route `{}` reads the table `{wanted}`, which no sink of the Pipeline fills",
                    text(route, "path")
                ),
                cure: Some(cure),
            }
        })
        .collect()
}
