//! Routes that cannot be used are told with the field at fault.

use crate::common::stage;

#[test]
fn what_cannot_be_used_is_told_with_its_field() {
    for (route, field, words) in [
        (r#"{ path: "/l/{no}", table: lines, sort: { prefix: "{a" } }"#, "sort.prefix", "brace"),
        (r#"{ path: "/l/{no}", table: lines, partition: "{$id}" }"#, "partition", "no parameter"),
        (r#"{ path: "/l/{no}", table: lines, parameters: [{ name: other }] }"#, "parameters[0]", "no template"),
        (
            r#"{ path: "/l/{no}", table: lines, parameters: [{ name: no, default: A }] }"#,
            "parameters[0].default",
            "path",
        ),
        (
            r#"{ path: "/l/{no}", table: lines, sort: { prefix: "{a}" }, parameters: [{ name: a, type: Date, default: soon }] }"#,
            "parameters[0]",
            "soon",
        ),
        (r#"{ path: "/l/{no}", table: lines, sort: { prefix: "{limit}" } }"#, "path", "every route"),
        (r#"{ path: "/l/{no}", table: lines, fields: [{ name: a }], orderBy: b }"#, "orderBy", "`b`"),
        (
            r#"{ path: "/l/{no}", table: lines, groupBy: [kind], totals: [{ name: kind, aggregate: Count }] }"#,
            "totals[0].name",
            "kind",
        ),
        (
            r#"{ path: "/l/{no}", table: lines }, { path: "/l/latest", table: lines, partition: A }"#,
            "path",
            "both `/l/latest` and `/l/{no}`",
        ),
    ] {
        let errors = penstock_query::check(&stage(&format!("routes: [ {route} ]"))).unwrap_err();
        assert_eq!(errors[0].field, field, "{route}");
        assert!(errors[0].message.contains(words) && !errors[0].cure.is_empty(), "{}", errors[0].message);
    }
}
