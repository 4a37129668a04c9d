//! The Kinesis engine over HTTP: reading a bounded body, naming the operation, writing the answer.

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};

use super::Kinesis;
use super::error::{ApiError, ErrorKind};
use super::service::Answer;
use crate::front::body::{Body, Intake, full, full_with};

/// The longest request: 10 MiB of records as Base64, with keys and names.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Bytes of requests that are being read or written at the same time. More requests wait.
const INTAKE_BYTES: usize = 32 * 1024 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");

/// Bounds the bytes of requests.
pub(super) struct Gate(Intake);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Intake::new(INTAKE_BYTES, MAX_BODY))
    }
}

impl Kinesis {
    /// Answers one request.
    pub(crate) async fn handle(&self, operation: &str, request: Request<Incoming>) -> Response<Body> {
        match self.answer(operation, request).await {
            Ok(answer) => respond(answer),
            Err(refusal) => refuse(&refusal),
        }
    }

    async fn answer(&self, operation: &str, request: Request<Incoming>) -> Result<Answer, ApiError> {
        check_content_type(request.headers())?;
        let service = self.service().ok_or_else(|| ApiError::internal("The engine is stopping."))?;
        let (body, _permit) = self.gate.0.read(request.into_body()).await.map_err(|error| {
            let kind = if error.is_too_large() { ErrorKind::RequestTooLarge } else { ErrorKind::Serialization };
            ApiError::new(kind, error.to_string())
        })?;
        service.call(operation, body).await
    }
}

/// Refuses the one other protocol that clients may try.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if content_type.windows(4).any(|part| part.eq_ignore_ascii_case(b"cbor")) {
        return Err(ApiError::new(
            ErrorKind::Serialization,
            "The embedded Kinesis engine speaks JSON only: switch CBOR off in the client (AWS_CBOR_DISABLE=true, or \
             -Daws.cborEnabled=false for the Java SDK).",
        ));
    }
    Ok(())
}

fn respond(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Json(json) => with_headers(StatusCode::OK, JSON, full(json)),
        Answer::Empty => with_headers(StatusCode::OK, JSON, full(Bytes::new())),
        Answer::Records(json, permit) => with_headers(StatusCode::OK, JSON, full_with(json, permit)),
        Answer::Events(subscription) => {
            let frames = stream::unfold(subscription.events, |mut events| async {
                let event = events.recv().await?;
                Some((Ok(Frame::data(event)), events))
            });
            with_headers(StatusCode::OK, EVENT_STREAM, StreamBody::new(frames).boxed_unsync())
        }
    }
}

fn refuse(refusal: &ApiError) -> Response<Body> {
    tracing::debug!(%refusal, "the Kinesis engine refused a request");
    let body = serde_json::json!({ "__type": refusal.kind.name(), "message": refusal.message });
    let mut response = with_headers(refusal.kind.status(), JSON, full(body.to_string()));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(refusal.kind.name()));
    response
}

fn with_headers(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    crate::front::body::add_request_id(&mut response);
    response
}
