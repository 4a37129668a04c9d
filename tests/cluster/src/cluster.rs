//! One cluster, from outside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use crate::folder::Folder;
use crate::init::PROCESSES;
use crate::processes::{Process, run};
use crate::wait::eventually;
use crate::{control_groups, files, image, machine, programs};

/// For how long a cluster is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lifetime {
    /// Until somebody ends it.
    Lasting,
    /// Until whoever started it ends.
    Caller,
}

/// How to end a process of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGTERM.
    Asked,
    /// SIGKILL.
    Killed,
}

/// A running cluster. One that lives for its caller ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: Folder,
    init: Process,
    /// Holds the other end of what the cluster's first process reads, if it lives for its caller.
    starter: Option<Child>,
}

impl Cluster {
    /// Starts a cluster and waits until pods can run on it. `program` is this crate's own, which becomes its first process.
    ///
    /// # Errors
    /// When this machine cannot have one, or it does not start.
    pub fn up(name: &str, lifetime: Lifetime, program: &Path) -> anyhow::Result<Self> {
        let folder = Folder::of(name)?;
        if let Ok(there) = Self::named(name) {
            bail!("the cluster {name} is there already, with process {}", there.init.id);
        }
        machine::prepare()?;
        clear_away_ended()?;
        folder.make()?;
        programs::install(&folder)?;
        files::write(&folder)?;
        control_groups::make(name)?;
        let (starter, init) = start(&folder, lifetime, program)?;
        let starter = (lifetime == Lifetime::Caller).then_some(starter);
        let cluster = Self { folder, init, starter };
        cluster.get_ready().with_context(|| format!("see {}", cluster.folder.join("var/log").display()))?;
        Ok(cluster)
    }

    /// The running cluster with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let folder = Folder::of(name)?;
        let init = init_of(&folder).with_context(|| format!("there is no cluster {name}: cargo xtask cluster up"))?;
        Ok(Self { folder, init, starter: None })
    }

    /// The names of all clusters, with whether they run.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn all() -> anyhow::Result<Vec<(String, bool)>> {
        let named = |folder: Folder| (folder.name().to_owned(), init_of(&folder).is_some());
        Ok(Folder::there()?.into_iter().map(named).collect())
    }

    /// Ends the cluster with this name, if it runs, and clears away everything that was its.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn down(name: &str) -> anyhow::Result<()> {
        let folder = Folder::of(name)?;
        if let Some(init) = init_of(&folder) {
            init.kill()?;
            eventually("the cluster's processes end", || {
                if init.is_alive() { Err(anyhow!("process {} is there", init.id)) } else { Ok(()) }
            })?;
        }
        clear_away(&folder)
    }

    fn get_ready(&self) -> anyhow::Result<()> {
        eventually("the API server is ready", || self.kubectl(["get", "--raw", "/readyz"]))?;
        self.apply(&files::storage())?;
        let images = tempfile::tempdir()?;
        self.load(&image::pause(images.path())?)?;
        eventually("the node is ready", || {
            let node = self.kubectl_json(["get", "node", "node"])?;
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            if ready { Ok(()) } else { Err(anyhow!("{conditions:?}")) }
        })?;
        eventually("there is a default ServiceAccount", || self.kubectl(["get", "serviceaccount", "default"]))?;
        Ok(())
    }

    /// A command in the network of the cluster, which kubectl, helm and other clients of Kubernetes find there.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.init.id)).arg("--").arg(program);
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// A command on the node: its mounts, processes and network.
    pub fn node_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.id.to_string(), "--mount", "--pid", "--net", "--uts", "--ipc", "--"]);
        command.arg(program);
        command
    }

    /// The number of the process with which all others of the cluster end.
    #[must_use]
    pub fn first_process(&self) -> u32 {
        self.init.id
    }

    /// The file by which clients find the cluster, from within its network.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Runs kubectl; gives what it printed.
    ///
    /// # Errors
    /// When it does not end well, with what it said.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        run(self.command(programs::tool("kubectl")?).args(arguments))
    }

    /// Runs kubectl, for JSON.
    ///
    /// # Errors
    /// When it does not end well, or prints something else.
    pub fn kubectl_json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Value> {
        let printed = run(self.command(programs::tool("kubectl")?).args(arguments).args(["--output", "json"]))?;
        serde_json::from_str(&printed).context("kubectl printed something that is no JSON")
    }

    /// Applies manifests.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let mut kubectl = self.command(programs::tool("kubectl")?);
        kubectl.args(["apply", "--filename", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = kubectl.spawn().context("kubectl cannot be started")?;
        // Taken, so that it is closed when all is written.
        running.stdin.take().context("kubectl has no input")?.write_all(manifests.as_bytes())?;
        let output = running.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl apply ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs helm; gives what it printed.
    ///
    /// # Errors
    /// When it does not end well, with what it said.
    pub fn helm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        let mut helm = self.command(programs::tool("helm")?);
        // What it keeps is nobody else's.
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(name, self.folder.join("helm"));
        }
        run(helm.args(arguments))
    }

    /// Gives an image to the node: an archive as `cargo xtask image` makes them.
    ///
    /// # Errors
    /// When containerd does not take it.
    pub fn load(&self, archive: &Path) -> anyhow::Result<()> {
        eventually("containerd takes the image", || {
            let file = File::open(archive).with_context(|| format!("{} cannot be read", archive.display()))?;
            self.ctr(|ctr| ctr.args(["images", "import", "-"]).stdin(file))
        })?;
        Ok(())
    }

    /// Gives an image of the node a second name.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn tag(&self, image: &str, name: &str) -> anyhow::Result<()> {
        self.ctr(|ctr| ctr.args(["images", "tag", image, name]))?;
        Ok(())
    }

    /// Kills the first process of a container with SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_container(&self, id: &str) -> anyhow::Result<()> {
        self.ctr(|ctr| ctr.args(["tasks", "kill", "--signal", "SIGKILL", id]))?;
        Ok(())
    }

    fn ctr(&self, arguments: impl FnOnce(&mut Command) -> &mut Command) -> anyhow::Result<String> {
        let mut ctr = self.node_command("ctr");
        ctr.args(["--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"]);
        run(arguments(&mut ctr))
    }

    /// Ends a program of the node, such as `kubelet`, and waits until it was started again.
    ///
    /// # Errors
    /// When it does not run, or does not come back.
    pub fn restart(&self, service: &str, end: End) -> anyhow::Result<()> {
        let file = self.folder.join(PROCESSES).join(service);
        let number = || fs::read_to_string(&file).with_context(|| format!("there is no {service}"));
        let signal = match end {
            End::Asked => "-TERM",
            End::Killed => "-KILL",
        };
        // It may be between two starts: the kubelet gives up where it finds no containerd.
        let before = eventually(&format!("{service} is there to be ended"), || {
            let before = number()?;
            run(self.node_command("kill").args([signal, &before]))?;
            Ok(before)
        })?;
        eventually(&format!("{service} is started again"), || {
            if number()? == before { Err(anyhow!("it is still {before}")) } else { Ok(()) }
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut starter) = self.starter.take() else { return };
        // What cannot be cleared away now is cleared away by the next that starts.
        drop(Self::down(self.folder.name()));
        drop(starter.wait());
    }
}

