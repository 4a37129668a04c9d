//! Bad states into which a valid Pipeline can be brought, each of which is left by going back.

use anyhow::{Context, ensure};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use penstock_control_plane::{BROKEN_IMAGE, Manifest, World, condition, eventually};
use serde_json::{Value, json};

use super::NAME;

/// A bad state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    SecretMissing,
    AffinityInvalid,
    StreamForeign,
    TableMismatch,
    BucketMissing,
    NameTaken,
    ChildRejected,
    PodsFail,
}

impl Trouble {
    pub(super) const ALL: [Self; 8] = [
        Self::SecretMissing,
        Self::AffinityInvalid,
        Self::StreamForeign,
        Self::TableMismatch,
        Self::BucketMissing,
        Self::NameTaken,
        Self::ChildRejected,
        Self::PodsFail,
    ];

    /// Brings a Pipeline into the state, and waits until it is said.
    pub(super) async fn make(self, world: &World, manifest: &Manifest) -> anyhow::Result<()> {
        self.prepare(world).await?;
        let (list, part) = self.part(manifest);
        // One that rests has no trouble.
        let troubled = manifest.clone().with("/spec/suspend", Value::Null)?.with(&format!("/spec/{list}/-"), part)?;
        world.apply(&troubled).await?;
        eventually(&format!("{} is said", self.reason()), async || {
            let pipeline = world.pipelines().get(NAME).await?;
            let ready = condition(&pipeline, "Ready").context("there is no Ready")?;
            let is_new = ready["observedGeneration"].as_i64() == pipeline.metadata.generation;
            ensure!(is_new && ready["reason"] == self.reason() && ready["status"] != "True", "{ready}");
            Ok(())
        })
        .await
    }

    fn reason(self) -> &'static str {
        match self {
            Self::SecretMissing => "SecretNotFound",
            Self::AffinityInvalid => "Invalid",
            Self::StreamForeign => "NotOurs",
            Self::TableMismatch => "Mismatch",
            Self::BucketMissing => "Missing",
            Self::NameTaken => "NameTaken",
            Self::ChildRejected => "Rejected",
            Self::PodsFail => "StageFailed",
        }
    }

    /// The part of the Pipeline that brings the trouble, and the list that it belongs to.
    fn part(self, manifest: &Manifest) -> (&'static str, Value) {
        let spec = &manifest.0["spec"];
        let buffer = &spec["buffers"][0]["name"];
        let mut source = json!({
            "name": "trouble", "to": spec["sources"][0]["to"], "partitionKey": "{a}", "http": { "path": "/trouble" },
        });
        if let Some(id) = spec["sources"][0].get("idField") {
            source["idField"] = id.clone();
        }
        let sink = |bucket: &str, template: Value| json!({ "name": "trouble", "from": buffer, "s3": { "bucket": bucket, "key": "x/" }, "template": template });
        match self {
            Self::SecretMissing => {
                source["http"]["auth"] = json!({ "apiKeys": { "secretName": "not-there" } });
                ("sources", source)
            }
            Self::NameTaken => ("sources", source),
            Self::StreamForeign => {
                ("buffers", json!({ "name": "trouble", "kinesis": { "streamName": "foreign", "shards": 1 } }))
            }
            Self::TableMismatch => {
                let table = json!({
                    "name": "foreign", "partition": { "field": "a", "type": "S" }, "write": "put", "existing": "Use",
                });
                let sink = json!({
                    "name": "trouble", "from": buffer, "dynamodb": { "tables": [table] },
                    "deadLetters": { "bucket": "acme-lake" },
                });
                ("sinks", sink)
            }
            Self::BucketMissing => ("sinks", sink("not-there", json!({}))),
            Self::AffinityInvalid => ("sinks", sink("acme-lake", json!({ "affinity": { "nodeAffinity": 7 } }))),
            Self::ChildRejected => ("sinks", sink("acme-lake", json!({ "labels": { "no label!": "x" } }))),
            Self::PodsFail => ("sinks", sink("acme-lake", json!({ "image": BROKEN_IMAGE }))),
        }
    }

    /// What has to be there before.
    async fn prepare(self, world: &World) -> anyhow::Result<()> {
        match self {
            Self::StreamForeign => {
                let create = world.account.clients.kinesis.create_stream().stream_name("foreign").shard_count(1);
                // It may be there from before.
                drop(create.send().await);
            }
            Self::TableMismatch => {
                let attribute = AttributeDefinition::builder()
                    .attribute_name("another")
                    .attribute_type(ScalarAttributeType::N)
                    .build()?;
                let key = KeySchemaElement::builder().attribute_name("another").key_type(KeyType::Hash).build()?;
                let create = world.account.clients.dynamodb.create_table().table_name("foreign");
                let create = create.attribute_definitions(attribute).key_schema(key);
                drop(create.billing_mode(BillingMode::PayPerRequest).send().await);
            }
            Self::NameTaken => {
                let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
                let name = format!("{NAME}-trouble");
                let service = json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
                    "spec": { "ports": [{ "port": 80 }] },
                });
                services.patch(&name, &PatchParams::apply("somebody"), &Patch::Apply(&service)).await?;
            }
            _ => {}
        }
        Ok(())
    }
}
