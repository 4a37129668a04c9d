//! The network of a cluster: one node, in a network namespace where nothing else is.

use std::fs;
use std::process::Command;

use anyhow::Context;

use crate::processes::run;

/// The node's address. The same for every cluster: they do not see each other.
pub(crate) const NODE: &str = "10.89.0.10";
/// What Services have addresses from.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// What pods have addresses from, as `node/cni.conflist` has it.
pub(crate) const PODS: &str = "10.88.0.0/16";

/// Both ends of the pair are in the namespace: it carries the node's address, and the default route that kube-proxy needs.
const LINKS: [&str; 6] = [
    "link set lo up",
    "link add node type veth peer name beyond",
    "address add 10.89.0.10/24 dev node",
    "link set node up",
    "link set beyond up",
    "route add default via 10.89.0.1 dev node",
];
const SETTINGS: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "1"),
    // What goes through a bridge is seen by kube-proxy's rules.
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/ipv4/conf/all/route_localnet", "1"),
];

/// Sets it up, from inside.
pub(crate) fn set_up() -> anyhow::Result<()> {
    for link in LINKS {
        run(Command::new("ip").args(link.split(' ')))?;
    }
    for (setting, value) in SETTINGS {
        fs::write(format!("/proc/sys/{setting}"), value)
            .with_context(|| format!("{setting} cannot be set: is the kernel's module loaded?"))?;
    }
    Ok(())
}
