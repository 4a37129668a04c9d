//! One request: key, rate, route, question, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, ORIGIN,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use bytes::Bytes;
use hyper::body::Incoming;
use penstock_api::plan::CorsPlan;
use penstock_api::spec::Answer;
use penstock_runtime::http::{ApiKeys, Denied};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::answer::{Inquiry, Made};
use crate::compile::{Route, Segment};
use crate::encoding;
use crate::negotiation::{self, Format};
use crate::outbox::Outbox;
use crate::parameters::{self, Asked};
use crate::problem::{METHODS, Problem, ProblemKind};
use crate::question::Question;
use crate::rate::Rates;
use crate::reading::Reader;
use crate::streaming::{Begun, List, Part};
use crate::telemetry::Telemetry;
use crate::template::Values;
use crate::token::Sealer;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) routes: Vec<Arc<Route>>,
    /// Everybody may ask when absent.
    pub(crate) keys: Option<ApiKeys>,
    pub(crate) rates: Option<Rates>,
    pub(crate) cors: Option<CorsPlan>,
    /// For the work on the tables; who is only sent an answer has none.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) outbox: Outbox,
    pub(crate) patience: Duration,
    pub(crate) reader: Reader,
    pub(crate) sealer: Sealer,
    pub(crate) telemetry: Telemetry,
    pub(crate) document: Bytes,
    pub(crate) page: Bytes,
    /// The content security policy of the page.
    pub(crate) page_policy: HeaderValue,
}

impl Service {
    /// Answers a request.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let (head, _) = request.into_parts();
        let found = self.find(head.uri.path());
        let path = found.as_ref().ok().map(|(route, _)| route.plan.path.clone());
        let answer = match head.method {
            Method::OPTIONS => options(),
            Method::GET | Method::HEAD => self.get(&head, found).await.unwrap_or_else(Problem::into_response),
            _ => {
                let detail = "questions are asked with GET";
                Problem::new(ProblemKind::MethodNotAllowed, detail).into_response()
            }
        };
        let answer = self.with_headers(&head, answer);
        self.telemetry.answered(path.as_deref(), answer.status(), started.elapsed().as_secs_f64());
        answer
    }

    async fn get(&self, head: &Parts, found: Result<(Arc<Route>, Values), Problem>) -> Result<Response<Body>, Problem> {
        match head.uri.path() {
            "/openapi.json" => return self.whole(head, self.document.to_vec(), "application/json"),
            "/" => {
                let mut answer = self.whole(head, self.page.to_vec(), "text/html; charset=utf-8")?;
                answer.headers_mut().insert(CONTENT_SECURITY_POLICY, self.page_policy.clone());
                return Ok(answer);
            }
            _ => {}
        }
        let key = self.authorize(head)?;
        self.check_rate(&key)?;
        let (route, in_path) = found?;
        let asked = parameters::read(&route, in_path, head.uri.query().unwrap_or_default())?;
        let question = Question::of(&route, &asked)?;
        let format = negotiation::format(asked.format, &head.headers, formats(&route))?;
        let place = self.place().await?;
        if streams(&route, &asked, format) {
            return self.list(head, route, question, format, place).await;
        }
        let inquiry = Inquiry {
            route: &route,
            asked: &asked,
            question: &question,
            format,
            reader: &self.reader,
            sealer: &self.sealer,
        };
        let slow = |_| Problem::new(ProblemKind::TooSlow, "the table takes too long; ask for less, or again later");
        let made = timeout(self.patience, inquiry.answer()).await.map_err(slow)??;
        drop(place);
        self.made(head, made, format)
    }

    /// The route of a path and the parameters in it.
    fn find(&self, path: &str) -> Result<(Arc<Route>, Values), Problem> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let found = self.routes.iter().find(|route| matches(&route.segments, &parts));
        let Some(route) = found else {
            let detail = "no route has this path; `/` shows those that there are, `/openapi.json` describes them";
            return Err(Problem::new(ProblemKind::NoRoute, detail));
        };
        let mut values = Values::new();
        for (segment, part) in route.segments.iter().zip(parts) {
            if let Segment::Parameter(name) = segment {
                let value =
                    decoded(part).ok_or_else(|| parameters::bad(name, "UTF-8, percent-encoded", "it is not"))?;
                values.insert(name.clone(), value);
            }
        }
        Ok((route.clone(), values))
    }

    fn authorize(&self, head: &Parts) -> Result<String, Problem> {
        let Some(keys) = &self.keys else { return Ok(String::new()) };
        keys.check(&head.headers).map_err(|denied| match denied {
            Denied::NoKey => {
                let detail = "send an API key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`";
                Problem::new(ProblemKind::NoKey, detail)
            }
            Denied::WrongKey => {
                let detail = "the API key is not among those of the API; ask whoever runs the Pipeline for one";
                Problem::new(ProblemKind::WrongKey, detail)
            }
        })
    }

    fn check_rate(&self, key: &str) -> Result<(), Problem> {
        let Some(rates) = &self.rates else { return Ok(()) };
        rates.take(key, std::time::Instant::now()).map_err(|wait| {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let detail = "this key has asked more often than it may; ask again after the time in Retry-After";
            Problem::new(ProblemKind::RateLimited(seconds.max(1)), detail)
        })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = || {
            let detail =
                "more requests are being worked on than the API takes; ask again after the time in Retry-After";
            Problem::new(ProblemKind::Overloaded, detail)
        };
        let place = timeout(TURN, self.places.clone().acquire_owned()).await.map_err(|_| busy())?;
        place.map_err(|_| busy())
    }

    async fn list(
        &self,
        head: &Parts,
        route: Arc<Route>,
        question: Question,
        format: Format,
        place: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Problem> {
        let (reader, places) = (self.reader.clone(), Arc::clone(&self.places));
        let list = List { route, question, format, reader, patience: self.patience, places };
        match list.begin(place).await? {
            Begun::Whole(text) => self.whole(head, text, format.content_type()),
            Begun::Part(part) => self.stream(head, part, format),
        }
    }

    /// A list that is sent as it is read. It has no tag: that would have to be sent before the list is known.
    fn stream(&self, head: &Parts, part: Part, format: Format) -> Result<Response<Body>, Problem> {
        if head.version < Version::HTTP_11 {
            let detail = "with HTTP/1.0 the end of a long list cannot be told from a break: ask with HTTP/1.1 (nginx: \
                          `proxy_http_version 1.1`), or for pages with `limit`";
            return Err(Problem::new(ProblemKind::OldProtocol, detail));
        }
        let coding = negotiation::coding(&head.headers);
        let mut answer = Response::new(part.into_body(coding, &self.outbox, self.outbox.room_for_list()?)?);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        if let Some(name) = coding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        Ok(answer)
    }

    fn made(&self, head: &Parts, made: Made, format: Format) -> Result<Response<Body>, Problem> {
        let link = made.next.as_deref().and_then(|next| next_link(head, next));
        let mut answer = self.whole(head, made.body, format.content_type())?;
        if let Some(link) = link {
            answer.headers_mut().insert(LINK, link);
        }
        Ok(answer)
    }

    /// A body with its tag, or 304 when the client has it.
    fn whole(&self, head: &Parts, body: Vec<u8>, content_type: &'static str) -> Result<Response<Body>, Problem> {
        let tag = etag(&body, content_type);
        let mut answer = if has(&head.headers, &tag) {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        } else {
            let coding = if head.headers.contains_key(ACCEPT_ENCODING) {
                negotiation::coding(&head.headers)
            } else {
                negotiation::Coding::Identity
            };
            let (body, coding) = encoding::whole(body, coding);
            let length = body.len();
            let mut answer = Response::new(self.outbox.body_of(body)?);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            if let Some(name) = coding.name() {
                answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name));
            }
            answer
        };
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        Ok(answer)
    }

    /// What every answer has.
    fn with_headers(&self, head: &Parts, mut answer: Response<Body>) -> Response<Body> {
        let headers = answer.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding, authorization, x-api-key, origin"));
        let Some(cors) = &self.cors else { return answer };
        let Some(origin) = head.headers.get(ORIGIN) else { return answer };
        let everybody = cors.origins.iter().any(|known| known == "*");
        if !everybody && !cors.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
            return answer;
        }
        let allowed = if everybody { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, link, retry-after"));
        if head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
            let may = "authorization, x-api-key, if-none-match, accept";
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(may));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age_seconds));
        }
        answer
    }
}

