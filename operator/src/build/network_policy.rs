//! Who may talk to the pods: everybody to the port of a source or an api, pods of the cluster to the admin port, nobody else.
//! What the pods may talk to is not limited: AWS has no fixed addresses.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Part;
use crate::names::{ADMIN_PORT, HTTP_PORT};

pub(super) fn build(part: Part<'_>) -> NetworkPolicy {
    let port = |port| NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    let any_pod =
        NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ip_block: None, pod_selector: None };
    let http =
        part.stage.role.serves().then(|| NetworkPolicyIngressRule { from: None, ports: Some(vec![port(HTTP_PORT)]) });
    let admin = NetworkPolicyIngressRule { from: Some(vec![any_pod]), ports: Some(vec![port(ADMIN_PORT)]) };
    NetworkPolicy {
        metadata: part.metadata(part.name()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(part.selector()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(http.into_iter().chain([admin]).collect()),
            egress: None,
        }),
    }
}
