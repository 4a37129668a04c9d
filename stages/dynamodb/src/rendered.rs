//! What one record comes to, for those who compare tables with a stream.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use penstock_contract::{Record, Rejection, ShardId};

use crate::batch::{TableWrites, Writes};
use crate::request;
use crate::sink::DynamoDbSink;

/// The item of a table with `write: put` that a record makes.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedItem {
    /// The table.
    pub table: String,
    /// The attributes of its key.
    pub key: HashMap<String, AttributeValue>,
    /// All attributes.
    pub item: HashMap<String, AttributeValue>,
}

impl DynamoDbSink {
    /// The items that a record makes by the sink's present recipe, in tables with `write: put`.
    ///
    /// # Errors
    /// When the record cannot be handled.
    pub fn render(&self, record: &Record, shard: &ShardId) -> Result<Vec<RenderedItem>, Rejection> {
        let config = self.config();
        let mut writes = Writes::new(config);
        writes.push(config, shard, record)?;
        let mut rendered = Vec::new();
        for (table, writes) in config.tables.iter().zip(&writes.tables) {
            let TableWrites::Puts(puts) = writes else { continue };
            for entry in &puts.list {
                let (key, item) = (table.key.item(&entry.key), request::item(table, entry)?);
                rendered.push(RenderedItem { table: table.name.clone(), key, item });
            }
        }
        Ok(rendered)
    }
}
