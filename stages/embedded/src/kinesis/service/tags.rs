//! Tags of streams and consumers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::consumers::consumer_of_arn;
use super::{Answer, Service, json, stream_of_arn};
use crate::kinesis::error::ApiError;
use crate::kinesis::model::consumer::no_consumer;
use crate::kinesis::model::stream::Stream;
use crate::kinesis::protocol::requests::{AddTags, ListTags, RemoveTags, ResourceTags};
use crate::kinesis::protocol::{of_length, parse, required, within};

/// Tags per resource. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_TagResource.html>
const MAX_TAGS: usize = 50;

type Tags = BTreeMap<String, String>;

/// Checks the lengths of keys and values.
pub(super) fn check_tags(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(ApiError::invalid_argument(format!("A resource can have at most {MAX_TAGS} tags.")));
    }
    tags.iter().try_for_each(|(key, value)| {
        of_length(key, "tags.key", 1, 128)?;
        of_length(value, "tags.value", 0, 256)?;
        Ok(())
    })
}

fn tag_keys(given: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let keys = required(given, "tagKeys")?;
    if keys.is_empty() || keys.len() > MAX_TAGS {
        let constraint = format_args!("Member must have length between 1 and {MAX_TAGS}");
        return Err(ApiError::validation("tagKeys", format_args!("[{} keys]", keys.len()), constraint));
    }
    Ok(keys)
}

fn add(tags: &mut Tags, new: Tags) -> Result<(), ApiError> {
    tags.extend(new);
    if tags.len() > MAX_TAGS {
        return Err(ApiError::invalid_argument(format!("A resource can have at most {MAX_TAGS} tags.")));
    }
    Ok(())
}

fn as_list<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

/// What a tag operation is about.
enum Resource {
    Stream(String),
    Consumer { stream: String, name: String },
}

impl Resource {
    fn parse(arn: &str) -> Result<Self, ApiError> {
        if arn.contains("/consumer/") {
            let (stream, name, _) = consumer_of_arn(arn)?;
            Ok(Self::Consumer { stream: stream.to_owned(), name: name.to_owned() })
        } else {
            Ok(Self::Stream(stream_of_arn(arn)?.to_owned()))
        }
    }

    fn stream(&self) -> &str {
        match self {
            Self::Stream(name) | Self::Consumer { stream: name, .. } => name,
        }
    }

    fn tags<'a>(&self, stream: &'a mut Stream) -> Result<&'a mut Tags, ApiError> {
        match self {
            Self::Stream(_) => Ok(&mut stream.tags),
            Self::Consumer { name, .. } => {
                let missing = no_consumer(&stream.name, name);
                let consumer = stream.consumers.iter_mut().find(|consumer| consumer.name == *name);
                consumer.map(|consumer| &mut consumer.tags).ok_or(missing)
            }
        }
    }
}

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_AddTagsToStream.html>
    pub(super) async fn add_tags(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: AddTags = parse(body)?;
        let tags = required(request.tags, "tags")?;
        check_tags(&tags)?;
        let name = self.target(&request.target)?;
        self.alter(name, move |stream, _| add(&mut stream.tags, tags)).await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RemoveTagsFromStream.html>
    pub(super) async fn remove_tags(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: RemoveTags = parse(body)?;
        let keys = tag_keys(request.tag_keys)?;
        let name = self.target(&request.target)?;
        self.alter(name, move |stream, _| {
            stream.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html>
    pub(super) fn list_tags(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ListTags = parse(body)?;
        let limit = request.limit.map_or(Ok(50), |limit| within(limit, "limit", 1, 50))? as usize;
        let live = self.describe(&request.target)?;
        let start = request.exclusive_start_tag_key;
        let rest = || live.stream.tags.iter().filter(|(key, _)| start.as_ref().is_none_or(|start| *key > start));
        let page = as_list(rest().take(limit));
        let has_more = rest().count() > page.len();
        Ok(json(&json!({ "Tags": page, "HasMoreTags": has_more })))
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_TagResource.html>
    pub(super) async fn tag_resource(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ResourceTags = parse(body)?;
        let resource = Resource::parse(&required(request.resource_arn, "resourceARN")?)?;
        let tags = required(request.tags, "tags")?;
        check_tags(&tags)?;
        let name = resource.stream().to_owned();
        self.alter(&name, move |stream, _| add(resource.tags(stream)?, tags)).await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UntagResource.html>
    pub(super) async fn untag_resource(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ResourceTags = parse(body)?;
        let resource = Resource::parse(&required(request.resource_arn, "resourceARN")?)?;
        let keys = tag_keys(request.tag_keys)?;
        let name = resource.stream().to_owned();
        self.alter(&name, move |stream, _| {
            resource.tags(stream)?.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForResource.html>
    pub(super) fn list_tags_for_resource(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ResourceTags = parse(body)?;
        let resource = Resource::parse(&required(request.resource_arn, "resourceARN")?)?;
        let mut stream = self.catalog.get(resource.stream(), self.now())?.stream.clone();
        let tags = as_list(resource.tags(&mut stream)?.iter());
        Ok(json(&json!({ "Tags": tags })))
    }
}
