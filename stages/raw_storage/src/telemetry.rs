//! The sink's metrics.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use penstock_api::plan::PipelineRef;

/// The metrics of one sink.
#[derive(Clone)]
pub(crate) struct Telemetry {
    pub(crate) objects: Counter,
    pub(crate) line_bytes: Counter,
    pub(crate) object_bytes: Counter,
    pub(crate) multipart_uploads: Counter,
    pub(crate) already_written: Counter,
    pub(crate) buffered: Gauge,
}

impl Telemetry {
    pub(crate) fn new(pipeline: &PipelineRef, sink: &str) -> Self {
        describe();
        let labels = [("pipeline", format!("{}/{}", pipeline.namespace, pipeline.name)), ("sink", sink.to_owned())];
        Self {
            objects: counter!(OBJECTS, &labels),
            line_bytes: counter!(LINE_BYTES, &labels),
            object_bytes: counter!(OBJECT_BYTES, &labels),
            multipart_uploads: counter!(MULTIPART_UPLOADS, &labels),
            already_written: counter!(ALREADY_WRITTEN, &labels),
            buffered: gauge!(BUFFERED, &labels),
        }
    }
}

const OBJECTS: &str = "penstock_sink_objects_total";
const LINE_BYTES: &str = "penstock_sink_object_uncompressed_bytes_total";
const OBJECT_BYTES: &str = "penstock_sink_object_bytes_total";
const MULTIPART_UPLOADS: &str = "penstock_sink_multipart_uploads_total";
const ALREADY_WRITTEN: &str = "penstock_sink_already_written_objects_total";
const BUFFERED: &str = "penstock_sink_buffered_bytes";

fn describe() {
    describe_counter!(
        OBJECTS,
        "Objects that this process wrote to S3. Many small ones cost requests and slow readers down: rotate later, or \
         sort records by fewer fields."
    );
    describe_counter!(LINE_BYTES, "Bytes of JSON lines in the written objects, before compression.");
    describe_counter!(
        OBJECT_BYTES,
        "Bytes of the written objects. If they are close to the bytes before compression, set `s3.compression`."
    );
    describe_counter!(MULTIPART_UPLOADS, "Multipart uploads that were begun for large objects.");
    describe_counter!(
        ALREADY_WRITTEN,
        "Objects that were there already when their range was applied. Some after each crash or take-over; if it \
         grows without them, see why ranges are applied again."
    );
    describe_gauge!(
        BUFFERED,
        "Bytes that the open ranges of the sink hold in memory. At the limit, objects are closed before \
         `s3.rotate.bytes`: give the sink fewer shards a pod, or compress."
    );
}
