//! The API described in OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.0>), from its routes alone.

use std::sync::Arc;

use penstock_api::plan::ApiStage;
use penstock_api::spec::{Answer, EmptyAnswer, KeyType, ParameterType};
use serde_json::{Map, Value, json};

use crate::compile::{ParameterRule, Route};
use crate::negotiation::Format;
use crate::parameters::{MAX_LENGTH, has};
use crate::service::formats;
use crate::token::MAX_TOKEN;

/// The document of a stage, as it is served at `/openapi.json`.
pub(crate) fn of(title: &str, stage: &ApiStage, routes: &[Arc<Route>]) -> Value {
    let paths: Map<_, _> =
        routes.iter().map(|route| (route.plan.path.clone(), json!({ "get": operation(stage, route) }))).collect();
    let mut components = json!({ "schemas": { "Problem": problem() } });
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": "1",
            "description": "Read-only answers about what a Pipeline has stored. Numbers are exact decimals: read them as such.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
    });
    if stage.api_keys_secret.is_some() {
        components["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer", "description": "An API key." },
            "apiKey": { "type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key." },
        });
        document["security"] = json!([{ "bearer": [] }, { "apiKey": [] }]);
    }
    document["components"] = components;
    document
}

fn operation(stage: &ApiStage, route: &Route) -> Value {
    let mut parameters: Vec<_> = route.parameters.iter().map(parameter).collect();
    parameters.extend(of_every_route(route));
    let mut operation = json!({
        "operationId": operation_id(&route.plan.path),
        "parameters": parameters,
        "responses": responses(stage, route),
    });
    if let Some(description) = &route.plan.description {
        operation["summary"] = json!(description);
    }
    operation
}

/// Unique, since paths differ in a text.
fn operation_id(path: &str) -> String {
    let letters = path.chars().filter(|letter| !matches!(letter, '{' | '}'));
    let id: String = letters.map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    format!("get{id}")
}

fn parameter(rule: &ParameterRule) -> Value {
    let mut schema = match rule.kind {
        ParameterType::String => json!({ "type": "string", "minLength": 1, "maxLength": MAX_LENGTH }),
        ParameterType::Integer => {
            json!({ "type": "integer", "minimum": -999_999_999_999_999_i64, "maximum": 999_999_999_999_999_i64 })
        }
        ParameterType::Number => json!({ "type": "number", "minimum": -1e100, "maximum": 1e100 }),
        ParameterType::Date => json!({ "type": "string", "format": "date" }),
    };
    if !rule.values.is_empty() {
        schema = match rule.kind {
            ParameterType::Integer | ParameterType::Number => {
                json!({ "enum": rule.values.iter().map(|value| number(value)).collect::<Vec<_>>() })
            }
            _ => json!({ "type": "string", "enum": rule.values }),
        };
    }
    let numeric = matches!(rule.kind, ParameterType::Integer | ParameterType::Number);
    let typed = |value: &String| if numeric { number(value) } else { json!(value) };
    if let Some(default) = &rule.default {
        schema["default"] = typed(default);
    }
    let mut parameter = json!({
        "name": rule.name,
        "in": if rule.in_path { "path" } else { "query" },
        "required": rule.required || rule.in_path,
        "schema": schema,
    });
    if let Some(description) = &rule.description {
        parameter["description"] = json!(description);
    }
    if let Some(example) = &rule.example {
        parameter["example"] = typed(example);
    }
    parameter
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

fn of_every_route(route: &Route) -> Vec<Value> {
    let formats: Vec<_> = formats(route).iter().map(|format| short_name(*format)).collect();
    let all = [
        (
            "limit",
            "How many items a page has.",
            json!({ "type": "integer", "minimum": 1, "maximum": route.plan.max_page_items }),
        ),
        (
            "next",
            "The page after another: its `next`.",
            json!({ "type": "string", "minLength": 1, "maxLength": MAX_TOKEN }),
        ),
        ("format", "The format of the answer; `Accept` says it too.", json!({ "type": "string", "enum": formats })),
        ("consistent", "Whether every write that came before is seen.", json!({ "type": "boolean" })),
    ];
    let known = all.into_iter().filter(|(name, ..)| has(route, name));
    known
        .map(|(name, description, schema)| {
            json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
        })
        .collect()
}

pub(crate) fn short_name(format: Format) -> &'static str {
    match format {
        Format::Json => "json",
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
    }
}

