//! The patterns of texts in a Pipeline, and what each of them means in words.
//!
//! The API server can only say which pattern a text does not match. `penstock validate` says what to write.

use crate::units;

/// A name in the Pipeline: a DNS label (RFC 1123).
pub const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The name of a Pipeline: a DNS label with a letter in front (RFC 1035), since the Services of its stages begin with it.
pub const PIPELINE_NAME: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// An AWS region.
pub const REGION: &str = "^[a-z]{2,8}(-[a-z]+)+-[0-9]{1,2}$";
/// An endpoint of an emulator.
pub const ENDPOINT: &str = "^https?://[^ /]+/?$";
/// A stream's or a table's name (Kinesis CreateStream, DynamoDB CreateTable).
pub const AWS_NAME: &str = "^[a-zA-Z0-9_.-]+$";
/// How long a stream keeps its records.
pub const RETENTION: &str = "^[1-9][0-9]{0,3}(h|d)$";
/// How long an id is remembered: less than a day, since no stream keeps records for less.
pub const DUPLICATE_WINDOW: &str = "^([1-9][0-9]{0,3}s|[1-9][0-9]{0,2}m|([1-9]|1[0-9]|2[0-3])h)$";
/// The largest record of a stream, in whole KiB.
pub const RECORD_SIZE: &str = "^[1-9][0-9]{0,4}(Ki|Mi)$";
/// A key of KMS: its id, its ARN, an alias or an alias' ARN (StartStreamEncryption API reference).
pub const KMS_KEY: &str =
    "^((arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/|alias/)[a-zA-Z0-9/_-]+|(mrk-)?[a-f0-9-]{32,36})$";
/// A bucket's name (S3 user guide, "General purpose bucket naming rules").
pub const BUCKET: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$";
/// The first part of an object's key: the characters that S3 calls safe, and no slash in front.
pub const KEY_PREFIX: &str = "^[A-Za-z0-9!_.*'()=-][A-Za-z0-9!_.*'()/=-]*$";
/// A field that holds an id.
pub const FIELD: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// The path of an HTTP route.
pub const HTTP_PATH: &str = "^(/[A-Za-z0-9._~-]+)+$";
/// The path of an API's route: parameters stand in braces.
pub const ROUTE_PATH: &str = "^(/([A-Za-z0-9._~-]+|[{][A-Za-z_][A-Za-z0-9_]*[}]))+$";
/// The origin of a web page (RFC 6454), or all.
pub const ORIGIN: &str = "^([*]|https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?)$";
/// The name of a Secret: a DNS subdomain (RFC 1123).
pub const SECRET_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// The key of a label, an annotation or a taint.
pub const LABEL_KEY: &str = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// A reference to a container image.
pub const IMAGE: &str = "^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$";
/// A quantity as Kubernetes has it.
pub const QUANTITY: &str = "^[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$";
/// The value of a label.
pub const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// What a text must be to match a pattern, to follow "it must be".
#[must_use]
pub fn meaning(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        NAME_PATTERN => {
            "a DNS label: lower-case letters, digits and dashes, with a letter or digit at both ends, such as `orders-2`"
        }
        PIPELINE_NAME => {
            "a DNS label with a letter in front: lower-case letters, digits and dashes, with a letter or digit at the end, such as \
             `orders-2`"
        }
        REGION => "an AWS region, such as `eu-west-1`",
        ENDPOINT => "a URL without a path, such as `http://127.0.0.1:4566`",
        AWS_NAME => "letters, digits, `_`, `.` and `-` only",
        RETENTION => "whole hours or days, such as `48h` or `7d`",
        DUPLICATE_WINDOW => "a time of less than a day: up to `9999s`, `999m` or `23h`, such as `10m`",
        RECORD_SIZE => "a size from `1Mi` to `10Mi`, such as `2Mi` or `1536Ki`",
        KMS_KEY => "a key of KMS: its id, its ARN or an alias, such as `alias/orders`",
        BUCKET => {
            "a bucket's name: lower-case letters, digits, dots and dashes, with a letter or digit around each dot and at both ends"
        }
        KEY_PREFIX => {
            "a key prefix of letters, digits and `!_.*'()/=-`, without a slash in front, such as `dead-letters/`"
        }
        FIELD => "a field's name: letters, digits and `_`, with no digit in front",
        HTTP_PATH => "a path with a slash in front and none at the end, such as `/orders`",
        ROUTE_PATH => {
            "a path with a slash in front and none at the end, whose parts are texts or parameters, such as `/invoices/{InvoiceNo}`"
        }
        ORIGIN => "the origin of a page, such as `https://shop.example`, or `*` for all",
        SECRET_NAME => "a Secret's name: lower-case letters, digits, dots and dashes",
        LABEL_KEY => "a label's key, such as `example.com/zone`",
        IMAGE => "an image, such as `ghcr.io/example/penstock:1.2.3`",
        QUANTITY => "a quantity, such as `500m` or `512Mi`",
        LABEL_VALUE => "a label's value: letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        units::SIZE_PATTERN => {
            "a size: a whole number of bytes above 0, or one with `Ki`, `Mi` or `Gi`, such as `64Mi`"
        }
        units::TIME_PATTERN => "a time with its offset (RFC 3339), in quotes, such as `\"2026-11-01T00:00:00Z\"`",
        units::DURATION_PATTERN => {
            "a duration: a whole number above 0 and one of `ms`, `s`, `m`, `h`, `d`, such as `5m`"
        }
        _ => return None,
    })
}
