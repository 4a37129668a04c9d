//! The page of the cluster's Pipelines: `penstock-console`, told what there is.
//!
//! It listens on loopback inside the pod, where `kubectl port-forward` comes out, so the API server's own rights say who
//! may look. Each replica serves it, whether it leads or not: it looks with a watch of its own, begun when somebody
//! looks and ended some minutes after, so it costs nothing and holds nothing while nobody does. It changes nothing and
//! reads no records, since the operator has no right to.

mod cluster;
mod events;
mod lists;
mod pods;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use penstock_console::{Access, ConsoleError, NoToken, serve as serve_page};
use tokio_util::sync::CancellationToken;

use crate::client::{Limits, limited};
use cluster::Cluster;
use futures::future::BoxFuture;

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Others could reach it.
    #[error("the page is not served")]
    NoToken(#[from] NoToken),
    /// The address cannot be had.
    #[error("the page is not served")]
    Listen(#[from] ConsoleError),
}

impl PageError {
    /// A stable name of the reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken(_) => "no_token",
            Self::Listen(error) => error.reason(),
        }
    }
}

/// Serves the page of the Pipelines in these namespaces (in all when there are none) until `stop`; returns the address
/// that it listens on.
///
/// # Errors
/// When the address cannot be bound, or is one that others reach and there is no token.
pub fn serve(
    client: Client,
    namespaces: Vec<String>,
    addr: SocketAddr,
    token: Option<String>,
    stop: CancellationToken,
) -> BoxFuture<'static, Result<SocketAddr, PageError>> {
    Box::pin(async move {
        let access = Access::on(addr.ip(), token)?;
        let cluster = Cluster::new(limited(client, Limits::default()), namespaces);
        Ok(serve_page(addr, access, Arc::new(cluster), stop).await?)
    })
}
