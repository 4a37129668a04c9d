//! Rules of `spec.apis`: what routes ask for must be in the tables that sinks fill.
//!
//! The API server cannot bound the cost of comparing two parts of paths, so whether a path matches two routes is told by
//! `penstock validate` and by the stage.

use super::{FORBIDDEN, INVALID, REQUIRED, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "unknown_table",
        at: &["spec"],
        rule: "!has(self.apis) || self.apis.all(a, a.routes.all(r, self.sinks.exists(k, has(k.dynamodb) \
               && k.dynamodb.tables.exists(t, t.name == r.table))))",
        message: "every route's `table` must be one that a sink of this Pipeline fills",
        reason: INVALID,
        field_path: Some(".apis"),
        cure: "name a table of one of the Pipeline's `dynamodb` sinks",
    },
    Rule {
        code: "partition_not_given",
        at: &["spec"],
        rule: "!has(self.apis) || self.apis.all(a, a.routes.all(r, has(r.partition) || has(r.partitions) || self.sinks.all(k, \
               !has(k.dynamodb) || k.dynamodb.tables.all(t, t.name != r.table || ('{' + (has(t.partition.attribute) \
               ? t.partition.attribute : has(t.partition.field) ? t.partition.field : 'pk') + '}') in r.path.split('/')))))",
        message: "a route needs the table's partition key: a parameter of that name in its path, or `partition`",
        reason: REQUIRED,
        field_path: Some(".apis"),
        cure: "put the key into the path, such as `/invoices/{InvoiceNo}`, or write `partition: \"{parameter}\"`",
    },
    Rule {
        code: "no_sort_key",
        at: &["spec"],
        rule: "!has(self.apis) || self.apis.all(a, a.routes.all(r, (!has(r.sort) && !has(r.totals) && !has(r.groupBy) \
               && !has(r.orderBy) && !has(r.chart) && (!has(r.answer) || r.answer == 'Item')) || self.sinks.all(k, !has(k.dynamodb) \
               || k.dynamodb.tables.all(t, t.name != r.table || has(t.sort)))))",
        message: "a table without a sort key has one item a partition: there is nothing to choose, list or add up",
        reason: INVALID,
        field_path: Some(".apis"),
        cure: "remove `sort`, `totals`, `groupBy`, `orderBy`, `chart` and `answer`, or give the table a sort key",
    },
    Rule {
        code: "item_needs_sort_key",
        at: &["spec"],
        rule: "!has(self.apis) || self.apis.all(a, a.routes.all(r, !has(r.answer) || r.answer != 'Item' \
               || (has(r.sort) && has(r.sort.equals)) || self.sinks.all(k, !has(k.dynamodb) \
               || k.dynamodb.tables.all(t, t.name != r.table || !has(t.sort)))))",
        message: "one item of a table with a sort key is found by the whole key: `answer: Item` needs `sort.equals`",
        reason: REQUIRED,
        field_path: Some(".apis"),
        cure: "add `sort: { equals: \"{parameter}\" }`, or write `answer: Items`",
    },
    Rule {
        code: "prefix_of_number",
        at: &["spec"],
        rule: "!has(self.apis) || self.apis.all(a, a.routes.all(r, !has(r.sort) || !has(r.sort.prefix) \
               || self.sinks.all(k, !has(k.dynamodb) || k.dynamodb.tables.all(t, t.name != r.table || !has(t.sort) \
               || t.sort.type != 'N'))))",
        message: "a number has no prefix: `sort.prefix` is for sort keys that are texts",
        reason: INVALID,
        field_path: Some(".apis"),
        cure: "use `between` or `newerThan`",
    },
    Rule {
        code: "reserved_route",
        at: &["spec.apis[].routes[]"],
        rule: "!['/livez', '/readyz', '/metrics', '/openapi.json'].exists(p, self.path == p || self.path.startsWith(p + '/'))",
        message: "`/livez`, `/readyz`, `/metrics` and `/openapi.json` belong to the stage itself",
        reason: INVALID,
        field_path: Some(".path"),
        cure: "use another path, such as `/invoices/{InvoiceNo}`",
    },
    Rule {
        code: "parameter_twice",
        at: &["spec.apis[].routes[]"],
        rule: "self.path.split('/').all(s, !s.startsWith('{') || self.path.split(s).size() == 2)",
        message: "a parameter may stand once in a path",
        reason: INVALID,
        field_path: Some(".path"),
        cure: "give one of the two parameters another name",
    },
    Rule {
        code: "reserved_parameter",
        at: &["spec.apis[].routes[]"],
        rule: "['limit', 'next', 'format', 'consistent'].all(n, !self.path.contains('{' + n + '}') \
               && (!has(self.parameters) || self.parameters.all(p, p.name != n)))",
        message: "`limit`, `next`, `format` and `consistent` are parameters of every route",
        reason: INVALID,
        field_path: None,
        cure: "give the parameter another name",
    },
    Rule {
        code: "item_is_not_added_up",
        at: &["spec.apis[].routes[]"],
        rule: "!((has(self.answer) && self.answer == 'Item') || (has(self.sort) && has(self.sort.equals) && !has(self.answer))) \
               || (!has(self.totals) && !has(self.groupBy) && !has(self.orderBy))",
        message: "`totals`, `groupBy` and `orderBy` are for several items, and this route answers one",
        reason: FORBIDDEN,
        field_path: None,
        cure: "remove them, or write `answer: Items`",
    },
    Rule {
        code: "totals_needed",
        at: &["spec.apis[].routes[]"],
        rule: "has(self.totals) || (!has(self.groupBy) && (!has(self.answer) || self.answer != 'Totals'))",
        message: "`groupBy` and `answer: Totals` need `totals`: what is computed",
        reason: REQUIRED,
        field_path: None,
        cure: "add what is computed, such as `totals: [{ name: revenue, aggregate: Sum, attribute: Amount }]`",
    },
    Rule {
        code: "totals_alone",
        at: &["spec.apis[].routes[]"],
        rule: "!has(self.answer) || self.answer != 'Totals' || (!has(self.groupBy) && !has(self.orderBy) && !has(self.fields))",
        message: "`answer: Totals` is one line: it has no `groupBy`, `orderBy` and `fields`",
        reason: FORBIDDEN,
        field_path: None,
        cure: "remove them, or remove `answer`",
    },
    Rule {
        code: "partitions_for_groups",
        at: &["spec.apis[].routes[]"],
        rule: "!has(self.partitions) || (!has(self.partition) && (has(self.groupBy) || (has(self.answer) \
               && self.answer == 'Totals')))",
        message: "`partitions` stands instead of `partition`, for `groupBy` and `answer: Totals` only",
        reason: FORBIDDEN,
        field_path: Some(".partitions"),
        cure: "write `partition` with one template",
    },
    Rule {
        code: "chart_of_lines",
        at: &["spec.apis[].routes[]"],
        rule: "!has(self.chart) || (has(self.answer) ? self.answer == 'Items' : !has(self.sort) || !has(self.sort.equals))",
        message: "a chart draws the lines of an answer, and this route answers one item or totals alone",
        reason: FORBIDDEN,
        field_path: Some(".chart"),
        cure: "remove `chart`, or answer several lines, such as with `groupBy`",
    },
    Rule {
        code: "chart_of_fields",
        at: &["spec.apis[].routes[]"],
        rule: "!has(self.chart) || (!has(self.groupBy) && !has(self.fields)) || [self.chart.by, self.chart.value].all(n, \
               (has(self.fields) ? self.fields.exists(f, f.name == n) : self.groupBy.exists(g, g == n)) \
               || (has(self.groupBy) && has(self.totals) && self.totals.exists(t, t.name == n)))",
        message: "`chart.by` and `chart.value` must be fields of the answer: of `fields`, else of `groupBy`, or of the `totals` of \
                  `groupBy`",
        reason: INVALID,
        field_path: Some(".chart"),
        cure: "name a field of the answer",
    },
    Rule {
        code: "chart_needs_example",
        at: &["spec.apis[].routes[]"],
        rule: "!has(self.chart) || self.path.split('{').size() - 1 == (has(self.parameters) \
               ? self.parameters.filter(p, has(p.example) && self.path.contains('{' + p.name + '}')).size() : 0)",
        message: "a chart is asked for with the examples of its route's path: each parameter in it needs one",
        reason: REQUIRED,
        field_path: Some(".parameters"),
        cure: "add it, such as `parameters: [{ name: Month, example: 2010-12 }]`",
    },
    Rule {
        code: "page_above_most",
        at: &["spec.apis[].routes[].limits"],
        rule: "!has(self.page) || self.page <= (has(self.maxPage) ? self.maxPage : 1000)",
        message: "`page` cannot be more than `maxPage` (1000 without it)",
        reason: INVALID,
        field_path: Some(".page"),
        cure: "lower `page` or raise `maxPage`",
    },
    Rule {
        code: "choose_one",
        at: &["spec.apis[].routes[].sort"],
        rule: "[has(self.equals), has(self.prefix), has(self.between), has(self.newerThan)].filter(x, x).size() == 1",
        message: "a condition on the sort key holds exactly one of: equals, prefix, between, newerThan",
        reason: REQUIRED,
        field_path: None,
        cure: "keep one of them",
    },
    Rule {
        code: "between_nothing",
        at: &["spec.apis[].routes[].sort.between"],
        rule: "has(self.from) || has(self.to)",
        message: "`between` needs `from`, `to` or both",
        reason: REQUIRED,
        field_path: None,
        cure: "add an end, such as `from: \"{from}\"`",
    },
    Rule {
        code: "attribute_and_function",
        at: &["spec.apis[].routes[].totals[]"],
        rule: "has(self.attribute) == (self.aggregate != 'Count')",
        message: "`Count` has no `attribute`; all others need one",
        reason: INVALID,
        field_path: None,
        cure: "write `{ name: items, aggregate: Count }`, or name what is computed over, such as `attribute: Amount`",
    },
];
