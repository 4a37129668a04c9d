//! What every stage has around its own work: signals, health, metrics, logs, backoff and the way to AWS.
//!
//! It knows how a process lives in a pod or in `penstock run`. Deliberately absent: records, streams,
//! sinks, and anything that only one stage needs.

mod admin;
mod aws;
mod backoff;
mod health;
pub mod http;
mod open_files;
mod stop;
mod telemetry;

pub use admin::{AdminError, serve_admin};
pub use aws::Aws;
pub use backoff::Backoff;
pub use health::{Health, NotReady};
pub use open_files::raise_open_files;
pub use stop::Stop;
pub use telemetry::{LogFormat, Metrics, MetricsError, init_logs, label_logs};
