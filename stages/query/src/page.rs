//! The API described for people: one page without scripts and without any other host.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_api::plan::ApiStage;
use penstock_api::spec::{Answer, ParameterType};
use sha2::{Digest as _, Sha256};

use crate::compile::{ParameterRule, Route};
use crate::openapi::short_name;
use crate::service::formats;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8886;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.1rem;margin:2rem 0 .3rem;overflow-wrap:anywhere}
code{font:0.95em ui-monospace,monospace}pre{background:var(--soft);padding:.6rem .8rem;border-radius:.4rem;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.95em;table-layout:fixed}th:first-child{width:24%}th:nth-child(2){width:36%}
td{overflow-wrap:anywhere}td,th{text-align:left;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line);vertical-align:top}
p{margin:.3rem 0}.quiet{opacity:.75}";

/// The page and its content security policy.
pub(crate) fn of(title: &str, stage: &ApiStage, routes: &[Arc<Route>]) -> (String, String) {
    let mut html = String::new();
    let title = escaped(title);
    // Writing into a text does not fail.
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>\
         <p>Read-only answers about what the Pipeline has stored. <a href=\"/openapi.json\">OpenAPI 3.1</a></p>"
    );
    html.push_str(&manners(stage));
    for route in routes {
        html.push_str(&section(stage, route));
    }
    html.push_str("</body></html>");
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    (html, policy)
}

/// What holds for every route.
fn manners(stage: &ApiStage) -> String {
    let key = match stage.api_keys_secret {
        Some(_) => "Send an API key as <code>Authorization: Bearer KEY</code>. ",
        None => "",
    };
    let rate = stage.rate_limit.map_or(String::new(), |rate| {
        format!("A key may ask {} times a second, and {} times at once. ", rate.requests_per_second, rate.burst)
    });
    format!(
        "<p class=\"quiet\">{key}{rate}<code>Accept</code> or <code>format</code> chooses JSON, NDJSON or CSV. Lists are pages: send \
         <code>next</code> for the one after; NDJSON and CSV without <code>limit</code> are the whole list. Errors are \
         <code>application/problem+json</code>.</p>"
    )
}

fn section(stage: &ApiStage, route: &Route) -> String {
    let plan = &route.plan;
    let mut html = format!("<h2><code>GET {}</code></h2>", escaped(&plan.path));
    if let Some(description) = &plan.description {
        let _ = write!(html, "<p>{}</p>", escaped(description));
    }
    let formats: Vec<_> = formats(route).iter().map(|format| short_name(*format)).collect();
    let what = match plan.answer {
        Answer::Item => "One item".to_owned(),
        Answer::Totals => "Totals".to_owned(),
        Answer::Items => format!("A list, {} a page, {} at most", plan.page_items, plan.max_page_items),
    };
    let _ = write!(html, "<p class=\"quiet\">{what}; {}</p>", formats.join(", "));
    if !route.parameters.is_empty() {
        html.push_str("<table><tr><th>parameter</th><th>is</th><th></th></tr>");
        route.parameters.iter().for_each(|rule| html.push_str(&row(rule)));
        html.push_str("</table>");
    }
    if let Some(columns) = route.column_names() {
        let names: Vec<_> = columns.into_iter().map(|name| format!("<code>{}</code>", escaped(name))).collect();
        let _ = write!(html, "<p>Fields: {}</p>", names.join(", "));
    }
    let header = if stage.api_keys_secret.is_some() { "-H \"Authorization: Bearer $KEY\" " } else { "" };
    let _ = write!(html, "<pre><code>curl {header}\"$URL{}\"</code></pre>", escaped(&plan.path));
    html
}

fn row(rule: &ParameterRule) -> String {
    let place = if rule.in_path { "in the path" } else { "query" };
    let needed = if rule.required { "" } else { ", may be left out" };
    let kind = match rule.kind {
        ParameterType::String => "text",
        ParameterType::Integer => "whole number",
        ParameterType::Number => "number",
        ParameterType::Date => "day",
    };
    let kind = if rule.values.is_empty() { kind.to_owned() } else { rule.values.join(" | ") };
    let description = rule.description.as_deref().unwrap_or_default();
    format!(
        "<tr><td><code>{}</code></td><td>{}, {place}{needed}</td><td>{}</td></tr>",
        escaped(&rule.name),
        escaped(&kind),
        escaped(description)
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
