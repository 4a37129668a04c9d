//! The engines as a process of their own, for tests that kill it: `engines FOLDER`. It prints its URL when it is ready.

use std::io::Write as _;
use std::net::SocketAddr;

use penstock_embedded::{Engines, Limits, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: engines FOLDER")?;
    let engines = Engines::start(Options {
        data_dir: folder.into(),
        limits: Limits::SizesOnly,
        region: "eu-west-1".into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    })
    .await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", engines.endpoint_url())?;
    out.flush()?;
    tokio::signal::ctrl_c().await?;
    engines.stop().await;
    Ok(())
}
