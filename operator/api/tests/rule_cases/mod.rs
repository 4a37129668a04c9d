//! Each rule of the CRD, with a Pipeline that satisfies it and one that breaks it. Both are changes of
//! `base.yaml`, which has no fault. Tried offline here, and on a real API server by `tests/control_plane`.

mod apis;

/// A Pipeline without fault.
pub(crate) const BASE: &str = include_str!("../base.yaml");

/// A replacement in the base.
pub(crate) type Edit = (&'static str, &'static str);

/// A rule, with edits of the base that satisfy it and some that break it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) code: &'static str,
    pub(crate) accepted: &'static [Edit],
    pub(crate) refused: &'static [Edit],
}

const SECOND_SOURCE: &str = "  buffers:";
const WRITE: &str = "            write: put\n";
const SHARDS: &str = "        shards: 2\n";

/// Rules that look at one object.
pub(crate) const CASES: &[Case] = &ALL;

const ALL: [Case; OF_ALL.len() + apis::CASES.len()] = {
    let mut all = [OF_ALL[0]; OF_ALL.len() + apis::CASES.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = if index < OF_ALL.len() { OF_ALL[index] } else { apis::CASES[index - OF_ALL.len()] };
        index += 1;
    }
    all
};

const OF_ALL: &[Case] = &[
    Case {
        code: "name_too_long",
        // 56 characters, and 6 of each of `orders`, `events` and `tables`.
        accepted: &[("  name: shop\n", "  name: a234567890b234567890c234567890d234567890e234567890f23456\n")],
        refused: &[("  name: shop\n", "  name: a234567890b234567890c234567890d234567890e234567890f234567\n")],
    },
    Case { code: "unknown_buffer", accepted: &[], refused: &[("to: events", "to: others")] },
    Case { code: "unknown_buffer", accepted: &[], refused: &[("from: events", "from: others")] },
    Case {
        code: "duplicate_name",
        accepted: &[("name: raw", "name: raw2")],
        refused: &[("name: raw", "name: orders")],
    },
    Case { code: "duplicate_name", accepted: &[], refused: &[("name: tables", "name: events")] },
    Case {
        code: "id_fields_differ",
        accepted: &[(
            SECOND_SOURCE,
            "    - { name: returns, to: events, http: { path: /returns }, partitionKey: k, idField: _id }\n  buffers:",
        )],
        refused: &[(
            SECOND_SOURCE,
            "    - { name: returns, to: events, http: { path: /returns }, partitionKey: k }\n  buffers:",
        )],
    },
    Case {
        code: "duplicates_without_id",
        accepted: &[(SHARDS, "        shards: 2\n      duplicates: { policy: Remove, window: 1h, records: 1000 }\n")],
        refused: &[(
            SECOND_SOURCE,
            "  buffers:\n    - { name: unread, kinesis: { mode: OnDemand }, duplicates: { window: 5m } }",
        )],
    },
    Case {
        code: "duplicates_without_id",
        accepted: &[(
            SECOND_SOURCE,
            "  buffers:\n    - { name: unread, kinesis: { mode: OnDemand }, duplicates: { policy: Keep } }",
        )],
        refused: &[(
            SECOND_SOURCE,
            "  buffers:\n    - { name: unread, kinesis: { mode: OnDemand }, duplicates: { policy: Remove } }",
        )],
    },
    Case {
        code: "duplicate_path",
        accepted: &[(
            SECOND_SOURCE,
            "    - { name: returns, to: events, http: { path: /orders2 }, partitionKey: k, idField: _id }\n  buffers:",
        )],
        refused: &[(
            SECOND_SOURCE,
            "    - { name: returns, to: events, http: { path: /orders/schema }, partitionKey: k, idField: _id }\n  buffers:",
        )],
    },
    Case {
        code: "duplicate_stream",
        accepted: &[(
            SHARDS,
            "        shards: 2\n        streamName: a\n    - { name: b2, kinesis: { shards: 1, streamName: b } }\n    - { name: b3, kinesis: { shards: 1 } }\n",
        )],
        refused: &[(
            SHARDS,
            "        shards: 2\n        streamName: a\n    - { name: b2, kinesis: { shards: 1, streamName: a } }\n",
        )],
    },
    Case {
        code: "duplicate_table",
        accepted: &[(
            "    - name: raw\n",
            "    - { name: more, from: events, dynamodb: { tables: [{ name: shop-more, partition: { field: a, type: S }, write: put }] }, deadLetters: { bucket: acme-lake } }\n    - name: raw\n",
        )],
        refused: &[(
            "    - name: raw\n",
            "    - { name: more, from: events, dynamodb: { tables: [{ name: shop-invoices, partition: { field: a, type: S }, write: put }] }, deadLetters: { bucket: acme-lake } }\n    - name: raw\n",
        )],
    },
    Case {
        code: "duplicate_consumer",
        accepted: &[(
            "    - name: raw\n",
            "    - { name: more, from: events, reading: { fanOut: { consumer: a } }, s3: { bucket: acme-lake, key: a/ } }\n    - { name: most, from: events, reading: { fanOut: {} }, s3: { bucket: acme-lake, key: b/ } }\n    - name: raw\n",
        )],
        refused: &[(
            "    - name: raw\n",
            "    - { name: more, from: events, reading: { fanOut: { consumer: a } }, s3: { bucket: acme-lake, key: a/ } }\n    - { name: most, from: events, reading: { fanOut: { consumer: a } }, s3: { bucket: acme-lake, key: b/ } }\n    - name: raw\n",
        )],
    },
    Case { code: "choose_one", accepted: &[], refused: &[("      http:\n        path: /orders\n", "")] },
    Case { code: "choose_one", accepted: &[], refused: &[("      kinesis:\n        shards: 2\n", "")] },
    Case {
        code: "choose_one",
        accepted: &[],
        refused: &[(
            "      s3:\n        bucket: acme-lake\n        key: raw/\n",
            "      deadLetters: { bucket: acme-lake }\n",
        )],
    },
    Case {
        code: "choose_one",
        accepted: &[("field: InvoiceNo", "template: x")],
        refused: &[("field: InvoiceNo, ", "")],
    },
    Case {
        code: "choose_one",
        accepted: &[(WRITE, "            write: put\n            sort: { template: x, type: S }\n")],
        refused: &[(WRITE, "            write: put\n            sort: { template: x, field: a, type: S }\n")],
    },
    Case {
        code: "reserved_path",
        accepted: &[("path: /orders", "path: /metrics/a")],
        refused: &[("path: /orders", "path: /metrics")],
    },
    Case {
        code: "reserved_label",
        accepted: &[("      s3:\n", "      template: { labels: { team: lake } }\n      s3:\n")],
        refused: &[("      s3:\n", "      template: { labels: { penstock.dev/stage: x } }\n      s3:\n")],
    },
    Case {
        code: "reserved_label",
        accepted: &[],
        refused: &[("      s3:\n", "      template: { labels: { app.kubernetes.io/instance: x } }\n      s3:\n")],
    },
    Case {
        code: "reserved_annotation",
        accepted: &[("      s3:\n", "      template: { annotations: { example.com/a: b } }\n      s3:\n")],
        refused: &[("      s3:\n", "      template: { annotations: { penstock.dev/a: b } }\n      s3:\n")],
    },
    Case {
        code: "request_above_limit",
        accepted: &[(
            "      s3:\n",
            "      template: { resources: { requests: { cpu: 500m, memory: 1Gi }, limits: { memory: 1Gi } } }\n      s3:\n",
        )],
        refused: &[(
            "      s3:\n",
            "      template: { resources: { requests: { memory: 2Gi }, limits: { memory: 1Gi } } }\n      s3:\n",
        )],
    },
    Case {
        code: "row_too_large",
        accepted: &[("        path: /orders\n", "        path: /orders\n        limits: { row: 1023Ki }\n")],
        refused: &[("        path: /orders\n", "        path: /orders\n        limits: { row: 1Mi }\n")],
    },
    Case {
        code: "row_too_large",
        accepted: &[
            ("        path: /orders\n", "        path: /orders\n        limits: { row: 4095Ki }\n"),
            (SHARDS, "        shards: 2\n        maxRecordSize: 4Mi\n"),
        ],
        refused: &[
            ("        path: /orders\n", "        path: /orders\n        limits: { row: 4096Ki }\n"),
            (SHARDS, "        shards: 2\n        maxRecordSize: 4Mi\n"),
        ],
    },
    Case {
        code: "record_size_out_of_range",
        accepted: &[(SHARDS, "        shards: 2\n        maxRecordSize: 10Mi\n")],
        refused: &[(SHARDS, "        shards: 2\n        maxRecordSize: 10241Ki\n")],
    },
    Case {
        code: "record_size_out_of_range",
        accepted: &[(SHARDS, "        shards: 2\n        maxRecordSize: 1024Ki\n")],
        refused: &[(SHARDS, "        shards: 2\n        maxRecordSize: 1023Ki\n")],
    },
    Case {
        code: "key_without_encryption",
        accepted: &[(SHARDS, "        shards: 2\n        encryption: { type: KMS, keyId: alias/orders }\n")],
        refused: &[(SHARDS, "        shards: 2\n        encryption: { type: None, keyId: alias/orders }\n")],
    },
    Case {
        code: "shards_and_mode",
        accepted: &[(SHARDS, "        mode: OnDemand\n")],
        refused: &[(SHARDS, "        mode: Provisioned\n")],
    },
    Case {
        code: "retention_out_of_range",
        accepted: &[(SHARDS, "        shards: 2\n        retention: 8760h\n")],
        refused: &[(SHARDS, "        shards: 2\n        retention: 8761h\n")],
    },
    Case {
        code: "retention_out_of_range",
        accepted: &[(SHARDS, "        shards: 2\n        retention: 365d\n")],
        refused: &[(SHARDS, "        shards: 2\n        retention: 366d\n")],
    },
    Case {
        code: "start_twice",
        accepted: &[("      s3:\n", "      startTime: \"2026-11-01T00:00:00Z\"\n      s3:\n")],
        refused: &[("      s3:\n", "      startAt: Latest\n      startTime: \"2026-11-01T00:00:00Z\"\n      s3:\n")],
    },
    Case {
        code: "dead_letters_needed",
        accepted: &[],
        refused: &[("      deadLetters:\n        bucket: acme-lake\n", "")],
    },
    Case {
        code: "sums_in_put",
        accepted: &[],
        refused: &[(WRITE, "            write: put\n            set: { a: b }\n")],
    },
    Case {
        code: "sums_needed",
        accepted: &[(WRITE, "            write: aggregate\n            add: { a: 1, b: c }\n")],
        refused: &[(WRITE, "            write: aggregate\n            set: { a: b }\n")],
    },
    Case {
        code: "attribute_twice",
        accepted: &[(WRITE, "            write: aggregate\n            add: { a: 1 }\n            set: { b: a }\n")],
        refused: &[(WRITE, "            write: aggregate\n            add: { a: 1 }\n            set: { a: b }\n")],
    },
    Case {
        code: "same_key_attribute",
        accepted: &[(
            WRITE,
            "            write: put\n            sort: { field: InvoiceNo, attribute: sort, type: S }\n",
        )],
        refused: &[(
            WRITE,
            "            write: put\n            sort: { template: x, attribute: InvoiceNo, type: S }\n",
        )],
    },
    Case {
        code: "key_is_written",
        accepted: &[(WRITE, "            write: aggregate\n            add: { pk: 1 }\n")],
        refused: &[(
            WRITE,
            "            write: aggregate\n            add: { sk: 1 }\n            sort: { template: x, type: S }\n",
        )],
    },
    Case {
        code: "reserved_attribute",
        accepted: &[(WRITE, "            write: aggregate\n            add: { _a: 1 }\n")],
        refused: &[(WRITE, "            write: aggregate\n            add: { _penstock_a: 1 }\n")],
    },
    Case {
        code: "reserved_attribute",
        accepted: &[],
        refused: &[(WRITE, "            write: aggregate\n            add: { a: 1 }\n            set: { \"\": b }\n")],
    },
    Case {
        code: "reserved_attribute",
        accepted: &[("field: InvoiceNo", "field: _penstock_a, attribute: a")],
        refused: &[("field: InvoiceNo", "field: _penstock_a")],
    },
    Case {
        code: "reserved_attribute",
        accepted: &[(WRITE, "            write: put\n            ttl: { field: a }\n")],
        refused: &[(WRITE, "            write: put\n            ttl: { field: _penstock }\n")],
    },
    Case {
        code: "ttl_is_written",
        accepted: &[(
            WRITE,
            "            write: aggregate\n            add: { a: 1 }\n            ttl: { field: b }\n",
        )],
        refused: &[(WRITE, "            write: aggregate\n            add: { a: 1 }\n            ttl: { field: a }\n")],
    },
    Case {
        code: "capacity_and_mode",
        accepted: &[(
            WRITE,
            "            write: put\n            billing: { mode: Provisioned, readCapacityUnits: 5, writeCapacityUnits: 5 }\n",
        )],
        refused: &[(
            WRITE,
            "            write: put\n            billing: { mode: Provisioned, readCapacityUnits: 5 }\n",
        )],
    },
    Case {
        code: "capacity_and_mode",
        accepted: &[(WRITE, "            write: put\n            billing: { mode: OnDemand }\n")],
        refused: &[(
            WRITE,
            "            write: put\n            billing: { mode: OnDemand, readCapacityUnits: 5, writeCapacityUnits: 5 }\n",
        )],
    },
    Case {
        code: "protected_and_deleted",
        accepted: &[(
            WRITE,
            "            write: put\n            deletionProtection: false\n            deletionPolicy: Delete\n",
        )],
        refused: &[(
            WRITE,
            "            write: put\n            deletionProtection: true\n            deletionPolicy: Delete\n",
        )],
    },
    Case {
        code: "template_makes_text",
        accepted: &[("field: InvoiceNo, type: S", "template: x, type: S")],
        refused: &[("field: InvoiceNo, type: S", "template: x, type: B")],
    },
];

