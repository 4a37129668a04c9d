//! Tables: the condition, the keys and their types, what is summed.

use penstock_api::check::Path;
use penstock_api::spec::{KeyField, KeyType, Number, Sink, Table};
use penstock_process::Template;

use super::template::{self, Use};
use super::{Report, program};
use crate::validate::fields::{self, Schema};

pub(super) fn check(report: &mut Report<'_>, path: &Path, sink: &Sink, table: &Table) {
    if let Some(when) = &table.when {
        program::condition(report, &path.key("when"), when);
    }
    let schemas = fields::of_buffer(report.pipeline, &sink.from);
    key(report, &path.key("partition"), "the partition key", sink, &table.partition, &schemas);
    if let Some(sort) = &table.sort {
        key(report, &path.key("sort"), "the sort key", sink, sort, &schemas);
    }
    sums(report, path, sink, table, &schemas);
    if let Some(ttl) = &table.ttl {
        let path = path.key("ttl").key("field");
        let used = Use { path: &path, what: "the time to live", process: sink.process.as_deref() };
        for schema in &schemas {
            template::must_exist(report, schema, &ttl.field, &used);
            template::must_be(report, schema, &ttl.field, NUMBERS, "a number of seconds", &used);
        }
    }
}

const NUMBERS: &[&str] = &["integer", "number"];

fn key(report: &mut Report<'_>, path: &Path, what: &str, sink: &Sink, key: &KeyField, schemas: &[Schema<'_>]) {
    let process = sink.process.as_deref();
    if let Some(text) = &key.template {
        let path = path.key("template");
        let Some(read) = template::read(report, &path, text, Template::parse) else { return };
        let used = Use { path: &path, what, process };
        for schema in schemas {
            let consequence = "a record without it goes to dead letters";
            template::fields(report, schema, &read, schema.source.id_field.as_deref(), consequence, &used);
        }
    }
    if let Some(field) = &key.field {
        let path = path.key("field");
        let used = Use { path: &path, what, process };
        let (types, wanted): (&[&str], _) = match key.key_type {
            KeyType::S => (&["string"], "a string (type S)"),
            KeyType::N => (NUMBERS, "a number (type N)"),
            KeyType::B => (&["string"], "a string of base64 (type B)"),
        };
        for schema in schemas {
            template::must_exist(report, schema, field, &used);
            template::must_be(report, schema, field, types, wanted, &used);
        }
    }
}

fn sums(report: &mut Report<'_>, path: &Path, sink: &Sink, table: &Table, schemas: &[Schema<'_>]) {
    let process = sink.process.as_deref();
    for (attribute, number) in table.add.iter().flatten() {
        let Number::Field(field) = number else { continue };
        let path = path.key("add").key(attribute);
        let what = format!("the sum `{attribute}`");
        let used = Use { path: &path, what: &what, process };
        for schema in schemas {
            template::must_exist(report, schema, field, &used);
            template::must_be(report, schema, field, NUMBERS, "a number", &used);
        }
    }
    for (attribute, field) in table.set.iter().flatten() {
        let path = path.key("set").key(attribute);
        let what = format!("the attribute `{attribute}`");
        let used = Use { path: &path, what: &what, process };
        for schema in schemas {
            template::must_exist(report, schema, field, &used);
        }
    }
}