/// The first process, with `unshare`, its parent: when either is killed, the other is, too.
fn start(folder: &Folder, lifetime: Lifetime, program: &Path) -> anyhow::Result<(Child, Process)> {
    let log = File::create(folder.join("var/log/init.log"))?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "--"]);
    unshare.arg(program).args(["init", folder.name()]).stdout(log.try_clone()?).stderr(log);
    match lifetime {
        Lifetime::Lasting => {
            unshare.arg("lasting").stdin(Stdio::null());
            // A terminal that is closed, or Ctrl-C in it, is none of its business.
            std::os::unix::process::CommandExt::process_group(&mut unshare, 0);
        }
        Lifetime::Caller => {
            unshare.arg("caller").stdin(Stdio::piped());
        }
    }
    let mut starter = unshare.spawn().context("unshare cannot be started")?;
    let init = eventually("the cluster's first process", || {
        if let Some(status) = starter.try_wait()? {
            bail!("unshare ended with {status}: {}", fs::read_to_string(folder.join("var/log/init.log"))?);
        }
        Process::child_of(starter.id()).context("it is not there")
    })?;
    fs::write(folder.join("init.json"), serde_json::to_vec(&init)?)?;
    Ok((starter, init))
}

fn init_of(folder: &Folder) -> Option<Process> {
    let init: Process = serde_json::from_slice(&fs::read(folder.join("init.json")).ok()?).ok()?;
    init.is_alive().then_some(init)
}

/// What earlier ones left that ended without being asked to.
fn clear_away_ended() -> anyhow::Result<()> {
    for folder in Folder::there()? {
        // One that is being started, by somebody else, has no process yet.
        if folder.join("init.json").exists() && init_of(&folder).is_none() {
            clear_away(&folder)?;
        }
    }
    Ok(())
}

fn clear_away(folder: &Folder) -> anyhow::Result<()> {
    control_groups::remove(folder.name())?;
    if folder.path().exists() {
        eventually("removing the cluster's folder", || Ok(fs::remove_dir_all(folder.path())?))
            .with_context(|| format!("{} cannot be removed", folder.path().display()))?;
    }
    Ok(())
}
