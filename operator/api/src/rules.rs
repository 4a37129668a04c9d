//! The rules that tie fields of a Pipeline together, in CEL (`x-kubernetes-validations`).
//!
//! They stand in the CRD, so the API server refuses a bad manifest by itself, and [`crate::check`] evaluates
//! the same texts offline. What a single field may hold (type, length, pattern) is in its type instead.
//!
//! Rules of cost: the API server bounds each rule's cost by the lengths in the schema (10,000,000 for a rule,
//! 100,000,000 for all) and refuses a CRD beyond it, so every list, map and string under a rule has a bound,
//! and rules over pairs compare short texts. Rules that name `oldSelf` apply to updates only; they sit at
//! nodes that exist before and after, so that adding or dropping an optional field cannot pass them by.

mod apis;

use std::sync::LazyLock;

/// One rule at one or several nodes of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its stable name, in lower_snake_case; `penstock validate` shows it.
    pub code: &'static str,
    /// The nodes: `` for the object, `spec.sinks[]` for each sink.
    pub at: &'static [&'static str],
    /// The expression, in CEL.
    pub rule: &'static str,
    /// What the API server answers.
    pub message: &'static str,
    /// The API server's reason: `FieldValueInvalid`, `…Forbidden` or `…Required`. There is also `…Duplicate`,
    /// with which it keeps the message to itself.
    pub reason: &'static str,
    /// The field at fault, relative to the node.
    pub field_path: Option<&'static str>,
    /// What to write instead.
    pub cure: &'static str,
}

const INVALID: &str = "FieldValueInvalid";
const FORBIDDEN: &str = "FieldValueForbidden";
const REQUIRED: &str = "FieldValueRequired";

/// All rules: of the whole, of sources, buffers and sinks, from the object down, and of [apis](apis).
pub static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| [OF_ALL, apis::RULES].concat());

