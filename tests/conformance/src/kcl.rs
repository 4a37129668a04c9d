//! The Java project in `kcl/`: building it once, and running what is in it: an application of the Kinesis Client Library,
//! and a producer of the Kinesis Producer Library.
//!
//! It is built by Maven. Maven keeps the packages in its own folder; what it makes of ours is kept under the user's
//! cache folder, for as long as neither the sources nor the pinned packages change.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{cache, run, scripts};

/// The oldest Java that it runs on.
const JAVA: u32 = 17;
const REGION: &str = "eu-west-1";
const CURE: &str = "apt-get install openjdk-17-jdk-headless maven, or the like";
/// How long the application may take to stop; the KCL gives its shards' consumers half of it.
const STOP: Duration = Duration::from_secs(120);

/// The built project.
#[derive(Debug, Clone)]
pub struct Kcl {
    classpath: OsString,
}

/// How the application reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retrieval {
    /// `GetRecords`.
    Polling,
    /// `SubscribeToShard`.
    FanOut,
}

/// What the application is told.
#[derive(Debug, Clone)]
pub struct KclOptions {
    /// Its name, which is also the lease table's and the registered consumer's.
    pub application: String,
    /// The worker's name.
    pub worker: String,
    /// The stream.
    pub stream: String,
    /// Where the engines answer.
    pub endpoint: String,
    /// How it reads.
    pub retrieval: Retrieval,
    /// Stops by itself after so many records, in the middle of whatever they are in.
    pub stop_after: Option<u64>,
}

/// The running application. Killed when dropped.
#[derive(Debug)]
pub struct RunningKcl {
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

/// What the application wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "as the KCL names them")]
pub enum KclEvent {
    /// Reading of a shard begins after this position.
    Started {
        shard: String,
        sequence_number: String,
        sub_sequence_number: u64,
        pending_sequence_number: Option<String>,
    },
    /// A user record was processed.
    Record(KclRecord),
    /// A shard was read to its end.
    ShardEnded { shard: String },
    /// Another worker has the lease.
    LeaseLost { shard: String },
    /// The application was told to stop.
    ShutdownRequested { shard: String },
}

/// A user record as the KCL has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as the KCL names them")]
pub struct KclRecord {
    pub shard: String,
    pub sequence_number: String,
    pub sub_sequence_number: u64,
    pub partition_key: String,
    pub explicit_hash_key: Option<String>,
    pub aggregated: bool,
    pub arrival_millis: i64,
    /// As Base64.
    pub data: String,
}

impl Kcl {
    /// Builds the project unless it is there.
    ///
    /// # Errors
    /// When there is no Java or no Maven, or when Maven cannot build it.
    pub fn build() -> anyhow::Result<Self> {
        check_tools()?;
        let folder = cache()?.join("kcl");
        fs::create_dir_all(&folder)?;
        // Tests run side by side, also in several processes: one builds, the others wait.
        let lock = fs::File::create(folder.join("lock"))?;
        lock.lock().context("the lock of the KCL application cannot be taken")?;
        let project = scripts().join("kcl");
        let (stamp, wanted) = (folder.join("built.txt"), fingerprint(&project)?);
        let built = Built { classes: folder.join("build/classes"), packages: folder.join("classpath.txt") };
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && built.is_complete() {
            return Ok(Self { classpath: built.classpath()? });
        }
        // The packages of an earlier version may be gone from the list, so nothing of it is kept.
        drop(fs::remove_dir_all(folder.join("build")));
        run(Command::new("nice")
            .args(["-n", "10", "mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file"])
            .arg(project.join("pom.xml"))
            .arg(format!("-Dkcl.build={}", folder.join("build").display()))
            .arg(format!("-Dmdep.outputFile={}", built.packages.display()))
            .args(["compiler:compile", "dependency:build-classpath"]))?;
        built.check_packages(&fs::read_to_string(project.join("packages.sha256"))?)?;
        fs::write(&stamp, wanted)?;
        Ok(Self { classpath: built.classpath()? })
    }

    /// Starts it. What it writes and logs goes into files of the folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, options: &KclOptions, folder: &Path) -> anyhow::Result<RunningKcl> {
        let name = format!("{}-{}", options.application, options.worker);
        let (output, log) = (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.log")));
        let mut command = self.java("Application");
        command.args(options.arguments()).arg("--output").arg(&output);
        let errors = fs::File::create(&log)?;
        command.stdin(Stdio::piped()).stdout(errors.try_clone()?).stderr(errors);
        let child = command.spawn().context("java cannot be started")?;
        Ok(RunningKcl { child, output, log })
    }

