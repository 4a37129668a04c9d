//! Log lines as JSON: one flat document a line. Fields of the process come first, then those of the spans around the event
//! from the outermost on, then the event's own; the later one wins. So a query names a field and not a depth.

use std::fmt;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// What stands in every line of the process from when it is known.
static OF_THE_PROCESS: OnceLock<Map<String, Value>> = OnceLock::new();

/// Sets what stands in every line from now on: whose stage this process is, say. The first call counts.
pub fn label_logs<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    drop(OF_THE_PROCESS.set(fields.collect()));
}

/// Formats events; to go with [`JsonFields`].
pub(super) struct FlatJson;

impl<S> FormatEvent<S, JsonFields> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        let mut own = String::new();
        context.format_fields(Writer::new(&mut own), event)?;
        let mut own = read(&own);
        // Where people look first.
        line.extend(own.remove_entry("message"));
        line.extend(OF_THE_PROCESS.get().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            line.insert("span".to_owned(), span.name().into());
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                line.extend(read(fields));
            }
        }
        line.extend(own);
        line.insert("target".to_owned(), event.metadata().target().into());
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// What [`JsonFields`] wrote is an object, or nothing where there are no fields.
fn read(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(act: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let to = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_of_process_spans_and_event_stand_side_by_side() {
        // The only test of this process that may set them.
        label_logs([("pipeline", "orders"), ("stage", "raw")]);
        let lines = logged(|| {
            let _outer = tracing::info_span!("reconcile", namespace = "shop", trace = "a1").entered();
            let _inner = tracing::info_span!("shard", shard = "shardId-0", trace = "b2").entered();
            tracing::warn!(records = 7, shard = "shardId-1", "a range waits");
        });
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("message", "a range waits".into()),
            ("pipeline", "orders".into()),
            ("stage", "raw".into()),
            ("namespace", "shop".into()),
            ("trace", "b2".into()),
            ("span", "shard".into()),
            ("shard", "shardId-1".into()),
            ("records", 7.into()),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["target"].as_str().unwrap().starts_with("penstock_runtime"), "{line}");
    }

    #[test]
    fn a_line_stays_one_line_whatever_is_logged() {
        let lines = logged(|| tracing::info!(text = "two\nlines and a \"quote\"", "said"));
        assert_eq!(lines[0]["text"], "two\nlines and a \"quote\"");
    }

    #[test]
    fn an_error_is_logged_with_what_it_says() {
        let error = std::io::Error::other("the disk is full");
        let lines = logged(|| tracing::warn!(error = &error as &dyn std::error::Error, "it failed"));
        assert_eq!(lines[0]["error"], "the disk is full");
    }
}
