//! An item's key, made from a record.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_api::spec::{KeyField, KeyType};
use penstock_contract::Rejection;
use penstock_process::{FieldPath, FieldView, RecordContext, Template, TemplateError};

use crate::decimal::Decimal;
use crate::item::Item;

/// The longest partition key and sort key (DynamoDB developer guide, "Constraints": partition keys, sort keys).
const MAX_PARTITION_BYTES: usize = 2048;
const MAX_SORT_BYTES: usize = 1024;

/// How a key attribute is made.
#[derive(Debug)]
pub(crate) struct KeyPart {
    attribute: String,
    key_type: KeyType,
    source: KeySource,
    max_bytes: usize,
}

#[derive(Debug)]
enum KeySource {
    Field(FieldPath),
    Template(Template),
}

/// A table's key: one or two attributes.
#[derive(Debug)]
pub(crate) struct KeySpec {
    partition: KeyPart,
    sort: Option<KeyPart>,
}

/// The key of one item. Equal keys are the same item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    partition: KeyValue,
    sort: Option<KeyValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum KeyValue {
    S(String),
    N(Decimal),
    B(Vec<u8>),
}

impl KeySpec {
    pub(crate) fn new(partition: &KeyField, sort: Option<&KeyField>) -> Result<Self, TemplateError> {
        Ok(Self {
            partition: KeyPart::new(partition, MAX_PARTITION_BYTES)?,
            sort: sort.map(|sort| KeyPart::new(sort, MAX_SORT_BYTES)).transpose()?,
        })
    }

    /// The names of the key attributes.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.parts().map(|part| part.attribute.as_str())
    }

    /// The key attributes that are not a field of the same name: a record's own field would be lost under them.
    pub(crate) fn made_attributes(&self) -> impl Iterator<Item = &str> {
        self.parts()
            .filter(|part| !matches!(&part.source, KeySource::Field(field) if field.as_str() == part.attribute))
            .map(|part| part.attribute.as_str())
    }

    /// Whether each record has an item of its own: its id is part of the key.
    pub(crate) fn holds_id(&self, id_field: Option<&str>) -> bool {
        self.parts().any(|part| match &part.source {
            KeySource::Field(field) => Some(field.as_str()) == id_field,
            KeySource::Template(template) => {
                template.uses_id() || id_field.is_some_and(|id| template.fields().any(|field| field == id))
            }
        })
    }

    /// Makes the key of a record's item.
    pub(crate) fn make(&self, context: &RecordContext<'_>) -> Result<Key, Rejection> {
        Ok(Key {
            partition: self.partition.make(context)?,
            sort: self.sort.as_ref().map(|sort| sort.make(context)).transpose()?,
        })
    }

    /// The key as attributes.
    pub(crate) fn item(&self, key: &Key) -> Item {
        self.values(key).map(|(name, value)| (name.to_owned(), value.attribute())).collect()
    }

    /// The attributes with their values.
    pub(crate) fn values<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (&'a str, &'a KeyValue)> {
        let values = std::iter::once(&key.partition).chain(&key.sort);
        self.parts().map(|part| part.attribute.as_str()).zip(values)
    }

    /// What the key costs in an item, names included.
    pub(crate) fn size(&self, key: &Key) -> usize {
        let sort = self.sort.as_ref().map_or(0, |sort| sort.attribute.len());
        self.partition.attribute.len() + sort + key.partition.size() + key.sort.as_ref().map_or(0, KeyValue::size)
    }

    fn parts(&self) -> impl Iterator<Item = &KeyPart> {
        std::iter::once(&self.partition).chain(&self.sort)
    }
}

impl KeyPart {
    fn new(key: &KeyField, max_bytes: usize) -> Result<Self, TemplateError> {
        let source = match (&key.field, &key.template) {
            (Some(field), _) => KeySource::Field(FieldPath::new(field.as_str())),
            (None, template) => KeySource::Template(Template::parse(template.as_deref().unwrap_or_default())?),
        };
        Ok(Self { attribute: key.attribute_name().to_owned(), key_type: key.key_type, source, max_bytes })
    }

    fn make(&self, context: &RecordContext<'_>) -> Result<KeyValue, Rejection> {
        let value = match &self.source {
            KeySource::Template(template) => KeyValue::S(template.render(context)?),
            KeySource::Field(field) => self.typed(field, context.row.get(field))?,
        };
        self.check(value)
    }

    fn typed(&self, field: &FieldPath, value: Option<FieldView<'_>>) -> Result<KeyValue, Rejection> {
        let wrong = |found: &str| {
            let message = format!(
                "{}: is {found}, and the key {} wants {}",
                field.as_str(),
                self.attribute,
                wanted(self.key_type)
            );
            Rejection::new("key_type", message).at(field.as_str())
        };
        match (self.key_type, value) {
            (_, None | Some(FieldView::Null)) => {
                let state = if value.is_some() { "null" } else { "missing" };
                let message = format!("{}: is {state}, and the key {} is made from it", field.as_str(), self.attribute);
                Err(Rejection::new("key_missing", message).at(field.as_str()))
            }
            (KeyType::S, Some(FieldView::Text(text))) => Ok(KeyValue::S(text.to_owned())),
            (KeyType::N, Some(FieldView::Number(number))) => {
                Decimal::from_number(number).map(KeyValue::N).ok_or_else(|| wrong("a number beyond DynamoDB's range"))
            }
            (KeyType::B, Some(FieldView::Text(text))) => {
                STANDARD.decode(text).map(KeyValue::B).map_err(|_| wrong("a string that is not base64"))
            }
            (_, Some(other)) => Err(wrong(other.kind_name())),
        }
    }

    fn check(&self, value: KeyValue) -> Result<KeyValue, Rejection> {
        let bytes = value.size();
        let (reason, message) = if bytes == 0 {
            ("key_empty", format!("the key {} is empty, which DynamoDB does not take", self.attribute))
        } else if bytes > self.max_bytes {
            let message =
                format!("the key {} has {bytes} bytes; DynamoDB takes at most {}", self.attribute, self.max_bytes);
            ("key_too_long", message)
        } else {
            return Ok(value);
        };
        let rejection = Rejection::new(reason, message);
        Err(match &self.source {
            KeySource::Field(field) => rejection.at(field.as_str()),
            KeySource::Template(_) => rejection,
        })
    }
}

impl KeyValue {
    fn attribute(&self) -> AttributeValue {
        match self {
            Self::S(text) => AttributeValue::S(text.clone()),
            Self::N(number) => AttributeValue::N(number.to_string()),
            Self::B(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
        }
    }
}

fn wanted(key_type: KeyType) -> &'static str {
    match key_type {
        KeyType::S => "a string",
        KeyType::N => "a number",
        KeyType::B => "bytes as base64",
    }
}
