//! The S3 engine: the protocol by `s3s`, the bytes in files, what they mean in an index.
//!
//! `unsign` takes signatures and `aws-chunked` off, since any credentials are accepted; `s3s` reads the request and
//! writes the answer; `buckets`, `objects` and `multipart` do what is asked with `store`, which joins `index` and
//! `blobs`. An object exists from the commit of its entry, so nothing that was cut off or refused can be read.

mod blobs;
mod buckets;
mod chunked;
mod conditions;
mod digest;
mod index;
mod listing;
mod multipart;
mod objects;
mod operations;
mod store;
mod tagging;
mod unsign;

use std::io;
use std::path::Path;

use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::S3Error;
use s3s::service::{S3Service, S3ServiceBuilder};
use tracing::dispatcher::{self, Dispatch};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

pub use self::index::IndexError;
use self::operations::Operations;
use self::store::Store;
use crate::front::body::{Body, BoxError, add_request_id, full};

tokio::task_local! {
    /// Where the engine's own logs go while those of `s3s` go nowhere.
    static USERS_LOG: Dispatch;
}

/// Logs what fails on this machine.
fn log_to_the_users_log(log: impl Fn()) {
    // Outside of a request there is nothing in between.
    if USERS_LOG.try_with(|dispatch| dispatcher::with_default(dispatch, &log)).is_err() {
        log();
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum S3EngineError {
    /// Its folder cannot be used.
    #[error("cannot use {path}")]
    Folder {
        /// The folder.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Its index cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Its files cannot be used.
    #[error("cannot use the files of objects")]
    Files(#[source] BoxError),
}

/// The running engine.
pub(crate) struct S3Engine {
    service: S3Service,
}

impl S3Engine {
    /// Opens the engine's folder inside the data folder.
    pub(crate) async fn open(folder: &Path, region: &str) -> Result<Self, S3EngineError> {
        let store = Store::open(&folder.join("s3"), region).await?;
        Ok(Self { service: S3ServiceBuilder::new(Operations::new(store)).build() })
    }

    /// Answers one request.
    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let request = match unsign::unsign(request) {
            Ok(request) => request,
            Err(refusal) => return refuse(refusal),
        };
        // `s3s` logs every refusal as an error, also a 412 or a 404 that is an answer like any other.
        let silent = self.service.call(request).with_subscriber(NoSubscriber::default());
        let answered = USERS_LOG.scope(dispatcher::get_default(Clone::clone), silent).await;
        match answered {
            Ok(response) => {
                let mut response = response.map(|body| body.map_err(BoxError::from).boxed_unsync());
                add_request_id(&mut response);
                response
            }
            Err(error) => {
                tracing::error!(?error, "the S3 engine could not answer");
                refuse(S3Error::new(s3s::S3ErrorCode::InternalError))
            }
        }
    }
}

fn refuse(refusal: S3Error) -> Response<Body> {
    match refusal.to_http_response() {
        Ok(response) => response.map(|body| body.map_err(BoxError::from).boxed_unsync()),
        Err(error) => {
            tracing::error!(%error, "an S3 refusal could not be written");
            let mut response = Response::new(full("InternalError"));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
            response
        }
    }
}
