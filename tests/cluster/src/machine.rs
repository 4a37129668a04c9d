//! What a machine must have, and what can be installed on it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::control_groups;
use crate::processes::run;
use crate::programs;

/// A program, and Debian's package that has it.
const PACKAGES: [(&str, &str); 5] = [
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/ip", "iproute2"),
];

/// Sees that a cluster can run here; installs what is missing where there is apt, and builds what Debian has not got.
///
/// # Errors
/// When one cannot, with the reason.
pub fn prepare() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("a cluster needs Linux");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("a cluster needs root: containers, mounts and a network of its own");
    }
    install_packages()?;
    may_make_namespaces()?;
    programs::build()
}

#[allow(clippy::print_stderr, reason = "what is being done to the machine")]
fn install_packages() -> anyhow::Result<()> {
    let missing: Vec<_> = PACKAGES.iter().filter(|(program, _)| !is_there(program)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("{} missing, and there is no apt to install it with", missing.join(", "));
    }
    eprintln!("installing {}", missing.join(", "));
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(missing);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(())
}

/// Root inside a container often may not.
fn may_make_namespaces() -> anyhow::Result<()> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "--"]);
    // What kube-proxy's rules need of the kernel.
    let bridge = "ip link add name bridge type bridge && test -e /proc/sys/net/bridge/bridge-nf-call-iptables";
    run(unshare.args(["mount", "-t", "tmpfs", "none", "/run"])).context("a cluster needs namespaces and mounts")?;
    let mut unshare = Command::new("unshare");
    run(unshare.args(["--net", "--", "sh", "-c", bridge])).context("a cluster needs the module br_netfilter")?;
    control_groups::may_be_made().context("a cluster needs control groups that may be written")
}

/// On newer systems `/usr/sbin` may be `/usr/bin`.
fn is_there(program: &str) -> bool {
    Path::new(program).exists() || Path::new(&program.replace("/sbin/", "/bin/")).exists()
}
