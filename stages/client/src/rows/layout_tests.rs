#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::input::charset::Decoding;
use crate::input::records::RecordReader;
use crate::options::Delimiter;

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,UnitPrice,CustomerID";

fn shop_schema() -> RowSchema {
    RowSchema::new(json!({
        "type": "object",
        "required": ["InvoiceNo", "StockCode", "Quantity", "Description"],
        "properties": {
            "InvoiceNo": {"type": "string"},
            "StockCode": {"type": "string"},
            "Description": {"type": "string"},
            "Quantity": {"type": "integer"},
            "UnitPrice": {"type": "number"},
            "CustomerID": {"type": "integer"},
        },
    }))
}

struct Setup {
    header: Vec<String>,
    renames: Vec<(String, String)>,
    types: Vec<(String, CellType)>,
    schema: Option<RowSchema>,
    decimal_comma: bool,
    id: Option<&'static str>,
    key: Option<&'static str>,
}

impl Setup {
    fn shop() -> Self {
        Self {
            header: HEADER.split(',').map(str::to_owned).collect(),
            renames: Vec::new(),
            types: Vec::new(),
            schema: Some(shop_schema()),
            decimal_comma: false,
            id: Some("_id"),
            key: Some("{InvoiceNo}"),
        }
    }

    fn layout(&self) -> Result<Layout, SendError> {
        Layout::new(&LayoutInputs {
            name: "shop.csv",
            header: &self.header,
            renames: &self.renames,
            types: &self.types,
            schema: self.schema.as_ref(),
            decimal_comma: self.decimal_comma,
            id: self.id.map(|field| (field, "0123456789abcdef")),
            partition_key: self.key,
        })
    }

    fn write(&self, line: &str) -> Result<(String, u64), BadRow> {
        let mut reader = RecordReader::new(line.as_bytes(), Delimiter::KNOWN[0], Decoding::Utf8);
        reader.advance().unwrap();
        let mut out = Vec::new();
        let key = self.layout().unwrap().write(&reader.record().unwrap(), 7, &mut out)?;
        Ok((String::from_utf8(out).unwrap(), key))
    }
}

#[test]
fn fields_get_the_types_that_the_schema_wants() {
    let (json, _) = Setup::shop().write("536365,85123A,\"T-LIGHT \"\"7\"\"\",6,2.55,17850.0").unwrap();
    assert_eq!(
        json,
        "{\"_id\":\"0123456789abcdef-7\",\"InvoiceNo\":\"536365\",\"StockCode\":\"85123A\",\
         \"Description\":\"T-LIGHT \\\"7\\\"\",\"Quantity\":6,\"UnitPrice\":2.55,\"CustomerID\":17850}\n"
    );
}

#[test]
fn without_a_schema_everything_is_a_string_unless_a_type_is_named() {
    let mut setup = Setup { schema: None, id: None, ..Setup::shop() };
    assert_eq!(
        setup.write("1,2,,6,2.55,").unwrap().0,
        "{\"InvoiceNo\":\"1\",\"StockCode\":\"2\",\"Quantity\":\"6\",\"UnitPrice\":\"2.55\"}\n"
    );
    setup.types = vec![("Quantity".to_owned(), CellType::Integer)];
    assert_eq!(setup.write(",2,,6,,").unwrap().0, "{\"StockCode\":\"2\",\"Quantity\":6}\n");
    assert_eq!(setup.write(",,,,,").unwrap().0, "{}\n");
}

#[test]
fn an_empty_cell_is_left_out_unless_the_schema_requires_it() {
    let (json, _) = Setup::shop().write("536365,85123A,,6,,").unwrap();
    assert_eq!(
        json,
        "{\"_id\":\"0123456789abcdef-7\",\"InvoiceNo\":\"536365\",\"StockCode\":\"85123A\",\"Description\":\"\",\"Quantity\":6}\n"
    );
    let bad = Setup::shop().write("536365,85123A,,,2.55,").unwrap_err();
    assert_eq!((bad.code, bad.field.as_deref()), ("required_empty", Some("Quantity")));
}

#[test]
fn a_required_field_that_may_be_null_is_null_also_where_it_is_text() {
    let schema = RowSchema::new(json!({
        "required": ["CustomerID", "Description"],
        "properties": {"CustomerID": {"type": ["integer", "null"]}, "Description": {"type": ["string", "null"]}},
    }));
    let setup = Setup { schema: Some(schema), id: None, ..Setup::shop() };
    assert_eq!(setup.write("1,,,,,").unwrap().0, "{\"InvoiceNo\":\"1\",\"Description\":null,\"CustomerID\":null}\n");
}

