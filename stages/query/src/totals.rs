//! Totals over items: folded as they are read, so that memory holds one number for each.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bigdecimal::BigDecimal;
use penstock_api::spec::{Total, TotalFunction};

use crate::compile::Route;
use crate::decimal;
use crate::value::{Cell, Item, write_json};

/// The totals of some items.
#[derive(Debug, Clone)]
pub(crate) struct Totals(Vec<State>);

#[derive(Debug, Clone, Default)]
struct State {
    items: u64,
    /// Items with a number in the attribute.
    numbers: u64,
    sum: BigDecimal,
    least: Option<BigDecimal>,
    greatest: Option<BigDecimal>,
}

impl Totals {
    pub(crate) fn new(declared: &[Total]) -> Self {
        Self(vec![State::default(); declared.len()])
    }

    pub(crate) fn add(&mut self, declared: &[Total], item: &Item) {
        for (state, total) in self.0.iter_mut().zip(declared) {
            state.items += 1;
            let Some(AttributeValue::N(number)) = total.attribute.as_ref().and_then(|name| item.get(name)) else {
                continue;
            };
            let Some(number) = decimal::read(number) else { continue };
            state.numbers += 1;
            match total.function {
                TotalFunction::Count => {}
                TotalFunction::Sum | TotalFunction::Average => state.sum += number,
                TotalFunction::Min => {
                    if state.least.as_ref().is_none_or(|least| number < *least) {
                        state.least = Some(number);
                    }
                }
                TotalFunction::Max => {
                    if state.greatest.as_ref().is_none_or(|greatest| number > *greatest) {
                        state.greatest = Some(number);
                    }
                }
            }
        }
    }

    pub(crate) fn cells(&self, declared: &[Total]) -> Vec<Cell> {
        self.0.iter().zip(declared).map(|(state, total)| Cell::Computed(state.value(total.function))).collect()
    }
}

impl State {
    fn value(&self, function: TotalFunction) -> Option<BigDecimal> {
        match function {
            TotalFunction::Count => Some(BigDecimal::from(self.items)),
            TotalFunction::Sum => Some(self.sum.clone()),
            TotalFunction::Average => decimal::average(&self.sum, self.numbers),
            TotalFunction::Min => self.least.clone(),
            TotalFunction::Max => self.greatest.clone(),
        }
    }
}

/// Lines that each stand for the items that agree in some attributes, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_key: HashMap<Vec<u8>, usize>,
    lines: Vec<(Vec<Cell>, Totals)>,
}

impl Groups {
    /// Adds an item to its line. What a line shows beside the totals is that of its first item that has it.
    pub(crate) fn add(&mut self, route: &Route, item: &Item) {
        let mut key = Vec::new();
        for name in &route.plan.group_by {
            match item.get(name) {
                Some(value) => write_json(&mut key, value),
                None => key.extend_from_slice(b"null"),
            }
            key.push(b',');
        }
        let columns = route.columns.as_deref().unwrap_or_default();
        let index = *self.by_key.entry(key).or_insert_with(|| {
            self.lines.push((vec![Cell::Missing; columns.len()], Totals::new(&route.plan.totals)));
            self.lines.len() - 1
        });
        let (cells, totals) = &mut self.lines[index];
        for (cell, (_, attribute)) in cells.iter_mut().zip(columns) {
            if cell.is_missing() {
                *cell = Cell::of(item, attribute);
            }
        }
        totals.add(&route.plan.totals, item);
    }

    /// The cells of each line.
    pub(crate) fn lines(self, route: &Route) -> impl Iterator<Item = Vec<Cell>> {
        let totals = route.plan.totals.clone();
        self.lines.into_iter().map(move |(mut cells, sums)| {
            cells.extend(sums.cells(&totals));
            cells
        })
    }
}
