//! What takes a compiler to know of a Pipeline whose shape is right.

mod api;
mod program;
mod sink;
mod source;
mod table;
mod template;

use penstock_api::Pipeline;
use penstock_api::check::{Document, Finding, Path, Severity};
use penstock_api::plan::{SinkTarget, StageKind, plan};

/// Everything that is found in one Pipeline.
pub(super) fn check(text: &str, document: &Document, pipeline: &Pipeline) -> Vec<Finding> {
    let mut report = Report { text, document, pipeline, findings: Vec::new() };
    for (index, source) in pipeline.spec.sources.iter().enumerate() {
        source::check(&mut report, index, source);
    }
    for (index, sink) in pipeline.spec.sinks.iter().enumerate() {
        sink::check(&mut report, index, sink);
    }
    if !report.findings.iter().any(|finding| finding.severity == Severity::Error) {
        as_the_stages_see_it(&mut report);
    }
    report.findings
}

/// What is found, and where it is looked for.
struct Report<'a> {
    text: &'a str,
    document: &'a Document,
    pipeline: &'a Pipeline,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn error(&mut self, code: &'static str, path: &Path, message: impl Into<String>, cure: impl Into<String>) {
        self.add(Severity::Error, code, path, message, cure);
    }

    fn warning(&mut self, code: &'static str, path: &Path, message: impl Into<String>, cure: impl Into<String>) {
        self.add(Severity::Warning, code, path, message, cure);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        path: &Path,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.findings.push(self.document.finding(severity, code, path, message.into(), cure.into()));
    }
}

/// The last word is the stages' own: what they would refuse at their start is refused here.
fn as_the_stages_see_it(report: &mut Report<'_>) {
    // Without a plan the check before this one has said so.
    let Ok(plan) = plan(report.pipeline) else { return };
    for stage in &plan.stages {
        if let StageKind::Api(asked) = &stage.kind {
            api::check(report, &stage.name, asked);
        }
        let StageKind::Sink(sink) = &stage.kind else { continue };
        if let SinkTarget::DynamoDb(_) = &sink.target
            && let Err(error) = penstock_dynamodb::check(sink)
        {
            let index = report.pipeline.spec.sinks.iter().position(|candidate| candidate.name == stage.name);
            let path = Path::of("spec.sinks").index(index.unwrap_or(0)).key("dynamodb");
            report.error("stage_refused", &path, error.to_string(), "change what the message names");
        }
    }
}
