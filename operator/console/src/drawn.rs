//! Which answers of apis are drawn, and with what they are asked: from routes with a chart to the page's data. Pure.

use penstock_api::spec::{Api, ChartKind, Route, RouteChart};
use serde_json::{Value, json};

use crate::subject::Subject;

/// The charts of all routes that have one.
pub(crate) fn charts(subject: &Subject) -> Vec<Value> {
    let mut charts = Vec::new();
    for api in subject.pipeline.spec.apis.iter().flatten() {
        for (place, route) in api.routes.iter().enumerate() {
            charts.extend(route.chart.as_ref().map(|drawn| chart(subject, api, place, route, drawn)));
        }
    }
    charts
}

fn chart(subject: &Subject, api: &Api, place: usize, route: &Route, chart: &RouteChart) -> Value {
    let stage = subject.stages.iter().find(|stage| stage.name == api.name);
    let base = stage.and_then(|stage| stage.url.as_deref()).unwrap_or("http://…/").trim_end_matches('/');
    let title = chart.title.as_ref().or(route.description.as_ref()).unwrap_or(&route.path);
    json!({
        "api": api.name,
        "route": place,
        "title": title,
        "kind": if chart.kind == Some(ChartKind::Line) { "line" } else { "bar" },
        "by": chart.by,
        "value": chart.value,
        "unit": chart.unit,
        "path": route.path,
        "parameters": parameters(route),
        "locked": api.auth.is_some() && stage.is_none_or(|stage| stage.key.is_none()),
        "command": format!("curl --header 'Authorization: Bearer KEY' '{base}{}'", route.path),
    })
}

/// The parameters of the path in their order, then the others; each with what it is asked with.
fn parameters(route: &Route) -> Vec<Value> {
    let declared = || route.parameters.iter().flatten();
    let in_path: Vec<_> = route.path.split('/').filter_map(parameter).collect();
    let others = declared().map(|known| known.name.as_str()).filter(|name| !in_path.contains(name));
    let told = |name: &str| {
        let known = declared().find(|known| known.name == name);
        let value = known
            .and_then(|known| known.example.as_ref().filter(|_| in_path.contains(&name)).or(known.default.as_ref()));
        json!({ "name": name, "value": value, "description": known.and_then(|known| known.description.as_ref()) })
    };
    in_path.iter().copied().chain(others).map(told).collect()
}

/// The name of the parameter that a part of a path is.
pub(crate) fn parameter(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_path_come_first_and_with_their_examples() {
        let route: Route = serde_json::from_value(json!({
            "path": "/months/{Month}/days/{Day}", "table": "shop-sales",
            "parameters": [
                { "name": "country", "description": "Only this one.", "example": "France" },
                { "name": "Day", "example": "01" }, { "name": "Month", "example": "2010-12" },
            ],
        }))
        .unwrap();
        let told = parameters(&route);
        let seen: Vec<_> = told.iter().map(|one| (one["name"].as_str().unwrap(), one["value"].as_str())).collect();
        // Whoever asks without a parameter of the query gets everything.
        assert_eq!(seen, [("Month", Some("2010-12")), ("Day", Some("01")), ("country", None)]);
    }
}
