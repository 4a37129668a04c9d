//! What of a Pipeline matters for its bill: streams, who puts into them, who reads them, and what becomes of the rows.

use std::collections::BTreeSet;

use penstock_api::plan::{
    BillingPlan, HttpStage, SinkStage, SinkTarget, StageKind, TablePurpose, TableTarget, WriteTarget,
};
use penstock_api::spec::{Aggregation, Compression, KeyField, StageTemplate, StreamMode};
use penstock_api::{Pipeline, Plan};
use penstock_process::Template;

use super::load::Load;
use super::pods::{Pod, requested};

/// The load does not fit the Pipeline, or something must be known that it does not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}\n  cure: {cure}")]
pub(super) struct Misfit {
    /// The field, or the argument.
    pub(super) place: String,
    pub(super) what: String,
    pub(super) cure: String,
}

/// What the arguments say in place of the Pipeline.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Instead {
    pub(super) shards: Option<u32>,
    pub(super) retention_hours: Option<f64>,
}

/// One stream with all that it is between.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// The buffer in the Pipeline, such as `spec.buffers[0]`.
    pub(super) place: String,
    pub(super) on_demand: bool,
    pub(super) shards: f64,
    pub(super) retention_hours: f64,
    pub(super) sources: Vec<Source>,
    pub(super) sinks: Vec<Sink>,
}

#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Rows a second.
    pub(super) rows: f64,
    pub(super) replicas: f64,
    pub(super) pod: Pod,
    pub(super) aggregated: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Sink {
    pub(super) replicas: f64,
    pub(super) pod: Pod,
    pub(super) fan_out: bool,
    pub(super) target: Target,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Objects(Objects),
    Tables(Vec<Table>),
}

#[derive(Debug, Clone)]
pub(super) struct Objects {
    /// Objects that a range is divided into at most.
    pub(super) prefixes: f64,
    /// Records are sorted into them by their fields.
    pub(super) partitioned: bool,
    pub(super) rotate_bytes: f64,
    pub(super) rotate_seconds: f64,
    pub(super) compressed: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) place: String,
    /// The share of the rows that it takes.
    pub(super) share: f64,
    pub(super) items: Items,
    pub(super) billing: Option<BillingPlan>,
    pub(super) continuous_backups: bool,
}

/// What becomes an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    /// Each row, together with others in a call.
    OwnOfEachRow,
    /// The latest row of a key.
    LatestOfKey,
    /// The sum of all rows of a key, which come from one shard or from any.
    SumOfKey {
        /// Its rows lie in one shard, for the key holds what chooses the shard.
        in_one_shard: bool,
    },
}

impl Flow {
    /// Rows a second.
    pub(super) fn rows(&self) -> f64 {
        self.sources.iter().map(|source| source.rows).sum()
    }
}

impl Objects {
    /// What is left of bytes of lines.
    pub(super) fn stored(&self, bytes: f64, load: &Load) -> f64 {
        if self.compressed { bytes * load.compressed_to } else { bytes }
    }
}

/// The streams of a Pipeline. Its sources have equal parts of the load.
pub(super) fn of(pipeline: &Pipeline, plan: &Plan, load: &Load, instead: Instead) -> Result<Vec<Flow>, Misfit> {
    check_shares(plan, load)?;
    let reading = Reading { pipeline, plan, load };
    let buffers = pipeline.spec.buffers.iter().zip(&plan.resources.streams).enumerate();
    let flows = buffers.map(|(index, (buffer, stream))| {
        let on_demand = stream.mode == StreamMode::OnDemand;
        Ok(Flow {
            place: format!("spec.buffers[{index}]"),
            on_demand,
            shards: f64::from(instead.shards.or(stream.shards).unwrap_or(1)),
            retention_hours: instead.retention_hours.unwrap_or(f64::from(stream.retention_hours)),
            sources: reading.sources(&buffer.name),
            sinks: reading.sinks(&buffer.name)?,
        })
    });
    flows.collect()
}

