//! Buckets: looked at, and created where that is allowed.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use penstock_api::plan::BucketPlan;

use crate::error::{CallError, Kind, ProvisionError};
use crate::pace::{Look, limited, until_ready};
use crate::{Options, Origin, Provisioned};

/// The only region that must not be named when a bucket is created in it (CreateBucket API reference).
const UNNAMED_REGION: &str = "us-east-1";

pub(crate) async fn provision(
    plan: &BucketPlan,
    s3: &Client,
    options: &Options,
) -> Result<Provisioned, ProvisionError> {
    until_ready(Kind::Bucket, &plan.name, || look(plan, s3, options)).await
}

pub(crate) async fn look(plan: &BucketPlan, s3: &Client, options: &Options) -> Result<Look<Provisioned>, CallError> {
    let ready =
        |origin| Look::Ready(Provisioned { kind: Kind::Bucket, name: plan.name.clone(), origin, drift: Vec::new() });
    match (is_there(plan, s3).await?, options.create_buckets) {
        (true, _) => Ok(ready(Origin::Foreign)),
        (false, true) => create(plan, s3).await.map(|()| ready(Origin::Created)),
        (false, false) => {
            Err(CallError::Lasting(ProvisionError::Missing { kind: Kind::Bucket, name: plan.name.clone() }))
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>
async fn is_there(plan: &BucketPlan, s3: &Client) -> Result<bool, CallError> {
    let doing = || format!("looking at the bucket {:?}", plan.name);
    let call = s3.head_bucket().bucket(&plan.name).send();
    match limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error)) {
        Ok(_) => Ok(true),
        Err(CallError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
async fn create(plan: &BucketPlan, s3: &Client) -> Result<(), CallError> {
    let doing = || format!("creating the bucket {:?}", plan.name);
    let region = s3.config().region().map(AsRef::as_ref).filter(|region| *region != UNNAMED_REGION);
    let configuration = region.map(|region| {
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
    });
    let call = s3.create_bucket().bucket(&plan.name).set_create_bucket_configuration(configuration).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}
