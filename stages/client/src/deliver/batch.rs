//! Rows on their way to one request. Each lane fills batches of its own, so that a batch is full also when the keys
//! alternate.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Ordinal;

/// Rows for one request, with what is needed to report them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    body: Bytes,
    raw: Vec<u8>,
    rows: Vec<RowMark>,
}

#[derive(Debug, Clone, Copy)]
struct RowMark {
    ordinal: Ordinal,
    line: u64,
    body_end: usize,
    raw_end: usize,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn ordinal(&self, row: usize) -> Ordinal {
        self.rows[row].ordinal
    }

    pub(crate) fn line(&self, row: usize) -> u64 {
        self.rows[row].line
    }

    /// The row's original bytes.
    pub(crate) fn raw(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.rows[row - 1].raw_end };
        &self.raw[start..self.rows[row].raw_end]
    }

    /// The JSON lines of some rows, in their order. Rows that stand together are not copied.
    pub(crate) fn body(&self, rows: &[usize]) -> Bytes {
        match (rows.first(), rows.last()) {
            (Some(&first), Some(&last)) if last - first + 1 == rows.len() => {
                self.body.slice(self.start(first)..self.rows[last].body_end)
            }
            _ => rows.iter().flat_map(|&row| &self.body[self.start(row)..self.rows[row].body_end]).copied().collect(),
        }
    }

    fn start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.rows[row - 1].body_end }
    }
}

/// How large a batch may be. A `413` makes it smaller while the client runs.
#[derive(Debug)]
pub(crate) struct BatchLimits {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl BatchLimits {
    pub(crate) fn new(rows: usize, bytes: usize) -> Self {
        Self { rows: AtomicUsize::new(rows), bytes: AtomicUsize::new(bytes) }
    }

    /// A request of this size was too large.
    pub(crate) fn too_large(&self, rows: usize, bytes: usize) {
        self.rows.fetch_min((rows / 2).max(1), Ordering::Relaxed);
        self.bytes.fetch_min((bytes / 2).max(1), Ordering::Relaxed);
    }
}

/// The lanes from the side of whoever reads the file.
pub(crate) struct LaneWriters<'a> {
    lanes: Vec<LaneWriter>,
    limits: &'a BatchLimits,
}

struct LaneWriter {
    body: Vec<u8>,
    raw: Vec<u8>,
    rows: Vec<RowMark>,
    queue: mpsc::Sender<Batch>,
}

/// The lanes take nothing more: the run is being stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LanesClosed;

impl<'a> LaneWriters<'a> {
    pub(crate) fn new(queues: Vec<mpsc::Sender<Batch>>, limits: &'a BatchLimits) -> Self {
        let lane = |queue| LaneWriter { body: Vec::new(), raw: Vec::new(), rows: Vec::new(), queue };
        Self { lanes: queues.into_iter().map(lane).collect(), limits }
    }

    /// Puts a row into the lane of its key; waits while that lane is full.
    pub(crate) fn push(
        &mut self,
        key: u64,
        ordinal: Ordinal,
        line: u64,
        json: &[u8],
        raw: &[u8],
    ) -> Result<(), LanesClosed> {
        let index = usize::try_from(key % self.lanes.len() as u64).unwrap_or(0);
        let lane = &mut self.lanes[index];
        let max_bytes = self.limits.bytes.load(Ordering::Relaxed);
        if !lane.rows.is_empty() && lane.body.len() + json.len() > max_bytes {
            lane.flush()?;
        }
        lane.body.extend_from_slice(json);
        lane.raw.extend_from_slice(raw);
        lane.rows.push(RowMark { ordinal, line, body_end: lane.body.len(), raw_end: lane.raw.len() });
        if lane.rows.len() >= self.limits.rows.load(Ordering::Relaxed) || lane.body.len() >= max_bytes {
            lane.flush()?;
        }
        Ok(())
    }

    /// Sends what is there, full or not, where that need not wait. A lane with a batch in its queue is busy anyway:
    /// what it has goes on filling, so that many small requests do not stand in line.
    pub(crate) fn flush_idle(&mut self) -> Result<(), LanesClosed> {
        self.lanes.iter_mut().filter(|lane| lane.queue.capacity() > 0).try_for_each(LaneWriter::flush)
    }

    /// Sends what is there, full or not; waits for lanes that are full.
    pub(crate) fn flush(&mut self) -> Result<(), LanesClosed> {
        self.lanes.iter_mut().try_for_each(LaneWriter::flush)
    }
}

