//! The newest objects of a sink, and the dead letters in the newest of theirs.

use aws_sdk_s3::types::Object;
use penstock_api::plan::SinkStage;
use serde_json::{Value, json};

use super::{PeekError, SHOWN, shown};
use crate::subject::Stores;

/// How many folders deep is looked.
const DEPTH: usize = 12;
/// Folders of dead letters that are looked into: each shard has one.
const FOLDERS: usize = 16;
/// Objects of dead letters that are opened.
const OPENED: usize = 10;
/// How much is read of one, in bytes.
const READ_BYTES: usize = 256 << 10;

pub(super) async fn newest(stores: &Stores, bucket: &str, prefix: &str) -> Result<Value, PeekError> {
    let (folder, objects) = last_folder(stores, bucket, prefix).await?;
    let objects = objects.iter().map(|object| {
        json!({
            "key": object.key(),
            "bytes": object.size(),
            "modified": object.last_modified().and_then(|at| at.to_millis().ok()),
        })
    });
    Ok(json!({ "bucket": bucket, "folder": folder, "objects": objects.take(SHOWN).collect::<Vec<_>>() }))
}

/// The newest objects below a prefix: those of the folder whose name comes last, which is the latest where names have
/// dates, newest first.
async fn last_folder(stores: &Stores, bucket: &str, prefix: &str) -> Result<(String, Vec<Object>), PeekError> {
    let mut folder = prefix.to_owned();
    for _ in 0..DEPTH {
        let (folders, objects) = list(stores, bucket, &folder).await?;
        match folders.into_iter().max().filter(|_| objects.is_empty()) {
            Some(last) => folder = last,
            None => return Ok((folder, objects)),
        }
    }
    Ok((folder, Vec::new()))
}

/// Folders and objects of a folder; of objects only the first thousand, newest first.
async fn list(stores: &Stores, bucket: &str, folder: &str) -> Result<(Vec<String>, Vec<Object>), PeekError> {
    let request = stores.s3.list_objects_v2().bucket(bucket).prefix(folder).delimiter("/");
    let listed =
        request.send().await.map_err(|error| PeekError::of(format!("listing s3://{bucket}/{folder}"), &error))?;
    let folders = listed.common_prefixes().iter().filter_map(|folder| folder.prefix().map(str::to_owned)).collect();
    let mut objects = listed.contents().to_vec();
    newest_first(&mut objects);
    Ok((folders, objects))
}

/// The newest objects of dead letters, newest first: below the prefix each shard has a folder of its own, so the one
/// whose name comes last is not the newest.
async fn newest_of_shards(stores: &Stores, bucket: &str, prefix: &str) -> Result<Vec<Object>, PeekError> {
    let (mut shards, mut objects) = list(stores, bucket, prefix).await?;
    shards.sort();
    for shard in shards.iter().rev().take(FOLDERS) {
        objects.extend(last_folder(stores, bucket, shard).await?.1);
    }
    newest_first(&mut objects);
    Ok(objects)
}

fn newest_first(objects: &mut [Object]) {
    objects.sort_by_key(|object| std::cmp::Reverse(object.last_modified().map(|at| (at.secs(), at.subsec_nanos()))));
}

/// The newest dead letters of a sink of a Pipeline, by its namespace and its name: other sinks and Pipelines may have
/// theirs below the same prefix.
pub(super) async fn dead_letters(
    stores: &Stores,
    stage: &SinkStage,
    (namespace, name): (&str, &str),
    sink: &str,
) -> Result<Value, PeekError> {
    let bucket = &stage.dead_letters_bucket;
    let folder = &format!("{}{namespace}/{name}/{sink}/", stage.dead_letters_prefix);
    let objects = newest_of_shards(stores, bucket, folder).await?;
    let mut letters = Vec::new();
    for key in objects.iter().take(OPENED).filter_map(|object| object.key()) {
        if letters.len() >= SHOWN {
            break;
        }
        let range = format!("bytes=0-{}", READ_BYTES - 1);
        let request = stores.s3.get_object().bucket(bucket).key(key).range(range);
        let doing = || format!("reading s3://{bucket}/{key}");
        let answer = request.send().await.map_err(|error| PeekError::of(doing(), &error))?;
        let body = answer.body.collect().await.map_err(|error| PeekError::of(doing(), &error))?.into_bytes();
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        letters.extend(lines.map(|line| serde_json::from_slice(line).unwrap_or_else(|_| shown(line))).take(SHOWN));
    }
    letters.truncate(SHOWN);
    Ok(json!({ "sink": sink, "bucket": bucket, "folder": folder, "objects": objects.len(), "letters": letters }))
}
