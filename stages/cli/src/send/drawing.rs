//! The progress of the client: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use penstock_client::{Phase, Progress, Snapshot};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const REFRESH: Duration = Duration::from_millis(150);
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR: &str = "{bar:28} {percent:>3}%  {msg}";
const NO_BAR: &str = "{spinner} {msg}";

/// A drawing that goes on until it is ended.
pub(crate) struct Drawing {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Draws the progress on standard error.
pub(crate) fn draw(progress: &Arc<Progress>) -> Drawing {
    let (end, ended) = oneshot::channel();
    let progress = progress.clone();
    let task = if std::io::stderr().is_terminal() {
        tokio::spawn(draw_bar(progress, ended))
    } else {
        tokio::spawn(draw_lines(progress, ended))
    };
    Drawing { end, task }
}

impl Drawing {
    /// Clears the bar.
    pub(crate) async fn end(self) {
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

async fn draw_bar(progress: Arc<Progress>, mut ended: oneshot::Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let mut clock = Clock::default();
    while tokio::time::timeout(REFRESH, &mut ended).await.is_err() {
        let snapshot = progress.snapshot();
        let elapsed = clock.elapsed(snapshot.phase);
        let template = if snapshot.bytes_total.is_some() { BAR } else { NO_BAR };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if let Some(total) = snapshot.bytes_total {
            bar.set_length(total);
        }
        bar.set_position(snapshot.bytes_read);
        bar.set_message(describe(&snapshot, elapsed));
        bar.tick();
    }
    bar.finish_and_clear();
}

async fn draw_lines(progress: Arc<Progress>, mut ended: oneshot::Receiver<()>) {
    let mut clock = Clock::default();
    while tokio::time::timeout(LINE_EVERY, &mut ended).await.is_err() {
        let snapshot = progress.snapshot();
        let elapsed = clock.elapsed(snapshot.phase);
        let share = snapshot.share().map(|share| format!("{:.0}%, ", share * 100.0)).unwrap_or_default();
        eprintln!("{share}{}", describe(&snapshot, elapsed));
    }
}

/// How long the current phase has been going on.
#[derive(Default)]
struct Clock(Option<(Phase, Instant)>);

impl Clock {
    fn elapsed(&mut self, phase: Phase) -> Duration {
        match self.0 {
            Some((current, since)) if current == phase => since.elapsed(),
            _ => {
                self.0 = Some((phase, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn describe(snapshot: &Snapshot, elapsed: Duration) -> String {
    if snapshot.phase == Phase::Looking {
        return with_trouble("looking at the file".to_owned(), snapshot);
    }
    let settled = snapshot.rows_accepted + snapshot.rows_refused + snapshot.rows_bad;
    let mut text = format!("{} rows", HumanCount(settled));
    if elapsed >= Duration::from_secs(1) {
        let rate = settled as f64 / elapsed.as_secs_f64();
        text.push_str(&format!(", {}/s", HumanCount(rate as u64)));
    }
    if let Some(left) = snapshot.time_left(elapsed).filter(|_| elapsed >= Duration::from_secs(1)) {
        text.push_str(&format!(", {} left", HumanDuration(left)));
    }
    for (count, what) in [(snapshot.rows_refused, "refused"), (snapshot.rows_bad, "bad")] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", HumanCount(count)));
        }
    }
    with_trouble(text, snapshot)
}

fn with_trouble(mut text: String, snapshot: &Snapshot) -> String {
    if let Some(trouble) = &snapshot.trouble {
        text.push_str(&format!("; trying again: {trouble}"));
    }
    text
}
