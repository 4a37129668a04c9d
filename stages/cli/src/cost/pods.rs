//! What pods and tasks cost on Fargate, in the sizes that it has.

use std::collections::BTreeMap;

use super::load::MONTH_HOURS;
use super::usage::{Meter, Usage};

/// The sizes of a task: vCPU, and the least and the most memory in GB (Amazon ECS Developer Guide, "Task CPU and memory").
const SIZES: [(f64, f64, f64); 7] = [
    (0.25, 0.5, 2.0),
    (0.5, 1.0, 4.0),
    (1.0, 2.0, 8.0),
    (2.0, 4.0, 16.0),
    (4.0, 8.0, 30.0),
    (8.0, 16.0, 60.0),
    (16.0, 32.0, 120.0),
];
/// What a pod asks for that is told nothing.
const DEFAULT_CPU: f64 = 0.1;
const DEFAULT_MEMORY_GB: f64 = 192.0 / 1_024.0;
/// A processor is not planned to be busier.
const BUSY_AT_MOST: f64 = 0.7;

/// What a pod asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pod {
    pub(super) cpu: f64,
    pub(super) memory_gb: f64,
}

/// What the requests of a pod come to. Quantities that cannot be read count as the defaults.
pub(super) fn requested(requests: Option<&BTreeMap<String, String>>) -> Pod {
    let quantity = |name: &str| requests.and_then(|requests| requests.get(name)).and_then(|text| quantity(text));
    Pod {
        cpu: quantity("cpu").unwrap_or(DEFAULT_CPU),
        memory_gb: quantity("memory").map_or(DEFAULT_MEMORY_GB, |bytes| bytes / f64::from(1 << 30)),
    }
}

/// A quantity of Kubernetes, such as `500m` or `512Mi`.
fn quantity(text: &str) -> Option<f64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1_024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// Pods that run all month: each asks for so much, and together they must do so many seconds of work a second. `beside`
/// is memory in GB that each has besides what it asks for.
pub(super) fn run(usage: &mut Usage, pod: Pod, pods: f64, work: f64, beside: f64) {
    let cpu = pod.cpu.max(work / BUSY_AT_MOST / pods);
    let memory = pod.memory_gb + beside;
    let fits = |size: &&(f64, f64, f64)| size.0 >= cpu && size.2 >= memory;
    let (size, pods) = match SIZES.iter().find(fits) {
        Some(size) => (*size, pods),
        // More than the largest size: more of them.
        None => (SIZES[SIZES.len() - 1], (pods * cpu / SIZES[SIZES.len() - 1].0).ceil()),
    };
    // Memory comes in steps of half a GB at least.
    let memory = (memory.max(size.1) * 2.0).ceil() / 2.0;
    usage.pay(Meter::VcpuHour, pods * size.0 * MONTH_HOURS);
    usage.pay(Meter::MemoryGbHour, pods * memory * MONTH_HOURS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(cpu: f64, memory_gb: f64, pods: f64, work: f64) -> (f64, f64) {
        let mut usage = Usage::default();
        run(&mut usage, Pod { cpu, memory_gb }, pods, work, 0.25);
        (usage.of(Meter::VcpuHour) / MONTH_HOURS, usage.of(Meter::MemoryGbHour) / MONTH_HOURS)
    }

    #[test]
    fn a_pod_takes_the_least_size_that_it_fits_and_that_does_the_work() {
        assert_eq!(size(0.1, 0.1875, 1.0, 0.0), (0.25, 0.5));
        assert_eq!(size(0.1, 0.4, 1.0, 0.0), (0.25, 1.0));
        assert_eq!(size(0.1, 0.1875, 2.0, 1.3), (2.0, 4.0));
        assert_eq!(size(0.1, 5.0, 1.0, 0.0), (1.0, 5.5));
        assert_eq!(size(0.1, 0.1875, 1.0, 28.0).0, 48.0);
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        let told = [("cpu", "500m"), ("memory", "512Mi")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(requested(Some(&told.into())), Pod { cpu: 0.5, memory_gb: 0.5 });
        assert_eq!(requested(None), Pod { cpu: 0.1, memory_gb: 0.1875 });
        assert_eq!(quantity("2"), Some(2.0));
        assert_eq!(quantity("2 apples"), None);
    }
}
