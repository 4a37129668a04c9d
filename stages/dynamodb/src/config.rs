//! What decides the sink's effect: read from the stage's configuration, or from a recipe that was pinned.

use bytes::Bytes;
use penstock_api::plan::{SinkStage, SinkTarget, TableTarget, WriteTarget};
use penstock_api::spec::Number;
use penstock_contract::{Recipe, SinkError};
use penstock_process::{Condition, FieldPath, ProgramError, TemplateError, Transform};
use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::key::KeySpec;

/// The beginning of the attributes that are the sink's own. Queries leave them out.
pub const RESERVED_PREFIX: &str = "_penstock";

/// The only recipe format that there is.
const RECIPE_VERSION: u32 = 1;

/// A configuration that no sink can be made of. Validation finds it in the manifest.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The stage has another target.
    #[error("the stage's target is not DynamoDB")]
    OtherTarget,
    /// The stage's program is not valid.
    #[error("process: {source}")]
    Process {
        /// What the compiler found.
        #[source]
        source: ProgramError,
    },
    /// A table's condition is not valid.
    #[error("table {table}: when: {source}")]
    When {
        /// The table.
        table: String,
        /// What the compiler found.
        #[source]
        source: ProgramError,
    },
    /// A key's template is not valid.
    #[error("table {table}: {part}.template: {source}; {cure}", cure = source.cure)]
    Template {
        /// The table.
        table: String,
        /// `partition` or `sort`.
        part: &'static str,
        /// What is wrong and where.
        #[source]
        source: TemplateError,
    },
    /// An attribute's name cannot be used, or not twice.
    #[error("table {table}: the attribute {attribute:?} {fault}")]
    Attribute {
        /// The table.
        table: String,
        /// The attribute.
        attribute: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl ConfigError {
    /// A stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherTarget => "other_target",
            Self::Process { .. } => "process_invalid",
            Self::When { .. } => "when_invalid",
            Self::Template { .. } => "template_invalid",
            Self::Attribute { .. } => "attribute_invalid",
        }
    }
}

/// Checks a stage's configuration as starting it would, without a client.
///
/// # Errors
/// When no sink can be made of it.
pub fn check(stage: &SinkStage) -> Result<(), ConfigError> {
    Config::new(stage).map(|_| ())
}

/// The sink's effect, compiled.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) tables: Vec<Table>,
    pub(crate) transform: Transform,
    pub(crate) id_field: Option<String>,
    /// Tells the marks of this application from those of another that adds to the same items.
    pub(crate) application: String,
    pub(crate) recipe: Recipe,
}

/// A table and how records become its items.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) when: Option<Condition>,
    pub(crate) key: KeySpec,
    pub(crate) write: Write,
    pub(crate) ttl: Option<FieldPath>,
}

/// How records become items.
#[derive(Debug)]
pub(crate) enum Write {
    /// Each record has an item of its own.
    PutOwn,
    /// Records share items; the one with the latest position stays.
    PutLatest,
    /// One item a key, with sums and latest values.
    Aggregate {
        /// Attribute and the field that it takes the latest value of.
        set: Vec<(String, FieldPath)>,
        /// Attribute and what it sums.
        add: Vec<(String, Addend)>,
    },
}

/// What a record adds to a sum.
#[derive(Debug)]
pub(crate) enum Addend {
    Constant(Decimal),
    Field(FieldPath),
}

/// A recipe's bytes. The order of its fields is the order here, and maps are ordered by key: the same
/// configuration gives the same bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    version: u32,
    application: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<String>,
    tables: Vec<TableTarget>,
}

impl Config {
    pub(crate) fn new(stage: &SinkStage) -> Result<Self, ConfigError> {
        let SinkTarget::DynamoDb(target) = &stage.target else { return Err(ConfigError::OtherTarget) };
        Self::compile(Written {
            version: RECIPE_VERSION,
            application: short_hash(&stage.lease_table),
            id_field: stage.id_field.clone(),
            process: stage.process.clone(),
            tables: target.tables.clone(),
        })
    }

    pub(crate) fn from_recipe(recipe: &Recipe) -> Result<Self, SinkError> {
        let unreadable = |message: String| SinkError::Fatal {
            reason: "recipe_unreadable",
            doing: "reading the recipe of a range that was pinned".to_owned(),
            message,
        };
        let written: Written = serde_json::from_slice(&recipe.0)
            .map_err(|error| unreadable(format!("{error}; run the version of Penstock that pinned it")))?;
        if written.version != RECIPE_VERSION {
            let message =
                format!("its format {} is not known; run the version of Penstock that pinned it", written.version);
            return Err(unreadable(message));
        }
        let compiled = Self::compile(written).map_err(|error| unreadable(error.to_string()))?;
        // The bytes as they were pinned, so that pinning them again changes nothing.
        Ok(Self { recipe: recipe.clone(), ..compiled })
    }

