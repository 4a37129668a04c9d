//! What IAM calls the calls that are made. A call that is new in the code is new here: tests compare both.

/// Streams are looked at, created with tags, adopted by a tag, and changed in place.
pub const KEEP_STREAM: &[&str] = &[
    "kinesis:DescribeStreamSummary",
    "kinesis:ListTagsForStream",
    "kinesis:CreateStream",
    "kinesis:AddTagsToStream",
    "kinesis:IncreaseStreamRetentionPeriod",
    "kinesis:DecreaseStreamRetentionPeriod",
    "kinesis:UpdateMaxRecordSize",
    "kinesis:StartStreamEncryption",
    "kinesis:StopStreamEncryption",
    "kinesis:UpdateShardCount",
    "kinesis:UpdateStreamMode",
];
/// Tables are looked at, created with tags, adopted by a tag, and changed in place.
pub const KEEP_TABLE: &[&str] = &[
    "dynamodb:DescribeTable",
    "dynamodb:ListTagsOfResource",
    "dynamodb:CreateTable",
    "dynamodb:TagResource",
    "dynamodb:UpdateTable",
];
/// Whether a table can be restored, where the Pipeline says so.
pub const KEEP_RECOVERY: &[&str] = &["dynamodb:DescribeContinuousBackups", "dynamodb:UpdateContinuousBackups"];
/// The time to live of a table of data: it is also switched off.
pub const KEEP_TTL: &[&str] = &["dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive"];
/// HeadBucket.
pub const LOOK_AT_BUCKET: &[&str] = &["s3:ListBucket"];
/// Whether a stream has been read to its tip, which `suspend: Drain` asks.
pub const DRAIN_STREAM: &[&str] = &["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"];
/// How far a stream has been read, which `suspend: Drain` asks.
pub const DRAIN_LEASES: &[&str] = &["dynamodb:Scan"];
/// With `deletionPolicy: Delete`.
pub const DELETE_STREAM: &[&str] = &["kinesis:DeleteStream"];
/// With `deletionPolicy: Delete`.
pub const DELETE_TABLE: &[&str] = &["dynamodb:DeleteTable"];

/// A source finds the shards of its stream and writes to it.
pub const WRITE_STREAM: &[&str] = &["kinesis:ListShards", "kinesis:PutRecords"];
/// A sink reads its stream.
pub const READ_STREAM: &[&str] = &["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"];
/// A sink is registered as a consumer with its stream.
pub const REGISTER_CONSUMER: &[&str] =
    &["kinesis:DescribeStreamSummary", "kinesis:DescribeStreamConsumer", "kinesis:RegisterStreamConsumer"];
/// A sink reads as a registered consumer.
pub const SUBSCRIBE: &[&str] = &["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
/// A registration is taken away: by `penstock run` one that it made, by the operator that of a sink which needs none any more,
/// also when the sink is not there any more.
pub const DEREGISTER_CONSUMER: &[&str] = &["kinesis:DeregisterStreamConsumer"];
/// A sink keeps its leases.
pub const LEASES: &[&str] =
    &["dynamodb:Scan", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"];
/// Objects are written in one piece or in parts, and looked at where it is not known whether they were.
pub const WRITE_OBJECTS: &[&str] = &["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"];
/// A HeadObject of an object that is not there.
pub const TELL_MISSING: &[&str] = &["s3:ListBucket"];
/// Items of `write: put`.
pub const PUT_ITEMS: &[&str] = &["dynamodb:BatchWriteItem", "dynamodb:PutItem"];
/// Items of `write: aggregate`.
pub const ADD_TO_ITEMS: &[&str] = &["dynamodb:UpdateItem"];
/// An API reads one item.
pub const GET_ITEMS: &[&str] = &["dynamodb:GetItem"];
/// An API reads items of a partition.
pub const QUERY_ITEMS: &[&str] = &["dynamodb:Query"];
/// Records that cannot be handled.
pub const WRITE_DEAD_LETTERS: &[&str] = &["s3:PutObject"];
