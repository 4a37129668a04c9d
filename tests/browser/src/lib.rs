//! A real browser, driven as people's tools drive it: Chromium by its driver, over WebDriver
//! (<https://www.w3.org/TR/webdriver2/>).
//!
//! Debian has both as `chromium` and `chromium-driver`. Deliberately absent: more of the protocol than the page's tests
//! need.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// How long anything may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The width of the narrowest window that Chromium makes.
const LEAST_WIDTH: u32 = 500;
/// How long the browser may take to end.
const CLOSING: Duration = Duration::from_secs(20);

/// What is at a URL, as text.
///
/// # Errors
/// When it does not answer.
pub async fn get_text(url: &str) -> anyhow::Result<String> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answered = async {
        let response = client.get(url.parse()?).await?;
        anyhow::Ok(String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned())
    };
    tokio::time::timeout(PATIENCE, answered).await.context("it does not answer")?
}

/// What an api answers whoever has this key.
///
/// # Errors
/// When it does not answer, or not with JSON.
pub async fn get_json(url: &str, key: &str) -> anyhow::Result<Value> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(url).header("authorization", format!("Bearer {key}")).body(Full::default())?;
    let answered = async {
        let response = client.request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("{url} answers: {}", String::from_utf8_lossy(&body)))
    };
    tokio::time::timeout(PATIENCE, answered).await.context("the api does not answer")?
}

/// A browser with one window. It is gone when this is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: Client<HttpConnector, Full<Bytes>>,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one, in a window of this size; dark when asked for.
    ///
    /// # Errors
    /// When there is no Chromium or no driver, or when they do not start.
    pub async fn start(width: u32, height: u32, dark: bool) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let profile = tempfile::tempdir()?;
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver cannot be started: Debian has it as chromium-driver")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let base = format!("http://127.0.0.1:{port}");
        let mut browser = Self { driver, client, session: base.clone(), _profile: profile };
        browser.wait_for_driver().await?;
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Tests run as root in containers, where Chromium's own sandbox does not start.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } } });
        let answer = browser.call(Method::POST, "/session", Some(&wanted)).await?;
        let id = answer["sessionId"].as_str().context("a session without an id")?;
        browser.session = format!("{base}/session/{id}");
        if width < LEAST_WIDTH {
            browser.narrow(width, height).await?;
        }
        Ok(browser)
    }

    /// Chromium makes no window as narrow as a phone, but shows pages as if it were
    /// (<https://chromedevtools.github.io/devtools-protocol/tot/Emulation/>).
    async fn narrow(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        self.call(Method::POST, "/goog/cdp/execute", Some(&command)).await.map(drop)
    }

    async fn wait_for_driver(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.call(Method::GET, "/status", None).await.is_err() {
            ensure!(self.driver.try_wait()?.is_none(), "chromedriver ended");
            ensure!(began.elapsed() < PATIENCE, "chromedriver does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Opens a page and waits until it has loaded.
    ///
    /// # Errors
    /// When the driver says so.
    pub async fn open(&self, url: &str) -> anyhow::Result<()> {
        self.call(Method::POST, "/url", Some(&json!({ "url": url }))).await.map(drop)
    }

    /// Runs a function's body in the page and takes what it returns.
    ///
    /// # Errors
    /// When it throws, or the driver says so.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        self.call(Method::POST, "/execute/sync", Some(&json!({ "script": script, "args": [] }))).await
    }

    /// Waits until a function's body returns something true in the page.
    ///
    /// # Errors
    /// When it does not in time, with the page's text.
    pub async fn eventually(&self, what: &str, script: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            let value = self.run(script).await?;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return Ok(value);
            }
            if began.elapsed() > PATIENCE {
                let text = self.run("return document.body.innerText").await?;
                bail!("this did not come true: {what}; the page says: {}", text.as_str().unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses keys, as WebDriver writes them: `\u{e004}` is Tab, `\u{e007}` Enter.
    ///
    /// # Errors
    /// When the driver says so.
    pub async fn press(&self, keys: &str) -> anyhow::Result<()> {
        let strokes = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": key.to_string() })));
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes.collect::<Vec<_>>() }] });
        self.call(Method::POST, "/actions", Some(&actions)).await.map(drop)
    }

    /// Writes a picture of the window.
    ///
    /// # Errors
    /// When the driver says so, or the file cannot be written.
    pub async fn picture(&self, file: &Path) -> anyhow::Result<()> {
        let picture = self.call(Method::GET, "/screenshot", None).await?;
        let bytes = STANDARD.decode(picture.as_str().context("a picture is text")?)?;
        std::fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        let answered = async {
            let response = self.client.request(request).await?;
            let ok = response.status().is_success();
            let answer: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
            ensure!(ok, "the browser's driver refused {path}: {}", answer["value"]["message"]);
            Ok(answer["value"].clone())
        };
        tokio::time::timeout(PATIENCE, answered).await.context("the browser's driver does not answer")?
    }
}

impl Browser {
    /// Ends the session, and with it the browser, which the driver starts in a process group of its own and would leave
    /// behind. Blocking, since it is done while this is dropped.
    fn close(&self) -> std::io::Result<()> {
        let Some((addr, path)) = self.session.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
            return Ok(());
        };
        let mut socket = TcpStream::connect(addr)?;
        socket.set_read_timeout(Some(CLOSING))?;
        write!(socket, "DELETE /{path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
        // The answer comes when the browser has ended.
        socket.read(&mut [0; 512]).map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            eprintln!("the browser may still run: {error}");
        }
        // Both fail only when it has ended already.
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
