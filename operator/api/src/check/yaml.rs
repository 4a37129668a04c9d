//! YAML as a tree in which every key and value knows its place.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Place, Tag};
use serde_json::{Map, Value};

use super::path::{Path, Step};
use super::scalar::{Scalar, Style};
use super::{Finding, MAX_TEXT_BYTES, Severity, Span};

/// How deep maps and lists may lie in each other.
const MAX_DEPTH: usize = 64;
/// How many values a text may come to, aliases written out.
const MAX_NODES: usize = 200_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    /// Its place; of a map or a list, that of its beginning.
    pub span: Span,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// A key with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Its place.
    pub span: Span,
}

impl Node {
    /// The entries of a map; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let NodeKind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let NodeKind::List(items) = &self.kind { items } else { &[] }
    }

    /// The entry of a key in a map.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.text == key)
    }

    /// The value of a key in a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value at a path.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Self> {
        path.steps().iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.items().get(*index),
        })
    }

    /// The scalar, if it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        if let NodeKind::Scalar(scalar) = &self.kind { Some(scalar) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.scalar().and_then(|scalar| scalar.value.as_str())
    }

    /// The place to show for a path: the value if it is single, else its key; for a field that is missing, the
    /// nearest thing around it.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Span {
        let mut node = self;
        let mut span = self.span;
        for step in path.steps() {
            let found = match step {
                Step::Key(key) => node.entry(key).map(|entry| {
                    let single = matches!(entry.value.kind, NodeKind::Scalar(_)) && !entry.value.is_empty();
                    (&entry.value, if single { entry.value.span } else { entry.key.span })
                }),
                Step::Index(index) => node.items().get(*index).map(|item| (item, item.span)),
            };
            let Some((next, place)) = found else { break };
            (node, span) = (next, place);
        }
        span
    }

    /// Where a stretch of this text stands in the source; nothing where its lines were joined or rewritten.
    #[must_use]
    pub fn within(&self, source: &str, stretch: Span) -> Option<Span> {
        let scalar = self.scalar()?;
        let (line, column) = match scalar.style {
            // A block begins with its first line that is not empty, at its indentation.
            Style::Literal => {
                let empty = scalar.text.chars().take_while(|c| *c == '\n').count();
                (self.span.line.checked_sub(empty)?, self.span.column)
            }
            Style::Plain | Style::Quoted => {
                let column = self.span.column + usize::from(scalar.style == Style::Quoted);
                let written = source.lines().nth(self.span.line.checked_sub(1)?)?;
                let as_is = written.chars().skip(column - 1).collect::<String>().starts_with(&scalar.text);
                (as_is && stretch.end_line == 1).then_some((self.span.line, column))?
            }
            Style::Folded => return None,
        };
        Some(Span {
            line: line + stretch.line - 1,
            column: column + stretch.column - 1,
            end_line: line + stretch.end_line - 1,
            end_column: column + stretch.end_column - 1,
        })
    }

    /// The value as the API server gets it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar(scalar) => scalar.value.clone(),
            NodeKind::List(items) => items.iter().map(Self::to_json).collect(),
            NodeKind::Map(entries) => {
                let members = entries.iter().map(|entry| (entry.key.text.clone(), entry.value.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.value.is_null())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.text.is_empty() && scalar.value.is_null())
    }
}

/// Reads all documents of a text, each with its number. What comes before a fault is still read.
pub(super) fn parse(text: &str) -> (Vec<(usize, Node)>, Vec<Finding>) {
    let mut reader = Reader::default();
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text has {} bytes, and {MAX_TEXT_BYTES} are read at most", text.len());
        reader.fault(
            "too_large",
            Span { line: 1, column: 1, end_line: 1, end_column: 1 },
            message,
            "split it into several files",
        );
        return (reader.documents, reader.findings);
    }
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, place)) => {
                if reader.take(event, span(place)).is_break() {
                    break;
                }
            }
            Err(error) => {
                reader.syntax(text, &error);
                break;
            }
        }
    }
    (reader.documents, reader.findings)
}

