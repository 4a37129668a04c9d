//! The page that shows the Pipeline of this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use penstock_api::spec::Pipeline;
use penstock_console::{Access, ApiKey, Events, Fixed, ProcessAt, StageAt, Stores, Subject, serve as serve_page};
use penstock_runtime::Aws;
use tokio_util::sync::CancellationToken;

use super::endpoints::base_url;
use super::stages::Stages;
use super::{Args, secrets};
use crate::starting;

/// The folder, among the secrets, with the token of a page that others can reach.
const TOKEN: &str = "page";

/// Serves the page for as long as the process lives; says where, with the token where it needs one.
pub(super) async fn serve(args: &Args, pipeline: Pipeline, stages: &Stages, aws: &Aws) -> anyhow::Result<String> {
    let token = if args.bind.is_loopback() { None } else { Some(token(args)?) };
    let access = Access::on(args.bind, token.clone())?;
    let subject = Arc::new(subject(pipeline, stages, aws)?);
    let addr = SocketAddr::new(args.bind, args.page_port);
    // Until the end: how the stages drain can be seen, too.
    let stop = CancellationToken::new();
    let addr = serve_page(addr, access, Arc::new(Fixed(vec![subject])), stop).await?;
    let query = token.map(|token| format!("?token={token}")).unwrap_or_default();
    Ok(format!("{}/{query}", base_url(addr)))
}

fn token(args: &Args) -> anyhow::Result<String> {
    let keys = secrets::read_or_create(&args.data_dir.join("secrets").join(TOKEN))?;
    Ok(keys.into_iter().next().context("there is no token for the page")?.key)
}

fn subject(pipeline: Pipeline, stages: &Stages, aws: &Aws) -> anyhow::Result<Subject> {
    let sources = stages.sources().map(|source| (&source.name, &source.url));
    let urls: BTreeMap<_, _> = sources.chain(stages.apis().map(|api| (&api.name, &api.url))).collect();
    let mut shown = Vec::new();
    for (name, addr) in stages.admin() {
        let name = name.to_owned();
        let url = urls.get(&name).map(|url| (*url).clone());
        let key = key(stages, &name)?;
        shown.push(StageAt { processes: vec![ProcessAt::at(base_url(addr))], url, key, name, ..StageAt::default() });
    }
    let clients = starting::clients(aws);
    Ok(Subject {
        pipeline: Arc::new(pipeline),
        stages: shown,
        conditions: Vec::new(),
        events: Events::default(),
        trouble: None,
        stores: Some(Stores { kinesis: clients.kinesis, dynamodb: clients.dynamodb, s3: clients.s3 }),
    })
}

/// The key of an api that demands one: whoever sees this page sees what is stored in any case.
fn key(stages: &Stages, name: &str) -> anyhow::Result<Option<ApiKey>> {
    let file = stages.apis().find(|api| api.name == name).and_then(|api| api.api_key_file.as_ref());
    let read =
        |file: &String| std::fs::read_to_string(file).with_context(|| format!("the API key in {file} cannot be read"));
    Ok(file.map(read).transpose()?.map(|key| ApiKey::new(key.trim())))
}
