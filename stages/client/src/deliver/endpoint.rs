//! The endpoint over HTTP: one function for each request it takes.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use super::address::{is_loopback, parse_url};
use super::answer::{Fates, Problem, read_answer};
use super::backoff::retry_after;
use crate::error::SendError;
use crate::options::{Compression, SendOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read: a thousand refused rows with long reasons are far below.
const MAX_ANSWER_BYTES: usize = 64 << 20;
const MAX_PROBLEM_BYTES: usize = 64 << 10;
const MAX_SCHEMA_BYTES: usize = 4 << 20;
/// The header by which a source tells the template of its partition key.
const PARTITION_KEY: &str = "x-penstock-partition-key";
/// The header by which a source tells the field that holds a row's id.
const ID_FIELD: &str = "x-penstock-id-field";

/// An ingest endpoint.
pub(crate) struct Endpoint {
    http: Client,
    url: Url,
    schema_url: Url,
    headers: HeaderMap,
    compression: Compression,
    /// What an answer should be like (RFC 7240): short, and here before the request is given up.
    prefer: HeaderValue,
}

/// What the endpoint tells about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Description {
    pub(crate) schema: Option<Value>,
    pub(crate) partition_key: Option<String>,
    pub(crate) id_field: Option<String>,
}

/// What came back for a request.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// An answer that settles something.
    Answered(T),
    /// The request was too large.
    TooLarge(Problem),
    /// It may work later.
    Later(Trouble),
}

/// Why a request may work later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    /// How long the endpoint asks to wait.
    pub(crate) after: Option<Duration>,
    /// Whether the request reached the endpoint at all, as far as can be told.
    pub(crate) reached: bool,
    /// Whether the endpoint may have done what was asked, and only the answer got lost.
    pub(crate) doubtful: bool,
}

impl Endpoint {
    pub(crate) fn new(address: &str, options: &SendOptions) -> Result<Self, SendError> {
        let url = parse_url(address)?;
        let mut schema_url = url.clone();
        schema_url.set_query(None);
        if let Ok(mut path) = schema_url.path_segments_mut() {
            path.pop_if_empty().push("schema");
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = &options.api_key {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {}", key.secret())).map_err(|_| SendError::ApiKey)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        // Fails when the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(options.request_timeout)
            .pool_max_idle_per_host(options.in_flight.get())
            // A POST that is redirected may arrive as a GET.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("penstock/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&url) {
            client = client.no_proxy();
        }
        let http = client.build().map_err(SendError::HttpSetup)?;
        let wait = (options.request_timeout * 3 / 4).as_secs().max(1);
        let prefer = HeaderValue::from_str(&format!("return=minimal, wait={wait}"))
            .unwrap_or(HeaderValue::from_static("return=minimal"));
        Ok(Self { http, url, schema_url, headers, compression: options.compression, prefer })
    }

    /// The address, for messages.
    pub(crate) fn address(&self) -> &str {
        self.url.as_str()
    }

    /// `GET {url}/schema`: the JSON Schema of a row, and by headers the partition key and the id field. 404 says that
    /// the source has no schema; the headers count all the same.
    pub(crate) async fn describe(&self) -> Result<Reply<Description>, SendError> {
        let request = self.http.get(self.schema_url.clone()).headers(self.headers.clone());
        let response = match request.header(ACCEPT, "application/schema+json, application/json").send().await {
            Ok(response) => response,
            Err(error) => return self.failed(error),
        };
        // Names that are not ASCII come as UTF-8.
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
        };
        let mut description =
            Description { schema: None, partition_key: header(PARTITION_KEY), id_field: header(ID_FIELD) };
        match response.status() {
            StatusCode::NOT_FOUND => Ok(Reply::Answered(description)),
            StatusCode::OK => {
                let body = match read_body(response, MAX_SCHEMA_BYTES).await {
                    Ok(body) => body,
                    Err(error) => return self.unread(error),
                };
                let schema = serde_json::from_slice(&body)
                    .map_err(|error| self.protocol(format!("{} is no JSON Schema: {error}", self.schema_url)))?;
                description.schema = Some(schema);
                Ok(Reply::Answered(description))
            }
            _ => self.not_answered(response).await,
        }
    }

