//! The wire around a client of Kubernetes.

use std::io;

use http::{Method, Request, Response, header};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tower::BoxError;

use super::watches::{self, AnswerBody};
use super::{Answer, Call, Fault, Target, Wire};

impl Wire {
    /// A client whose calls go over this wire.
    #[must_use]
    pub fn client(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let wire = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (wire, client) = (wire.clone(), client.clone());
            async move { wire.carry(&client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn carry(&self, client: &Client, request: Request<Body>) -> Result<Response<AnswerBody>, BoxError> {
        let (fault, entry) = self.admit(call(&request), request.method() != Method::GET);
        match fault {
            Fault::Withhold => match self.strike().await {},
            Fault::Reset => return Err(reset()),
            Fault::Answer(answer) => return Ok(refusal(&answer)?),
            Fault::None | Fault::Lose | Fault::ResetAfter => {}
        }
        if let Some(old) = self.watches.old_list(&request) {
            return Ok(old);
        }
        let (is_watch, list) = (is_watch(&request), watches::list(&request));
        // What is on its way arrives, even if nobody waits for the answer any more.
        let (wire, client) = (self.clone(), client.clone());
        let sent = tokio::spawn(async move {
            let response = client.send(request).await?;
            wire.answered(entry, response.status().as_u16());
            Ok::<_, BoxError>(response)
        });
        let response = sent.await??;
        match fault {
            Fault::Lose => match self.strike().await {},
            Fault::ResetAfter => Err(reset()),
            _ if is_watch && response.status().is_success() => Ok(response.map(|body| self.watches.watched(body))),
            _ => self.watches.note_list(list, response).await,
        }
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

fn call(request: &Request<Body>) -> Call {
    Call {
        target: Target::Kubernetes,
        verb: request.method().to_string(),
        path: request.uri().path().to_owned(),
        watch: is_watch(request),
        write: None,
    }
}

fn reset() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

fn refusal(answer: &Answer) -> Result<Response<AnswerBody>, http::Error> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{}: said by the test", answer.reason), "reason": answer.reason, "code": answer.status,
    });
    let mut response = Response::builder().status(answer.status).header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = answer.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    response.body(watches::whole(status.to_string()))
}
