//! Ports of loopback for processes that are told theirs, and that come back to them after a restart.

use std::fs;
use std::net::TcpListener;

use anyhow::bail;

/// Below this, systems have ports of their own.
const LOWEST: u16 = 10_000;
/// Where the system's own choice begins when it does not say.
const SYSTEM_CHOICE: u16 = 32_768;
const TRIES: u32 = 1_000;

/// The first of `count` ports beside each other that nobody uses now.
///
/// They lie below those that the system gives to whoever does not ask for one, or a connection of another test could
/// get one of them while its process is restarted; and they are chosen by chance, so that programs beside each other do not
/// choose the same.
///
/// # Errors
/// When none are found.
pub fn free_ports(count: u16) -> anyhow::Result<u16> {
    let end = system_choice().max(LOWEST + 1_000);
    for _ in 0..TRIES {
        let first = fastrand::u16(LOWEST..end - count);
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(first);
        }
    }
    bail!("there are no {count} free ports beside each other between {LOWEST} and {end}")
}

/// The first port that the system may give by itself (`ip_local_port_range` of ip(7)).
fn system_choice() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(SYSTEM_CHOICE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_beside_each_other() {
        let first = free_ports(3).unwrap();
        let listeners: Vec<_> =
            (first..first + 3).map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
        assert_eq!(listeners.len(), 3);
        assert!(first >= LOWEST);
    }
}
