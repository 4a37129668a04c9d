//! What works and is probably not what was meant.

use super::path::Path;
use super::words::similar;
use super::{Document, Finding, Severity};
use crate::spec::{Pipeline, PipelineSpec};

/// The regions of AWS (AWS Account Management guide, "AWS Regions"). New ones come, so one that is not here may be
/// right all the same.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

pub(super) fn of(document: &Document, pipeline: &Pipeline) -> Vec<Finding> {
    let spec = &pipeline.spec;
    unknown_region(document, spec).into_iter().chain(unused_buffers(document, spec)).collect()
}

/// A region that does not exist shows only when the first call cannot find its host. Emulators take any.
fn unknown_region(document: &Document, spec: &PipelineSpec) -> Option<Finding> {
    let region = spec.aws.region.as_str();
    if spec.aws.endpoint_url.is_some() || REGIONS.contains(&region) {
        return None;
    }
    let message = format!("no AWS region `{region}` is known here");
    let cure = match similar(region, REGIONS.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a region such as `eu-west-1`; leave it if AWS has opened it since".to_owned(),
    };
    Some(document.finding(Severity::Warning, "unknown_region", &Path::of("spec.aws.region"), message, cure))
}

fn unused_buffers(document: &Document, spec: &PipelineSpec) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, buffer) in spec.buffers.iter().enumerate() {
        let written = spec.sources.iter().any(|source| source.to == buffer.name);
        let read = spec.sinks.iter().any(|sink| sink.from == buffer.name);
        let (message, cure) = match (written, read) {
            (true, true) => continue,
            (true, false) => ("nothing reads", "add a sink with `from: "),
            (false, true) => ("no source writes to", "add a source with `to: "),
            (false, false) => ("nothing uses", "remove it, or add a source with `to: "),
        };
        let path = Path::of("spec.buffers").index(index).key("name");
        let message = format!("{message} the buffer `{}`", buffer.name);
        findings.push(document.finding(
            Severity::Warning,
            "unused_buffer",
            &path,
            message,
            format!("{cure}{}`", buffer.name),
        ));
    }
    findings
}
