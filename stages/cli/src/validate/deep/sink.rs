//! Sinks: the program, the objects' keys, the buckets' names.

use penstock_api::check::Path;
use penstock_api::spec::{DeadLetters, S3, Sink};
use penstock_process::Template;

use super::template::{self, Use};
use super::{Report, program, table};
use crate::validate::fields;

pub(super) fn check(report: &mut Report<'_>, index: usize, sink: &Sink) {
    let path = Path::of("spec.sinks").index(index);
    if let Some(process) = &sink.process {
        program::process(report, &path.key("process"), process);
    }
    if let Some(s3) = &sink.s3 {
        objects(report, &path.key("s3"), sink, s3);
    }
    if let Some(dynamodb) = &sink.dynamodb {
        let tables = path.key("dynamodb").key("tables");
        for (index, table) in dynamodb.tables.iter().enumerate() {
            table::check(report, &tables.index(index), sink, table);
        }
    }
    if let Some(DeadLetters { bucket, .. }) = &sink.dead_letters {
        bucket_name(report, &path.key("deadLetters").key("bucket"), bucket);
    }
}

fn objects(report: &mut Report<'_>, path: &Path, sink: &Sink, s3: &S3) {
    bucket_name(report, &path.key("bucket"), &s3.bucket);
    let path = path.key("key");
    let Some(read) = template::read(report, &path, &s3.key, Template::parse) else { return };
    if s3.key.starts_with('/') {
        let message = "the keys would begin with a slash, which makes a folder without a name";
        report.error("leading_slash", &path, message, format!("write \"{}\"", s3.key.trim_start_matches('/')));
    }
    for schema in fields::of_buffer(report.pipeline, &sink.from) {
        let used = Use { path: &path, what: "the objects' key", process: sink.process.as_deref() };
        let consequence = "a record without it goes to dead letters";
        template::fields(report, &schema, &read, schema.source.id_field.as_deref(), consequence, &used);
    }
}

/// Names that S3 keeps for itself (S3 user guide, "General purpose bucket naming rules").
fn bucket_name(report: &mut Report<'_>, path: &Path, bucket: &str) {
    const PREFIXES: &[&str] = &["xn--", "sthree-", "amzn-s3-demo-"];
    const SUFFIXES: &[&str] = &["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let kept = PREFIXES.iter().find(|prefix| bucket.starts_with(**prefix));
    let kept = kept.or_else(|| SUFFIXES.iter().find(|suffix| bucket.ends_with(**suffix)));
    let message = match kept {
        Some(kept) => format!("AWS refuses the bucket `{bucket}`: `{kept}` is kept for S3 itself"),
        None if bucket.parse::<std::net::Ipv4Addr>().is_ok() => {
            format!("AWS refuses the bucket `{bucket}`: it looks like an IP address")
        }
        None => return,
    };
    report.error("refused_bucket", path, message, "name another bucket");
}