    fn compile(written: Written) -> Result<Self, ConfigError> {
        let id_field = written.id_field.as_deref();
        let tables = written.tables.iter().map(|table| Table::compile(table, id_field)).collect::<Result<_, _>>()?;
        let transform = Transform::new(written.process.as_deref()).map_err(|source| ConfigError::Process { source })?;
        // Strings and numbers only: there is nothing in it that could fail to serialise.
        let recipe = Recipe(Bytes::from(serde_json::to_vec(&written).unwrap_or_default()));
        Ok(Self { tables, transform, id_field: written.id_field, application: written.application, recipe })
    }
}

impl Table {
    fn compile(target: &TableTarget, id_field: Option<&str>) -> Result<Self, ConfigError> {
        let when = target.when.as_deref().map(Condition::compile).transpose();
        let when = when.map_err(|source| ConfigError::When { table: target.name.clone(), source })?;
        let key = key(target)?;
        let write = match &target.write {
            WriteTarget::Put if key.holds_id(id_field) => Write::PutOwn,
            WriteTarget::Put => Write::PutLatest,
            WriteTarget::Aggregate { set, add } => Write::Aggregate {
                set: set.iter().map(|(attribute, field)| (attribute.clone(), FieldPath::new(field.as_str()))).collect(),
                add: add.iter().map(|(attribute, number)| (attribute.clone(), Addend::new(number))).collect(),
            },
        };
        let ttl = target.ttl.as_ref().map(|ttl| FieldPath::new(ttl.field.as_str()));
        let table = Self { name: target.name.clone(), when, key, write, ttl };
        table.check_attributes()?;
        Ok(table)
    }

    /// No name twice, none empty, none of the sink's own.
    fn check_attributes(&self) -> Result<(), ConfigError> {
        let mut seen = Vec::new();
        let written: Vec<&str> = match &self.write {
            Write::PutOwn | Write::PutLatest => Vec::new(),
            Write::Aggregate { set, add } => {
                set.iter().map(|(name, _)| name.as_str()).chain(add.iter().map(|(name, _)| name.as_str())).collect()
            }
        };
        for attribute in self.key.attributes().chain(written) {
            let fault = if attribute.is_empty() {
                "has no name"
            } else if attribute.starts_with(RESERVED_PREFIX) {
                "begins with _penstock, which is kept for the sink's own"
            } else if seen.contains(&attribute) {
                "is written twice: as key, in `set` or in `add`"
            } else {
                seen.push(attribute);
                continue;
            };
            return Err(self.attribute_error(attribute, fault));
        }
        let Some(ttl) = self.ttl.as_ref().map(FieldPath::as_str) else { return Ok(()) };
        if ttl.starts_with(RESERVED_PREFIX) {
            return Err(self.attribute_error(ttl, "begins with _penstock, which is kept for the sink's own"));
        }
        if matches!(self.write, Write::Aggregate { .. }) && seen.contains(&ttl) {
            return Err(self.attribute_error(ttl, "is written by `ttl` already"));
        }
        Ok(())
    }

    fn attribute_error(&self, attribute: &str, fault: &'static str) -> ConfigError {
        ConfigError::Attribute { table: self.name.clone(), attribute: attribute.to_owned(), fault }
    }
}

impl Addend {
    fn new(number: &Number) -> Self {
        match number {
            Number::Constant(constant) => Self::Constant(Decimal::from_whole(*constant)),
            Number::Field(field) => Self::Field(FieldPath::new(field.as_str())),
        }
    }
}

fn key(target: &TableTarget) -> Result<KeySpec, ConfigError> {
    let template_error = |part| {
        let table = target.name.clone();
        move |source| ConfigError::Template { table, part, source }
    };
    // Once by itself, so that an error names the part that it is in.
    KeySpec::new(&target.partition, None).map_err(template_error("partition"))?;
    KeySpec::new(&target.partition, target.sort.as_ref()).map_err(template_error("sort"))
}

/// FNV-1a with 32 bits, as hexadecimal digits: short, because every item carries it.
fn short_hash(text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

#[cfg(test)]
#[path = "config_tests.rs"]
pub(crate) mod tests;
