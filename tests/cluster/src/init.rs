//! The first process of a cluster: sets up mounts and network, starts the programs, and starts again those that end.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{WaitOptions, wait};

use crate::cluster::Lifetime;
use crate::folder::{Folder, INSIDE};
use crate::network;
use crate::processes::run;
use crate::services::{Service, of_cluster};

/// How long a program may take to make what another one waits for.
const PATIENCE: Duration = Duration::from_secs(180);
/// A program that ends at once is not started again at once.
const PAUSE: Duration = Duration::from_millis(500);
/// Where the numbers of the processes are, as seen from inside.
pub(crate) const PROCESSES: &str = "processes";

/// Runs the cluster until it is killed, or until whoever started it is gone, if it lives only for that.
///
/// # Errors
/// When a program cannot be started.
pub fn run_cluster(name: &str, lifetime: Lifetime) -> anyhow::Result<()> {
    if std::process::id() != 1 {
        bail!("this is started by `penstock-cluster up`, as the first process of a cluster");
    }
    if lifetime == Lifetime::Caller {
        std::thread::spawn(end_with_caller);
    }
    mount(&Folder::of(name)?)?;
    run(Command::new("hostname").arg("node"))?;
    network::set_up()?;
    let mut running: Vec<Running> = Vec::new();
    for service in of_cluster(name) {
        wait_for(service.after)?;
        running.push(Running::start(service)?);
    }
    loop {
        // Containers whose parents are gone are children of this process, too.
        let Some((ended, _)) = wait(WaitOptions::empty()).context("children cannot be waited for")? else { continue };
        let ended = u32::try_from(ended.as_raw_nonzero().get())?;
        if let Some(one) = running.iter_mut().find(|one| one.id == ended) {
            std::thread::sleep(PAUSE);
            one.restart()?;
        }
    }
}

struct Running {
    service: Service,
    id: u32,
}

impl Running {
    fn start(service: Service) -> anyhow::Result<Self> {
        let mut running = Self { service, id: 0 };
        running.restart()?;
        Ok(running)
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        let name = self.service.name;
        let log = Path::new("/var/log").join(name).with_extension("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = self.service.command();
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        self.id = child.id();
        let processes = Path::new(INSIDE).join(PROCESSES);
        fs::create_dir_all(&processes)?;
        fs::write(processes.join(name), self.id.to_string()).context("a process's number cannot be written")
    }
}

/// Nothing of these is seen outside.
fn mount(folder: &Folder) -> anyhow::Result<()> {
    let at = |path: &str| folder.join(path).display().to_string();
    // Before `/var/lib`, since the folder may be in there.
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "run", "/run"]))?;
    fs::create_dir(INSIDE)?;
    run(Command::new("mount").args(["--bind", &at(""), INSIDE]))?;
    for folder in ["lib", "log"] {
        let (from, to) = (format!("{INSIDE}/var/{folder}"), format!("/var/{folder}"));
        run(Command::new("mount").args(["--bind", &from, &to]))?;
    }
    Ok(())
}

fn wait_for(files: &[&str]) -> anyhow::Result<()> {
    let begun = Instant::now();
    for file in files {
        while !Path::new(file).exists() {
            if begun.elapsed() > PATIENCE {
                bail!("{file} is not there after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// The caller holds the other end open for as long as it lives.
fn end_with_caller() {
    let mut nothing = [0];
    while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
    std::process::exit(0);
}
