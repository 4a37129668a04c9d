//! The programs that make a node and its control plane, each with its arguments.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control_groups;
use crate::folder::INSIDE;
use crate::network::{NODE, PODS, SERVICES};

/// One program that is to run for as long as the cluster does.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    /// What must be there before it is started.
    pub(crate) after: &'static [&'static str],
}

impl Service {
    fn ours(name: &'static str, arguments: &[&str], after: &'static [&'static str]) -> Self {
        let arguments = arguments.iter().map(|argument| argument.replace("{etc}", &format!("{INSIDE}/etc"))).collect();
        Self { name, program: Path::new(INSIDE).join("bin").join(name), arguments, after }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// The API server makes it for itself.
const CERTIFICATE: &str = "/run/penstock/certificates/apiserver.crt";
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// In the order in which they are started.
pub(crate) fn of_cluster(name: &str) -> Vec<Service> {
    vec![containerd(), etcd(), apiserver(), controller_manager(), scheduler(), kubelet(name), proxy(), coredns()]
}

fn containerd() -> Service {
    Service {
        name: "containerd",
        program: "containerd".into(),
        arguments: vec!["--config".to_owned(), format!("{INSIDE}/etc/containerd.toml")],
        after: &[],
    }
}

fn etcd() -> Service {
    let arguments = [
        "--data-dir=/var/lib/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=default=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
    ];
    Service::ours("etcd", &arguments, &[])
}

fn apiserver() -> Service {
    let advertise = format!("--advertise-address={NODE}");
    let services = format!("--service-cluster-ip-range={SERVICES}");
    let arguments = [
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        &advertise,
        &services,
        "--cert-dir=/run/penstock/certificates",
        "--token-auth-file={etc}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        // The key that it makes for itself serves for tokens of ServiceAccounts, too.
        "--service-account-key-file=/run/penstock/certificates/apiserver.key",
        "--service-account-signing-key-file=/run/penstock/certificates/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--kubelet-preferred-address-types=InternalIP",
    ];
    Service::ours("kube-apiserver", &arguments, &[])
}

fn controller_manager() -> Service {
    let pods = format!("--cluster-cidr={PODS}");
    let arguments = [
        "--kubeconfig={etc}/controller-manager.kubeconfig",
        "--authentication-kubeconfig={etc}/controller-manager.kubeconfig",
        "--authorization-kubeconfig={etc}/controller-manager.kubeconfig",
        "--service-account-private-key-file=/run/penstock/certificates/apiserver.key",
        "--root-ca-file=/run/penstock/certificates/apiserver.crt",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--cert-dir=/run/controller-manager",
        &pods,
    ];
    Service::ours("kube-controller-manager", &arguments, &[CERTIFICATE])
}

fn scheduler() -> Service {
    let arguments = [
        "--kubeconfig={etc}/scheduler.kubeconfig",
        "--authentication-kubeconfig={etc}/scheduler.kubeconfig",
        "--authorization-kubeconfig={etc}/scheduler.kubeconfig",
        "--leader-elect=false",
    ];
    Service::ours("kube-scheduler", &arguments, &[CERTIFICATE])
}

fn kubelet(cluster: &str) -> Service {
    let address = format!("--node-ip={NODE}");
    let group = format!("--cgroup-root=/{}", control_groups::name(cluster));
    let arguments = [
        "--config={etc}/kubelet.yaml",
        "--kubeconfig={etc}/kubelet.kubeconfig",
        "--hostname-override=node",
        "--root-dir=/var/lib/kubelet",
        "--cert-dir=/var/lib/kubelet/pki",
        &address,
        &group,
    ];
    Service::ours("kubelet", &arguments, &[CERTIFICATE, CONTAINERD])
}

fn proxy() -> Service {
    Service::ours("kube-proxy", &["--config={etc}/kube-proxy.yaml"], &[CERTIFICATE])
}

fn coredns() -> Service {
    Service::ours("coredns", &["-conf", "{etc}/Corefile"], &[CERTIFICATE])
}
