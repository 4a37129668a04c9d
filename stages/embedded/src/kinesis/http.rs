//! The Kinesis engine over HTTP: reading a bounded body, naming the operation, writing the answer.

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};

use super::Kinesis;
use super::error::{ApiError, ErrorKind};
use super::protocol::format::Format;
use super::service::Answer;
use crate::front::body::{Body, BoxError, Intake, full, full_with};

/// The longest request: 10 MiB of records as Base64, with keys and names.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Bytes of requests that are being read or written at the same time. More requests wait.
const INTAKE_BYTES: usize = 32 * 1024 * 1024;

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
        let format = Format::of(request.headers());
        match self.answer(operation, format, request).await.and_then(|answer| respond(format, answer)) {
            Ok(response) => response,
            Err(refusal) => refuse(format, &refusal),
        }
    }

    async fn answer(&self, operation: &str, format: Format, request: Request<Incoming>) -> Result<Answer, ApiError> {
        let service = self.service().ok_or_else(|| ApiError::internal("The engine is stopping."))?;
        let (body, _permit) = self.gate.0.read(request.into_body()).await.map_err(|error| {
            let kind = if error.is_too_large() { ErrorKind::RequestTooLarge } else { ErrorKind::Serialization };
            ApiError::new(kind, error.to_string())
        })?;
        service.call(operation, format.read(body)?).await
    }
}

fn respond(format: Format, answer: Answer) -> Result<Response<Body>, ApiError> {
    let content_type = HeaderValue::from_static(format.content_type());
    Ok(match answer {
        Answer::Json(json) => with_headers(StatusCode::OK, content_type, full(format.write(json)?)),
        Answer::Empty => with_headers(StatusCode::OK, content_type, full(Bytes::new())),
        Answer::Records(json, permit) => {
            with_headers(StatusCode::OK, content_type, full_with(format.write(json)?, permit))
        }
        Answer::Events(subscription) => {
            let frames = stream::unfold(subscription.events, move |mut events| async move {
                let message = events.recv().await?;
                Some((message.encode(format).map(Frame::data).map_err(BoxError::from), events))
            });
            with_headers(StatusCode::OK, EVENT_STREAM, StreamBody::new(frames).boxed_unsync())
        }
    })
}

fn refuse(format: Format, refusal: &ApiError) -> Response<Body> {
    tracing::debug!(%refusal, "the Kinesis engine refused a request");
    let json = serde_json::json!({ "__type": refusal.kind.name(), "message": refusal.message }).to_string();
    // Without a body the refusal still has its type in a header.
    let body = format.write(json.into_bytes()).unwrap_or_default();
    let content_type = HeaderValue::from_static(format.content_type());
    let mut response = with_headers(refusal.kind.status(), content_type, full(body));
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
