//! Answers that are made before they are sent: an item, a page, or a whole with its totals.

use aws_sdk_dynamodb::types::AttributeValue;
use penstock_api::spec::{Answer, EmptyAnswer, Order};

use crate::compile::Route;
use crate::negotiation::Format;
use crate::parameters::Asked;
use crate::problem::{Problem, ProblemKind};
use crate::question::{Question, sort_key, sort_text};
use crate::reading::{Allowance, Reader, too_much};
use crate::rows::{cells_line, csv_header, line};
use crate::token::{Cursor, Sealer};
use crate::totals::{Groups, Totals};
use crate::value::{Cell, Item, Rank};

/// How many items one call for a page with filters asks for: what is left out has been paid for.
const FILTERED_CALL: usize = 500;

/// An answer that can be sent.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) body: Vec<u8>,
    /// The token of the next page.
    pub(crate) next: Option<String>,
}

/// One request to one route.
pub(crate) struct Inquiry<'a> {
    pub(crate) route: &'a Route,
    pub(crate) asked: &'a Asked,
    pub(crate) question: &'a Question,
    pub(crate) format: Format,
    pub(crate) reader: &'a Reader,
    pub(crate) sealer: &'a Sealer,
}

impl Inquiry<'_> {
    pub(crate) async fn answer(&self) -> Result<Made, Problem> {
        match self.route.plan.answer {
            Answer::Item => self.item().await,
            Answer::Totals => self.totals().await,
            Answer::Items if self.route.is_whole() => self.whole().await,
            Answer::Items => self.page().await,
        }
    }

    async fn item(&self) -> Result<Made, Problem> {
        let found = self.reader.item(self.route, self.question).await?;
        let found = found.filter(|item| self.question.wants(item)).ok_or_else(not_found)?;
        let mut body = if self.format == Format::Csv { csv_header(self.route) } else { Vec::new() };
        body.extend_from_slice(&line(self.route, &found, self.format));
        self.end_of_line(&mut body);
        Ok(Made { body, next: None })
    }

    async fn totals(&self) -> Result<Made, Problem> {
        let declared = &self.route.plan.totals;
        let mut totals = Totals::new(declared);
        let mut count = 0_u64;
        self.read_all(|item| {
            count += 1;
            totals.add(declared, &item);
        })
        .await?;
        self.check_empty(count == 0)?;
        let names = declared.iter().map(|total| total.name.as_str());
        let mut body = if self.format == Format::Csv { csv_header(self.route) } else { Vec::new() };
        body.extend_from_slice(&cells_line(names, &totals.cells(declared), self.format));
        self.end_of_line(&mut body);
        Ok(Made { body, next: None })
    }

    /// Everything is read before the first line is known.
    async fn whole(&self) -> Result<Made, Problem> {
        let (mut lines, totals) = if self.route.is_grouped() { self.groups().await? } else { self.items().await? };
        self.check_empty(lines.is_empty())?;
        if self.route.plan.order_by.is_some() {
            let descending = self.route.plan.order == Order::Descending;
            lines.sort_by(|left, right| left.rank.compare(&right.rank, descending));
        } else if self.route.plan.order == Order::Descending {
            lines.reverse();
        }
        let start = self.offset()?;
        let most = self.most(lines.len());
        let end = start.saturating_add(most).min(lines.len());
        let next = (end < lines.len()).then_some(Cursor::Offset(end as u64));
        let shown = lines.get(start..end).unwrap_or_default().iter().map(|line| line.text.as_slice());
        self.list(shown, totals.as_ref(), next)
    }

    async fn items(&self) -> Result<(Vec<Line>, Option<Totals>), Problem> {
        let declared = &self.route.plan.totals;
        let mut totals = (!declared.is_empty()).then(|| Totals::new(declared));
        let order_by = self.order_attribute();
        let mut lines = Vec::new();
        self.read_all(|item| {
            if let Some(totals) = &mut totals {
                totals.add(declared, &item);
            }
            let rank = order_by.map_or(Rank::Nothing, |attribute| Cell::of(&item, attribute).rank());
            lines.push(Line { rank, text: line(self.route, &item, self.format) });
        })
        .await?;
        Ok((lines, totals))
    }

    async fn groups(&self) -> Result<(Vec<Line>, Option<Totals>), Problem> {
        let mut groups = Groups::default();
        self.read_all(|item| groups.add(self.route, &item)).await?;
        let names = self.route.column_names().unwrap_or_default();
        let ordered = self.route.plan.order_by.as_ref().and_then(|by| names.iter().position(|name| name == by));
        let lines = groups.lines(self.route).map(|cells| Line {
            rank: ordered.and_then(|index| cells.get(index)).map_or(Rank::Nothing, Cell::rank),
            text: cells_line(names.iter().copied(), &cells, self.format),
        });
        Ok((lines.collect(), None))
    }

    /// The attribute behind the field that the answer is ordered by.
    fn order_attribute(&self) -> Option<&str> {
        let by = self.route.plan.order_by.as_deref()?;
        let column = self.route.columns.iter().flatten().find(|(name, _)| name == by);
        Some(column.map_or(by, |(_, attribute)| attribute))
    }

    /// Gives every item that is wanted to `take`, within what the route may read.
    async fn read_all(&self, mut take: impl FnMut(Item)) -> Result<(), Problem> {
        let mut allowance = Allowance::of(self.route);
        for partition in &self.question.partitions {
            let mut after = None;
            loop {
                let most = allowance.next_call();
                let page = self.reader.page(self.route, self.question, partition, after, most).await?;
                if !allowance.take(&page) || (allowance.is_used_up() && page.more_after.is_some()) {
                    return Err(too_much(self.route));
                }
                after = page.more_after;
                page.items.into_iter().filter(|item| self.question.wants(item)).for_each(&mut take);
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads until the page is full, the partition ends, or enough was read for one request.
    async fn page(&self) -> Result<Made, Problem> {
        let most = self.most(usize::MAX);
        let partition = self.question.partitions.first().ok_or_else(not_found)?;
        let mut after = self.start()?;
        let is_first = after.is_none();
        let mut allowance = Allowance::of(self.route);
        let mut items: Vec<Item> = Vec::new();
        // One item more than is shown says whether there is a next page.
        while items.len() <= most {
            let left = most + 1 - items.len();
            let call = if self.question.tests.is_empty() { left } else { left.max(FILTERED_CALL) };
            let call = i32::try_from(call).unwrap_or(i32::MAX).min(allowance.next_call());
            let page = self.reader.page(self.route, self.question, partition, after.take(), call).await?;
            allowance.take(&page);
            after = page.more_after;
            items.extend(page.items.into_iter().filter(|item| self.question.wants(item)));
            if after.is_none() || allowance.is_used_up() {
                break;
            }
        }
        let next = if items.len() > most {
            items.truncate(most);
            items.last().and_then(|item| self.sort_of(item))
        } else {
            after
        };
        self.check_empty(items.is_empty() && is_first && next.is_none())?;
        let next = next.as_ref().and_then(sort_text).map(Cursor::After);
        let lines: Vec<_> = items.iter().map(|item| line(self.route, item, self.format)).collect();
        self.list(lines.iter().map(Vec::as_slice), None, next)
    }

    fn sort_of(&self, item: &Item) -> Option<AttributeValue> {
        item.get(&self.route.plan.sort_key.as_ref()?.name).cloned()
    }

    /// How many lines are shown: what was asked for; all of a table of lines; else a page.
    fn most(&self, all: usize) -> usize {
        let of_a_page = self.route.plan.page_items as usize;
        self.asked.limit.unwrap_or(if self.format == Format::Json { of_a_page } else { all.max(1) })
    }

    fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let open = |token: &String| self.sealer.open(&self.question.fingerprint, token);
        self.asked.next.as_ref().map(open).transpose()
    }

    fn start(&self) -> Result<Option<AttributeValue>, Problem> {
        match self.cursor()? {
            Some(Cursor::After(key)) => sort_key(self.route, &key).map(Some).ok_or_else(other_kind),
            Some(Cursor::Offset(_)) => Err(other_kind()),
            None => Ok(None),
        }
    }

    fn offset(&self) -> Result<usize, Problem> {
        match self.cursor()? {
            Some(Cursor::Offset(lines)) => Ok(usize::try_from(lines).unwrap_or(usize::MAX)),
            Some(Cursor::After(_)) => Err(other_kind()),
            None => Ok(0),
        }
    }

    fn list<'b>(
        &self,
        lines: impl Iterator<Item = &'b [u8]>,
        totals: Option<&Totals>,
        next: Option<Cursor>,
    ) -> Result<Made, Problem> {
        let seal = |cursor| self.sealer.seal(&self.question.fingerprint, &cursor);
        let next = next.map(seal).transpose().map_err(|error| {
            Problem::new(ProblemKind::Internal, format!("{error}: ask for fewer items in one page"))
        })?;
        let body = match self.format {
            Format::Json => self.json(lines, totals, next.as_deref()),
            Format::Ndjson => lines.flat_map(|line| [line, b"\n"].concat()).collect(),
            Format::Csv => [csv_header(self.route)].into_iter().chain(lines.map(<[u8]>::to_vec)).flatten().collect(),
        };
        Ok(Made { body, next })
    }

    fn json<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, totals: Option<&Totals>, next: Option<&str>) -> Vec<u8> {
        let mut body = b"{\"items\":[".to_vec();
        for (index, line) in lines.enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(line);
        }
        body.push(b']');
        if let Some(totals) = totals {
            let declared = &self.route.plan.totals;
            let names = declared.iter().map(|total| total.name.as_str());
            body.extend_from_slice(b",\"totals\":");
            body.extend_from_slice(&cells_line(names, &totals.cells(declared), Format::Json));
        }
        if let Some(next) = next {
            // A token has letters, digits, `-` and `_`.
            body.extend_from_slice(format!(",\"next\":\"{next}\"").as_bytes());
        }
        body.push(b'}');
        body
    }

    fn check_empty(&self, is_empty: bool) -> Result<(), Problem> {
        if is_empty && self.route.plan.empty == EmptyAnswer::NotFound { Err(not_found()) } else { Ok(()) }
    }

    fn end_of_line(&self, body: &mut Vec<u8>) {
        if self.format == Format::Ndjson {
            body.push(b'\n');
        }
    }
}

struct Line {
    rank: Rank,
    text: Vec<u8>,
}

pub(crate) fn not_found() -> Problem {
    Problem::new(ProblemKind::NotFound, "nothing is stored under this key")
}

fn other_kind() -> Problem {
    Problem::new(ProblemKind::BadToken, "send `next` as the page before gave it, with the same path and parameters")
}