fn options() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    answer
}

/// The formats that a route answers in.
pub(crate) fn formats(route: &Route) -> &'static [Format] {
    const ALL: [Format; 3] = [Format::Json, Format::Ndjson, Format::Csv];
    if route.column_names().is_some() { &ALL } else { &ALL[..2] }
}

/// A list as lines is sent as it is read, unless a page of it is asked for.
fn streams(route: &Route, asked: &Asked, format: Format) -> bool {
    route.plan.answer == Answer::Items
        && !route.is_whole()
        && format != Format::Json
        && asked.limit.is_none()
        && asked.next.is_none()
}

fn matches(segments: &[Segment], parts: &[&str]) -> bool {
    segments.len() == parts.len()
        && segments.iter().zip(parts).all(|(segment, part)| match segment {
            Segment::Text(text) => text == part,
            Segment::Parameter(_) => !part.is_empty(),
        })
}

/// Percent-decoded (RFC 3986). A `+` is a plus in a path.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The next page, as RFC 8288 has it.
fn next_link(head: &Parts, next: &str) -> Option<HeaderValue> {
    let query = head.uri.query().unwrap_or_default();
    let mut serializer = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "next") {
        serializer.append_pair(&name, &value);
    }
    serializer.append_pair("next", next);
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", head.uri.path(), serializer.finish())).ok()
}

/// Weak: the same answer may be packed in several ways.
fn etag(body: &[u8], content_type: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(content_type.as_bytes());
    hash.update([0]);
    hash.update(body);
    format!("W/\"{}\"", hex::encode(&hash.finalize()[..16]))
}

/// Whether the client has an answer with the tag (RFC 9110, 13.1.2: compared weakly).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let told = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut told = told.flat_map(|value| value.split(','));
    told.any(|told| told.trim() == "*" || weak(told) == weak(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(decoded("a%2Fb%25+c").as_deref(), Some("a/b%+c"));
        for wrong in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
