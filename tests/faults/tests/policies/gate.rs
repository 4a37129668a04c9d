//! A gate in front of the engines that lets through what one IAM policy grants, as AWS would, and notes what was asked for.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::asked::asked_for;
use super::policy::Policy;

/// What was asked for at a gate.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// What was used of the policy, as `Statement: action`.
    pub(crate) used: BTreeSet<String>,
    /// What the policy does not grant: action and resource.
    pub(crate) denied: BTreeSet<String>,
}

/// A gate. It is open for as long as the runtime.
#[derive(Debug)]
pub(crate) struct Gate {
    endpoint: String,
    asked: Arc<Mutex<Asked>>,
}

impl Gate {
    /// Opens one on a free port in front of the engines.
    pub(crate) async fn open(engines: &str, policy: Policy) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let gate = Self { endpoint: format!("http://{}", listener.local_addr()?), asked: Arc::default() };
        let post = Arc::new(Post {
            engines: engines.trim_end_matches('/').to_owned(),
            policy,
            asked: Arc::clone(&gate.asked),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let post = Arc::clone(&post);
                let service = service_fn(move |request| {
                    let post = Arc::clone(&post);
                    async move { Ok::<_, Infallible>(post.pass(request).await) }
                });
                tokio::spawn(async move {
                    // A client that goes away is none of the gate's business.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(socket), service)
                            .await,
                    );
                });
            }
        });
        Ok(gate)
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What was asked for until now.
    pub(crate) fn asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().expect("nobody panics with it"))
    }
}

/// What stands at a gate.
struct Post {
    engines: String,
    policy: Policy,
    asked: Arc<Mutex<Asked>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Post {
    async fn pass(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.judge(request).await {
            Ok(response) => response,
            Err(error) => {
                let mut response = Response::new(Full::from(format!("the gate fails: {error:#}")));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }

    async fn judge(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.context("the request breaks off")?.to_bytes();
        for needs in asked_for(&parts, &body)? {
            let mut asked = self.asked.lock().expect("nobody panics with it");
            let Some(statement) = self.policy.grants(&needs) else {
                asked.denied.insert(needs.to_string());
                return Ok(denied(&needs.to_string()));
            };
            asked.used.insert(format!("{statement}: {}", needs.action));
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.engines).parse::<Uri>()?;
        parts.headers.remove("expect");
        let response = self.client.request(Request::from_parts(parts, Full::from(body))).await?;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, Full::from(body.collect().await?.to_bytes())))
    }
}

/// As Kinesis and DynamoDB say it; of S3 the status is enough.
fn denied(what: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "__type": "AccessDeniedException", "message": format!("not authorized: {what}") });
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}
