//! The DynamoDB engine: `dynoxide` over a SQLite file, served by its own HTTP layer (which has the validation and the
//! errors) on a private loopback port and on threads of its own, because it waits for the disk on them.

mod backups;
mod bulk;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use dynoxide::Database;
use http::header::AUTHORIZATION;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use self::backups::Backups;
use crate::front::body::{Body, BoxError, Intake, full};

/// Requests that the engine works on at the same time; others wait. SQLite writes one at a time anyway.
const REQUESTS: usize = 32;
/// Threads of the engine.
const THREADS: usize = 2;
/// When items whose time to live is over are removed: soon after the start, then from time to time.
const FIRST_TTL_SWEEP: Duration = Duration::from_secs(1);
const TTL_SWEEP: Duration = Duration::from_secs(30);
/// The longest request that is answered here and not handed on.
const MAX_OWN_BODY: usize = 64 * 1024;
/// The longest request of all (Amazon DynamoDB Developer Guide, "Service, account, and table quotas").
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Bytes of requests that may go the shorter way, all together. More requests wait.
const BULK_BYTES: usize = 2 * MAX_BODY;
/// Requests that go the shorter way at the same time: one is read while another is written.
const BULK_REQUESTS: usize = 2;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// Its file cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: Box<dynoxide::DynoxideError>,
    },
    /// The path is not valid Unicode, which SQLite needs.
    #[error("the path {path} is not valid Unicode: choose another data folder")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
    },
    /// What is kept beside the database cannot be read.
    #[error("cannot read the settings of continuous backups")]
    Settings(#[source] io::Error),
    /// Its private port or its threads are not to be had.
    #[error("cannot start the engine's server")]
    Serve(#[source] io::Error),
}

/// The running engine.
pub(crate) struct DynamoDb {
    authority: Authority,
    client: Client<HttpConnector, Body>,
    room: Semaphore,
    intake: Intake,
    bulk: Intake,
    bulk_room: Semaphore,
    database: Database,
    backups: Arc<Backups>,
    stop: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl DynamoDb {
    /// Opens the engine's file in the data folder and starts its server.
    pub(crate) async fn open(folder: &Path) -> Result<Self, DynamoDbError> {
        let path = folder.join("dynamodb.sqlite");
        let database = open_database(&path)?;
        let backups = Arc::new(Backups::open(folder).map_err(DynamoDbError::Settings)?);
        let served = database.clone();
        let (stop, stopped) = oneshot::channel();
        let (started, address) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("dynamodb".into())
            .spawn(move || run(served, started, stopped))
            .map_err(DynamoDbError::Serve)?;
        let address = address
            .await
            .map_err(|_| DynamoDbError::Serve(io::Error::other("its thread ended")))?
            .map_err(DynamoDbError::Serve)?;
        let authority =
            Authority::try_from(address.to_string()).map_err(|error| DynamoDbError::Serve(io::Error::other(error)))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(REQUESTS).build(connector);
        Ok(Self {
            authority,
            client,
            room: Semaphore::new(REQUESTS),
            intake: Intake::new(REQUESTS * MAX_OWN_BODY, MAX_OWN_BODY),
            bulk: Intake::new(BULK_BYTES, MAX_BODY),
            bulk_room: Semaphore::new(BULK_REQUESTS),
            database,
            backups,
            stop: Mutex::new(Some((stop, thread))),
        })
    }

    /// Answers one request by handing it on.
    pub(crate) async fn handle(&self, operation: &str, request: Request<Incoming>) -> Response<Body> {
        let Ok(_permit) = self.room.acquire().await else { return unavailable("the engine is stopping") };
        let answered = if backups::OPERATIONS.contains(&operation) {
            self.answer(operation, request).await
        } else if operation == bulk::OPERATION && request.headers().contains_key(AUTHORIZATION) {
            self.put_in_bulk(request).await
        } else {
            self.forward(request.map(|body| body.map_err(BoxError::from).boxed_unsync())).await
        };
        match answered {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(operation, error = error.as_ref(), "the DynamoDB engine did not answer");
                unavailable("the DynamoDB engine did not answer")
            }
        }
    }

    /// Answers what the library does not know.
    async fn answer(&self, operation: &str, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let (body, _permit) = self.intake.read(request.into_body()).await?;
        let (database, backups, operation) = (self.database.clone(), Arc::clone(&self.backups), operation.to_owned());
        let answered = tokio::task::spawn_blocking(move || backups.answer(&database, &operation, &body)).await?;
        Ok(match answered {
            Ok(value) => json_response(StatusCode::OK, &value),
            Err(refusal) => refuse(StatusCode::BAD_REQUEST, refusal.kind, &refusal.message),
        })
    }

    /// Puts items the shorter way where that is possible, and hands the request on where it is not.
    async fn put_in_bulk(&self, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let (body, _permit) = self.bulk.read(body).await?;
        let (database, written) = (self.database.clone(), body.clone());
        let put = {
            let _room = self.bulk_room.acquire().await?;
            tokio::task::spawn_blocking(move || bulk::put(&database, &written)).await?
        };
        if put {
            return Ok(json_response(StatusCode::OK, &serde_json::json!({ "UnprocessedItems": {} })));
        }
        self.forward(Request::from_parts(parts, full(body))).await
    }

    async fn forward(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() =
            Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path).build()?;
        *request.version_mut() = http::Version::HTTP_11;
        let response = self.client.request(request).await?;
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    /// Lets running requests finish and closes the file.
    pub(crate) async fn stop(&self) {
        self.room.close();
        let stop = self.stop.lock().take();
        if let Some((stop, thread)) = stop {
            // A thread that has ended already needs no signal.
            let _ = stop.send(());
            let joined = tokio::task::spawn_blocking(move || thread.join());
            if tokio::time::timeout(Duration::from_secs(10), joined).await.is_err() {
                tracing::warn!("the DynamoDB engine was still busy when it was stopped");
            }
        }
    }
}

fn open_database(path: &Path) -> Result<Database, DynamoDbError> {
    let text = path.to_str().ok_or_else(|| DynamoDbError::Path { path: path.display().to_string() })?;
    let failed = |source| DynamoDbError::Open { path: text.to_owned(), source: Box::new(source) };
    let database = Database::new(text).map_err(failed)?;
    // Leaves SQLite at `synchronous = NORMAL` in WAL mode, which nothing else in the library does: a commit is written
    // to the log at once, so `kill -9` loses nothing, and the log is fsynced before its pages move to the file. What a
    // power cut may take back is the last commits, never their order or the file's integrity.
    database.disable_bulk_loading().map_err(failed)?;
    Ok(database)
}

/// The engine's own thread: a small runtime, so that its waiting for the disk stops nobody else.
fn run(database: Database, started: oneshot::Sender<io::Result<SocketAddr>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("dynamodb-worker")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    runtime.block_on(async move {
        let listener = match tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener,
            Err(error) => return drop(started.send(Err(error))),
        };
        // The starter waits for this; if it went away, the server ends with the closed `stopped`.
        drop(started.send(listener.local_addr()));
        let sweeper = tokio::spawn(sweep(database.clone()));
        let until = async {
            // A sender that was dropped means the same: stop.
            drop(stopped.await);
        };
        if let Err(error) = dynoxide::server::serve_with_shutdown(listener, database, until).await {
            tracing::error!(error, "the DynamoDB engine's server failed");
        }
        sweeper.abort();
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Removes items whose time to live is over, from time to time.
async fn sweep(database: Database) {
    let mut pause = FIRST_TTL_SWEEP;
    loop {
        tokio::time::sleep(pause).await;
        pause = TTL_SWEEP;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "removing expired items failed"),
            Err(_) => return,
        }
    }
}

fn unavailable(message: &str) -> Response<Body> {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    json_response(status, &serde_json::json!({ "__type": kind, "message": message }))
}

fn json_response(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
    crate::front::body::add_request_id(&mut response);
    response
}
