//! Valid Pipelines by chance, one after the other: each is the former one with a few things changed.
//!
//! What may not change once it is there (the buffer of a sink, the key of a table, the name of a stream) follows from the
//! part's name, so a part that comes back is the same one.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use penstock_api::spec::{
    Aggregation, Api, ApiKeys, Auth, Aws, Buffer, Compression, Cors, DeadLetters, DeletionPolicy, DynamoDb, FanOut,
    GROUP, Http, HttpLimits, KIND, KeyField, KeyType, Kinesis, Metadata, Number, Pipeline, PipelineSpec, RateLimit,
    Reading, Rotate, S3, Sink, Source, StageResources, StageTemplate, StartAt, StreamMode, Suspend, Table, TaintEffect,
    Toleration, TolerationOperator, Ttl, VERSION, Write,
};
use penstock_control_plane::Manifest;
use serde_json::json;

const BUFFERS: usize = 3;
const SOURCES: usize = 4;
const SINKS: usize = 6;
const APIS: usize = 2;

/// A walk through valid Pipelines.
pub(super) struct Walk {
    rng: Rng,
    /// By their numbers.
    buffers: BTreeMap<usize, Kinesis>,
    sources: BTreeMap<usize, Source>,
    sinks: BTreeMap<usize, Sink>,
    /// What they answer follows from the sinks.
    apis: BTreeMap<usize, Api>,
    suspend: Option<Suspend>,
}

