//! A stage as a pod runs it, on the first core.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use penstock_conformance::Kcl;
use penstock_faults::{penstock, root};
use serde_json::Value;

use crate::cores::on_the_first;
use crate::subject::World;

const PATIENCE: Duration = Duration::from_secs(30);

/// What `penstock render` says about the Pipeline of the bench.
pub(crate) fn plan() -> anyhow::Result<Value> {
    let file = root().join("tests/bench/pipelines/bench.yaml");
    let output = Command::new(penstock()?).args(["render", "--output", "json"]).arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rendered: Value = serde_json::from_slice(&output.stdout)?;
    Ok(rendered.as_array().and_then(|all| all.first()).cloned().unwrap_or(rendered))
}

/// A running stage.
pub(crate) struct Stage {
    child: Child,
    pub(crate) addr: SocketAddr,
    log: std::path::PathBuf,
}

impl Stage {
    pub(crate) fn start(world: &World, name: &str) -> anyhow::Result<Self> {
        let stages = world.plan["stages"].as_array().context("a plan without stages")?;
        let mut config = stages.iter().find(|stage| stage["name"] == name).cloned().context("no such stage")?;
        config["aws"]["endpointURL"] = world.stand_in.endpoint().into();
        let file = world.folder.path().join(format!("{name}.json"));
        fs::write(&file, config.to_string())?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = world.folder.path().join(format!("{name}.log"));
        let mut command = on_the_first(penstock()?);
        command
            .args(["stage", "--admin", "127.0.0.1:0", "--worker-id", "bench"])
            .args(["--listen", &addr.to_string(), "--config"])
            .arg(&file)
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local");
        Self::spawn(command, addr, log)
    }

    /// The consumer with a sink that does nothing.
    pub(crate) fn nothing(world: &World) -> anyhow::Result<Self> {
        let stream = world.stream()?;
        let table = world.plan["stages"]
            .as_array()
            .and_then(|stages| stages.iter().find_map(|stage| stage["sink"]["leaseTable"].as_str()))
            .context("a plan without a lease table")?;
        let workers = std::env::current_exe()?.with_file_name("leases");
        let mut command = on_the_first(workers);
        let endpoint = world.stand_in.endpoint();
        command.args(["worker", "--endpoint", &endpoint, "--stream", stream, "--table", table, "--id", "bench"]);
        // More than the DynamoDB sink takes (4,000).
        command.args(["--range-records", "10000"]);
        Self::spawn(command, ([127, 0, 0, 1], 0).into(), world.folder.path().join("nothing.log"))
    }

    /// Bento with one of the configurations in `peers/bento`.
    pub(crate) fn bento(world: &World, config: &str) -> anyhow::Result<Self> {
        let sources = root().join("tests/bench/peers/bento");
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = on_the_first(penstock_kubernetes::go_program(&sources, "bento", "")?);
        command
            .arg("-c")
            .arg(sources.join(config).with_extension("yaml"))
            .env("LISTEN", addr.to_string())
            .env("STREAM", world.stream()?)
            .env("AWS_ENDPOINT_URL", world.stand_in.endpoint())
            // It collects less often, and is faster for it.
            .env("GOGC", "400");
        Self::spawn(command, addr, world.folder.path().join("bento.log"))
    }

    /// An application of the KCL that throws away what it reads.
    pub(crate) fn kcl(world: &World) -> anyhow::Result<Self> {
        let java = Kcl::build()?.discarding(world.stream()?, &world.stand_in.endpoint(), world.folder.path());
        let mut command = on_the_first(java.get_program());
        command.args(java.get_args());
        command.envs(java.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::spawn(command, ([127, 0, 0, 1], 0).into(), world.folder.path().join("kcl.log"))
    }

    /// The server that does nothing but answer.
    pub(crate) fn floor(world: &World) -> anyhow::Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = on_the_first(std::env::current_exe()?);
        command.args(["--serve-floor", &addr.to_string()]);
        Self::spawn(command, addr, world.folder.path().join("floor.log"))
    }

    fn spawn(mut command: Command, addr: SocketAddr, log: std::path::PathBuf) -> anyhow::Result<Self> {
        // The KCL's application ends when its standard input does.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        Ok(Self { child: command.spawn().context("starting a stage")?, addr, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the source takes connections.
    pub(crate) async fn listens(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while tokio::net::TcpStream::connect(self.addr).await.is_err() {
            self.lives()?;
            ensure!(began.elapsed() < PATIENCE, "the source does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Fails when it has ended.
    pub(crate) fn lives(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "a stage ended: {}", fs::read_to_string(&self.log).unwrap_or_default());
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