fn responses(stage: &ApiStage, route: &Route) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(route));
    let mut told = vec![
        ("304", "The client has this answer.", false),
        ("400", "A parameter is not as expected.", true),
        ("406", "The answer has no such format.", true),
        ("503", "The table cannot be read now, or too many requests are being worked on.", true),
        ("504", "The answer took too long.", true),
        ("500", "Something went wrong in the server.", true),
    ];
    if route.plan.answer == Answer::Item || route.plan.empty == EmptyAnswer::NotFound {
        told.push(("404", "Nothing is stored under this key.", true));
    }
    if route.plan.answer != Answer::Item {
        told.push(("422", "The answer takes more reading than the route allows.", true));
    }
    if route.plan.answer == Answer::Items && !route.is_whole() {
        told.push(("426", "A long list as lines needs HTTP/1.1.", true));
    }
    if stage.api_keys_secret.is_some() {
        told.push(("401", "An API key is needed.", true));
        told.push(("403", "The API key is not known.", true));
    }
    if stage.rate_limit.is_some() {
        told.push(("429", "The API key has asked too often.", true));
    }
    for (status, description, is_problem) in told {
        let mut response = json!({ "description": description });
        if is_problem {
            response["content"] =
                json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        }
        responses.insert(status.to_owned(), response);
    }
    Value::Object(responses)
}

fn answer(route: &Route) -> Value {
    let mut content = Map::new();
    for format in formats(route) {
        let media = match format {
            Format::Json => json!({ "schema": whole(route) }),
            // Lines: no schema of JSON describes them.
            Format::Ndjson => json!({ "schema": { "type": "string" } }),
            Format::Csv => json!({ "schema": { "type": "string" } }),
        };
        let name = format.content_type().split(';').next().unwrap_or_default().to_owned();
        content.insert(name, media);
    }
    json!({
        "description": route.plan.description.as_deref().unwrap_or("The answer."),
        "headers": {
            "ETag": { "description": "For `If-None-Match`.", "schema": { "type": "string" } },
            "Link": { "description": "The next page, where there is one.", "schema": { "type": "string" } },
        },
        "content": content,
    })
}

fn whole(route: &Route) -> Value {
    let totals = || {
        let totals = route.plan.totals.iter().map(|total| (total.name.clone(), json!({ "type": ["number", "null"] })));
        object(totals.collect())
    };
    match route.plan.answer {
        Answer::Totals => totals(),
        Answer::Item => item(route),
        Answer::Items => {
            let mut properties = Map::new();
            properties.insert("items".to_owned(), json!({ "type": "array", "items": item(route) }));
            let mut required = vec!["items"];
            if !route.plan.totals.is_empty() && !route.is_grouped() {
                properties.insert("totals".to_owned(), totals());
                required.push("totals");
            }
            properties.insert("next".to_owned(), json!({ "type": "string" }));
            json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
        }
    }
}

fn object(properties: Map<String, Value>) -> Value {
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// What is known of an item: its fields where they are chosen, and the types of its keys.
fn item(route: &Route) -> Value {
    let keys = [Some(&route.plan.partition_key), route.plan.sort_key.as_ref()];
    let of_key = |attribute: &str| {
        let key = keys.iter().flatten().find(|key| key.name == attribute)?;
        Some(json!({ "type": if key.key_type == KeyType::N { "number" } else { "string" } }))
    };
    let Some(columns) = &route.columns else {
        let properties: Map<_, _> =
            keys.iter().flatten().filter_map(|key| Some((key.name.clone(), of_key(&key.name)?))).collect();
        let required: Vec<_> = properties.keys().cloned().collect();
        return json!({ "type": "object", "required": required, "properties": properties });
    };
    let mut properties: Map<_, _> = columns
        .iter()
        .map(|(name, attribute)| (name.clone(), of_key(attribute).unwrap_or_else(|| json!({}))))
        .collect();
    if route.is_grouped() {
        let totals = route.plan.totals.iter().map(|total| (total.name.clone(), json!({ "type": ["number", "null"] })));
        properties.extend(totals);
    }
    object(properties)
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why there is no answer (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What was found and what would mend it." },
            "code": { "type": "string", "description": "Never changes." },
        },
    })
}
