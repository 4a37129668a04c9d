//! `penstock ready`: asks a `/readyz` until it says yes. The image has no shell and no curl, and `helm test` needs to ask.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long one question may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long to wait between questions.
const PAUSE: Duration = Duration::from_secs(1);
/// As much of an answer as is shown.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Asks the operator or a stage whether it is ready, until it is or the time is over.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Host and port of its admin address, such as `penstock-operator.penstock.svc:9090`.
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// How many seconds it may take.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    within: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let deadline = Instant::now() + Duration::from_secs(args.within);
    loop {
        match ask(&args.address) {
            Ok(()) => {
                eprintln!("{} is ready", args.address);
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("{} is not ready after {} s", args.address, args.within)));
            }
            Err(_) => sleep(PAUSE),
        }
    }
}

/// One question. An error says what is waited for.
fn ask(address: &str) -> anyhow::Result<()> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let mut found =
        address.to_socket_addrs().with_context(|| format!("{address} is no host and port that is known"))?;
    let found = found.next().with_context(|| format!("{host} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&found, ATTEMPT).with_context(|| format!("{found} does not answer"))?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    stream.set_write_timeout(Some(ATTEMPT))?;
    // In one piece: a server that answers after the first would leave the rest unread, and the answer might get lost.
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).context("the answer does not end")?;
    judge(&String::from_utf8_lossy(&answer))
}

fn judge(answer: &str) -> anyhow::Result<()> {
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let waits = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    bail!("it says {status:?}: {waits}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives these answers, one a connection.
    fn answering(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    asked.extend(byte);
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    const READY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
    const WAITS: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\nwatches: the Pipelines have not been listed yet\n";

    #[test]
    fn it_asks_until_the_answer_is_yes() {
        let args = Args { address: answering(&[WAITS, READY]), within: 60 };
        assert_eq!(run(&args).unwrap(), ExitCode::SUCCESS);
    }

    #[test]
    fn when_the_time_is_over_it_says_what_was_waited_for() {
        let error = ask(&answering(&[WAITS])).unwrap_err();
        assert!(error.to_string().contains("the Pipelines have not been listed yet"), "{error}");
    }

    #[test]
    fn something_that_speaks_no_http_is_not_ready() {
        assert!(judge("SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert!(judge("").is_err());
    }
}