impl LaneWriter {
    fn flush(&mut self) -> Result<(), LanesClosed> {
        if self.rows.is_empty() {
            return Ok(());
        }
        // The next batch is likely to be as large as this one.
        let likely = |length: usize| length + length / 16;
        let (body, raw, rows) = (likely(self.body.len()), likely(self.raw.len()), self.rows.len());
        let batch = Batch {
            body: Bytes::from(std::mem::replace(&mut self.body, Vec::with_capacity(body))),
            raw: std::mem::replace(&mut self.raw, Vec::with_capacity(raw)),
            rows: std::mem::replace(&mut self.rows, Vec::with_capacity(rows)),
        };
        self.queue.blocking_send(batch).map_err(|_| LanesClosed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn fill(limits: &BatchLimits, rows: &[(u64, &str)], lanes: usize) -> Vec<Vec<Batch>> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..lanes).map(|_| mpsc::channel(100)).unzip();
        let mut writers = LaneWriters::new(senders, limits);
        for (ordinal, (key, json)) in rows.iter().enumerate() {
            writers.push(*key, ordinal as u64, ordinal as u64 + 2, json.as_bytes(), b"raw").unwrap();
        }
        writers.flush().unwrap();
        drop(writers);
        let drain =
            |mut receiver: mpsc::Receiver<Batch>| std::iter::from_fn(move || receiver.try_recv().ok()).collect();
        receivers.into_iter().map(drain).collect()
    }

    fn text(batch: &Batch) -> String {
        let rows: Vec<usize> = (0..batch.len()).collect();
        String::from_utf8(batch.body(&rows).to_vec()).unwrap()
    }

    #[test]
    fn a_key_always_takes_the_same_lane_and_keeps_its_order() {
        let lanes = fill(&BatchLimits::new(2, 100), &[(0, "a\n"), (1, "b\n"), (0, "c\n"), (2, "d\n"), (1, "e\n")], 2);
        let texts: Vec<Vec<String>> = lanes.iter().map(|lane| lane.iter().map(text).collect()).collect();
        assert_eq!(texts, [vec!["a\nc\n", "d\n"], vec!["b\ne\n"]]);
        assert_eq!((lanes[1][0].ordinal(1), lanes[1][0].line(1), lanes[1][0].raw(1)), (4, 6, &b"raw"[..]));
    }

    #[test]
    fn a_batch_stays_below_its_limit_of_bytes_unless_one_row_is_larger() {
        let limits = BatchLimits::new(100, 8);
        let lanes = fill(&limits, &[(0, "aaa\n"), (0, "bbbbb\n"), (0, "cccccccccccc\n"), (0, "d\n")], 1);
        assert_eq!(lanes[0].iter().map(text).collect::<Vec<_>>(), ["aaa\n", "bbbbb\n", "cccccccccccc\n", "d\n"]);
    }

    #[test]
    fn a_busy_lane_goes_on_filling_when_the_others_are_flushed() {
        let limits = BatchLimits::new(100, 1_000);
        let (sender, mut receiver) = mpsc::channel(1);
        let mut writers = LaneWriters::new(vec![sender], &limits);
        for (ordinal, json) in ["a\n", "b\n", "c\n"].iter().enumerate() {
            writers.push(0, ordinal as u64, 2, json.as_bytes(), b"").unwrap();
            writers.flush_idle().unwrap();
        }
        assert_eq!(text(&receiver.try_recv().unwrap()), "a\n");
        writers.flush_idle().unwrap();
        assert_eq!(text(&receiver.try_recv().unwrap()), "b\nc\n");
    }

    #[test]
    fn limits_shrink_when_a_request_was_too_large() {
        let limits = BatchLimits::new(4, 1_000);
        limits.too_large(4, 16);
        limits.too_large(4, 16);
        let lanes = fill(&limits, &[(0, "aaa\n"), (0, "b\n"), (0, "c\n")], 1);
        assert_eq!(lanes[0].iter().map(text).collect::<Vec<_>>(), ["aaa\nb\n", "c\n"]);
    }

    #[test]
    fn any_rows_of_a_batch_make_a_body() {
        let lanes = fill(&BatchLimits::new(9, 100), &[(0, "a\n"), (0, "bb\n"), (0, "c\n"), (0, "dd\n")], 1);
        let batch = &lanes[0][0];
        assert_eq!(batch.body(&[1, 2]), "bb\nc\n");
        assert_eq!(batch.body(&[0, 3]), "a\ndd\n");
        assert_eq!(batch.body(&[]), "");
    }
}
