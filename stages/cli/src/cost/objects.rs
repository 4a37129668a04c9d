//! Objects in S3: how often a range is closed, and the requests that its objects take. Pure.

use super::load::Load;
use super::reads::Reads;
use super::shape::Objects;

/// A part of a multipart upload (`stages/raw_storage/src/encode.rs`).
const PART: f64 = 5.0 * 1_048_576.0;
/// An object of more lines than this has an encoder, which holds as much again.
const PROMOTED: f64 = 1_048_576.0;
/// What all objects of a worker may hold (`MemoryBudget`).
const BUDGET: f64 = 48.0 * 1_048_576.0;
/// Objects of one range.
const MAX_OBJECTS: f64 = 10_000.0;

/// What is written a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Written {
    /// Ranges of all shards.
    pub(super) ranges: f64,
    pub(super) objects: f64,
    /// `PutObject`, and the calls of multipart uploads.
    pub(super) requests: f64,
}

/// So many rows a second from so many shards, read by so many workers.
pub(super) fn written(
    objects: &Objects,
    rows: f64,
    shards: f64,
    workers: f64,
    reads: Option<&Reads>,
    load: &Load,
) -> Written {
    let lines = rows * (load.row_bytes + 1.0) / shards;
    let seconds = range_seconds(objects, lines, shards / workers, reads, load);
    let ranges = shards / seconds;
    let in_range = touched(objects.prefixes, load.keys_among(rows / ranges, shards)).min(MAX_OBJECTS);
    let size = objects.stored(lines * seconds / in_range, load);
    Written { ranges, objects: ranges * in_range, requests: ranges * in_range * requests(size) }
}

/// From one range of a shard to the next: as old as it may be, or as large, or as memory lets it be.
fn range_seconds(objects: &Objects, lines: f64, shards_of_worker: f64, reads: Option<&Reads>, load: &Load) -> f64 {
    let by_age = reads.map_or(objects.rotate_seconds, |reads| reads.range_seconds(objects.rotate_seconds));
    let by_size = objects.rotate_bytes * objects.prefixes / lines;
    let held_by = |seconds: f64| {
        let object = lines * seconds / objects.prefixes;
        shards_of_worker * objects.prefixes * held(object, objects.stored(object, load))
    };
    let longest = by_age.min(by_size);
    if held_by(longest) <= BUDGET {
        return longest;
    }
    let (mut fits, mut does_not) = (0.0, longest);
    for _ in 0..40 {
        let middle = f64::midpoint(fits, does_not);
        if held_by(middle) <= BUDGET { fits = middle } else { does_not = middle }
    }
    // A range has a record at least.
    fits.max(load.row_bytes / lines)
}

/// What an object of so many bytes of lines holds in memory: the lines, or an encoder and what has not gone into a part.
fn held(lines: f64, stored: f64) -> f64 {
    if lines <= PROMOTED { lines } else { PROMOTED + stored.min(PART / 2.0) }
}

/// How many of so many values occur among so many drawn.
fn touched(values: f64, drawn: f64) -> f64 {
    (values * (1.0 - (1.0 - 1.0 / values).powf(drawn))).max(1.0)
}

/// The requests for one object: one, or those of a multipart upload.
fn requests(bytes: f64) -> f64 {
    if bytes < PART { 1.0 } else { 2.0 + (bytes / PART).ceil() }
}

#[cfg(test)]
mod tests {
    use super::super::load::any;
    use super::*;

    const OBJECTS: Objects = Objects {
        prefixes: 1.0,
        partitioned: false,
        rotate_bytes: 64.0 * 1_048_576.0,
        rotate_seconds: 300.0,
        compressed: true,
    };

    #[test]
    fn a_slow_shard_rotates_by_age_with_a_request_an_object() {
        let reads = Reads::new(10.0, 0.015);
        let found = written(&OBJECTS, 100.0, 4.0, 1.0, Some(&reads), &any());
        assert!((found.objects * 300.0 - 4.0).abs() < 0.01, "{found:?}");
        assert_eq!(found.requests, found.objects);
    }

    #[test]
    fn a_fast_shard_rotates_by_size_with_a_multipart_upload_an_object() {
        let found = written(&OBJECTS, 16_000.0, 4.0, 1.0, None, &any());
        // 64 MiB of lines, 12.8 MiB compressed: three parts.
        assert!((found.requests / found.objects - 5.0).abs() < 1e-9, "{found:?}");
        let bytes = 16_000.0 * 251.0;
        assert!((found.objects * OBJECTS.rotate_bytes - bytes).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn many_objects_close_their_ranges_when_memory_is_full() {
        let many = Objects { prefixes: 500.0, partitioned: true, ..OBJECTS };
        let found = written(&many, 16_000.0, 4.0, 1.0, None, &any());
        let held = 16_000.0 * 251.0 * 4.0 / found.ranges;
        assert!((held / BUDGET - 1.0).abs() < 0.01, "{found:?} {held}");
    }
}
