//! Calls that fail, answers that are lost, and reads that are old: each has an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use penstock_provision::{Kind, Origin, State, advance};
use serde_json::{Value, json};

use super::account::{account, operators, resources, settled};

/// What happens to calls of an operation, the first so many times.
#[derive(Debug, Clone)]
enum Fault {
    /// It is not carried out, and answered with this error.
    Refused(&'static str),
    /// It is carried out, and the answer is lost.
    Lost,
    /// It is not carried out, and answered with this.
    Answered(Value),
}

/// The faults of a wire, and the calls that were answered well on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Met>>);

#[derive(Debug, Default)]
struct Met {
    /// By operation: the fault, how many calls go well before, and how many meet it.
    faults: HashMap<&'static str, (Fault, usize, usize)>,
    done: Vec<String>,
}

impl Faults {
    fn of(faults: impl IntoIterator<Item = (&'static str, Fault, usize)>) -> Self {
        Self::later(faults.into_iter().map(|(operation, fault, times)| (operation, fault, 0, times)))
    }

    fn later(faults: impl IntoIterator<Item = (&'static str, Fault, usize, usize)>) -> Self {
        let faults = faults.into_iter().map(|(operation, fault, after, times)| (operation, (fault, after, times)));
        Self(Arc::new(Mutex::new(Met { faults: faults.collect(), done: Vec::new() })))
    }

    fn take(&self, operation: &str) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        let (fault, after, times) = state.faults.get_mut(operation)?;
        if *after > 0 {
            *after -= 1;
            return None;
        }
        *times = times.checked_sub(1)?;
        Some(fault.clone())
    }

    /// How many calls of an operation were carried out.
    fn done(&self, operation: &str) -> usize {
        self.0.lock().unwrap().done.iter().filter(|done| *done == operation).count()
    }
}

/// Sends over a wire with faults what another sends.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) client: SharedHttpClient,
    pub(crate) faults: Faults,
}

impl HttpClient for Faulty {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        SharedHttpConnector::new(FaultyConnector { connector, faults: self.faults.clone() })
    }
}

#[derive(Debug)]
struct FaultyConnector {
    connector: SharedHttpConnector,
    faults: Faults,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let (fault, faults) = (self.faults.take(&operation), self.faults.clone());
        let call = match &fault {
            Some(Fault::Refused(code)) => {
                return HttpConnectorFuture::ready(answer(400, &json!({ "__type": code, "message": "by the test" })));
            }
            Some(Fault::Answered(value)) => return HttpConnectorFuture::ready(answer(200, value)),
            Some(Fault::Lost) | None => self.connector.call(request),
        };
        HttpConnectorFuture::new(async move {
            let response = call.await?;
            if response.status().is_success() {
                faults.0.lock().unwrap().done.push(operation);
            }
            match fault {
                Some(_) => Err(ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())),
                None => Ok(response),
            }
        })
    }
}

fn answer(status: u16, body: &Value) -> Result<HttpResponse, ConnectorError> {
    Ok(HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body.to_string())))
}

/// Every operation that makes or changes something, or looks.
const OPERATIONS: [&str; 9] = [
    "DescribeStreamSummary",
    "ListTagsForStream",
    "CreateStream",
    "IncreaseStreamRetentionPeriod",
    "DescribeTable",
    "ListTagsOfResource",
    "CreateTable",
    "DescribeTimeToLive",
    "UpdateTimeToLive",
];

fn all_ready(states: &[State]) -> bool {
    states.iter().all(|state| matches!(state, State::Ready(_)))
}

#[tokio::test]
async fn throttling_and_limits_on_what_is_made_at_one_time_pass() {
    for code in ["ThrottlingException", "LimitExceededException", "ResourceInUseException"] {
        let account = account().await;
        // More often than the SDK repeats a call.
        let faults = Faults::of(OPERATIONS.map(|operation| (operation, Fault::Refused(code), 4)));
        let clients = account.over(&faults).await;
        // A change that AWS does not let happen yet settles, and follows.
        while !all_ready(&settled(&resources("ecommerce"), &clients).await) {}
        assert_eq!((faults.done("CreateStream"), faults.done("CreateTable")), (1, 2), "{code}");
    }
}

#[tokio::test]
async fn a_denied_call_is_told_with_the_cure_and_holds_up_nothing_else() {
    let account = account().await;
    let denied = Fault::Refused("AccessDeniedException");
    let faults = Faults::of([("CreateStream", denied, usize::MAX)]);
    let clients = account.over(&faults).await;
    let states = settled(&resources("ecommerce"), &clients).await;
    let State::Failed(error) = &states[0] else { panic!("{states:?}") };
    assert_eq!(error.reason(), "access_denied");
    assert!(
        error.to_string().contains("creating the stream \"events\"") && error.to_string().contains("Allow the call")
    );
    assert!(all_ready(&states[1..]), "{states:?}");
    assert_eq!(faults.done("CreateTable"), 2);
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_found_and_not_done_again() {
    let account = account().await;
    let faults = Faults::of([("CreateStream", Fault::Lost, 1), ("CreateTable", Fault::Lost, 2)]);
    let states = settled(&resources("ecommerce"), &account.over(&faults).await).await;
    assert!(all_ready(&states), "{states:?}");
    assert_eq!((faults.done("CreateStream"), faults.done("CreateTable")), (1, 2));
}

#[tokio::test]
async fn a_resource_that_is_not_to_be_seen_right_after_it_was_made_is_not_made_twice() {
    let account = account().await;
    let missing = || Fault::Refused("ResourceNotFoundException");
    // The first look, before anything was made, goes well.
    let faults = Faults::later([("DescribeStreamSummary", missing(), 1, 3), ("DescribeTable", missing(), 2, 6)]);
    let clients = account.over(&faults).await;
    for _ in 0..4 {
        for progress in advance(&resources("ecommerce"), &clients, &operators()).await {
            let made = matches!(progress.state, State::Waiting(_)) || progress.kind == Kind::Bucket;
            assert!(made, "neither trouble nor readiness: {progress:?}");
        }
    }
    let states = settled(&resources("ecommerce"), &clients).await;
    assert!(all_ready(&states), "{states:?}");
    assert_eq!((faults.done("CreateStream"), faults.done("CreateTable")), (1, 2));
}

#[tokio::test]
async fn tags_that_are_not_to_be_seen_right_after_a_resource_was_made_are_waited_for() {
    let account = account().await;
    let faults = Faults::of([
        ("ListTagsForStream", Fault::Answered(json!({ "Tags": [], "HasMoreTags": false })), 3),
        ("ListTagsOfResource", Fault::Answered(json!({ "Tags": [] })), 6),
    ]);
    let states = settled(&resources("ecommerce"), &account.over(&faults).await).await;
    for state in &states[..3] {
        let State::Ready(ready) = state else { panic!("{states:?}") };
        assert_eq!(ready.origin, Origin::Owned);
    }
}

#[tokio::test]
async fn a_time_to_live_that_was_changed_within_the_hour_holds_nothing_up() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    settled(&resources, &account.clients).await;
    resources.tables[0].ttl_attribute = Some("until".to_owned());
    let faults = Faults::of([("UpdateTimeToLive", Fault::Refused("ValidationException"), usize::MAX)]);
    let states = settled(&resources, &account.over(&faults).await).await;
    let State::Deferred(ready) = &states[1] else { panic!("{states:?}") };
    assert!(ready.drift[0].contains("once an hour"), "{:?}", ready.drift);
    let states = settled(&resources, &account.clients).await;
    assert!(all_ready(&states), "{states:?}");
}
