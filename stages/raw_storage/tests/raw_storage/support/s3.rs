//! A stand-in for S3 beneath the SDK: what the sink needs of it, in memory, with faults on demand.
//!
//! It sits where the SDK hands its requests to HTTP, so faults fall exactly between an effect and its answer. The
//! same promises are also checked against the embedded engine over real HTTP (`engine.rs`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use parking_lot::Mutex;

/// An operation of S3, for faults and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Put,
    Head,
    Create,
    Part,
    Complete,
    Abort,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It has its effect, and the answer is lost.
    LoseAnswer,
    /// It has no effect, and this is the answer.
    Answer(u16, &'static str),
    /// It has no effect, and there is no answer.
    Unreachable,
}

#[derive(Debug, Clone)]
pub struct StoredObject {
    pub body: Vec<u8>,
    pub metadata: HashMap<String, String>,
}

#[derive(Debug, Default)]
pub struct State {
    pub objects: BTreeMap<String, StoredObject>,
    pub uploads: BTreeMap<String, Upload>,
    pub calls: HashMap<Op, usize>,
    faults: VecDeque<(Op, Fault)>,
    /// Of 100 calls so many lose their answer.
    lossy: u32,
    random: Option<fastrand::Rng>,
    next_upload: u64,
}

#[derive(Debug)]
pub struct Upload {
    pub key: String,
    metadata: HashMap<String, String>,
    pub parts: BTreeMap<u32, Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
pub struct MemoryS3(Arc<Mutex<State>>);

type Answer = (u16, Vec<(String, String)>, String);

impl MemoryS3 {
    pub fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .endpoint_url("http://s3.test")
            .force_path_style(true)
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Client::from_conf(config)
    }

    /// The next call of the operation goes wrong; several are kept in order.
    pub fn fail(&self, op: Op, fault: Fault) {
        self.0.lock().faults.push_back((op, fault));
    }

    /// From now on so many of 100 calls lose their answer.
    pub fn lose_answers(&self, percent: u32, seed: u64) {
        let mut state = self.0.lock();
        state.lossy = percent;
        state.random = Some(fastrand::Rng::with_seed(seed));
    }

    pub fn see<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock())
    }

    pub fn calls(&self, op: Op) -> usize {
        self.0.lock().calls.get(&op).copied().unwrap_or(0)
    }
}

impl HttpConnector for MemoryS3 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let s3 = self.clone();
        HttpConnectorFuture::new(async move {
            // Points at which the caller may be dropped: before the effect, and between it and the answer.
            tokio::task::yield_now().await;
            let answer = s3.0.lock().answer(&request);
            tokio::task::yield_now().await;
            let (status, headers, body) = answer.ok_or_else(|| ConnectorError::io("connection reset".into()))?;
            let mut response =
                HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body.into_bytes()));
            for (name, value) in headers {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        })
    }
}

impl State {
    fn answer(&mut self, request: &HttpRequest) -> Option<Answer> {
        let uri: http::Uri = request.uri().parse().expect("a URI");
        let query: HashMap<&str, &str> =
            uri.query().unwrap_or("").split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let op = operation(request.method(), &query);
        *self.calls.entry(op).or_default() += 1;
        let fault = self.next_fault(op);
        match fault {
            Some(Fault::Unreachable) => return None,
            Some(Fault::Answer(status, code)) => return Some(error(status, code)),
            Some(Fault::LoseAnswer) | None => {}
        }
        let answer = self.perform(op, &key(uri.path()), &query, request);
        if matches!(fault, Some(Fault::LoseAnswer)) { None } else { Some(answer) }
    }

    fn next_fault(&mut self, op: Op) -> Option<Fault> {
        if let Some(at) = self.faults.iter().position(|(of, _)| *of == op) {
            return self.faults.remove(at).map(|(_, fault)| fault);
        }
        let lossy = self.lossy;
        self.random.as_mut().and_then(|random| (random.u32(0..100) < lossy).then_some(Fault::LoseAnswer))
    }