const OF_ALL: &[Rule] = &[
    // A Deployment is named `<pipeline>-<part>`, and its label holds 63 characters. A stream is named
    // `<namespace>.<pipeline>.<part>`, and AWS takes 128: 63 + 1 + 63 fits too.
    Rule {
        code: "name_too_long",
        at: &[""],
        rule: "(self.spec.sources.map(s, s.name) + self.spec.buffers.map(b, b.name) + self.spec.sinks.map(k, k.name) \
               + (has(self.spec.apis) ? self.spec.apis.map(a, a.name) : [])).all(n, size(self.metadata.name) + size(n) <= 62)",
        message: "the Pipeline's name and the name of each part may have 62 characters together: pods, streams and \
                  lease tables are named after both",
        reason: INVALID,
        field_path: None,
        cure: "shorten the Pipeline's name or the part's",
    },
    Rule {
        code: "unknown_buffer",
        at: &["spec"],
        rule: "self.sources.all(s, self.buffers.exists(b, b.name == s.to))",
        message: "every source's `to` must name a buffer of this Pipeline",
        reason: INVALID,
        field_path: Some(".sources"),
        cure: "name one of the Pipeline's buffers, or add a buffer of that name",
    },
    Rule {
        code: "unknown_buffer",
        at: &["spec"],
        rule: "self.sinks.all(k, self.buffers.exists(b, b.name == k.from))",
        message: "every sink's `from` must name a buffer of this Pipeline",
        reason: INVALID,
        field_path: Some(".sinks"),
        cure: "name one of the Pipeline's buffers, or add a buffer of that name",
    },
    Rule {
        code: "duplicate_name",
        at: &["spec"],
        rule: "self.sources.all(s, !self.buffers.exists(b, b.name == s.name) && !self.sinks.exists(k, k.name == s.name)) \
               && self.sinks.all(k, !self.buffers.exists(b, b.name == k.name)) \
               && (!has(self.apis) || self.apis.all(a, !self.sources.exists(s, s.name == a.name) \
               && !self.buffers.exists(b, b.name == a.name) && !self.sinks.exists(k, k.name == a.name)))",
        message: "a name may be used once in a Pipeline, by one source, buffer, sink or api",
        reason: INVALID,
        field_path: None,
        cure: "give one of the two another name",
    },
    // A record's id says what a repeat is, and the sinks of a buffer look for repeats in all of its records.
    Rule {
        code: "id_fields_differ",
        at: &["spec"],
        rule: "self.sources.all(a, self.sources.all(b, a.to != b.to || (has(a.idField) == has(b.idField) \
               && (!has(a.idField) || a.idField == b.idField))))",
        message: "sources of one buffer must agree on `idField`: its sinks know repeats by it",
        reason: INVALID,
        field_path: Some(".sources"),
        cure: "give the sources of one buffer the same `idField`, or a buffer each",
    },
    Rule {
        code: "duplicates_without_id",
        at: &["spec"],
        rule: "self.buffers.all(b, !has(b.duplicates) || (has(b.duplicates.policy) && b.duplicates.policy == 'Keep') \
               || self.sources.exists(s, s.to == b.name && has(s.idField)))",
        message: "`duplicates` needs an `idField` in the sources of the buffer: duplicates are known by it",
        reason: INVALID,
        field_path: Some(".buffers"),
        cure: "name the field with the id of a record as `idField` of the source, or take `duplicates` away",
    },
    Rule {
        code: "duplicate_path",
        at: &["spec"],
        rule: "self.sources.all(a, !has(a.http) || (self.sources.exists_one(b, has(b.http) && b.http.path == a.http.path) \
               && !self.sources.exists(b, has(b.http) && b.http.path == a.http.path + '/schema')))",
        message: "each source needs an HTTP path of its own, which is not another's path with `/schema` (where its \
                  schema is served)",
        reason: INVALID,
        field_path: Some(".sources"),
        cure: "give one of the two sources another `path`",
    },
    Rule {
        code: "duplicate_stream",
        at: &["spec"],
        rule: "self.buffers.all(a, !has(a.kinesis) || !has(a.kinesis.streamName) || self.buffers.exists_one(b, \
               has(b.kinesis) && has(b.kinesis.streamName) && b.kinesis.streamName == a.kinesis.streamName))",
        message: "two buffers cannot be the same stream",
        reason: INVALID,
        field_path: Some(".buffers"),
        cure: "give one of the two buffers another `streamName`, or let both sinks read one buffer",
    },
    // Two sinks writing one table would overwrite each other's guards against repeats.
    Rule {
        code: "duplicate_table",
        at: &["spec"],
        rule: "self.sinks.all(a, !has(a.dynamodb) || a.dynamodb.tables.all(t, self.sinks.exists_one(b, \
               has(b.dynamodb) && b.dynamodb.tables.exists(u, u.name == t.name))))",
        message: "a table may be written by one sink only",
        reason: INVALID,
        field_path: Some(".sinks"),
        cure: "give one of the two tables another name, or describe the table in one sink",
    },
    // Two sinks that are one consumer would take each other's subscriptions.
    Rule {
        code: "duplicate_consumer",
        at: &["spec"],
        rule: "self.sinks.all(a, !has(a.reading) || !has(a.reading.fanOut) || !has(a.reading.fanOut.consumer) \
               || self.sinks.exists_one(b, b.from == a.from && has(b.reading) && has(b.reading.fanOut) \
               && has(b.reading.fanOut.consumer) && b.reading.fanOut.consumer == a.reading.fanOut.consumer))",
        message: "sinks of one buffer cannot be the same consumer of its stream",
        reason: INVALID,
        field_path: Some(".sinks"),
        cure: "give one of the two sinks another `consumer`, or leave it out",
    },
    // A Kinesis record holds 1 MiB with its key, unless the stream was told otherwise (PutRecords API reference); the key and
    // aggregation take some of it.
    Rule {
        code: "row_too_large",
        at: &["spec"],
        rule: "self.sources.all(s, !has(s.http) || !has(s.http.limits) || !has(s.http.limits.row) || self.buffers.all(b, \
               b.name != s.to || quantity(s.http.limits.row).compareTo(quantity(has(b.kinesis) && has(b.kinesis.maxRecordSize) \
               ? b.kinesis.maxRecordSize : '1Mi').sub(quantity('1Ki'))) <= 0))",
        message: "a row may have 1Ki less than a record of the source's buffer (1Mi without `maxRecordSize`): the record \
                  holds its partition key, too",
        reason: INVALID,
        field_path: Some(".sources"),
        cure: "lower `row`, leave it out, or raise the buffer's `maxRecordSize`",
    },
    Rule {
        code: "immutable_region",
        at: &["spec.aws"],
        rule: "self.region == oldSelf.region",
        message: "the region cannot change: streams, tables and checkpoints stay where they are",
        reason: FORBIDDEN,
        field_path: Some(".region"),
        cure: "keep the region, and create another Pipeline for the other one",
    },
    Rule {
        code: "choose_one",
        at: &["spec.sources[]"],
        rule: "[has(self.http)].filter(x, x).size() == 1",
        message: "a source holds exactly one of: http",
        reason: REQUIRED,
        field_path: None,
        cure: "add `http: { path: /orders }`, with the path that the endpoint is to have",
    },
    Rule {
        code: "reserved_path",
        at: &["spec.sources[].http"],
        rule: "!(self.path in ['/livez', '/readyz', '/metrics'])",
        message: "`/livez`, `/readyz` and `/metrics` belong to the stage itself",
        reason: INVALID,
        field_path: Some(".path"),
        cure: "use another path, such as `/orders`",
    },
    // The operator finds a stage's pods by these, and Argo CD takes what carries `instance` for its own.
    Rule {
        code: "reserved_label",
        at: &["spec.sources[].template", "spec.sinks[].template", "spec.apis[].template"],
        rule: "!has(self.labels) || self.labels.all(k, !k.startsWith('penstock.dev/') && !k.startsWith('app.kubernetes.io/'))",
        message: "labels that begin with `penstock.dev/` or `app.kubernetes.io/` are the operator's own",
        reason: INVALID,
        field_path: Some(".labels"),
        cure: "give the label another name",
    },
    Rule {
        code: "reserved_annotation",
        at: &["spec.sources[].template", "spec.sinks[].template", "spec.apis[].template"],
        rule: "!has(self.annotations) || self.annotations.all(k, !k.startsWith('penstock.dev/'))",
        message: "annotations that begin with `penstock.dev/` are the operator's own",
        reason: INVALID,
        field_path: Some(".annotations"),
        cure: "give the annotation another name",
    },
    Rule {
        code: "request_above_limit",
        at: &["spec.sources[].template.resources", "spec.sinks[].template.resources", "spec.apis[].template.resources"],
        rule: "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) \
               || quantity(self.requests[k]).compareTo(quantity(self.limits[k])) <= 0)",
        message: "a pod cannot ask for more than its limit",
        reason: INVALID,
        field_path: Some(".requests"),
        cure: "lower the request or raise the limit",
    },
    Rule {
        code: "choose_one",
        at: &["spec.buffers[]"],
        rule: "[has(self.kinesis)].filter(x, x).size() == 1",
        message: "a buffer holds exactly one of: kinesis",
        reason: REQUIRED,
        field_path: None,
        cure: "add `kinesis` with the number of shards, such as `kinesis: { shards: 1 }`",
    },
    Rule {
        code: "shards_and_mode",
        at: &["spec.buffers[].kinesis"],
        rule: "has(self.shards) == (!has(self.mode) || self.mode == 'Provisioned')",
        message: "a Provisioned stream needs `shards`; an OnDemand stream must not have it",
        reason: INVALID,
        field_path: None,
        cure: "add `shards: 1` for a stream of fixed size, or write `mode: OnDemand` without `shards`",
    },
    // IncreaseStreamRetentionPeriod API reference: 24 to 8760 hours.
    Rule {
        code: "retention_out_of_range",
        at: &["spec.buffers[].kinesis"],
        rule: "!has(self.retention) || (self.retention.endsWith('d') \
               ? int(self.retention.replace('d', '')) >= 1 && int(self.retention.replace('d', '')) <= 365 \
               : int(self.retention.replace('h', '')) >= 24 && int(self.retention.replace('h', '')) <= 8760)",
        message: "retention must be 24h to 8760h (365d)",
        reason: INVALID,
        field_path: Some(".retention"),
        cure: "write a whole number of hours from 24h to 8760h, such as `48h`",
    },
    // UpdateMaxRecordSize API reference: 1024 to 10240 KiB.
    Rule {
        code: "record_size_out_of_range",
        at: &["spec.buffers[].kinesis"],
        rule: "!has(self.maxRecordSize) || (quantity(self.maxRecordSize).compareTo(quantity('1Mi')) >= 0 \
               && quantity(self.maxRecordSize).compareTo(quantity('10Mi')) <= 0)",
        message: "maxRecordSize must be 1Mi to 10Mi",
        reason: INVALID,
        field_path: Some(".maxRecordSize"),
        cure: "write a size from `1Mi` to `10Mi`",
    },
    Rule {
        code: "key_without_encryption",
        at: &["spec.buffers[].kinesis.encryption"],
        rule: "!has(self.keyId) || self.type == 'KMS'",
        message: "`keyId` belongs to `type: KMS`",
        reason: INVALID,
        field_path: Some(".keyId"),
        cure: "write `type: KMS`, or remove `keyId`",
    },
    Rule {
        code: "immutable_stream_name",
        at: &["spec.buffers[].kinesis"],
        rule: "has(self.streamName) == has(oldSelf.streamName) && (!has(self.streamName) || self.streamName == oldSelf.streamName)",
        message: "a stream's name cannot change: checkpoints point into the old stream",
        reason: FORBIDDEN,
        field_path: Some(".streamName"),
        cure: "keep the name, and add another buffer for the other stream",
    },
    Rule {
        code: "choose_one",
        at: &["spec.sinks[]"],
        rule: "[has(self.s3), has(self.dynamodb)].filter(x, x).size() == 1",
        message: "a sink holds exactly one of: s3, dynamodb",
        reason: REQUIRED,
        field_path: None,
        cure: "keep one of `s3` and `dynamodb`, and make a second sink of the other",
    },
    Rule {
        code: "start_twice",
        at: &["spec.sinks[]"],
        rule: "!has(self.startAt) || !has(self.startTime)",
        message: "a sink begins either where `startAt` says or at `startTime`",
        reason: FORBIDDEN,
        field_path: Some(".startTime"),
        cure: "take one of `startAt` and `startTime` away",
    },
    Rule {
        code: "dead_letters_needed",
        at: &["spec.sinks[]"],
        rule: "has(self.s3) || has(self.deadLetters)",
        message: "a sink without `s3` needs `deadLetters`: records that cannot be written must go somewhere",
        reason: REQUIRED,
        field_path: None,
        cure: "add `deadLetters: { bucket: BUCKET }`",
    },
    Rule {
        code: "immutable_from",
        at: &["spec.sinks[]"],
        rule: "self.from == oldSelf.from",
        message: "a sink's `from` cannot change: its checkpoints point into the old buffer's stream",
        reason: FORBIDDEN,
        field_path: Some(".from"),
        cure: "keep `from`, and add another sink for the other buffer",
    },
    Rule {
        code: "immutable_target",
        at: &["spec.sinks[]"],
        rule: "has(self.s3) == has(oldSelf.s3) && has(self.dynamodb) == has(oldSelf.dynamodb)",
        message: "a sink cannot become one of another kind: its checkpoints say what the old one has stored",
        reason: FORBIDDEN,
        field_path: None,
        cure: "keep this sink's kind, and add another sink for the other store",
    },
    Rule {
        code: "sums_in_put",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "self.write != 'put' || (!has(self.set) && !has(self.add))",
        message: "`set` and `add` belong to `write: aggregate`; `put` stores the whole record",
        reason: FORBIDDEN,
        field_path: None,
        cure: "remove `set` and `add`, or write `write: aggregate`",
    },
    Rule {
        code: "sums_needed",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "self.write != 'aggregate' || (has(self.add) && size(self.add) > 0)",
        message: "`write: aggregate` needs `add`: what is summed",
        reason: REQUIRED,
        field_path: None,
        cure: "add what is summed, such as `add: { Amount: Amount, Lines: 1 }`, or write `write: put`",
    },
    Rule {
        code: "attribute_twice",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "!has(self.set) || !has(self.add) || self.set.all(a, !(a in self.add))",
        message: "an attribute is either set or summed",
        reason: INVALID,
        field_path: Some(".set"),
        cure: "remove the attribute from `set` or from `add`",
    },
    // One attribute cannot be both keys (CreateTable API reference), nor be changed by an update.
    Rule {
        code: "same_key_attribute",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "!has(self.sort) || (has(self.partition.attribute) ? self.partition.attribute \
               : has(self.partition.field) ? self.partition.field : 'pk') \
               != (has(self.sort.attribute) ? self.sort.attribute : has(self.sort.field) ? self.sort.field : 'sk')",
        message: "the partition key and the sort key must be two attributes",
        reason: INVALID,
        field_path: Some(".sort"),
        cure: "give one of the two keys another `attribute`",
    },
    Rule {
        code: "key_is_written",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "([has(self.partition.attribute) ? self.partition.attribute : has(self.partition.field) ? self.partition.field : 'pk'] \
               + (has(self.sort) ? [has(self.sort.attribute) ? self.sort.attribute : has(self.sort.field) ? self.sort.field : 'sk'] : []))\
               .all(k, (!has(self.set) || !(k in self.set)) && (!has(self.add) || !(k in self.add)))",
        message: "`set` and `add` cannot write a key's attribute",
        reason: INVALID,
        field_path: None,
        cure: "remove the key's attribute from `set` and `add`: every item has it",
    },
    // The DynamoDB sink keeps its marks against repeats in attributes of that prefix.
    Rule {
        code: "reserved_attribute",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "(!has(self.set) || self.set.all(a, a != '' && !a.startsWith('_penstock'))) \
               && (!has(self.add) || self.add.all(a, a != '' && !a.startsWith('_penstock'))) \
               && (!has(self.ttl) || !self.ttl.field.startsWith('_penstock'))",
        message: "an attribute needs a name, which does not begin with `_penstock`: those are the sink's own",
        reason: INVALID,
        field_path: None,
        cure: "give the attribute another name",
    },
    Rule {
        code: "reserved_attribute",
        at: &["spec.sinks[].dynamodb.tables[].partition", "spec.sinks[].dynamodb.tables[].sort"],
        rule: "!((has(self.attribute) ? self.attribute : has(self.field) ? self.field : '').startsWith('_penstock'))",
        message: "a key's attribute must not begin with `_penstock`: those are the sink's own",
        reason: INVALID,
        field_path: None,
        cure: "name the attribute with `attribute`",
    },
    Rule {
        code: "ttl_is_written",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "self.write != 'aggregate' || !has(self.ttl) || ((!has(self.set) || !(self.ttl.field in self.set)) \
               && (!has(self.add) || !(self.ttl.field in self.add)) && [has(self.partition.attribute) ? self.partition.attribute \
               : has(self.partition.field) ? self.partition.field : 'pk', !has(self.sort) ? '' : has(self.sort.attribute) \
               ? self.sort.attribute : has(self.sort.field) ? self.sort.field : 'sk'].all(k, k != self.ttl.field))",
        message: "an aggregate's `ttl` writes an attribute of its own: it cannot be a key, set or summed too",
        reason: INVALID,
        field_path: Some(".ttl"),
        cure: "remove the field from `set` and `add`: `ttl` writes its latest value already",
    },
    Rule {
        code: "capacity_and_mode",
        at: &["spec.sinks[].dynamodb.tables[].billing"],
        rule: "has(self.readCapacityUnits) == (self.mode == 'Provisioned') \
               && has(self.writeCapacityUnits) == (self.mode == 'Provisioned')",
        message: "`mode: Provisioned` needs `readCapacityUnits` and `writeCapacityUnits`; `mode: OnDemand` must not have them",
        reason: INVALID,
        field_path: None,
        cure: "write `{ mode: OnDemand }`, or both capacities such as `{ mode: Provisioned, readCapacityUnits: 10, writeCapacityUnits: 10 }`",
    },
    Rule {
        code: "protected_and_deleted",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "!has(self.deletionProtection) || !self.deletionProtection || !has(self.deletionPolicy) \
               || self.deletionPolicy == 'Retain'",
        message: "a table with `deletionProtection` cannot have `deletionPolicy: Delete`: DynamoDB would refuse to delete it",
        reason: INVALID,
        field_path: Some(".deletionProtection"),
        cure: "write `deletionPolicy: Retain`, or remove `deletionProtection`",
    },
    Rule {
        code: "immutable_key",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "self.partition == oldSelf.partition && has(self.sort) == has(oldSelf.sort) \
               && (!has(self.sort) || self.sort == oldSelf.sort)",
        message: "a table's key cannot change",
        reason: FORBIDDEN,
        field_path: None,
        cure: "keep the key, and add another table with the other one",
    },
    Rule {
        code: "immutable_write",
        at: &["spec.sinks[].dynamodb.tables[]"],
        rule: "self.write == oldSelf.write",
        message: "a table's `write` cannot change: its items are of the other kind",
        reason: FORBIDDEN,
        field_path: Some(".write"),
        cure: "keep `write`, and add another table",
    },
    Rule {
        code: "choose_one",
        at: &["spec.sinks[].dynamodb.tables[].partition", "spec.sinks[].dynamodb.tables[].sort"],
        rule: "has(self.field) != has(self.template)",
        message: "a key has exactly one of: field, template",
        reason: REQUIRED,
        field_path: None,
        cure: "keep one of `field` and `template`",
    },
    Rule {
        code: "template_makes_text",
        at: &["spec.sinks[].dynamodb.tables[].partition", "spec.sinks[].dynamodb.tables[].sort"],
        rule: "!has(self.template) || self.type == 'S'",
        message: "a template makes a string: its type must be S",
        reason: INVALID,
        field_path: Some(".type"),
        cure: "write `type: S`, or use `field` with a field of that type",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_can_be_told_apart_by_its_text_at_its_node() {
        for (index, rule) in RULES.iter().enumerate() {
            for other in &RULES[index + 1..] {
                let shared = rule.at.iter().any(|node| other.at.contains(node));
                assert!(!shared || rule.rule != other.rule, "{}", rule.rule);
            }
        }
    }

    #[test]
    fn messages_are_one_line_as_the_api_server_wants_them() {
        for rule in RULES.iter() {
            assert!(!rule.message.contains('\n') && !rule.message.is_empty(), "{}", rule.code);
            assert!(!rule.cure.is_empty(), "{}", rule.code);
        }
    }
}
