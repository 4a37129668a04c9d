//! What works and is probably not what was meant.

use super::path::Path;
use super::{Document, Finding, Severity};
use crate::spec::Pipeline;

pub(super) fn of(document: &Document, pipeline: &Pipeline) -> Vec<Finding> {
    let spec = &pipeline.spec;
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