    /// `POST {url}` with JSON lines of `rows` rows.
    pub(crate) async fn post(&self, body: Bytes, rows: usize) -> Result<Reply<Fates>, SendError> {
        let mut request = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header("prefer", self.prefer.clone());
        if let Some(coding) = content_coding(self.compression) {
            request = request.header(CONTENT_ENCODING, coding);
        }
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => return self.failed(error),
        };
        let problem = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/problem+json"));
        match response.status().as_u16() {
            200 | 207 | 422 if !problem => match read_body(response, MAX_ANSWER_BYTES).await {
                Ok(body) => read_answer(&body, rows).map(Reply::Answered).map_err(|problem| self.protocol(problem)),
                Err(error) => self.unread(error),
            },
            _ => self.not_answered(response).await,
        }
    }

    /// Compresses a body as the options say.
    pub(crate) fn pack(&self, body: Bytes) -> io::Result<Bytes> {
        match self.compression {
            Compression::None => Ok(body),
            Compression::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packer.write_all(&body)?;
                Ok(packer.finish()?.into())
            }
            Compression::Zstd => Ok(zstd::bulk::compress(&body, 1)?.into()),
        }
    }

    /// A status that settles nothing: too large, to be tried again, or final.
    async fn not_answered<T>(&self, response: Response) -> Result<Reply<T>, SendError> {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let after = header(RETRY_AFTER).and_then(|value| retry_after(value, Utc::now()));
        let location = header(LOCATION).map(str::to_owned);
        let body = read_body(response, MAX_PROBLEM_BYTES).await.unwrap_or_default();
        let problem = Problem::read(&body);
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Reply::TooLarge(problem));
        }
        if may_work_later(status) {
            let turned_away =
                [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS].contains(&status);
            let doubtful = !turned_away && problem.is_doubtful();
            let what = format!("{} answered {}: {}", self.url, status.as_u16(), problem.detail());
            return Ok(Reply::Later(Trouble { what, after, reached: true, doubtful }));
        }
        let detail = match location {
            Some(location) if status.is_redirection() => format!("it has moved to {location}"),
            _ => problem.detail(),
        };
        Err(SendError::Refused { url: self.url.to_string(), status: status.as_u16(), detail, cure: problem.cure })
    }

    /// A request that got no answer.
    fn failed<T>(&self, error: reqwest::Error) -> Result<Reply<T>, SendError> {
        if error.is_builder() {
            return Err(SendError::HttpSetup(error));
        }
        let reached = !error.is_connect();
        let what = format!("{}: {}", self.url, innermost(&error));
        Ok(Reply::Later(Trouble { what, after: None, reached, doubtful: reached }))
    }

    fn unread<T>(&self, error: BodyError) -> Result<Reply<T>, SendError> {
        match error {
            BodyError::TooLong(limit) => Err(self.protocol(format!("it is longer than {limit} bytes"))),
            BodyError::Lost(error) => self.failed(error),
        }
    }

    fn protocol(&self, problem: String) -> SendError {
        SendError::Protocol { url: self.url.to_string(), problem }
    }
}

enum BodyError {
    TooLong(usize),
    Lost(reqwest::Error),
}

async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Lost)? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn may_work_later(status: StatusCode) -> bool {
    let never = [StatusCode::NOT_IMPLEMENTED, StatusCode::HTTP_VERSION_NOT_SUPPORTED];
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
        || (status.is_server_error() && !never.contains(&status))
}

fn content_coding(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}

/// The cause that says most: reqwest's own messages only repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::options::Input;

    #[test]
    fn the_schema_is_next_to_the_route() {
        let options = SendOptions::new(Input::Stdin { name: None }, None);
        for (address, schema) in [
            ("http://127.0.0.1:8080/orders", "http://127.0.0.1:8080/orders/schema"),
            ("http://127.0.0.1:8080/orders/", "http://127.0.0.1:8080/orders/schema"),
            ("https://shop.example/a/b?x=1", "https://shop.example/a/b/schema"),
        ] {
            assert_eq!(Endpoint::new(address, &options).unwrap().schema_url.as_str(), schema);
        }
    }
}
