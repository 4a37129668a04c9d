//! Templates and the fields that they read.

use penstock_api::check::{Path, Severity, Span, similar};
use penstock_process::{Template, TemplateError};

use super::Report;
use crate::validate::fields::{Fact, Schema};

/// Reads a template, or says what is wrong with it and where.
pub(super) fn read(
    report: &mut Report<'_>,
    path: &Path,
    text: &str,
    parse: fn(&str) -> Result<Template, TemplateError>,
) -> Option<Template> {
    match parse(text) {
        Ok(template) => Some(template),
        Err(error) => {
            let before = text.get(..error.offset).unwrap_or_default();
            // A template is one line as a rule; a fault in another line is shown at the whole value.
            let column = before.chars().count() + 1;
            let line = if before.contains('\n') { 2 } else { 1 };
            report.error("bad_template", path, error.message, error.cure);
            point(report, path, Span { line, column, end_line: line, end_column: column + 1 });
            None
        }
    }
}

/// Moves the last finding from a value to a stretch of its text, where that can be told.
pub(super) fn point(report: &mut Report<'_>, path: &Path, stretch: Span) {
    let place = report.document.root.at(path).and_then(|node| node.within(report.text, stretch));
    if let (Some(place), Some(finding)) = (place, report.findings.last_mut()) {
        finding.span = place;
    }
}

/// How a field is used: what the finding says of it.
pub(super) struct Use<'a> {
    /// Where the use is written.
    pub(super) path: &'a Path,
    /// What uses it, such as "the partition key".
    pub(super) what: &'a str,
    /// The program that each record passes before, which may set fields.
    pub(super) process: Option<&'a str>,
}

impl Use<'_> {
    /// How sure it is that the field is as the schema says: a program may have set it.
    fn severity(&self, field: &str) -> Option<Severity> {
        let Some(program) = self.process else { return Some(Severity::Error) };
        let last = field.rsplit('.').next().unwrap_or(field);
        let replaces_all = program.contains(". =") || program.contains("merge") || program.contains("set!");
        if program.contains(last) || replaces_all { None } else { Some(Severity::Warning) }
    }
}

/// Says so when no record of a source can have a field.
pub(super) fn must_exist(report: &mut Report<'_>, schema: &Schema<'_>, field: &str, used: &Use<'_>) {
    if schema.fact(field) != Fact::Absent {
        return;
    }
    let Some(severity) = used.severity(field) else { return };
    let message = format!(
        "{} is made of the field `{field}`, which the schema of the source `{}` does not allow",
        used.what, schema.source.name
    );
    let cure = match similar(field, schema.names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add `{field}` to the schema's `properties`, or use one of its fields: {}", some_of(schema)),
    };
    report.add(severity, "field_not_in_schema", used.path, message, cure);
}

/// The first fields of a schema.
fn some_of(schema: &Schema<'_>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<_> = schema.names().map(|name| format!("`{name}`")).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

/// Says so when a field has a type that does not fit.
pub(super) fn must_be(
    report: &mut Report<'_>,
    schema: &Schema<'_>,
    field: &str,
    allowed: &[&str],
    wanted: &str,
    used: &Use<'_>,
) {
    let Fact::Types(types) = schema.fact(field) else { return };
    if types.iter().any(|found| allowed.contains(&found.as_str())) {
        return;
    }
    let Some(severity) = used.severity(field) else { return };
    let found = types.join(" or ");
    let message = format!(
        "{} needs {wanted}, and the schema of the source `{}` makes `{field}` {} {found}",
        used.what,
        schema.source.name,
        if found.starts_with(['a', 'i', 'o']) { "an" } else { "a" }
    );
    let cure = format!("use a field that is {wanted}, or change the type of `{field}` in the schema");
    report.add(severity, "field_type", used.path, message, cure);
}

/// Checks the fields of a template against a source's schema: they exist, are single values, and are there.
pub(super) fn fields(
    report: &mut Report<'_>,
    schema: &Schema<'_>,
    template: &Template,
    given: Option<&str>,
    consequence: &str,
    used: &Use<'_>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for field in template.fields() {
        if seen.contains(&field) || Some(field) == given {
            continue;
        }
        seen.push(field);
        must_exist(report, schema, field, used);
        must_be(report, schema, field, &["string", "number", "integer", "boolean"], "a single value", used);
        let known = matches!(schema.fact(field), Fact::Types(_));
        if known && !schema.requires(field) && used.process.is_none() {
            let message = format!(
                "{} is made of `{field}`, which the schema of the source `{}` does not require: {consequence}",
                used.what, schema.source.name
            );
            report.warning(
                "field_not_required",
                used.path,
                message,
                format!("add `{field}` to the schema's `required`"),
            );
        }
    }
}
