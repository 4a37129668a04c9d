//! Takes the signature off a request, since any credentials are accepted, and what is bound to it: the `aws-chunked`
//! encoding and the announced digest of the body, which are handed on to be checked.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use s3s::{S3Error, s3_error};

use super::chunked::{ChunkError, Decoder};
use crate::front::body::BoxError;

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");

/// What the client said about its body beside the headers that stay on the request.
#[derive(Debug, Clone, Default)]
pub(super) struct Announced {
    /// Its SHA-256, in hexadecimal.
    pub(super) sha256: Option<String>,
    /// Its length.
    pub(super) length: Option<u64>,
    /// Trailers, once the body has been read.
    trailers: Arc<OnceLock<Vec<(String, String)>>>,
}

impl Announced {
    /// A trailer by its name.
    pub(super) fn trailer(&self, name: &str) -> Option<&str> {
        let trailers = self.trailers.get()?;
        trailers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// Makes an unsigned request of a signed one.
pub(super) fn unsign(request: Request<Incoming>) -> Result<Request<s3s::Body>, S3Error> {
    let (mut parts, body) = request.into_parts();
    parts.uri = unsign_uri(&parts.uri)?;
    let headers = &mut parts.headers;
    headers.remove(AUTHORIZATION);
    let digest = headers.remove(CONTENT_SHA256);
    let digest = digest.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut announced = Announced::default();
    let body = if digest.starts_with("STREAMING-") || is_chunked(headers) {
        let length = headers.remove(DECODED_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let length =
            length.ok_or_else(|| s3_error!(MissingContentLength, "missing header: x-amz-decoded-content-length"))?;
        announced.length = Some(length);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        strip_chunked(headers)?;
        decode(body, Arc::clone(&announced.trailers))
    } else {
        announced.sha256 = (digest.len() == 64).then(|| digest.to_ascii_lowercase());
        announced.length =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        s3s::Body::from(body)
    };
    parts.extensions.insert(announced);
    Ok(Request::from_parts(parts, body))
}

fn is_chunked(headers: &HeaderMap) -> bool {
    encodings(headers).any(|encoding| encoding == "aws-chunked")
}

fn encodings(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONTENT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// The object is stored without this encoding, so it is not part of its description.
fn strip_chunked(headers: &mut HeaderMap) -> Result<(), S3Error> {
    let rest: Vec<&str> =
        encodings(headers).filter(|encoding| !encoding.is_empty() && *encoding != "aws-chunked").collect();
    let rest = rest.join(",");
    headers.remove(CONTENT_ENCODING);
    if !rest.is_empty() {
        let value =
            HeaderValue::from_str(&rest).map_err(|_| s3_error!(InvalidRequest, "invalid header: content-encoding"))?;
        headers.insert(CONTENT_ENCODING, value);
    }
    Ok(())
}

fn decode(body: Incoming, trailers: Arc<OnceLock<Vec<(String, String)>>>) -> s3s::Body {
    let frames = BodyStream::new(body);
    let decoded = stream::try_unfold(Some((frames, Decoder::new(), trailers)), |state| async move {
        let Some((mut frames, mut decoder, trailers)) = state else { return Ok(None) };
        let Some(frame) = frames.next().await else {
            // Set once, here; nobody reads it before the body has ended.
            drop(trailers.set(decoder.finish()?));
            return Ok::<_, BoxError>(None);
        };
        let data = match frame?.into_data() {
            Ok(bytes) => decoder.push(&bytes)?,
            Err(_) => Vec::new(),
        };
        Ok(Some((stream::iter(data.into_iter().map(Ok::<Bytes, BoxError>)), Some((frames, decoder, trailers)))))
    });
    let frames = decoded.try_flatten().map_ok(Frame::data).map_err(Broken);
    s3s::Body::http_body_unsync(StreamBody::new(frames))
}

/// The error of a body, in the form that `s3s` takes.
#[derive(Debug, thiserror::Error)]
#[error("the request's body cannot be read")]
struct Broken(#[source] BoxError);

/// Whether an error of a body says that the client sent it wrongly.
pub(super) fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<ChunkError>() || error.is::<hyper::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Parameters of the older signature in a presigned URL, which boto3 still makes where nothing else is asked for.
const OLDER_SIGNATURE: [&str; 4] = ["AWSAccessKeyId", "Signature", "Expires", "x-amz-security-token"];

/// Takes the signature out of a presigned URL, and refuses one that has expired.
fn unsign_uri(uri: &Uri) -> Result<Uri, S3Error> {
    let Some(query) = uri.query() else { return Ok(uri.clone()) };
    let value = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let is_older = value("AWSAccessKeyId").is_some() && value("Signature").is_some();
    if !is_older && !query.contains("X-Amz-") {
        return Ok(uri.clone());
    }
    if let (Some(date), Some(expires)) = (value("X-Amz-Date"), value("X-Amz-Expires")) {
        refuse_expired(date, expires)?;
    }
    if let Some(end) = value("Expires").filter(|_| is_older) {
        refuse_after(end.parse().map_err(|_| unreadable("Expires"))?)?;
    }
    let is_signature = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        name.starts_with("X-Amz-") || (is_older && OLDER_SIGNATURE.contains(&name))
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_signature(pair)).collect();
    let path = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(|_| s3_error!(InvalidURI))?);
    Uri::from_parts(parts).map_err(|_| s3_error!(InvalidURI))
}

fn unreadable(parameters: &str) -> S3Error {
    s3_error!(AuthorizationQueryParametersError, "{parameters} cannot be read")
}

fn refuse_expired(date: &str, expires: &str) -> Result<(), S3Error> {
    let invalid = || unreadable("X-Amz-Date or X-Amz-Expires");
    let signed_at = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| invalid())?.and_utc();
    let lifetime: u64 = expires.parse().map_err(|_| invalid())?;
    let signed_at = u64::try_from(signed_at.timestamp()).map_err(|_| invalid())?;
    refuse_after(signed_at.saturating_add(lifetime))
}

/// Refuses a URL whose end, in seconds since 1970, has passed.
fn refuse_after(end: u64) -> Result<(), S3Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now > Duration::from_secs(end) {
        return Err(s3_error!(AccessDenied, "Request has expired"));
    }
    Ok(())
}