/// Rules about a change of what there was: the base.
pub(crate) const CHANGES: &[Case] = &[
    Case {
        code: "immutable_region",
        accepted: &[("region: eu-west-1", "region: eu-west-1\n    endpointURL: http://127.0.0.1:4566")],
        refused: &[("eu-west-1", "eu-west-2")],
    },
    Case {
        code: "immutable_stream_name",
        accepted: &[("shards: 2", "shards: 4")],
        refused: &[(SHARDS, "        shards: 2\n        streamName: other\n")],
    },
    Case {
        code: "immutable_from",
        // Another sink comes first: items are matched by name, not by position.
        accepted: &[
            (
                "    - name: raw\n",
                "    - { name: first, from: spare, s3: { bucket: acme-lake, key: first/ } }\n    - name: raw\n",
            ),
            ("  sinks:", "    - { name: spare, kinesis: { shards: 1 } }\n  sinks:"),
            ("to: events", "to: spare"),
        ],
        refused: &[
            ("      from: events\n      s3", "      from: spare\n      s3"),
            ("  sinks:", "    - { name: spare, kinesis: { shards: 1 } }\n  sinks:"),
        ],
    },
    Case {
        code: "immutable_target",
        accepted: &[("        key: raw/\n", "        key: other/\n")],
        refused: &[(
            "      s3:\n        bucket: acme-lake\n        key: raw/\n",
            "      dynamodb: { tables: [{ name: shop-raw, partition: { field: a, type: S }, write: put }] }\n      deadLetters: { bucket: acme-lake }\n",
        )],
    },
    Case {
        code: "immutable_key",
        accepted: &[
            (
                "          - name: shop-invoices\n",
                "          - { name: shop-new, partition: { field: a, type: N1 }, write: put }\n          - name: shop-invoices\n",
            ),
            ("N1", "\"N\""),
        ],
        refused: &[("field: InvoiceNo", "field: StockCode")],
    },
    Case {
        code: "immutable_key",
        accepted: &[],
        refused: &[(WRITE, "            write: put\n            sort: { field: a, type: S }\n")],
    },
    Case {
        code: "immutable_write",
        accepted: &[("            write: put\n", "            write: put\n            when: exists(.a)\n")],
        refused: &[(WRITE, "            write: aggregate\n            add: { a: 1 }\n")],
    },
];

/// The base with edits.
pub(crate) fn edited(edits: &[Edit]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the base");
        text.replacen(from, to, 1)
    })
}
