//! The chart as an earlier version may have had it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use crate::setting::root;

pub(crate) const VERSION: &str = "0.0.9";
/// A field of a Pipeline that the earlier version did not know.
pub(crate) const NEW_FIELD: &str = "suspend";
const DEFINITION: &str = "files/crds/pipelines.penstock.dev.yaml";

/// Writes the chart into the folder, without what has come since.
pub(crate) fn chart(folder: &Path) -> Result<PathBuf> {
    let chart = folder.join("older-chart");
    let copied = Command::new("cp").arg("-r").arg(root().join("charts/penstock")).arg(&chart).status()?;
    ensure!(copied.success(), "the chart cannot be copied");
    change(&chart.join("Chart.yaml"), |about| {
        about.insert("version".into(), VERSION.into());
        Ok(())
    })?;
    change(&chart.join(DEFINITION), |definition| {
        let mut fields = definition;
        for step in ["spec", "versions", "schema", "openAPIV3Schema", "properties", "spec", "properties"] {
            let next = fields.get_mut(step).with_context(|| format!("the definition has no {step}"))?;
            let next =
                if step == "versions" { next.get_mut(0).context("the definition has no version")? } else { next };
            fields = next.as_mapping_mut().with_context(|| format!("{step} is no object"))?;
        }
        fields.remove(NEW_FIELD).with_context(|| format!("a Pipeline has no {NEW_FIELD}"))?;
        Ok(())
    })?;
    Ok(chart)
}

fn change(file: &Path, how: impl FnOnce(&mut serde_yaml::Mapping) -> Result<()>) -> Result<()> {
    let mut document: Value = serde_yaml::from_str(&fs::read_to_string(file)?)?;
    how(document.as_mapping_mut().context("the document is no object")?)?;
    fs::write(file, serde_yaml::to_string(&document)?)?;
    Ok(())
}
