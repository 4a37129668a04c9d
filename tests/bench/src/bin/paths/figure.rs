//! One measurement.

use std::collections::BTreeMap;
use std::fmt;

use penstock_bench::stand_in::Call;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum System {
    Penstock,
    /// The functions of `peers/lambda`.
    Lambda,
    /// Bento as `peers/bento` configures it.
    Bento,
    /// An application of the Kinesis Client Library that throws away what it reads: `Discarding` in `tests/conformance/kcl`.
    Kcl,
    /// No peer but the limit: a server that reads each request and answers it, and does nothing else.
    Floor,
}

impl System {
    /// Whether people run it in place of Penstock.
    pub(crate) fn is_peer(self) -> bool {
        match self {
            Self::Lambda | Self::Bento | Self::Kcl => true,
            Self::Penstock | Self::Floor => false,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Penstock => "penstock",
            Self::Lambda => "lambda",
            Self::Bento => "bento",
            Self::Kcl => "kcl",
            Self::Floor => "floor",
        }
    }
}

/// What one run of one path came to.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    pub(crate) path: &'static str,
    pub(crate) system: System,
    pub(crate) run: u32,
    /// How long it was measured.
    pub(crate) seconds: f64,
    pub(crate) rows_per_second: f64,
    /// CPU seconds of what was measured for a million rows.
    pub(crate) cpu_seconds_per_million: f64,
    pub(crate) peak_rss_mib: f64,
    /// How busy the core of what was measured was, and that of the stand-in and the load generator; 1 is all the time.
    pub(crate) busy: f64,
    pub(crate) stand_in_busy: f64,
    /// Until the answer, in milliseconds, at half of the load: p50, p99, p99.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<[f64; 3]>,
    pub(crate) calls: BTreeMap<&'static str, Call>,
}

impl Figure {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        1e6 / self.cpu_seconds_per_million
    }

    pub(crate) const HEADER: &'static str = "path             system    run     rows/s  rows/CPU s  CPU s/M rows  peak MiB  busy  stand-in  p50/p99/p99.9 ms at half load";
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:<8} {:>4} {:>10.0} {:>11.0} {:>13.2} {:>9.1} {:>4.0}% {:>8.0}%",
            self.path,
            self.system.name(),
            self.run,
            self.rows_per_second,
            self.per_cpu_second(),
            self.cpu_seconds_per_million,
            self.peak_rss_mib,
            100.0 * self.busy,
            100.0 * self.stand_in_busy,
        )?;
        if let Some([p50, p99, p999]) = self.latency {
            write!(f, "  {p50:.1}/{p99:.1}/{p999:.1}")?;
        }
        Ok(())
    }
}
