#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::BoxError;

use super::*;

/// An API server with one lease in it, which may be told to fail or to be silent.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    silent: Arc<AtomicBool>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        Client::new(service, "ns")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut lease = self.lease.lock();
        let answer = |status: u16, value: &Value| {
            Ok(Response::builder().status(status).body(Body::from(value.to_string().into_bytes()))?)
        };
        let refused = |status: u16| {
            answer(
                status,
                &json!({
                    "kind": "Status", "code": status, "message": "no", "reason": if status == 404 { "NotFound" } else { "Conflict" },
                }),
            )
        };
        match (parts.method, &*lease) {
            (Method::GET, None) => refused(404),
            (Method::GET, Some(there)) => answer(200, there),
            (Method::POST, Some(_)) => refused(409),
            (_, there) => {
                let mut sent: Value = serde_json::from_slice(&body)?;
                let version =
                    there.as_ref().map_or("0", |there| there["metadata"]["resourceVersion"].as_str().unwrap());
                if there.is_some() && sent["metadata"]["resourceVersion"] != version {
                    return refused(409);
                }
                sent["metadata"]["resourceVersion"] = json!((version.parse::<u64>()? + 1).to_string());
                *lease = Some(sent.clone());
                answer(200, &sent)
            }
        }
    }

    fn holder(&self) -> String {
        self.lease
            .lock()
            .as_ref()
            .map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }
}

/// A replica, and how many of it control at this moment.
struct Replica {
    leading: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn replica(server: &Server, identity: &str) -> Replica {
    let leading = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let settings = ElectionSettings::new("ns", "penstock-operator", identity);
    let counter = Arc::clone(&leading);
    let lead = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&counter));
        async move {
            let _counted = counted;
            std::future::pending::<()>().await;
        }
    };
    let task = tokio::spawn(while_leading(server.client(), settings, Health::new(), stop.clone(), lead));
    Replica { leading, stop, task }
}

impl Replica {
    fn leads(&self) -> bool {
        self.leading.load(Ordering::SeqCst) == 1
    }

    async fn until(&self, leads: bool) -> Duration {
        let begun = Instant::now();
        while self.leads() != leads {
            assert!(begun.elapsed() < Duration::from_secs(60), "it should have become {leads}");
            sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_the_other_follows_when_it_is_stopped() {
    let server = Server::default();
    let first = replica(&server, "a");
    first.until(true).await;
    let second = replica(&server, "b");
    sleep(Duration::from_secs(60)).await;
    assert!(first.leads() && !second.leads());

    first.stop.cancel();
    first.task.await.unwrap();
    assert_eq!(first.leading.load(Ordering::SeqCst), 0);
    let took = second.until(true).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(server.holder(), "b");
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_given_back_also_when_a_renewal_was_cut_off() {
    let server = Server::default();
    let first = replica(&server, "a");
    first.until(true).await;
    // The renewal was written, and nobody has read the answer.
    server.lease.lock().as_mut().unwrap()["metadata"]["resourceVersion"] = json!("100");
    first.stop.cancel();
    first.task.await.unwrap();
    assert_eq!(server.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_may_start() {
    let server = Server::default();
    let first = replica(&server, "a");
    first.until(true).await;
    server.silent.store(true, Ordering::SeqCst);
    let stopped = first.until(false).await;
    let settings = ElectionSettings::new("ns", "x", "a");
    assert!(stopped <= settings.renew_deadline + Duration::from_millis(100), "{stopped:?}");
    assert!(stopped < settings.duration);
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_server_costs_no_leadership() {
    let server = Server::default();
    let first = replica(&server, "a");
    first.until(true).await;
    for _ in 0..5 {
        server.silent.store(true, Ordering::SeqCst);
        sleep(Duration::from_secs(3)).await;
        server.silent.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(12)).await;
        assert!(first.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_stops_the_leader_at_its_next_look() {
    let server = Server::default();
    let first = replica(&server, "a");
    first.until(true).await;
    {
        let mut lease = server.lease.lock();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["resourceVersion"] = json!("100");
    }
    let stopped = first.until(false).await;
    assert!(stopped <= Duration::from_secs(3), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_one_that_died_is_taken_after_its_duration() {
    let server = Server::default();
    let first = replica(&server, "a");
    first.until(true).await;
    first.task.abort();
    let second = replica(&server, "b");
    let took = second.until(true).await;
    assert!(took >= Duration::from_secs(15) && took < Duration::from_secs(20), "{took:?}");
}
