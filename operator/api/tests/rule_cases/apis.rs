//! Cases of the rules of `spec.apis`.

use super::Case;

const AWS: &str = "    region: eu-west-1\n";

pub(super) const CASES: &[Case] = &[
    Case {
        code: "partitions_for_groups",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, partitions: [a, b], answer: Totals, totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, partitions: [a, b] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "partitions_for_groups",
        accepted: &[],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, partitions: [a, b], partition: a, answer: Totals, totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "unknown_table",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-others }\n",
        )],
    },
    Case {
        code: "chart_of_lines",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], chart: { by: StockCode, value: Amount, unit: kg, kind: Line, title: Sales, limit: 5 } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], answer: Totals, totals: [{ name: lines, aggregate: Count }], chart: { by: StockCode, value: lines } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "chart_of_lines",
        accepted: &[],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], sort: { equals: a }, chart: { by: StockCode, value: Amount } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "chart_of_fields",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], groupBy: [StockCode], totals: [{ name: lines, aggregate: Count }], chart: { by: StockCode, value: lines } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], groupBy: [StockCode], totals: [{ name: lines, aggregate: Count }], chart: { by: StockCode, value: Amount } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "chart_of_fields",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], fields: [{ name: Article, attribute: StockCode }, { name: Amount }], chart: { by: Article, value: Amount } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo, example: a }], fields: [{ name: Article, attribute: StockCode }, { name: Amount }], chart: { by: StockCode, value: Amount } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "chart_needs_example",
        accepted: &[],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo }], chart: { by: StockCode, value: Amount } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "partition_not_given",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: /invoices, table: shop-invoices, partition: \"{no}\" }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{no}\", table: shop-invoices }\n",
        )],
    },
    Case {
        code: "no_sort_key",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { prefix: \"{code}\" } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { prefix: \"{code}\" } }\n",
        )],
    },
    Case {
        code: "no_sort_key",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Item }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Items }\n",
        )],
    },
    Case {
        code: "item_needs_sort_key",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Item, sort: { equals: \"{code}\" } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Item }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "prefix_of_number",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { newerThan: \"{line}\" } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: Line, type: N1 }\n"),
            ("N1", "\"N\""),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { prefix: \"{line}\" } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: Line, type: N1 }\n"),
            ("N1", "\"N\""),
        ],
    },
    Case {
        code: "reserved_route",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: /live, table: shop-invoices, partition: \"{InvoiceNo}\" }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: /metrics/x, table: shop-invoices, partition: \"{InvoiceNo}\" }\n",
        )],
    },
    Case {
        code: "parameter_twice",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/{InvoiceNo}/{b}\", table: shop-invoices }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/{InvoiceNo}/{InvoiceNo}\", table: shop-invoices }\n",
        )],
    },
    Case {
        code: "reserved_parameter",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/{limits}\", table: shop-invoices, partition: \"{InvoiceNo}\" }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/{limit}\", table: shop-invoices, partition: \"{InvoiceNo}\" }\n",
        )],
    },
    Case {
        code: "reserved_parameter",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: InvoiceNo }] }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, parameters: [{ name: next }] }\n",
        )],
    },
    Case {
        code: "item_is_not_added_up",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Items, sort: { equals: \"{code}\" }, totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { equals: \"{code}\" }, totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "totals_needed",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, groupBy: [StockCode], totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, groupBy: [StockCode] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "totals_needed",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Totals, totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Totals }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "totals_alone",
        accepted: &[],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, answer: Totals, fields: [{ name: a }], totals: [{ name: lines, aggregate: Count }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "page_above_most",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, limits: { page: 1000 } }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, limits: { page: 1001 } }\n",
        )],
    },
    Case {
        code: "choose_one",
        accepted: &[],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { prefix: a, newerThan: b } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "between_nothing",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { between: { to: \"{to}\" } } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, sort: { between: {} } }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "attribute_and_function",
        accepted: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, totals: [{ name: a, aggregate: Sum, attribute: b }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, totals: [{ name: a, aggregate: Sum }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "attribute_and_function",
        accepted: &[],
        refused: &[
            (
                AWS,
                "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices, totals: [{ name: a, aggregate: Count, attribute: b }] }\n",
            ),
            ("            write: put\n", "            write: put\n            sort: { field: StockCode, type: S }\n"),
        ],
    },
    Case {
        code: "duplicate_name",
        accepted: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices }\n",
        )],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: raw\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices }\n",
        )],
    },
    Case {
        code: "reserved_label",
        accepted: &[],
        refused: &[(
            AWS,
            "    region: eu-west-1\n  apis:\n    - name: ask\n      template: { labels: { penstock.dev/stage: x } }\n      routes:\n        - { path: \"/invoices/{InvoiceNo}\", table: shop-invoices }\n",
        )],
    },
];