fn span(place: Place) -> Span {
    Span {
        line: place.start.line(),
        column: place.start.col() + 1,
        end_line: place.end.line(),
        end_column: place.end.col() + 1,
    }
}

/// A map or a list that is not closed yet.
enum Open {
    List {
        items: Vec<Node>,
        span: Span,
        anchor: usize,
    },
    Map {
        entries: Vec<Entry>,
        lines: HashMap<String, usize>,
        merged: Vec<Entry>,
        key: Option<Key>,
        span: Span,
        anchor: usize,
    },
}

#[derive(Default)]
struct Reader {
    documents: Vec<(usize, Node)>,
    findings: Vec<Finding>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    document: usize,
    started: usize,
    nodes: usize,
}

type Flow = std::ops::ControlFlow<()>;

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Flow {
        match event {
            Event::DocumentStart(_) => {
                self.document = self.started;
                self.started += 1;
                self.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().filter(|tag| Tag::is_yaml_core_schema(tag)).map(|tag| tag.suffix.as_str());
                let scalar = Scalar::read(text.into_owned(), style_of(style), tag);
                return self.complete(Node { kind: NodeKind::Scalar(scalar), span }, anchor);
            }
            Event::SequenceStart(anchor, _) => {
                return self.push(Open::List { items: Vec::new(), span, anchor }, span);
            }
            Event::MappingStart(anchor, _) => {
                let (entries, lines, merged) = (Vec::new(), HashMap::new(), Vec::new());
                return self.push(Open::Map { entries, lines, merged, key: None, span, anchor }, span);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.fault("yaml_syntax", span, "the alias refers to what contains it", "write the value out");
                    return Flow::Break(());
                };
                let (values, levels) = extent(&node);
                self.nodes += values;
                if self.open.len() + levels > MAX_DEPTH {
                    return self.too_deep(span);
                }
                return self.complete(node, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Flow::Continue(())
    }

    fn push(&mut self, open: Open, span: Span) -> Flow {
        self.open.push(open);
        if self.open.len() > MAX_DEPTH { self.too_deep(span) } else { Flow::Continue(()) }
    }

    fn too_deep(&mut self, span: Span) -> Flow {
        self.fault("too_large", span, format!("more than {MAX_DEPTH} levels lie in each other"), "flatten it");
        Flow::Break(())
    }

    fn close(&mut self) -> Flow {
        let (node, anchor) = match self.open.pop() {
            Some(Open::List { items, span, anchor }) => {
                let span = items.first().map_or(span, |first| first.span);
                (Node { kind: NodeKind::List(items), span }, anchor)
            }
            Some(Open::Map { mut entries, mut lines, merged, span, anchor, .. }) => {
                let span = entries.first().map_or(span, |first| first.key.span);
                for entry in merged {
                    if lines.insert(entry.key.text.clone(), entry.key.span.line).is_none() {
                        entries.push(entry);
                    }
                }
                (Node { kind: NodeKind::Map(entries), span }, anchor)
            }
            None => return Flow::Continue(()),
        };
        self.complete(node, anchor)
    }

    /// Puts a node where it belongs: into the list or map around it, as a key, or as a document.
    fn complete(&mut self, node: Node, anchor: usize) -> Flow {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.fault("too_large", node.span, format!("more than {MAX_NODES} values"), "use fewer aliases");
            return Flow::Break(());
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.documents.push((self.document, node)),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: key @ None, .. }) => match as_key(&node) {
                Ok((read, fault)) => {
                    *key = Some(read);
                    if let Some((message, cure)) = fault {
                        self.fault("ambiguous_key", node.span, message, cure);
                    }
                }
                Err(message) => {
                    self.fault("yaml_syntax", node.span, message, "use a text as the key");
                    return Flow::Break(());
                }
            },
            Some(Open::Map { entries, lines, merged, key, .. }) => {
                let Some(key) = key.take() else { return Flow::Continue(()) };
                if key.text == "<<" {
                    merged.extend(merge(node));
                    return Flow::Continue(());
                }
                if let Some(line) = lines.get(&key.text) {
                    let message =
                        format!("the key `{}` stands here a second time; it is first in line {line}", key.text);
                    self.fault("duplicate_key", key.span, message, "remove one of the two");
                } else {
                    lines.insert(key.text.clone(), key.span.line);
                    entries.push(Entry { key, value: node });
                }
            }
        }
        Flow::Continue(())
    }

    fn fault(&mut self, code: &'static str, span: Span, message: impl Into<String>, cure: impl Into<String>) {
        self.findings.push(Finding {
            severity: Severity::Error,
            code,
            document: self.document,
            path: self.path(),
            message: message.into(),
            cure: cure.into(),
            span,
        });
    }

    fn syntax(&mut self, text: &str, error: &ScanError) {
        let at: &Marker = error.marker();
        let (line, column) = (at.line(), at.col() + 1);
        let span = Span { line, column, end_line: line, end_column: column + 1 };
        let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let cure = syntax_cure(written, error.info());
        self.fault("yaml_syntax", span, format!("this is not YAML: {}", error.info()), cure);
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        let mut path = Path::default();
        for open in &self.open {
            path = match open {
                Open::List { items, .. } => path.index(items.len()),
                Open::Map { key: Some(key), .. } => path.key(&key.text),
                Open::Map { key: None, .. } => path,
            };
        }
        path.to_string()
    }
}