    /// Puts records into all shards of a stream by the Kinesis Producer Library, and gives back what it says of each:
    /// a JSON object a line.
    ///
    /// # Errors
    /// When it does not put them all.
    pub fn produce(&self, stream: &str, endpoint: &str, label: &str, folder: &Path) -> anyhow::Result<String> {
        let mut command = self.java("Producer");
        command.args(["--stream", stream, "--endpoint", endpoint, "--region", REGION, "--label", label]);
        let output = command.arg("--folder").arg(folder).output().context("java cannot be started")?;
        if !output.status.success() {
            bail!("the KPL ended with {}:\n{}", output.status, tail(&String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// An application that throws away what it reads, as benchmarks need it: with Java's second compiler and room. It
    /// reads as often as a shard may be read.
    #[must_use]
    pub fn discarding(&self, stream: &str, endpoint: &str, folder: &Path) -> Command {
        // CBOR is left to who speaks it.
        let mut command = self.java_with(&["-Xmx2g", "-Daws.cborEnabled=false"], "Application");
        command.args(["--application", "kcl-discarding", "--worker", "bench", "--stream", stream]);
        command.args(["--endpoint", endpoint, "--region", REGION, "--retrieval", "polling", "--idle-millis", "200"]);
        command.args(["--discard", "true", "--output"]).arg(folder.join("kcl-discarding.jsonl"));
        command
    }

    fn java(&self, class: &str) -> Command {
        // It starts in half the time without the second compiler, which a minute's run has no use for.
        self.java_with(&["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"], class)
    }

    fn java_with(&self, settings: &[&str], class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(settings);
        // The leader says several times a second that it is the leader.
        command.arg("-Dorg.slf4j.simpleLogger.log.software.amazon.kinesis.leader=warn");
        command.args(["-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp"]).arg(&self.classpath);
        command.arg(format!("dev.penstock.kcl.{class}"));
        let anybody = [("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")];
        command.envs(anybody).env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }
}

impl KclOptions {
    fn arguments(&self) -> Vec<String> {
        let retrieval = match self.retrieval {
            Retrieval::Polling => "polling",
            Retrieval::FanOut => "fan-out",
        };
        let mut pairs = vec![
            ("--application", self.application.clone()),
            ("--worker", self.worker.clone()),
            ("--stream", self.stream.clone()),
            ("--endpoint", self.endpoint.clone()),
            ("--region", REGION.to_owned()),
            ("--retrieval", retrieval.to_owned()),
            ("--failover-millis", "3000".to_owned()),
        ];
        pairs.extend(self.stop_after.map(|records| ("--stop-after", records.to_string())));
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

impl RunningKcl {
    /// What it has written so far.
    ///
    /// # Errors
    /// When it has ended, or what it wrote cannot be read.
    pub fn events(&mut self) -> anyhow::Result<Vec<KclEvent>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the KCL application ended with {status}:\n{}", self.log_tail());
        }
        self.written()
    }

    /// Waits until what it has written is enough.
    ///
    /// # Errors
    /// When it is not by the deadline, or when the application ends.
    pub fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        enough: impl Fn(&[KclEvent]) -> bool,
    ) -> anyhow::Result<Vec<KclEvent>> {
        let began = Instant::now();
        loop {
            let events = self.events()?;
            if enough(&events) {
                return Ok(events);
            }
            if began.elapsed() > within {
                let count = events.len();
                bail!("after {within:?} and {count} events there was no {what}:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lets it stop as applications do, and says all that it wrote.
    ///
    /// # Errors
    /// When it does not stop in time, or not well.
    pub fn stop(mut self) -> anyhow::Result<Vec<KclEvent>> {
        drop(self.child.stdin.take());
        self.ended()
    }

    /// Waits until it has stopped by itself, and says all that it wrote.
    ///
    /// # Errors
    /// When it does not stop in time, or not well.
    pub fn ended(mut self) -> anyhow::Result<Vec<KclEvent>> {
        let began = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return self.written(),
                Some(status) => bail!("the KCL application ended with {status}:\n{}", self.log_tail()),
                None if began.elapsed() > STOP => {
                    bail!("the KCL application did not stop within {STOP:?}:\n{}", self.log_tail())
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Whole lines only: the last one may still be on its way.
    fn written(&self) -> anyhow::Result<Vec<KclEvent>> {
        let Ok(text) = fs::read_to_string(&self.output) else { return Ok(Vec::new()) };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("the KCL application wrote {line}")))
            .collect()
    }

    fn log_tail(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for RunningKcl {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(80)..].join("\n")
}

/// What Maven made.
struct Built {
    classes: PathBuf,
    /// A file with the paths of all packages.
    packages: PathBuf,
}

impl Built {
    fn is_complete(&self) -> bool {
        self.classes.is_dir() && self.paths().is_ok_and(|paths| paths.iter().all(|path| path.is_file()))
    }

    fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(std::env::split_paths(fs::read_to_string(&self.packages)?.trim()).collect())
    }

    fn classpath(&self) -> anyhow::Result<OsString> {
        Ok(std::env::join_paths(std::iter::once(self.classes.clone()).chain(self.paths()?))?)
    }

    /// Sees to it that the packages are those that are pinned, byte for byte.
    fn check_packages(&self, pinned: &str) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for path in self.paths()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, hex::encode(Sha256::digest(fs::read(&path)?))));
        }
        found.sort();
        let found: String = found.into_iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        if found != pinned {
            let written = self.packages.with_file_name("packages.sha256");
            fs::write(&written, found)?;
            bail!(
                "Maven brought other packages than kcl/packages.sha256 names; if pom.xml was changed on purpose, take {}",
                written.display()
            );
        }
        Ok(())
    }
}

/// Everything that the build depends on.
fn fingerprint(project: &Path) -> anyhow::Result<String> {
    let mut files = vec![project.join("pom.xml"), project.join("packages.sha256")];
    let sources = project.join("src/main/java/dev/penstock/kcl");
    files.extend(fs::read_dir(&sources)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?);
    files.sort();
    let mut text = String::new();
    for file in files {
        text.push_str(&fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?);
    }
    Ok(text)
}

fn check_tools() -> anyhow::Result<()> {
    let version = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // `javac 17.0.15`
    let java = version("javac", "-version").context(format!("there is no JDK: {CURE}"))?;
    let major = java.split([' ', '.']).nth(1).and_then(|major| major.trim().parse::<u32>().ok());
    if major.is_none_or(|major| major < JAVA) {
        bail!("the JDK is {}, and Java {JAVA} is needed: {CURE}", java.trim());
    }
    version("mvn", "--version").context(format!("there is no Maven: {CURE}"))?;
    Ok(())
}
