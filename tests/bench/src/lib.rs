//! What the benchmarks share: how a process used the machine, a stand-in for AWS, load on an HTTP endpoint, and the loops
//! that run for every row.

pub mod load;
pub mod loops;
pub mod stand_in;

use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Context;

/// How a process used the machine.
#[derive(Debug, Clone, Copy, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// From its start to its end, in seconds.
    pub wall_seconds: f64,
    /// User and system time of all its threads, in seconds.
    pub cpu_seconds: f64,
    /// The most memory that it held at one time, in MiB.
    pub peak_rss_mib: f64,
}

/// Waits for a process and reads how it used the machine, ten times a second.
///
/// # Errors
/// When the system does not tell.
pub fn watch(mut child: Child, began: Instant) -> anyhow::Result<(ExitStatus, Usage)> {
    let folder = Path::new("/proc").join(child.id().to_string());
    let mut usage = Usage { wall_seconds: 0.0, cpu_seconds: 0.0, peak_rss_mib: 0.0 };
    loop {
        // The process may end between the two reads; then the last reading stands.
        if let Ok((cpu, peak)) = read(&folder) {
            usage.cpu_seconds = usage.cpu_seconds.max(cpu);
            usage.peak_rss_mib = usage.peak_rss_mib.max(peak);
        }
        if let Some(status) = child.try_wait()? {
            usage.wall_seconds = began.elapsed().as_secs_f64();
            return Ok((status, usage));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// CPU seconds (user and system) and the most memory held at one time, in MiB, of a process that runs.
///
/// # Errors
/// When the system does not tell, most often since the process has ended.
pub fn used_by(pid: u32) -> anyhow::Result<(f64, f64)> {
    read(&Path::new("/proc").join(pid.to_string()))
}

fn read(folder: &Path) -> anyhow::Result<(f64, f64)> {
    let stat = fs::read_to_string(folder.join("stat"))?;
    // Fields 14 and 15 of proc(5), in clock ticks; the name before them may hold blanks, so count behind it.
    let behind_name = stat.rsplit_once(')').context("an unexpected form of /proc/PID/stat")?.1;
    let ticks: f64 = behind_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
    let status = fs::read_to_string(folder.join("status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let peak: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    let per_second = rustix::param::clock_ticks_per_second();
    #[allow(clippy::cast_precision_loss, reason = "100 on every Linux")]
    let per_second = per_second as f64;
    Ok((ticks / per_second, peak / 1024.0))
}
