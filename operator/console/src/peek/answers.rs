//! What an api answers on a route that is drawn: asked from here, so that the page needs no other host and no key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use penstock_api::spec::{Api, ChartKind, Route, RouteChart};
use serde_json::{Value, json};

use super::PeekError;
use crate::drawn::parameter;
use crate::scrape::{Asker, Fetch};
use crate::subject::Subject;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(9);
/// The largest answer.
const MOST_BYTES: usize = 2 << 20;
/// The longest value of a parameter.
const LONGEST: usize = 128;
/// How many bars or places are drawn where the chart does not say.
const BARS: i32 = 10;
const PLACES: i32 = 366;
/// How many lines an answer has at most where the route does not say.
const MAX_PAGE: i32 = 1000;

/// The points of a chart: a name and a number each, in the order of the answer.
pub(super) async fn points(
    asker: &Asker,
    subject: &Subject,
    api: &str,
    route: usize,
    given: &BTreeMap<String, String>,
) -> Result<Value, PeekError> {
    let unknown = |what: &str| PeekError::Unknown(what.to_owned());
    let mut apis = subject.pipeline.spec.apis.iter().flatten();
    let declared: &Api = apis.find(|known| known.name == api).ok_or_else(|| unknown(&format!("api {api}")))?;
    let drawn = declared.routes.get(route).and_then(|route| Some((route, route.chart.as_ref()?)));
    let (route, chart) = drawn.ok_or_else(|| unknown(&format!("chart of that number in the api {api}")))?;
    let stage = subject.stages.iter().find(|stage| stage.name == api);
    let key = stage.and_then(|stage| stage.key.as_ref());
    if declared.auth.is_some() && key.is_none() {
        return Err(PeekError::NeedsKey(api.to_owned()));
    }
    let doing = || format!("asking the api {api}");
    let failed = |message: String| PeekError::Service { doing: doing(), message };
    let base = stage.and_then(|stage| stage.url.as_ref()).ok_or_else(|| failed("it has no address yet".to_owned()))?;
    let url = format!("{}{}", base.trim_end_matches('/'), question(route, chart, given)?);
    let fetch = Fetch { url: &url, key, limit: LIMIT, most_bytes: MOST_BYTES };
    let (status, body) = asker.fetch(fetch).await.map_err(failed)?;
    match status {
        _ if status.is_success() => {
            let answer = serde_json::from_slice(&body);
            Ok(drawn_from(chart, &answer.map_err(|error| failed(format!("what it answered is no JSON: {error}")))?))
        }
        // What there is nothing of is an empty chart.
        StatusCode::NOT_FOUND => Ok(drawn_from(chart, &Value::Null)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PeekError::NeedsKey(api.to_owned())),
        _ => {
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            Err(failed(problem["detail"].as_str().map_or_else(|| status.to_string(), str::to_owned)))
        }
    }
}

/// The path and the query that are asked: with what is given, else with the examples.
fn question(route: &Route, chart: &RouteChart, given: &BTreeMap<String, String>) -> Result<String, PeekError> {
    let parameters = route.parameters.iter().flatten();
    let in_path = |name: &str| route.path.split('/').any(|part| parameter(part) == Some(name));
    let is_declared = |name: &str| in_path(name) || parameters.clone().any(|known| known.name == name);
    if let Some((name, _)) = given.iter().find(|(name, value)| !is_declared(name) || value.len() > LONGEST) {
        return Err(PeekError::Unknown(format!("parameter {name} of up to {LONGEST} bytes")));
    }
    let given = |name: &str| given.get(name).filter(|value| !value.is_empty());
    let example = |name: &str| parameters.clone().find(|known| known.name == name)?.example.as_ref();
    let mut question = String::new();
    for part in route.path.split('/').skip(1) {
        question.push('/');
        match parameter(part) {
            Some(name) => {
                let value = given(name).or_else(|| example(name));
                encode(value.ok_or_else(|| PeekError::Unknown(format!("value of {name}")))?, &mut question);
            }
            None => question.push_str(part),
        }
    }
    let most = route.limits.as_ref().and_then(|limits| limits.max_page).unwrap_or(MAX_PAGE);
    let wanted = chart.limit.unwrap_or(if chart.kind == Some(ChartKind::Line) { PLACES } else { BARS });
    // Writing to a String never fails.
    let _ = write!(question, "?limit={}", wanted.min(most));
    for known in parameters.clone().filter(|known| !in_path(&known.name)) {
        if let Some(value) = given(&known.name) {
            question.push('&');
            encode(&known.name, &mut question);
            question.push('=');
            encode(value, &mut question);
        }
    }
    Ok(question)
}

/// With everything in percents that could mean something in a URL (RFC 3986).
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

fn drawn_from(chart: &RouteChart, answer: &Value) -> Value {
    let lines = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let point = |line: &Value| {
        let name = match &line[&chart.by] {
            Value::Null => "–".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let number = &line[&chart.value];
        json!([name, number.as_f64().or_else(|| number.as_str()?.parse().ok())])
    };
    json!({ "points": lines.iter().map(point).collect::<Vec<_>>(), "more": answer["next"].is_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn route() -> Route {
        serde_json::from_value(json!({
            "path": "/months/{Month}/sales/{Part}", "table": "shop-sales",
            "parameters": [{ "name": "Month", "example": "2010-12" }, { "name": "Part", "example": "a/../b" }, { "name": "within" }],
            "limits": { "maxPage": 7 },
            "chart": { "by": "Day", "value": "revenue" },
        }))
        .unwrap()
    }

    fn asked(given: &[(&str, &str)]) -> Result<String, PeekError> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let route = route();
        question(&route, route.chart.as_ref().unwrap(), &given)
    }

    #[test]
    fn it_is_asked_with_examples_and_with_what_is_given_and_with_nothing_else() {
        assert_eq!(asked(&[]).unwrap(), "/months/2010-12/sales/a%2F%2E%2E%2Fb?limit=7");
        let given = asked(&[("Month", "2011-01"), ("Part", "c"), ("within", "2011-01-04 &limit=9")]);
        assert_eq!(given.unwrap(), "/months/2011-01/sales/c?limit=7&within=2011-01-04%20%26limit%3D9");
        assert!(asked(&[("consistent", "true")]).unwrap_err().to_string().contains("consistent"));
        assert!(asked(&[("within", &"x".repeat(LONGEST + 1))]).is_err());
    }

    #[test]
    fn points_are_names_with_numbers() {
        let answer = json!({ "items": [
            { "Day": "2010-12-01", "revenue": 58_635.56 }, { "Day": 7, "revenue": "12.5" }, { "revenue": true },
        ], "next": "token" });
        let points = drawn_from(route().chart.as_ref().unwrap(), &answer);
        assert_eq!(points, json!({ "points": [["2010-12-01", 58_635.56], ["7", 12.5], ["–", null]], "more": true }));
    }
}
