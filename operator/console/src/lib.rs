//! The page: a Pipeline as a picture that lives, its last hour, and a look at what it stores.
//!
//! It reads the stages' metrics and health over HTTP, and streams, tables and buckets by the AWS SDK; it writes
//! nothing. `penstock run` shows the one Pipeline that it runs, and watches it all the time; the operator shows those
//! of the cluster, each from when somebody looks at it until some minutes after. The page itself is a few files in
//! `page/`, without a build step and without anything from outside.
//!
//! | module | does |
//! |---|---|
//! | `subject` | what is shown |
//! | `watch` | who looks at what, and so what is asked, tick by tick |
//! | `scrape`, `exposition` | asks the processes of stages, reads what they say |
//! | `known`, `measure`, `history` | how stages are, and which numbers they have, for an hour |
//! | `list`, `view`, `drawn` | from what is known to the page's data: pure |
//! | `peek` | a look into streams, buckets and tables, and the answers of apis that are drawn |
//! | `guard` | who may look |
//! | `routes` | what answers where |
//!
//! Deliberately absent: stages, Kubernetes, leases, and changing anything.

mod drawn;
mod exposition;
mod guard;
mod history;
mod known;
mod list;
mod measure;
mod peek;
mod routes;
mod scrape;
mod subject;
mod view;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use guard::{Access, NoToken};
pub use subject::{
    Admin, ApiKey, CannotTell, Event, Events, Fixed, Listing, Look, Outline, ProcessAt, StageAt, Stores, Subject,
    Subjects,
};
use watch::Watch;

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
#[error("the page cannot listen on {addr}: choose another port, or end the process that holds it")]
pub struct ConsoleError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

impl ConsoleError {
    /// A stable name of the reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "address_in_use"
    }
}

/// Serves the page until `stop`; returns the address that it listens on.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve(
    addr: SocketAddr,
    access: Access,
    subjects: Arc<dyn Subjects>,
    stop: CancellationToken,
) -> BoxFuture<'static, Result<SocketAddr, ConsoleError>> {
    Box::pin(async move {
        let failed = |source| ConsoleError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let watch = Arc::new(Watch::new(subjects));
        let watching = Arc::clone(&watch);
        let until = stop.clone();
        tokio::spawn(async move { watching.run(until).await });
        let routes = routes::Routes { watch, peek: Arc::new(peek::Peek::new()) };
        let router = routes::router(routes, access);
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "the page is not served any more");
            }
        });
        Ok(bound)
    })
}
