//! What the library behind the engine does not know and clients ask for: continuous backups (a setting that is kept,
//! and nothing more) and the account's limits.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dynoxide::Database;
use dynoxide::actions::describe_table::DescribeTableRequest;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

/// Operations that are answered here.
pub(super) const OPERATIONS: [&str; 3] = ["DescribeContinuousBackups", "UpdateContinuousBackups", "DescribeLimits"];

/// A refusal: the exception's name and its message.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

/// Tables for which continuous backups are on, by their ids.
pub(super) struct Backups {
    path: PathBuf,
    enabled: Mutex<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    table_name: Option<String>,
    point_in_time_recovery_specification: Option<Specification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Specification {
    point_in_time_recovery_enabled: Option<bool>,
}

fn validation(message: impl Into<String>) -> Refusal {
    Refusal { kind: "ValidationException", message: message.into() }
}

impl Backups {
    /// Reads the settings that were kept.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("dynamodb-backups.json");
        let enabled = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, enabled: Mutex::new(enabled) })
    }

    /// Answers one of [`OPERATIONS`]. Waits for the disk.
    pub(super) fn answer(&self, database: &Database, operation: &str, body: &[u8]) -> Result<Value, Refusal> {
        match operation {
            "DescribeLimits" => Ok(limits()),
            "DescribeContinuousBackups" => self.describe(&self.table(database, body)?.0),
            _ => {
                let (id, request) = self.table(database, body)?;
                let wanted = request
                    .point_in_time_recovery_specification
                    .and_then(|specification| specification.point_in_time_recovery_enabled)
                    .ok_or_else(|| {
                        validation("PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled is missing")
                    })?;
                self.set(&id, wanted)?;
                self.describe(&id)
            }
        }
    }

    /// The id of the table that a request names; an id ends with its table, a name may come back.
    fn table(&self, database: &Database, body: &[u8]) -> Result<(String, Request), Refusal> {
        let request: Request = serde_json::from_slice(body).map_err(|error| validation(error.to_string()))?;
        let name = request.table_name.clone().ok_or_else(|| validation("TableName is missing"))?;
        let described = database
            .describe_table(DescribeTableRequest { table_name: name.clone() })
            .map_err(|_| Refusal { kind: "TableNotFoundException", message: format!("Table not found: {name}") })?;
        let description = serde_json::to_value(described).map_err(|error| validation(error.to_string()))?;
        let id = description["Table"]["TableId"].as_str().unwrap_or(&name).to_owned();
        Ok((id, request))
    }

    #[allow(clippy::unnecessary_wraps, reason = "answers like the other operations")]
    fn describe(&self, table: &str) -> Result<Value, Refusal> {
        let enabled = self.enabled.lock().contains(table);
        let status = if enabled { "ENABLED" } else { "DISABLED" };
        Ok(json!({ "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
        }}))
    }

    fn set(&self, table: &str, wanted: bool) -> Result<(), Refusal> {
        let mut enabled = self.enabled.lock();
        let changed = if wanted { enabled.insert(table.to_owned()) } else { enabled.remove(table) };
        if changed && let Err(error) = self.save(&enabled) {
            tracing::error!(%error, "the setting of continuous backups could not be kept");
            return Err(Refusal { kind: "InternalServerError", message: error.to_string() });
        }
        Ok(())
    }

    /// Replaces the file as a whole, so that a crash leaves the old one or the new one.
    fn save(&self, enabled: &BTreeSet<String>) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(enabled)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

/// The defaults of an account. <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
fn limits() -> Value {
    json!({
        "AccountMaxReadCapacityUnits": 80_000,
        "AccountMaxWriteCapacityUnits": 80_000,
        "TableMaxReadCapacityUnits": 40_000,
        "TableMaxWriteCapacityUnits": 40_000,
    })
}
