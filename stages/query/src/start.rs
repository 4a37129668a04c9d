//! Starting the stage from its configuration.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _, Shared};
use penstock_api::plan::{ApiStage, PipelineRef};
use penstock_runtime::http::{ApiKeys, ConnectionLimits, listen, serve};
use penstock_runtime::{Health, Stop};
use tokio::sync::Semaphore;

use crate::compile::{CompileError, compile};
use crate::openapi;
use crate::outbox::Outbox;
use crate::page;
use crate::rate::Rates;
use crate::reading::Reader;
use crate::service::Service;
use crate::telemetry::Telemetry;
use crate::token::Sealer;

/// For the head of a request, also while the connection is idle, and for a write without progress.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer that is streamed may go on, beside the time of an answer, once the stage is asked to end.
const STREAMED: Duration = Duration::from_secs(15);

/// What the stage needs beside its configuration.
#[derive(Debug)]
pub struct ApiContext {
    /// Whose stage it is; for metrics and the key of page tokens.
    pub pipeline: PipelineRef,
    /// The API's name.
    pub name: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The keys that may ask, when the configuration names a Secret.
    pub api_keys: ApiKeys,
    /// The way to the tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// How the stage is asked to end.
    pub stop: Stop,
    /// Where the stage says how it is: the concern `listener`.
    pub health: Health,
}

/// Why the stage did not start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Routes cannot be used.
    #[error("{} of the routes cannot be used; `penstock validate` says where they are wrong", .0.len())]
    Routes(Vec<CompileError>),
    /// Page tokens cannot be sealed.
    #[error("an api cannot be served")]
    Tokens(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: is another server running there? Choose another port")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ApiError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Routes(_) => "routes",
            Self::Tokens(_) => "tokens",
            Self::Listen { .. } => "listen",
        }
    }
}

/// The stage's work ended in a panic, which is a defect.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the api ended in a panic: please report it")]
pub struct Panicked;

/// A stage that serves. It goes on when this is dropped; [`Stop::drain`] ends it.
#[derive(Debug, Clone)]
pub struct Running {
    local_addr: SocketAddr,
    finished: Shared<BoxFuture<'static, Result<(), Panicked>>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until it has ended: asked to, with every request in flight answered.
    ///
    /// # Errors
    /// When it ended in a panic.
    pub async fn finished(&self) -> Result<(), Panicked> {
        self.finished.clone().await
    }
}

/// The query API.
#[derive(Debug, Clone, Copy)]
pub struct Api;

impl Api {
    /// Compiles the routes, listens, and serves in a task of its own.
    ///
    /// It serves when this returns, also while the tables cannot be reached yet: it says so then.
    ///
    /// # Errors
    /// When a route cannot be used, or the address cannot be listened on.
    pub fn start(stage: ApiStage, context: ApiContext) -> BoxFuture<'static, Result<Running, ApiError>> {
        // Boxed: the body of an `async fn` would be compiled again by every crate that awaits it.
        Self::begin(stage, context).boxed()
    }

    async fn begin(stage: ApiStage, context: ApiContext) -> Result<Running, ApiError> {
        let routes = compile(&stage).map_err(ApiError::Routes)?;
        let keys = stage.api_keys_secret.is_some().then_some(context.api_keys);
        let secrets = keys.as_ref().map(ApiKeys::digests).unwrap_or_default();
        let sealer = Sealer::new(&context.pipeline, &context.name, &secrets)
            .map_err(|error| ApiError::Tokens(Box::new(error)))?;
        let (listener, local_addr) =
            listen(context.listen).await.map_err(|source| ApiError::Listen { addr: context.listen, source })?;
        let telemetry = Telemetry::new(&context.pipeline, &context.name);
        let patience = Duration::from_millis(stage.timeout_millis);
        let title = format!("{} {}", context.pipeline.name, context.name);
        let document = openapi::of(&title, &stage, &routes);
        let (html, policy) = page::of(&title, &stage, &routes);
        let service = Arc::new(Service {
            // An object that we made ourselves.
            document: Bytes::from(document.to_string()),
            page: Bytes::from(html),
            page_policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
            routes,
            keys,
            rates: stage.rate_limit.map(Rates::new),
            cors: stage.cors,
            places: Arc::new(Semaphore::new(stage.max_requests as usize)),
            outbox: Outbox::new(stage.max_requests as usize, patience, telemetry.clone()),
            patience,
            reader: Reader { client: context.dynamodb, telemetry: telemetry.clone() },
            sealer,
            telemetry: telemetry.clone(),
        });
        let drain = patience.saturating_add(STREAMED);
        let limits = ConnectionLimits { max_connections: stage.max_connections as usize, patience: PATIENCE, drain };
        tracing::info!(addr = %local_addr, routes = service.routes.len(), "the api answers");
        let respond = move |request| {
            let service = service.clone();
            async move { Box::pin(service.respond(request)).await }
        };
        let serving = tokio::spawn(serve(listener, limits, telemetry, respond, context.stop.drain, context.health));
        let finished = async move { serving.await.map_err(|_| Panicked) };
        Ok(Running { local_addr, finished: finished.boxed().shared() })
    }
}
