//! Whole lists as NDJSON or CSV. One that is a single page of the table is made before it is sent; a longer one is sent as it
//! is read, to the end of its partition: what bounds it is a page, its time and the client's pace, not what a route reads for
//! an answer that it must hold.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::Body;
use penstock_api::spec::EmptyAnswer;
use penstock_runtime::Backoff;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::answer::not_found;
use crate::compile::Route;
use crate::encoding::Encoder;
use crate::negotiation::{Coding, Format};
use crate::outbox::{CLIENT_TOO_SLOW, NotTaken, Outbox, Room, Sender};
use crate::problem::{Problem, ProblemKind};
use crate::question::Question;
use crate::reading::{Page, Reader};
use crate::rows::{csv_header, line};

/// How many items one call asks for; it answers 1 MB at most whatever is asked.
const CALL_ITEMS: i32 = 5_000;

/// A list that is wanted whole.
pub(crate) struct List {
    pub(crate) route: Arc<Route>,
    pub(crate) question: Question,
    pub(crate) format: Format,
    pub(crate) reader: Reader,
    /// For each page of the table.
    pub(crate) patience: Duration,
    /// A page is read, and made into text, with one of these; it is sent without.
    pub(crate) places: Arc<Semaphore>,
}

/// The beginning of a list.
pub(crate) enum Begun {
    /// It is all there is.
    Whole(Vec<u8>),
    Part(Part),
}

/// A list of which a part is read.
pub(crate) struct Part {
    list: List,
    partition: AttributeValue,
    text: Vec<u8>,
    after: AttributeValue,
}

impl List {
    /// Reads the first page, so that what goes wrong at once is still told with a status.
    pub(crate) async fn begin(self, place: OwnedSemaphorePermit) -> Result<Begun, Problem> {
        let partition = self.question.partitions.first().cloned().ok_or_else(not_found)?;
        let page = self.page(&partition, None).await?;
        let is_empty = page.more_after.is_none() && !page.items.iter().any(|item| self.question.wants(item));
        if is_empty && self.route.plan.empty == EmptyAnswer::NotFound {
            return Err(not_found());
        }
        let mut text = if self.format == Format::Csv { csv_header(&self.route) } else { Vec::new() };
        self.write(&page, &mut text);
        drop(place);
        Ok(match page.more_after {
            Some(after) => Begun::Part(Part { list: self, partition, text, after }),
            None => Begun::Whole(text),
        })
    }

    async fn page(&self, partition: &AttributeValue, after: Option<AttributeValue>) -> Result<Page, Problem> {
        let reading = self.reader.page(&self.route, &self.question, partition, after, CALL_ITEMS);
        let slow = |_| Problem::new(ProblemKind::TooSlow, "the table takes too long; ask again later");
        timeout(self.patience, reading).await.map_err(slow)?
    }

    fn write(&self, page: &Page, out: &mut Vec<u8>) {
        for item in page.items.iter().filter(|item| self.question.wants(item)) {
            out.extend_from_slice(&line(&self.route, item, self.format));
            if self.format == Format::Ndjson {
                out.push(b'\n');
            }
        }
    }

    /// The text of the next page, and where the one after it begins. What passes is tried again while the page has time:
    /// whoever asked could not go on where the list broke off.
    async fn read_on(
        &self,
        partition: &AttributeValue,
        after: AttributeValue,
    ) -> Result<(Vec<u8>, Option<AttributeValue>), Problem> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let give_up_at = Instant::now() + self.patience;
        loop {
            // The semaphore is never closed.
            let place = self.places.acquire().await;
            let problem = match self.page(partition, Some(after.clone())).await {
                Ok(page) => {
                    let mut text = Vec::new();
                    self.write(&page, &mut text);
                    return Ok((text, page.more_after));
                }
                Err(problem) => problem,
            };
            drop(place);
            let wait = backoff.next_wait();
            if !passes(problem.kind()) || Instant::now() + wait >= give_up_at {
                return Err(problem);
            }
            sleep(wait).await;
        }
    }
}

/// Whether the same read may succeed soon.
fn passes(kind: ProblemKind) -> bool {
    matches!(kind, ProblemKind::Throttled | ProblemKind::Unavailable)
}

/// Without anything to send there is no client's pace that would bound the reading.
fn nothing_found() -> Problem {
    Problem::new(ProblemKind::TooMuchToRead, "for as long as an answer may take nothing was read that the filter wants")
}

fn not_packed(error: &io::Error) -> Problem {
    Problem::new(ProblemKind::Internal, format!("the answer cannot be compressed: {error}"))
}

/// Why the rest of a list is not sent.
enum BrokenOff {
    Made(Problem),
    Client(NotTaken),
}

impl Part {
    /// Sends it, and the rest as it is read. An error ends the connection without the end of the body, so that it is not
    /// taken for all.
    pub(crate) fn into_body(self, coding: Coding, outbox: &Outbox, room: Room) -> Result<Body, Problem> {
        let encoder = Encoder::new(coding).map_err(|error| not_packed(&error))?;
        let (sender, body) = outbox.open();
        tokio::spawn(async move {
            let _room = room;
            let (route, telemetry) = (Arc::clone(&self.list.route), self.list.reader.telemetry.clone());
            let Err(broken_off) = self.send(encoder, sender).await else { return };
            let Some(code) = broken_off.code() else { return };
            tracing::warn!(code, path = route.plan.path, "an answer was broken off");
            telemetry.broken_off(code);
        });
        Ok(body)
    }

    async fn send(self, mut encoder: Encoder, sender: Sender) -> Result<(), BrokenOff> {
        let Self { list, partition, mut text, after } = self;
        let mut after = Some(after);
        let mut found = Instant::now();
        loop {
            if !text.is_empty() {
                found = Instant::now();
            } else if found.elapsed() > list.patience {
                return Err(BrokenOff::Made(nothing_found()));
            }
            let piece =
                encoder.piece(&std::mem::take(&mut text)).map_err(|error| BrokenOff::Made(not_packed(&error)))?;
            sender.send(&piece).await.map_err(BrokenOff::Client)?;
            let Some(from) = after else { break };
            if sender.is_unwanted() {
                return Err(BrokenOff::Client(NotTaken::Gone));
            }
            (text, after) = list.read_on(&partition, from).await.map_err(BrokenOff::Made)?;
        }
        let last = encoder.finish().map_err(|error| BrokenOff::Made(not_packed(&error)))?;
        sender.send(&last).await.map_err(BrokenOff::Client)?;
        sender.end().await.map_err(BrokenOff::Client)
    }
}

impl BrokenOff {
    /// None where the client did not want the rest.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Made(problem) => Some(problem.kind().code()),
            Self::Client(NotTaken::TooSlow) => Some(CLIENT_TOO_SLOW),
            Self::Client(NotTaken::Gone) => None,
        }
    }
}