    fn perform(&mut self, op: Op, key: &str, query: &HashMap<&str, &str>, request: &HttpRequest) -> Answer {
        let body = || request.body().bytes().expect("a body in memory").to_vec();
        let guarded = request.headers().get("if-none-match") == Some("*");
        let id = query.get("uploadId").copied().unwrap_or_default();
        match op {
            Op::Head => match self.objects.get(key) {
                None => (404, Vec::new(), String::new()),
                Some(object) => {
                    let mut headers: Vec<_> = object.metadata.clone().into_iter().collect();
                    headers.push(("content-length".to_owned(), object.body.len().to_string()));
                    (200, headers, String::new())
                }
            },
            Op::Put | Op::Complete if guarded && self.objects.contains_key(key) => error(412, "PreconditionFailed"),
            Op::Put => {
                let object = StoredObject { body: body(), metadata: metadata(request) };
                self.objects.insert(key.to_owned(), object);
                (200, vec![("etag".to_owned(), "\"e\"".to_owned())], String::new())
            }
            Op::Create => {
                self.next_upload += 1;
                let id = format!("upload-{}", self.next_upload);
                let upload = Upload { key: key.to_owned(), metadata: metadata(request), parts: BTreeMap::new() };
                self.uploads.insert(id.clone(), upload);
                let body =
                    format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
                (200, Vec::new(), body)
            }
            Op::Part => {
                let Some(upload) = self.uploads.get_mut(id) else { return error(404, "NoSuchUpload") };
                let number: u32 = query["partNumber"].parse().expect("a part number");
                upload.parts.insert(number, body());
                (200, vec![("etag".to_owned(), format!("\"{number}\""))], String::new())
            }
            Op::Complete => self.complete(key, id, &String::from_utf8(body()).expect("XML")),
            Op::Abort => {
                if self.uploads.remove(id).is_none() {
                    return error(404, "NoSuchUpload");
                }
                (204, Vec::new(), String::new())
            }
        }
    }

    fn complete(&mut self, key: &str, id: &str, xml: &str) -> Answer {
        let Some(upload) = self.uploads.get(id) else { return error(404, "NoSuchUpload") };
        let named: Vec<u32> = xml
            .split("<PartNumber>")
            .skip(1)
            .map(|rest| rest.split('<').next().and_then(|number| number.parse().ok()).expect("a part number"))
            .collect();
        if named.is_empty() || named != upload.parts.keys().copied().collect::<Vec<_>>() {
            return error(400, "InvalidPart");
        }
        let last = *named.last().expect("a part");
        if upload.parts.iter().any(|(number, part)| *number != last && part.len() < 5 << 20) {
            return error(400, "EntityTooSmall");
        }
        let upload = self.uploads.remove(id).expect("it was there");
        let body = upload.parts.into_values().flatten().collect();
        self.objects.insert(key.to_owned(), StoredObject { body, metadata: upload.metadata });
        let body = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
        (200, Vec::new(), body.to_owned())
    }
}

fn operation(method: &str, query: &HashMap<&str, &str>) -> Op {
    match (method, query.contains_key("uploadId")) {
        ("PUT", true) => Op::Part,
        ("PUT", false) => Op::Put,
        ("HEAD", _) => Op::Head,
        ("POST", true) => Op::Complete,
        ("POST", false) => Op::Create,
        ("DELETE", true) => Op::Abort,
        other => panic!("the sink calls nothing like {other:?}"),
    }
}

/// Path style: the bucket is the first level. Keys stay as the SDK encoded them: one key, one text.
fn key(path: &str) -> String {
    path.splitn(3, '/').nth(2).unwrap_or_default().to_owned()
}

fn metadata(request: &HttpRequest) -> HashMap<String, String> {
    let headers = request.headers().iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn error(status: u16, code: &str) -> Answer {
    (status, Vec::new(), format!("<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"))
}
