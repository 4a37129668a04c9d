//! What a sink wrote to a DynamoDB table.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use bigdecimal::BigDecimal;
use penstock_api::plan::{SinkStage, StageConfig, TableTarget, WriteTarget};

use super::{StoreCount, StoreKind, Tally};
use crate::run::report::Total;

pub(super) async fn count(
    client: &Client,
    config: &StageConfig,
    sink: &SinkStage,
    table: &TableTarget,
    total: Option<&Total>,
) -> anyhow::Result<StoreCount> {
    let id_field = match table.write {
        WriteTarget::Put => sink.id_field.as_deref(),
        WriteTarget::Aggregate { .. } => None,
    };
    let mut tally = Tally::new(id_field, total);
    let mut pages = client.scan().table_name(&table.name).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.with_context(|| format!("the table {:?} cannot be read", table.name))?;
        for item in page.items.unwrap_or_default() {
            add(&mut tally, &item);
        }
    }
    Ok(tally.into_count(&config.name, StoreKind::Table, table.name.clone(), None))
}

fn add(tally: &mut Tally<'_>, item: &HashMap<String, AttributeValue>) {
    tally.records += 1;
    if let Some(AttributeValue::S(id)) = tally.id_field.and_then(|field| item.get(field)) {
        tally.add_id(id);
    }
    if let Some(amount) = tally.total.and_then(|total| total_of(total, item)) {
        tally.sum += amount;
    }
}

fn total_of(total: &Total, item: &HashMap<String, AttributeValue>) -> Option<BigDecimal> {
    total.of(|field| item.get(field)?.as_n().ok().cloned())
}