/// What would make YAML of a line, by what the parser says of it.
fn syntax_cure(written: &str, says: &str) -> &'static str {
    if written.trim_start().starts_with("{{") || written.contains(": {{") {
        "this looks like a Helm template: render it first, `helm template … | penstock validate -`"
    } else if says.contains("tab") || written.trim_start_matches(' ').starts_with('\t') {
        "indent with spaces: YAML takes no tabs there"
    } else if says.contains("mapping values") {
        "put the value into quotes if it has a colon in it, or mend the indentation"
    } else if says.contains("',' or '}'") {
        "close the map with `}`, and put a comma between its entries"
    } else if says.contains("',' or ']'") {
        "close the list with `]`, and put a comma between its items"
    } else if says.contains("quoted scalar") {
        "close the text with the quote that opens it"
    } else if says.contains("invalid indentation") {
        "close the bracket that is open before this line, or indent the line like those beside it"
    } else if says.contains("anchor") {
        "write `&name` before the value that `*name` repeats, or put a text with a star in front into quotes"
    } else {
        "mend the YAML here: look at the indentation, quotes and brackets of this line and the one before"
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

/// What is wrong with a key that is read all the same, and its cure.
type KeyFault = Option<(String, String)>;

/// A key as `kubectl` reads it: a bare `N` becomes `false`, which nobody means.
fn as_key(node: &Node) -> Result<(Key, KeyFault), String> {
    let Some(scalar) = node.scalar() else { return Err("a map or a list cannot be a key".to_owned()) };
    let fault = match &scalar.value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Null => Some("null".to_owned()),
        _ => None,
    };
    let fault = fault.map(|value| {
        let message = format!("`kubectl` reads the bare key `{}` as {value}", scalar.text);
        (message, format!("put the key into quotes: \"{}\"", scalar.text))
    });
    Ok((Key { text: scalar.text.clone(), span: node.span }, fault))
}

/// The entries that a `<<` brings; of several maps the first one counts.
fn merge(node: Node) -> Vec<Entry> {
    match node.kind {
        NodeKind::Map(entries) => entries,
        NodeKind::List(items) => items.into_iter().flat_map(merge).collect(),
        NodeKind::Scalar(_) => Vec::new(),
    }
}

/// How many values a node is, and how many levels.
fn extent(node: &Node) -> (usize, usize) {
    let children: Box<dyn Iterator<Item = &Node>> = match &node.kind {
        NodeKind::Scalar(_) => return (1, 0),
        NodeKind::List(items) => Box::new(items.iter()),
        NodeKind::Map(entries) => Box::new(entries.iter().map(|entry| &entry.value)),
    };
    children.map(extent).fold((1, 1), |(values, levels), (more, deep)| (values + more, levels.max(deep + 1)))
}
