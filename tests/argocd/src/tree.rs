//! What Argo CD shows under an Application. Its controller leaves it in the cache for whoever shows it.

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An object as Argo CD shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace, if it is in one.
    #[serde(default)]
    pub namespace: String,
    /// Its own id.
    #[serde(default)]
    pub uid: String,
    /// What it is shown under.
    #[serde(default)]
    pub parent_refs: Vec<Parent>,
    /// How it is, where Argo CD can tell.
    #[serde(default)]
    pub health: Option<Health>,
}

/// What something is shown under.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Parent {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// How something is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Health {
    /// In one of Argo CD's words.
    #[serde(default)]
    pub status: String,
    /// Why.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct Tree {
    #[serde(default)]
    nodes: Vec<Node>,
}

/// The tree of an Application.
pub(crate) async fn read(port: u16, application: &str) -> anyhow::Result<Vec<Node>> {
    let mut cache = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    let names = request(&mut cache, &["KEYS", &format!("app|resources-tree|{application}|*")]).await?;
    let name = names.first().with_context(|| format!("Argo CD shows nothing of {application} yet"))?;
    let found = request(&mut cache, &["GET", name]).await?;
    let tree: Tree = serde_json::from_str(found.first().context("the tree has just gone")?)?;
    Ok(tree.nodes)
}

/// Asks the cache, in Redis' protocol; gives the texts of the answer.
async fn request(cache: &mut BufReader<TcpStream>, words: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut sent = format!("*{}\r\n", words.len());
    for word in words {
        sent.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    cache.write_all(sent.as_bytes()).await?;
    match head(cache).await? {
        ('*', length) => {
            let mut texts = Vec::new();
            for _ in 0..length {
                let (kind, length) = head(cache).await?;
                texts.extend(text(cache, kind, length).await?);
            }
            Ok(texts)
        }
        (kind, length) => Ok(text(cache, kind, length).await?.into_iter().collect()),
    }
}

/// The kind of what follows, and its length.
async fn head(cache: &mut (impl AsyncBufRead + Unpin)) -> anyhow::Result<(char, i64)> {
    let mut line = String::new();
    cache.read_line(&mut line).await?;
    let kind = line.chars().next().context("the cache has hung up")?;
    let length = line[1..].trim().parse().with_context(|| format!("the cache says {line:?}"))?;
    Ok((kind, length))
}

async fn text(cache: &mut (impl AsyncBufRead + Unpin), kind: char, length: i64) -> anyhow::Result<Option<String>> {
    if kind != '$' {
        bail!("the cache says {kind:?} where a text should be");
    }
    // None is there: -1.
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let mut bytes = vec![0; length + 2];
    cache.read_exact(&mut bytes).await?;
    bytes.truncate(length);
    Ok(Some(String::from_utf8(bytes)?))
}