impl Walk {
    /// The walk of a seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut walk = Self {
            rng: Rng::with_seed(seed),
            buffers: BTreeMap::new(),
            sources: BTreeMap::new(),
            sinks: BTreeMap::new(),
            apis: BTreeMap::new(),
            suspend: None,
        };
        for _ in 0..walk.rng.usize(2..8) {
            walk.change();
        }
        walk
    }

    /// What else is decided by chance on this walk.
    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The next Pipeline.
    pub(super) fn step(&mut self) -> Manifest {
        for _ in 0..self.rng.usize(1..5) {
            self.change();
        }
        self.make_whole();
        self.manifest()
    }

    fn change(&mut self) {
        match self.rng.u8(0..13) {
            0..3 => self.toggle_sink(),
            3..5 => self.toggle_source(),
            5..7 => {
                let number = self.rng.usize(0..BUFFERS);
                let kinesis = self.kinesis();
                self.buffers.insert(number, kinesis);
            }
            7..9 => self.renew_sink(),
            9 => self.renew_source(),
            10 => {
                let number = self.rng.usize(0..BUFFERS);
                self.buffers.remove(&number);
            }
            11 => self.toggle_api(),
            _ => self.suspend = [None, None, Some(Suspend::Now), Some(Suspend::Drain)][self.rng.usize(0..4)],
        }
    }

    fn toggle_sink(&mut self) {
        let number = self.rng.usize(0..SINKS);
        if self.sinks.remove(&number).is_none() {
            let sink = self.sink(number);
            self.sinks.insert(number, sink);
        }
    }

    fn toggle_source(&mut self) {
        let number = self.rng.usize(0..SOURCES);
        if self.sources.remove(&number).is_none() {
            let source = self.source(number);
            self.sources.insert(number, source);
        }
    }

    fn toggle_api(&mut self) {
        let number = self.rng.usize(0..APIS);
        if self.apis.remove(&number).is_none() {
            let api = self.api(number);
            self.apis.insert(number, api);
        }
    }

    fn renew_sink(&mut self) {
        let there: Vec<_> = self.sinks.keys().copied().collect();
        if let Some(number) = self.one_of(&there) {
            let sink = self.sink(number);
            self.sinks.insert(number, sink);
        }
    }

    fn renew_source(&mut self) {
        let there: Vec<_> = self.sources.keys().copied().collect();
        if let Some(number) = self.one_of(&there) {
            let source = self.source(number);
            self.sources.insert(number, source);
        }
    }

    /// Adds what is referred to, and at least one of each.
    fn make_whole(&mut self) {
        if self.sinks.is_empty() {
            self.toggle_sink();
        }
        if self.sources.is_empty() {
            self.toggle_source();
        }
        let wanted: BTreeSet<_> = self.sinks.keys().map(|number| number % BUFFERS).collect();
        for number in wanted {
            let kinesis = self.kinesis();
            self.buffers.entry(number).or_insert(kinesis);
        }
        let buffers: Vec<_> = self.buffers.keys().copied().collect();
        for number in self.sources.keys().copied().collect::<Vec<_>>() {
            let to = self.one_of(&buffers).unwrap_or_default();
            if let Some(source) = self.sources.get_mut(&number)
                && !buffers.iter().any(|buffer| buffer_name(*buffer) == source.to)
            {
                source.to = buffer_name(to);
            }
        }
        // Sources of one buffer agree on it.
        for source in self.sources.values_mut() {
            source.id_field = (source.to != buffer_name(0)).then(|| "_id".to_owned());
        }
    }

    fn manifest(&self) -> Manifest {
        let buffer = |(number, kinesis): (&usize, &Kinesis)| Buffer {
            name: buffer_name(*number),
            kinesis: Some(kinesis.clone()),
            duplicates: None,
        };
        let pipeline = Pipeline {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: KIND.to_owned(),
            metadata: Metadata { name: super::NAME.to_owned(), ..Metadata::default() },
            spec: PipelineSpec {
                aws: Aws { region: "eu-west-1".to_owned(), endpoint_url: None },
                sources: self.sources.values().cloned().collect(),
                buffers: self.buffers.iter().map(buffer).collect(),
                sinks: self.sinks.values().cloned().collect(),
                apis: self.apis(),
                suspend: self.suspend,
            },
        };
        Manifest(serde_json::to_value(pipeline).unwrap())
    }

    /// With a route for each table that sinks put items into; none where no sink does.
    fn apis(&self) -> Option<Vec<Api>> {
        let tables =
            self.sinks.values().filter_map(|sink| sink.dynamodb.as_ref()).flat_map(|dynamodb| &dynamodb.tables);
        let puts: Vec<_> = tables.filter(|table| table.write == Write::Put).collect();
        let route = |table: &&Table| {
            let route = json!({ "path": format!("/{}/{{a}}", table.name), "table": table.name });
            serde_json::from_value(route).unwrap()
        };
        let with_routes = |api: &Api| Api { routes: puts.iter().map(route).collect(), ..api.clone() };
        (!puts.is_empty() && !self.apis.is_empty()).then(|| self.apis.values().map(with_routes).collect())
    }

    fn api(&mut self, number: usize) -> Api {
        let limits = json!({ "requests": self.rng.u8(1..100), "timeout": "5s" });
        Api {
            name: format!("api-{number}"),
            auth: self.maybe(|_| Auth { api_keys: ApiKeys { secret_name: "ecommerce-keys".to_owned() } }),
            rate_limit: self.maybe(|rng| RateLimit { requests_per_second: rng.i32(1..100), burst: None }),
            cors: self.maybe(|_| Cors { origins: vec!["https://shop.example".to_owned()], max_age: None }),
            limits: self.maybe(|_| serde_json::from_value(limits).unwrap()),
            routes: Vec::new(),
            replicas: self.maybe(|rng| rng.i32(1..4)),
            suspend: self.maybe(Rng::bool),
            template: self.template(),
        }
    }

    fn kinesis(&mut self) -> Kinesis {
        let on_demand = self.rng.u8(0..6) == 0;
        Kinesis {
            mode: on_demand.then_some(StreamMode::OnDemand),
            shards: (!on_demand).then(|| self.rng.i32(1..5)),
            retention: self.maybe(|rng| ["24h", "48h", "3d"][rng.usize(0..3)].to_owned()),
            deletion_policy: self.deletion_policy(),
            ..Kinesis::default()
        }
    }

    fn deletion_policy(&mut self) -> Option<DeletionPolicy> {
        self.maybe(|rng| if rng.bool() { DeletionPolicy::Delete } else { DeletionPolicy::Retain })
    }

    fn source(&mut self, number: usize) -> Source {
        let limits = |rng: &mut Rng| HttpLimits {
            rows: Some(rng.i32(1..1000)),
            row: Some("512Ki".to_owned()),
            body_timeout: rng.bool().then(|| "45s".to_owned()),
            ..HttpLimits::default()
        };
        Source {
            name: format!("source-{number}"),
            to: buffer_name(self.rng.usize(0..BUFFERS)),
            http: Some(Http {
                path: format!("/{}-{number}", ["orders", "returns"][self.rng.usize(0..2)]),
                auth: self.maybe(|_| Auth { api_keys: ApiKeys { secret_name: "ecommerce-keys".to_owned() } }),
                schema: self.maybe(|rng| {
                    let field = ["a", "b"][rng.usize(0..2)];
                    let schema = json!({ "type": "object", "required": [field] });
                    schema.as_object().cloned().unwrap_or_default()
                }),
                limits: self.maybe(limits),
            }),
            partition_key: ["{a}", "{a}-{b}", "constant"][self.rng.usize(0..3)].to_owned(),
            id_field: None,
            aggregation: self.maybe(|rng| if rng.bool() { Aggregation::Kpl } else { Aggregation::None }),
            replicas: self.maybe(|rng| rng.i32(1..4)),
            suspend: self.maybe(Rng::bool),
            template: self.template(),
        }
    }

    fn sink(&mut self, number: usize) -> Sink {
        let is_s3 = number < SINKS / 2;
        let programs = [".a = 1\n", ".total = to_float!(.b) * 2.0\n", "if .a == \"x\" { abort }\n"];
        let dead_letters = |rng: &mut Rng| DeadLetters {
            bucket: "acme-lake".to_owned(),
            prefix: rng.bool().then(|| "refused/".to_owned()),
        };
        let start = self.rng.usize(0..4);
        Sink {
            name: format!("sink-{number}"),
            from: buffer_name(number % BUFFERS),
            start_at: [None, None, Some(StartAt::TrimHorizon), Some(StartAt::Latest)][start],
            start_time: (start == 0).then(|| "2026-11-01T00:00:00Z".to_owned()),
            reading: self.maybe(|rng| Reading { fan_out: rng.bool().then(FanOut::default) }),
            process: self.maybe(|rng| programs[rng.usize(0..programs.len())].to_owned()),
            s3: is_s3.then(|| self.s3()),
            dynamodb: (!is_s3).then(|| self.dynamodb(number)),
            dead_letters: if is_s3 { self.maybe(dead_letters) } else { Some(dead_letters(&mut self.rng)) },
            replicas: self.maybe(|rng| rng.i32(1..4)),
            suspend: self.maybe(Rng::bool),
            template: self.template(),
        }
    }

    fn s3(&mut self) -> S3 {
        S3 {
            bucket: "acme-lake".to_owned(),
            key: ["raw/", "raw/{$arrival:%Y/%m}/", "by/{a}/"][self.rng.usize(0..3)].to_owned(),
            format: None,
            compression: self.maybe(|rng| [Compression::None, Compression::Gzip, Compression::Zstd][rng.usize(0..3)]),
            rotate: self.maybe(|rng| Rotate {
                bytes: rng.bool().then(|| format!("{}Mi", rng.u8(1..64))),
                age: rng.bool().then(|| format!("{}m", rng.u8(1..30))),
            }),
        }
    }

    fn dynamodb(&mut self, number: usize) -> DynamoDb {
        let mut tables = vec![self.table(number, Write::Put)];
        if self.rng.bool() {
            tables.push(self.table(number, Write::Aggregate));
        }
        DynamoDb { tables }
    }

    fn table(&mut self, number: usize, write: Write) -> Table {
        let key = |field: &str| KeyField {
            field: Some(field.to_owned()),
            template: None,
            attribute: None,
            key_type: KeyType::S,
        };
        let sums = write == Write::Aggregate;
        Table {
            name: format!("table-{number}-{}", if sums { "sums" } else { "put" }),
            when: self.maybe(|_| "exists(.a)".to_owned()),
            partition: key("a"),
            sort: (!sums).then(|| key("b")),
            write,
            set: if sums { self.maybe(|_| BTreeMap::from([("last".to_owned(), "c".to_owned())])) } else { None },
            add: sums.then(|| {
                let amount = if self.rng.bool() { Number::Constant(1) } else { Number::Field("d".to_owned()) };
                BTreeMap::from([("sum".to_owned(), amount)])
            }),
            ttl: (!sums && number.is_multiple_of(2)).then(|| Ttl { field: "expires".to_owned() }),
            // Absent means left as it is, so a walk would not come to what a fresh deployment gives.
            billing: None,
            point_in_time_recovery: None,
            deletion_protection: None,
            existing: None,
            deletion_policy: self.deletion_policy(),
        }
    }

    fn template(&mut self) -> Option<StageTemplate> {
        if self.rng.bool() {
            return None;
        }
        let word = |rng: &mut Rng| ["red", "green", "blue"][rng.usize(0..3)].to_owned();
        let map = |rng: &mut Rng, key: &str| BTreeMap::from([(key.to_owned(), word(rng))]);
        Some(StageTemplate {
            resources: self.maybe(|rng| StageResources {
                requests: Some(BTreeMap::from([("cpu".to_owned(), format!("{}m", rng.u8(10..100)))])),
                limits: rng.bool().then(|| BTreeMap::from([("memory".to_owned(), "1Gi".to_owned())])),
            }),
            node_selector: self.maybe(|rng| map(rng, "zone")),
            tolerations: self.maybe(|rng| {
                vec![Toleration {
                    key: Some(word(rng)),
                    operator: Some(TolerationOperator::Exists),
                    effect: rng.bool().then_some(TaintEffect::NoSchedule),
                    ..Toleration::default()
                }]
            }),
            affinity: self.maybe(|rng| affinity(&word(rng))),
            labels: self.maybe(|rng| map(rng, "team")),
            annotations: self.maybe(|rng| map(rng, "example.com/note")),
            priority_class_name: self.maybe(word),
            service_account_name: self.maybe(word),
            image: self.maybe(|rng| format!("penstock:{}", word(rng))),
        })
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
        self.rng.bool().then(|| make(&mut self.rng))
    }

    fn one_of(&mut self, numbers: &[usize]) -> Option<usize> {
        self.rng.choice(numbers).copied()
    }
}

fn buffer_name(number: usize) -> String {
    format!("buffer-{number}")
}

fn affinity(zone: &str) -> serde_json::Map<String, serde_json::Value> {
    let term = json!({ "matchExpressions": [{ "key": "zone", "operator": "In", "values": [zone] }] });
    let terms = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
    json!({ "nodeAffinity": terms }).as_object().cloned().unwrap_or_default()
}