fn check_shares(plan: &Plan, load: &Load) -> Result<(), Misfit> {
    let data = plan.resources.tables.iter().filter(|table| table.purpose == TablePurpose::Data);
    let tables: BTreeSet<&str> = data.map(|table| table.name.as_str()).collect();
    match load.shares.keys().find(|name| !tables.contains(name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Misfit {
            place: "--share".to_owned(),
            what: format!("no sink fills a table {unknown:?}"),
            cure: format!("name one of: {}", tables.into_iter().collect::<Vec<_>>().join(", ")),
        }),
    }
}

struct Reading<'a> {
    pipeline: &'a Pipeline,
    plan: &'a Plan,
    load: &'a Load,
}

impl Reading<'_> {
    fn http(&self, name: &str) -> Option<&HttpStage> {
        self.plan.stages.iter().filter(|stage| stage.name == name).find_map(|stage| match &stage.kind {
            StageKind::Http(http) => Some(http),
            _ => None,
        })
    }

    fn sink(&self, name: &str) -> Option<&SinkStage> {
        self.plan.stages.iter().filter(|stage| stage.name == name).find_map(|stage| match &stage.kind {
            StageKind::Sink(sink) => Some(sink),
            _ => None,
        })
    }

    fn sources(&self, buffer: &str) -> Vec<Source> {
        let sources = &self.pipeline.spec.sources;
        let rows = self.load.rows_per_second / sources.len().max(1) as f64;
        let of_buffer = sources.iter().filter(|source| source.to == buffer);
        let source = of_buffer.map(|source| Source {
            rows,
            replicas: replicas(source.replicas),
            pod: pod(source.template.as_ref()),
            aggregated: self.http(&source.name).is_none_or(|http| http.aggregation == Aggregation::Kpl),
        });
        source.collect()
    }

    fn sinks(&self, buffer: &str) -> Result<Vec<Sink>, Misfit> {
        let sinks = self.pipeline.spec.sinks.iter().enumerate().filter(|(_, sink)| sink.from == buffer);
        let sinks = sinks.filter_map(|(index, sink)| Some((index, sink, self.sink(&sink.name)?)));
        let sinks = sinks.map(|(index, sink, stage)| {
            let place = format!("spec.sinks[{index}]");
            let target = match &stage.target {
                SinkTarget::S3(s3) => {
                    let partitioned = !fields(&s3.key).is_empty();
                    Target::Objects(Objects {
                        prefixes: self.prefixes(&place, partitioned)?,
                        partitioned,
                        rotate_bytes: s3.rotate_bytes as f64,
                        rotate_seconds: s3.rotate_age_millis as f64 / 1_000.0,
                        compressed: s3.compression != Compression::None,
                    })
                }
                SinkTarget::DynamoDb(dynamodb) => {
                    let tables = dynamodb.tables.iter().enumerate();
                    let place = |number| format!("{place}.dynamodb.tables[{number}]");
                    Target::Tables(tables.map(|(number, table)| self.table(place(number), table, stage)).collect())
                }
            };
            Ok(Sink {
                replicas: replicas(sink.replicas),
                pod: pod(sink.template.as_ref()),
                fan_out: stage.fan_out_consumer.is_some(),
                target,
            })
        });
        sinks.collect()
    }

    fn prefixes(&self, place: &str, partitioned: bool) -> Result<f64, Misfit> {
        match (partitioned, self.load.prefixes) {
            (false, _) => Ok(1.0),
            (true, Some(prefixes)) => Ok(prefixes),
            (true, None) => Err(Misfit {
                place: format!("{place}.s3.key"),
                what: "it sorts records by their fields, and each value makes an object".to_owned(),
                cure: "say how many values there are: --prefixes N".to_owned(),
            }),
        }
    }

    fn table(&self, place: String, table: &TableTarget, stage: &SinkStage) -> Table {
        let key: BTreeSet<String> =
            [Some(&table.partition), table.sort.as_ref()].into_iter().flatten().flat_map(fields_of_key).collect();
        let id = [stage.id_field.as_deref(), Some("$id")];
        let items = match &table.write {
            WriteTarget::Put if id.iter().flatten().any(|id| key.contains(*id)) => Items::OwnOfEachRow,
            WriteTarget::Put => Items::LatestOfKey,
            WriteTarget::Aggregate { .. } => Items::SumOfKey { in_one_shard: self.chooses_shard(&key, &stage.stream) },
        };
        let planned = self.plan.resources.tables.iter().find(|planned| planned.name == table.name);
        Table {
            place,
            share: self.load.shares.get(&table.name).copied().unwrap_or(1.0),
            items,
            billing: planned.and_then(|planned| planned.billing),
            continuous_backups: planned.and_then(|planned| planned.point_in_time_recovery).unwrap_or(false),
        }
    }

    /// Whether rows with this key have one partition key, so that they lie in one shard.
    fn chooses_shard(&self, key: &BTreeSet<String>, stream: &str) -> bool {
        let mut sources = self.plan.stages.iter().filter_map(|stage| match &stage.kind {
            StageKind::Http(http) if http.stream == stream => Some(http),
            _ => None,
        });
        sources.all(|http| fields(&http.partition_key).iter().all(|field| key.contains(field)))
    }
}

