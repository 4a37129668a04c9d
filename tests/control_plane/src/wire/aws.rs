//! The wire around the clients of AWS: under the SDK, where it sends HTTP.

use std::io;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::json;

use super::{Answer, Call, Fault, Target, Wire};

/// Sends over a wire what another sends.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) client: SharedHttpClient,
    pub(crate) wire: Wire,
}

impl HttpClient for Wired {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        SharedHttpConnector::new(WiredConnector { connector, wire: self.wire.clone() })
    }
}

#[derive(Debug)]
struct WiredConnector {
    connector: SharedHttpConnector,
    wire: Wire,
}

impl HttpConnector for WiredConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (wire, connector) = (self.wire.clone(), self.connector.clone());
        HttpConnectorFuture::new(async move { wire.carry_aws(&connector, request).await })
    }
}

impl Wire {
    async fn carry_aws(
        &self,
        connector: &SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let (call, writes) = call(&request);
        let (fault, entry) = self.admit(call, writes);
        match fault {
            Fault::Withhold => match self.strike().await {},
            Fault::Reset => return Err(reset()),
            Fault::Answer(answer) => return refusal(&answer),
            Fault::None | Fault::Lose | Fault::ResetAfter => {}
        }
        // What is on its way arrives, even if nobody waits for the answer any more.
        let (wire, call) = (self.clone(), connector.call(request));
        let sent = tokio::spawn(async move {
            let response = call.await?;
            wire.answered(entry, response.status().as_u16());
            Ok::<_, ConnectorError>(response)
        });
        let response = sent.await.map_err(|error| ConnectorError::user(error.into()))??;
        match fault {
            Fault::Lose => match self.strike().await {},
            Fault::ResetAfter => Err(reset()),
            _ => Ok(response),
        }
    }
}

/// The call, and whether it writes.
fn call(request: &HttpRequest) -> (Call, bool) {
    let operation = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
    let (verb, path) = match operation {
        Some(operation) => (operation.to_owned(), subject(request).unwrap_or_default()),
        // S3 has no operations, but methods.
        None => (request.method().to_owned(), request.uri().split('?').next().unwrap_or_default().to_owned()),
    };
    let reads =
        ["Describe", "List", "Get", "GET", "HEAD", "Query", "Scan"].iter().any(|prefix| verb.starts_with(prefix));
    (Call { target: Target::Aws, verb, path, watch: false, write: None }, !reads)
}

/// The stream or table that a call is about.
fn subject(request: &HttpRequest) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(request.body().bytes()?).ok()?;
    let name = ["StreamName", "TableName", "StreamARN", "ResourceArn"].iter().find_map(|name| body[*name].as_str())?;
    Some(name.to_owned())
}

fn reset() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

fn refusal(answer: &Answer) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(answer.status).map_err(|error| ConnectorError::user(error.into()))?;
    let body = json!({ "__type": answer.reason, "message": "said by the test" });
    Ok(HttpResponse::new(status, SdkBody::from(body.to_string())))
}
