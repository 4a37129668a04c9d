//! Sources: the JSON Schema, the partition key, the id.

use penstock_api::check::{Node, Path, similar};
use penstock_api::spec::Source;
use penstock_process::{RowSchema, SchemaError, Template};

use super::Report;
use super::template::{self, Use};
use crate::validate::fields::{self, Fact, Schema};

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

pub(super) fn check(report: &mut Report<'_>, index: usize, source: &Source) {
    let path = Path::of("spec.sources").index(index);
    let schema = fields::of_source(source);
    if let Some(schema) = &schema {
        json_schema(report, &path.key("http").key("schema"), schema);
        id_field(report, &path.key("idField"), schema);
    }
    partition_key(report, &path.key("partitionKey"), source, schema.as_ref());
}

fn json_schema(report: &mut Report<'_>, path: &Path, schema: &Schema<'_>) {
    let Some(document) = schema.source.http.as_ref().and_then(|http| http.schema.as_ref()) else { return };
    if let Err(error) = RowSchema::compile(document) {
        bad_schema(report, path, &error);
    }
    let types = schema.own_types();
    if !types.is_empty() && !types.contains(&"object") {
        let message = format!("the schema wants {}, and a row is always an object", types.join(" or "));
        report.error(
            "schema_not_object",
            &path.key("type"),
            message,
            "write `type: object`: the schema describes one row",
        );
    }
}

/// The compiler names the rule of JSON Schema's own schema that is broken; people wrote a word of it.
fn bad_schema(report: &mut Report<'_>, path: &Path, error: &SchemaError) {
    let steps = error.path.split('.').filter(|part| !part.is_empty());
    let at = steps.fold(path.clone(), |path, part| match part.parse() {
        Ok(index) => path.index(index),
        Err(_) => path.key(part),
    });
    let (at, message, cure) = if let Some(pattern) = error.message.strip_suffix(" is not a \"regex\"") {
        let at = if at.last_key() == Some("pattern") { at } else { at.key("pattern") };
        let cure = "mend it: a bracket needs its partner, and one that stands for itself is written `\\(`";
        (at, format!("{pattern} is not a regular expression"), cure.to_owned())
    } else if at.last_key() == Some("type") {
        let found = report.document.root.at(&at).and_then(Node::text).unwrap_or_default();
        let cure = match similar(found, TYPES).or_else(|| TYPES.into_iter().find(|name| name.starts_with(found))) {
            Some(near) if !found.is_empty() => format!("did you mean `{near}`?"),
            _ => format!("write one of `{}`", TYPES.join("`, `")),
        };
        let message =
            if found.is_empty() { error.message.clone() } else { format!("`{found}` is not a type of JSON Schema") };
        (at, message, cure)
    } else {
        let cure = "mend the JSON Schema: https://json-schema.org/understanding-json-schema has its words";
        (at, error.message.clone(), cure.to_owned())
    };
    report.error("bad_schema", &at, message, cure);
}

/// Ingest gives a row that has no id one, so rows must be allowed to have it.
fn id_field(report: &mut Report<'_>, path: &Path, schema: &Schema<'_>) {
    let Some(id) = schema.source.id_field.as_deref() else { return };
    match schema.fact(id) {
        Fact::Absent => {
            let message = format!("the schema does not allow `{id}`, so no row could bring its id");
            report.error(
                "id_not_in_schema",
                path,
                message,
                format!("add `{id}: {{ type: string }}` to the schema's `properties`"),
            );
        }
        Fact::Types(types) if !types.iter().any(|found| found == "string") => {
            let message =
                format!("the schema makes `{id}` {}, and an id that is given to a row is a string", types.join(" or "));
            report.error("id_not_text", path, message, format!("write `type: string` for `{id}` in the schema"));
        }
        Fact::Types(_) | Fact::Unknown => {}
    }
}

fn partition_key(report: &mut Report<'_>, path: &Path, source: &Source, schema: Option<&Schema<'_>>) {
    // A row has no position yet when its key is made: only its fields can be used.
    let Some(read) = template::read(report, path, &source.partition_key, Template::parse_for_rows) else { return };
    if read.is_constant() {
        let message = "the partition key is the same for every record, so all of them go through one shard";
        report.warning("constant_partition_key", path, message, "use a field in it, such as \"{InvoiceNo}\"");
    }
    if let Some(schema) = schema {
        let used = Use { path, what: "the partition key", process: None };
        let consequence = "a row without it is refused";
        template::fields(report, schema, &read, source.id_field.as_deref(), consequence, &used);
    }
}