fn replicas(replicas: Option<i32>) -> f64 {
    f64::from(replicas.unwrap_or(1).max(1))
}

fn pod(template: Option<&StageTemplate>) -> Pod {
    requested(template.and_then(|template| template.resources.as_ref()).and_then(|told| told.requests.as_ref()))
}

fn fields_of_key(key: &KeyField) -> Vec<String> {
    match (&key.field, &key.template) {
        (Some(field), _) => vec![field.clone()],
        (None, Some(template)) => {
            let id = Template::parse(template).is_ok_and(|template| template.uses_id()).then(|| "$id".to_owned());
            fields(template).into_iter().chain(id).collect()
        }
        (None, None) => Vec::new(),
    }
}

/// The fields of a template. One that cannot be read has none: it was refused before.
fn fields(template: &str) -> Vec<String> {
    let template = Template::parse(template).ok();
    template.iter().flat_map(Template::fields).map(str::to_owned).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::load::any;
    use super::super::tests::example;
    use super::*;

    fn flow(load: &Load) -> Result<Flow, Misfit> {
        let (pipeline, plan) = example("ecommerce/pipeline.yaml");
        of(&pipeline, &plan, load, Instead::default()).map(|mut flows| flows.remove(0))
    }

    #[test]
    fn the_shop_is_read_as_it_is_meant() {
        let load = Load { shares: [("ecommerce-customers".to_owned(), 0.75)].into(), ..any() };
        let flow = flow(&load).unwrap();
        assert_eq!((flow.shards, flow.retention_hours, flow.rows()), (4.0, 48.0, 1_000.0));
        let Target::Tables(tables) = &flow.sinks[1].target else { panic!("{flow:?}") };
        let tables: Vec<_> = tables.iter().map(|table| (table.items, table.share)).collect();
        // An invoice chooses the shard, and is in the key of the sums.
        assert_eq!(tables, [(Items::OwnOfEachRow, 1.0), (Items::SumOfKey { in_one_shard: true }, 0.75)]);
    }

    #[test]
    fn a_share_of_a_table_that_is_not_there_is_refused_with_those_that_are() {
        let load = Load { shares: [("customers".to_owned(), 0.75)].into(), ..any() };
        let told = flow(&load).unwrap_err().to_string();
        assert!(told.contains("\"customers\"") && told.contains("ecommerce-customers"), "{told}");
    }

    #[test]
    fn how_many_objects_a_key_with_fields_makes_must_be_said() {
        let (mut pipeline, _) = example("ecommerce/pipeline.yaml");
        pipeline.spec.sinks[0].s3.as_mut().unwrap().key = "raw/{Country}/".to_owned();
        let plan = penstock_api::plan(&pipeline).unwrap();
        let told = of(&pipeline, &plan, &any(), Instead::default()).unwrap_err();
        assert_eq!(told.place, "spec.sinks[0].s3.key");
        assert!(told.cure.contains("--prefixes"), "{told}");
        let load = Load { prefixes: Some(38.0), ..any() };
        assert!(of(&pipeline, &plan, &load, Instead::default()).is_ok());
    }
}
