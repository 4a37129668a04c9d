//! A run from its beginning to its end: look at the input, ask the endpoint, send, sum up.

mod prepare;
mod reading;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::deliver::backoff::pause;
use crate::deliver::batch::BatchLimits;
use crate::deliver::endpoint::{Description, Endpoint, Reply};
use crate::deliver::lane::{LaneEnd, Patience, Shared, run_lane};
use crate::deliver::ledger::Ledger;
use crate::error::SendError;
use crate::input::{Survey, survey};
use crate::options::SendOptions;
use crate::progress::{Count, Phase, Progress};
use crate::summary::{End, Summary, Totals};
use prepare::{Facts, Prepared, prepare};
use reading::{ReadEnd, print_rows, read_into_lanes};

/// Batches that wait in a lane, besides the one on its way and the one that is being filled.
const QUEUED_BATCHES: usize = 1;
/// Entries that wait for the ledger.
const QUEUED_ENTRIES: usize = 64;

/// Sends what `options` say. Cancelling `stop` ends it early: requests on their way are waited for and noted, nothing
/// new is begun. Dropping the future ends it at once; what was noted in the journal stays.
///
/// # Errors
/// When it cannot begin. What ends it later is in [`Summary::end`], beside the counts.
pub async fn send(
    options: SendOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Summary, SendError> {
    let started = Instant::now();
    let address = options.to.clone().unwrap_or_default();
    let endpoint = Endpoint::new(&address, &options)?;
    let (options, survey) = look_at_input(options, &progress, &stop).await?;
    let description = describe(&endpoint, &options, &progress, &stop).await?;
    let prepared = in_background({
        let (options, progress) = (options.clone(), progress.clone());
        move || prepare(&options, survey, &description, &progress)
    })
    .await??;
    let lanes = prepared.facts.lanes;
    let facts = prepared.facts.clone();
    let (end, ledger) = match prepared.ledger.journal.as_ref().is_some_and(|journal| journal.is_complete()) {
        true => (End::AlreadyComplete, Some(prepared.ledger)),
        false => deliver(&options, endpoint, prepared, lanes, &progress, stop).await,
    };
    progress.enter(Phase::Done);
    Ok(sum_up(&options, end, &facts, ledger.as_ref(), &progress, started.elapsed()))
}

/// Writes the JSON lines of the chosen rows to `out` and sends nothing. The endpoint is asked for its schema when
/// there is one.
///
/// # Errors
/// When it cannot begin. What ends it later is in [`Summary::end`], beside the counts.
pub async fn dry_run(
    options: SendOptions,
    out: Box<dyn Write + Send>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Summary, SendError> {
    let started = Instant::now();
    let mut options = options;
    options.journal = None;
    let endpoint = options.to.as_ref().map(|address| Endpoint::new(address, &options)).transpose()?;
    let (options, survey) = look_at_input(options, &progress, &stop).await?;
    let description = match &endpoint {
        Some(endpoint) => describe(endpoint, &options, &progress, &stop).await?,
        None => Description::default(),
    };
    let (facts, end, ledger) = in_background({
        let (options, progress, stop) = (options.clone(), progress.clone(), stop.clone());
        move || {
            let prepared = prepare(&options, survey, &description, &progress)?;
            progress.enter(Phase::Sending);
            let facts = prepared.facts.clone();
            let (end, ledger) = print_rows(prepared, out, &progress, &stop)?;
            Ok::<_, SendError>((facts, end, ledger))
        }
    })
    .await??;
    let end = match end {
        ReadEnd::All => End::Complete,
        ReadEnd::Stopped => End::Interrupted,
    };
    progress.enter(Phase::Done);
    Ok(Summary { rows_unsent: 0, ..sum_up(&options, end, &facts, Some(&ledger), &progress, started.elapsed()) })
}

async fn look_at_input(
    options: SendOptions,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<(SendOptions, Survey), SendError> {
    let (progress, stop) = (progress.clone(), stop.clone());
    in_background(move || {
        let survey = survey(&options.input, options.encoding.as_deref(), &progress, &stop)?;
        Ok((options, survey))
    })
    .await?
}

/// Asks the endpoint what it wants, for as long as the options allow.
async fn describe(
    endpoint: &Endpoint,
    options: &SendOptions,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<Description, SendError> {
    let mut patience = Patience::new(options.give_up_after);
    loop {
        let reply = tokio::select! {
            () = stop.cancelled() => return Err(SendError::Interrupted),
            reply = endpoint.describe() => reply?,
        };
        let trouble = match reply {
            Reply::Answered(mut description) => {
                progress.trouble(None);
                if !options.use_schema {
                    description.schema = None;
                }
                return Ok(description);
            }
            Reply::TooLarge(problem) => {
                let url = endpoint.address().to_owned();
                return Err(SendError::Refused { url, status: 413, detail: problem.detail(), cure: problem.cure });
            }
            Reply::Later(trouble) => trouble,
        };
        let (failures, left) = patience.failed();
        let pause = pause(failures, trouble.after, fastrand::f64());
        tracing::debug!(error = %trouble.what, failures, "the endpoint cannot be asked for its schema yet");
        progress.trouble(Some(trouble.what.clone()));
        if left.is_some_and(|left| left <= pause) {
            let after = options.give_up_after.unwrap_or_default();
            return Err(SendError::GaveUp { url: endpoint.address().to_owned(), after, trouble: trouble.what });
        }
        tokio::select! {
            () = stop.cancelled() => return Err(SendError::Interrupted),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Reads and sends until everything is settled or something ends it. Gives the ledger back unless it failed.
async fn deliver(
    options: &SendOptions,
    endpoint: Endpoint,
    prepared: Prepared,
    lanes: usize,
    progress: &Arc<Progress>,
    stop: CancellationToken,
) -> (End, Option<Ledger>) {
    progress.enter(Phase::Sending);
    let Prepared { reader, ledger, .. } = prepared;
    // The lanes and the reader stop with the caller's token or when one of them fails. The guard makes them stop
    // also when this future is dropped.
    let halt = stop.child_token();
    let _guard = halt.clone().drop_guard();
    let shared = Arc::new(Shared {
        endpoint,
        limits: BatchLimits::new(options.batch_rows.get(), options.batch_bytes.get()),
        progress: progress.clone(),
        decoding: reader.decoding,
        give_up_after: options.give_up_after,
        stop: halt.clone(),
    });
    let (entries, kept) = mpsc::channel(QUEUED_ENTRIES);
    let keeping = spawn_blocking(move || ledger.keep(kept));
    let mut running = JoinSet::new();
    let mut queues = Vec::with_capacity(lanes);
    for _ in 0..lanes {
        let (queue, batches) = mpsc::channel(QUEUED_BATCHES);
        queues.push(queue);
        running.spawn(run_lane(shared.clone(), batches, entries.clone()));
    }
    let reading = spawn_blocking({
        let shared = shared.clone();
        move || read_into_lanes(reader, queues, &shared, &entries)
    });
    let mut ends = Vec::new();
    while let Some(lane) = running.join_next().await {
        match lane {
            Ok(Ok(())) => {}
            Ok(Err(end)) => {
                halt.cancel();
                ends.push(end);
            }
            Err(error) => {
                halt.cancel();
                ends.push(LaneEnd::Failed(defect(&error)));
            }
        }
    }
    let read = reading.await.map_err(|error| defect(&error)).and_then(|read| read);
    let kept = keeping.await.map_err(|error| defect(&error)).and_then(|kept| kept);
    match kept {
        Ok(mut ledger) => {
            let end = conclude(read, ends, &stop);
            let end = match (end, &mut ledger.journal) {
                (End::Complete, Some(journal)) => journal.complete().map_or_else(End::Failed, |()| End::Complete),
                (end, _) => end,
            };
            (end, Some(ledger))
        }
        Err(error) => (End::Failed(error), None),
    }
}

/// What ended the run: the worst of what its parts say.
fn conclude(read: Result<ReadEnd, SendError>, lanes: Vec<LaneEnd>, stop: &CancellationToken) -> End {
    let mut gave_up = None;
    for end in lanes {
        match end {
            LaneEnd::Failed(error) => return End::Failed(error),
            LaneEnd::GaveUp { trouble } => gave_up = Some(trouble),
            LaneEnd::Stopped => {}
        }
    }
    if let Some(trouble) = gave_up {
        return End::GaveUp { trouble };
    }
    match read {
        Ok(ReadEnd::All) => End::Complete,
        _ if stop.is_cancelled() => End::Interrupted,
        Ok(ReadEnd::Stopped) => End::Failed(SendError::Defect("the reader was stopped by nobody".to_owned())),
        Err(error) => End::Failed(error),
    }
}

fn sum_up(
    options: &SendOptions,
    end: End,
    facts: &Facts,
    ledger: Option<&Ledger>,
    progress: &Progress,
    elapsed: Duration,
) -> Summary {
    let counts = progress.snapshot();
    let (accepted, refused, bad) = (counts.rows_accepted, counts.rows_refused, counts.rows_bad);
    let journal = ledger.and_then(|ledger| ledger.journal.as_ref());
    let total = journal.map(|journal| journal.settled()).map_or(Totals { accepted, refused, bad }, |settled| Totals {
        accepted: settled.accepted,
        refused: settled.refused,
        bad: settled.bad,
    });
    let settled = accepted + refused + bad + progress.get(Count::SettledBefore);
    let (encoding, encoding_source) = facts.charset.describe();
    Summary {
        input: options.input.to_string(),
        to: options.to.clone(),
        end,
        rows_unsent: counts.rows_selected.saturating_sub(settled),
        total,
        seconds: elapsed.as_secs_f64(),
        encoding,
        encoding_source,
        delimiter: facts.delimiter.to_string(),
        date_format: facts.date_format.clone(),
        id_field: facts.id_field.clone(),
        lanes: facts.lanes,
        rejects: ledger.and_then(|ledger| ledger.rejects.written()).map(Into::into),
        journal: options.journal.as_ref().map(|journal| journal.path.clone()),
        counts,
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SendError> {
    spawn_blocking(work).await.map_err(|error| defect(&error))
}

fn defect(error: &JoinError) -> SendError {
    SendError::Defect(error.to_string())
}
