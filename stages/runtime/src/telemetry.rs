//! Logs and metrics of the process.

mod json;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FmtSpan, JsonFields};

pub use json::label_logs;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, on a terminal.
    Text,
    /// A JSON document a line, for pods.
    Json,
}

/// Writes logs to standard error. `PENSTOCK_LOG` chooses what is logged, in `tracing`'s filter syntax;
/// without it, `default` does. Does nothing when the process has a logger already.
pub fn init_logs(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_env("PENSTOCK_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.fmt_fields(JsonFields::new()).event_format(json::FlatJson).try_init(),
    };
    drop(installed);
}

/// The metrics of the process, rendered for Prometheus.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("metrics could not be set up")]
pub struct MetricsError(#[from] metrics_exporter_prometheus::BuildError);

/// Upper bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Metrics {
    /// Installs the recorder of the process. Once a process.
    ///
    /// # Errors
    /// When there is a recorder already.
    pub fn install() -> Result<Self, MetricsError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .install_recorder()?;
        Ok(Self(handle))
    }

    /// The metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
