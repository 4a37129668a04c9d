//! Whole lists as NDJSON or CSV, sent as they are read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::try_unfold;
use penstock_api::spec::EmptyAnswer;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::answer::not_found;
use crate::compile::Route;
use crate::encoding::Encoder;
use crate::negotiation::{Coding, Format};
use crate::problem::{Problem, ProblemKind};
use crate::question::Question;
use crate::reading::{Allowance, Page, Reader, too_much};
use crate::rows::{csv_header, line};

/// How many items one call asks for; it answers 1 MB at most whatever is asked.
const CALL_ITEMS: i32 = 5_000;

/// A list on its way out.
pub(crate) struct Stream {
    pub(crate) route: Arc<Route>,
    pub(crate) question: Question,
    pub(crate) format: Format,
    pub(crate) coding: Coding,
    pub(crate) reader: Reader,
    pub(crate) patience: Duration,
    /// Its place among the requests that are worked on, kept until the last byte.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// What is left to do.
struct Rest {
    stream: Stream,
    encoder: Encoder,
    partition: AttributeValue,
    allowance: Allowance,
    at: At,
}

enum At {
    /// Read and not sent.
    Page(Page),
    /// The next call goes on after this.
    After(AttributeValue),
    End,
}

impl Stream {
    /// Reads the first page, so that what goes wrong at once is still told with a status.
    pub(crate) async fn start(self) -> Result<Body, Problem> {
        let partition = self.question.partitions.first().cloned().ok_or_else(not_found)?;
        let mut allowance = Allowance::of(&self.route);
        let page = self.page(&partition, None, &mut allowance).await?;
        let is_empty = page.more_after.is_none() && !page.items.iter().any(|item| self.question.wants(item));
        if is_empty && self.route.plan.empty == EmptyAnswer::NotFound {
            return Err(not_found());
        }
        let encoder = Encoder::new(self.coding).map_err(|error| {
            Problem::new(ProblemKind::Internal, format!("the answer cannot be compressed: {error}"))
        })?;
        let rest = Rest { stream: self, encoder, partition, allowance, at: At::Page(page) };
        let header = if rest.stream.format == Format::Csv { csv_header(&rest.stream.route) } else { Vec::new() };
        Ok(Body::from_stream(try_unfold((Some(rest), header), |(rest, header)| async move {
            match rest {
                Some(rest) => rest.next(header).await,
                None => Ok(None),
            }
        })))
    }

    async fn page(
        &self,
        partition: &AttributeValue,
        after: Option<AttributeValue>,
        allowance: &mut Allowance,
    ) -> Result<Page, Problem> {
        let most = CALL_ITEMS.min(allowance.next_call());
        let reading = self.reader.page(&self.route, &self.question, partition, after, most);
        let slow = |_| Problem::new(ProblemKind::TooSlow, "the table takes too long; ask again later");
        let page = timeout(self.patience, reading).await.map_err(slow)??;
        if !allowance.take(&page) || (allowance.is_used_up() && page.more_after.is_some()) {
            return Err(too_much(&self.route));
        }
        Ok(page)
    }

    fn lines(&self, page: &Page) -> Vec<u8> {
        let mut out = Vec::with_capacity(page.items.len() * 128);
        for item in page.items.iter().filter(|item| self.question.wants(item)) {
            out.extend_from_slice(&line(&self.route, item, self.format));
            if self.format == Format::Ndjson {
                out.push(b'\n');
            }
        }
        out
    }
}

type Step = Option<(Bytes, (Option<Rest>, Vec<u8>))>;

impl Rest {
    /// The next piece of the body. An error ends the connection without the end of the body, so it is not taken for all.
    async fn next(mut self, before: Vec<u8>) -> io::Result<Step> {
        let page = match std::mem::replace(&mut self.at, At::End) {
            At::Page(page) => page,
            At::After(after) => {
                let read = self.stream.page(&self.partition, Some(after), &mut self.allowance).await;
                read.map_err(|problem| {
                    let code = problem.kind().code();
                    tracing::warn!(code, path = self.stream.route.plan.path, "an answer was broken off");
                    self.stream.reader.telemetry.broken_off(code);
                    io::Error::other(code)
                })?
            }
            At::End => {
                let last = self.encoder.finish()?;
                return Ok((!last.is_empty()).then_some((last, (None, Vec::new()))));
            }
        };
        let piece = [before, self.stream.lines(&page)].concat();
        let piece = self.encoder.piece(&piece)?;
        self.at = page.more_after.map_or(At::End, At::After);
        Ok(Some((piece, (Some(self), Vec::new()))))
    }
}