#[test]
fn a_row_with_another_number_of_fields_is_bad() {
    assert_eq!(Setup::shop().write("1,2,3").unwrap_err().code, "ragged_row");
    assert_eq!(Setup::shop().write("1,2,3,4,5,6,7").unwrap_err().code, "ragged_row");
}

#[test]
fn a_cell_that_cannot_be_converted_names_its_field() {
    let bad = Setup::shop().write("536365,85123A,x,six,2.55,").unwrap_err();
    assert_eq!((bad.code, bad.field.as_deref()), ("not_an_integer", Some("Quantity")));
    assert!(bad.reason.contains("six"), "{}", bad.reason);
    let bad = Setup::shop().write("536365,85123A,x\0,6,2.55,").unwrap_err();
    assert_eq!((bad.code, bad.field.as_deref()), ("nul_character", Some("Description")));
}

#[test]
fn a_decimal_comma_is_read_when_it_was_named() {
    let mut setup = Setup::shop();
    let bad = setup.write("1,2,x,6,\"2,55\",").unwrap_err();
    assert_eq!((bad.code, bad.field.as_deref()), ("not_a_number", Some("UnitPrice")));
    setup.decimal_comma = true;
    let (json, _) = setup.write("1,2,\"3,4\",\"6,0\",\"2,55\",").unwrap();
    assert!(json.ends_with("\"Description\":\"3,4\",\"Quantity\":6,\"UnitPrice\":2.55}\n"), "{json}");
    let bad = setup.write("1,2,x,6,\"1.234,5\",").unwrap_err();
    assert!(bad.reason.contains("1.234,5"), "thousands are not guessed: {}", bad.reason);
    assert!(setup.write("1,2,x,6,\"2,x\",").unwrap_err().reason.contains("2,x"), "the cell is shown as it stands");
}

#[test]
fn rows_of_one_key_have_the_same_hash() {
    let setup = Setup::shop();
    let key = |line: &str| setup.write(line).unwrap().1;
    assert_eq!(key("536365,a,x,1,1,"), key("536365,b,y,2,2,1"));
    assert_ne!(key("536365,a,x,1,1,"), key("536366,a,x,1,1,"));
}

#[test]
fn a_column_of_the_ids_name_gives_the_ids() {
    let mut setup = Setup { schema: None, ..Setup::shop() };
    setup.header = vec!["a".to_owned(), "_id".to_owned()];
    assert_eq!(setup.write("1,mine").unwrap().0, "{\"a\":\"1\",\"_id\":\"mine\"}\n");
    assert_eq!(setup.write("1,").unwrap().0, "{\"_id\":\"0123456789abcdef-7\",\"a\":\"1\"}\n");
}

#[test]
fn columns_can_be_renamed() {
    let mut setup = Setup { schema: None, id: None, ..Setup::shop() };
    setup.header = vec!["Nr".to_owned(), "b".to_owned()];
    setup.renames = vec![("Nr".to_owned(), "InvoiceNo".to_owned())];
    setup.types = vec![("Nr".to_owned(), CellType::Integer)];
    assert_eq!(setup.write("1,2").unwrap().0, "{\"InvoiceNo\":1,\"b\":\"2\"}\n");
    assert!(matches!(setup.layout().unwrap().lanes, LaneRule::Columns(_)), "the new name counts");
    setup.renames = vec![("Nr".to_owned(), "b".to_owned())];
    assert!(matches!(setup.layout(), Err(SendError::Header { .. })));
    setup.renames = vec![("Missing".to_owned(), "x".to_owned())];
    assert!(matches!(setup.layout(), Err(SendError::NoSuchColumn { .. })));
}

#[test]
fn headers_that_cannot_name_fields_are_errors() {
    for header in [vec!["a", "a"], vec!["a", ""], vec!["a", " "]] {
        let setup = Setup { header: header.into_iter().map(str::to_owned).collect(), schema: None, ..Setup::shop() };
        assert!(matches!(setup.layout(), Err(SendError::Header { .. })));
    }
}

#[test]
fn a_required_field_without_a_column_is_told_before_anything_is_sent() {
    let setup = Setup { header: vec!["InvoiceNo".to_owned()], ..Setup::shop() };
    let error = setup.layout().err().unwrap();
    assert!(matches!(&error, SendError::RequiredColumn { field, .. } if field == "StockCode"), "{error}");
}
