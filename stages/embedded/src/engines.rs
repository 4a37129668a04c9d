//! Starting and stopping the engines as one.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use tokio::net::TcpListener;

use crate::dynamodb::{DynamoDb, DynamoDbError};
use crate::folder::{Folder, FolderError};
use crate::front::{self, Front};
use crate::kinesis::{Kinesis, KinesisError};
use crate::s3::{S3Engine, S3EngineError};

/// Where the engines keep their data, where they listen and how strict they are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds everything; created when it is missing. One process at a time may use it.
    pub data_dir: PathBuf,
    /// Whether the service's rates are enforced. Its size limits always are.
    pub limits: Limits,
    /// The region that ARNs name.
    pub region: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Which of the service's limits are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// All of them, as AWS does: per shard 1 MiB/s and 1,000 records/s in, 2 MiB/s and five reads/s out, and the rates
    /// of the control plane.
    Enforced,
    /// Those on sizes only (records, requests, keys, batches). Rates are as the machine allows, and one `GetRecords`
    /// answers at most 2 MiB, because the engine shares its memory with the stages that it feeds.
    SizesOnly,
}

/// Why the engines did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be used, most often because another process holds it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: is another server running there? Choose another port")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The Kinesis engine did not start.
    #[error("the Kinesis engine did not start")]
    Kinesis(#[from] KinesisError),
    /// The DynamoDB engine did not start.
    #[error("the DynamoDB engine did not start")]
    DynamoDb(#[from] DynamoDbError),
    /// The S3 engine did not start.
    #[error("the S3 engine did not start")]
    S3(#[from] S3EngineError),
}

impl StartError {
    /// A stable name of the reason, for scripts.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.reason(),
            Self::Listen { .. } => "address_in_use",
            Self::Kinesis(_) => "kinesis_engine",
            Self::DynamoDb(_) => "dynamodb_engine",
            Self::S3(_) => "s3_engine",
        }
    }
}

/// The running engines. Dropping them without [`Engines::stop`] is what a crash does: nothing acknowledged is lost.
pub struct Engines {
    addr: SocketAddr,
    front: Front,
    kinesis: Arc<Kinesis>,
    dynamodb: Arc<DynamoDb>,
    _folder: Folder,
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Engines {
    /// Takes the folder, opens the three stores and listens.
    ///
    /// # Errors
    /// When another process holds the folder, when the address is taken, or when a store cannot be opened.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Self, StartError>> {
        // Boxed: the body of an `async fn` would be compiled again by every crate that awaits it.
        Self::open(options).boxed()
    }

    async fn open(options: Options) -> Result<Self, StartError> {
        let folder = Folder::take(&options.data_dir)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| StartError::Listen { addr: options.listen, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { addr: options.listen, source })?;
        let kinesis = Arc::new(Kinesis::open(folder.path(), &options.region, options.limits).await?);
        let dynamodb = Arc::new(DynamoDb::open(folder.path()).await?);
        let s3 = S3Engine::open(folder.path(), &options.region).await?;
        let front = front::serve(listener, Arc::clone(&kinesis), Arc::clone(&dynamodb), s3);
        tracing::info!(%addr, data_dir = %folder.path().display(), "the embedded engines listen");
        Ok(Self { addr, front, kinesis, dynamodb, _folder: folder })
    }

    /// The URL that SDKs take as endpoint, for example `http://127.0.0.1:4566`.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address that the engines listen on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How often each operation was called since the start, as `DynamoDB.PutItem`, `Kinesis.GetRecords`, `S3.PUT`;
    /// calls that were refused or failed are among them.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.front.calls()
    }

    /// Answers what has been asked, closes the stores and gives the folder back.
    pub async fn stop(self) {
        self.front.stop().await;
        self.kinesis.stop().await;
        self.dynamodb.stop().await;
        tracing::info!("the embedded engines stopped");
    }
}
