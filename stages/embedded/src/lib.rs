//! The embedded engines: Kinesis, DynamoDB and S3 in this process, on one loopback endpoint, told apart as AWS
//! tells its services apart. Any AWS SDK, the AWS CLI and boto3 work against them unchanged.
//!
//! They are strict rather than lenient: what passes here must pass on AWS. Kinesis is our own and durable (an
//! acknowledged record is on disk), DynamoDB is `dynoxide` over SQLite, S3 is the `s3s` protocol over files.
//!
//! The crate knows the services' wire protocols and one folder. It deliberately knows no Pipeline, no stage and no
//! AWS account: it checks no credentials (any are accepted), so it must listen where only its user can reach it.

mod dynamodb;
mod engines;
mod folder;
mod front;
mod kinesis;
mod s3;

pub use dynamodb::DynamoDbError;
pub use engines::{Engines, Limits, Options, StartError};
pub use folder::FolderError;
pub use kinesis::{KinesisError, StoreError};
pub use s3::{IndexError, S3EngineError};
