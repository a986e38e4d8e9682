//! Bytes to a tree, within limits: size, depth, nodes, text, aliases. Nothing here recurses on input.

use super::decode::{FINDINGS_MAX, Sink};
use super::node::{Key, Node, Span, Style, Tag, Value};
use crate::findings::{Finding, Place, is_harmless, strange_character, strange_characters};
use crate::ids::RepoPath;
use granit_parser::{Event, Parser, ScalarStyle};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file, in bytes.
    pub file_bytes: usize,
    /// Nested lists and mappings.
    pub depth: usize,
    /// Nodes, each use of an alias counted as what it stands for.
    pub nodes: usize,
    /// All text together, in bytes, each use of an alias counted.
    pub text_bytes: usize,
    /// Uses of aliases; 0 refuses anchors too.
    pub aliases: usize,
}

/// For our own files: plain data, no anchors.
pub const OWN_LIMITS: Limits = Limits { file_bytes: 1024 * 1024, depth: 16, nodes: 20_000, text_bytes: 512 * 1024, aliases: 0 };

/// For Compose files: anchors and merge keys within a budget.
pub const COMPOSE_LIMITS: Limits = Limits { file_bytes: 1024 * 1024, depth: 24, nodes: 50_000, text_bytes: 1024 * 1024, aliases: 1_000 };

/// Reads a file. `None`: nothing in it but comments. Findings are errors that make the tree unusable.
pub fn read(file: &RepoPath, bytes: &[u8], limits: &Limits) -> Result<Option<Node>, Vec<Finding>> {
    let whole = |code: &str, message: String| vec![Finding::error(code, Place::file(file.clone()), message)];
    if bytes.len() > limits.file_bytes {
        return Err(whole("too_large", format!("the file has {} bytes; the limit is {}", bytes.len(), limits.file_bytes)));
    }
    let source = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        let place = Place { line: u32::try_from(line + 1).unwrap_or(0), column: 1, ..Place::file(file.clone()) };
        vec![Finding::error("not_utf8", place, "the file is not UTF-8 text").hint("save it as UTF-8")]
    })?;
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let strange = strange_characters(file, source);
    if !strange.is_empty() {
        return Err(strange);
    }
    let file = Arc::new(file.clone());
    Builder::new(file, source, limits).run()
}

/// An open list or mapping.
struct Open {
    span: Span,
    tag: Option<Tag>,
    anchor: usize,
    start_nodes: usize,
    start_bytes: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key>, merged: Vec<Node> },
}

/// A finished anchored node and what each use of it costs.
struct Anchored {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Builder<'a> {
    file: Arc<RepoPath>,
    source: &'a str,
    lines: Vec<&'a str>,
    limits: &'a Limits,
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    bytes: usize,
    aliases: usize,
    documents: usize,
    sink: Sink,
}

/// Stops the reading: the tree cannot be finished.
struct Stop(Box<Finding>);

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Stop {
        Stop(Box::new(finding))
    }
}

impl<'a> Builder<'a> {
    fn new(file: Arc<RepoPath>, source: &'a str, limits: &'a Limits) -> Builder<'a> {
        Builder {
            file,
            source,
            lines: source.split('\n').collect(),
            limits,
            stack: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            bytes: 0,
            aliases: 0,
            documents: 0,
            sink: Sink::default(),
        }
    }

    fn run(mut self) -> Result<Option<Node>, Vec<Finding>> {
        let options = granit_parser::options! {
            emit_comments: false,
            disallow_directives: true,
            flow_nesting_limit: self.limits.depth + 1,
            block_nesting_limit: self.limits.depth + 1,
        };
        for next in Parser::new_from_str_with_options(self.source, options) {
            let step = match next {
                Ok((event, span)) => self.event(event, &span),
                Err(error) => Err(self.syntax(&error)),
            };
            if let Err(Stop(finding)) = step {
                self.sink.push(*finding);
                return Err(self.sink.into_findings());
            }
        }
        if self.sink.is_empty() { Ok(self.root) } else { Err(self.sink.into_findings()) }
    }

    fn syntax(&self, error: &granit_parser::ScanError) -> Stop {
        let mark = error.marker();
        let span = self.here(mark.line(), mark.col(), 1);
        Stop::from(match error.kind() {
            granit_parser::ErrorKind::UnknownAnchor => span.error("yaml_alias", "this alias names no anchor above it"),
            granit_parser::ErrorKind::RecursionLimitExceeded => self.too_deep(&span),
            _ => span.error("yaml_syntax", format!("this is not valid YAML: {}", error.info())),
        })
    }

    fn too_deep(&self, span: &Span) -> Finding {
        span.error("too_deep", format!("nested deeper than {} levels", self.limits.depth))
    }

    fn event(&mut self, event: Event<'_>, at: &granit_parser::Span) -> Result<(), Stop> {
        let span = self.span(at);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Stop::from(
                        span.error("yaml_documents", "a second document (`---`) begins here").hint("keep one per file"),
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let (tag, is_text) = self.tag(tag.as_deref(), &span);
                let plain = style == ScalarStyle::Plain && !is_text;
                let verbatim_column = self.verbatim_column(&text, at);
                let value = Value::Scalar(text.into_owned(), if plain { Style::Plain } else { Style::Text });
                self.scalar(Node { span, value, tag, verbatim_column }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), &span).0;
                self.open(span, tag, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), &span).0;
                let content = Content::Mapping { entries: Vec::new(), seen: HashSet::new(), key: None, merged: Vec::new() };
                self.open(span, tag, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, &span),
            _ => Ok(()),
        }
    }

    /// The place of an event; several lines are cut to the first.
    fn span(&self, at: &granit_parser::Span) -> Span {
        let (start, end) = (at.start, at.end);
        let length = if end.line() == start.line() {
            end.col().saturating_sub(start.col())
        } else {
            let line = self.lines.get(start.line().saturating_sub(1)).copied().unwrap_or("");
            line.trim_end().chars().count().saturating_sub(start.col())
        };
        self.here(start.line(), start.col(), length)
    }

    /// A place in the file. The parser counts the end of a file as a line of its own, and a lone carriage return as the
    /// end of one: for people that is the end of the last line.
    fn here(&self, line: usize, column: usize, length: usize) -> Span {
        let (line, column) = match self.lines.len() {
            last if line > last => (last, self.lines.last().map_or(0, |text| text.trim_end().chars().count())),
            _ => (line, column),
        };
        Span { file: self.file.clone(), line: number(line).max(1), column: number(column + 1), length: number(length).max(1) }
    }

    /// Our meaning of a tag, and whether it says `!!str`.
    fn tag(&mut self, tag: Option<&granit_parser::Tag>, span: &Span) -> (Option<Tag>, bool) {
        let Some(tag) = tag else { return (None, false) };
        match tag.core_suffix() {
            Some(suffix) => return (None, suffix == "str"),
            None if tag.handle() == "!" && tag.suffix() == "reset" && self.limits.aliases > 0 => return (Some(Tag::Reset), false),
            None if tag.handle() == "!" && tag.suffix() == "override" && self.limits.aliases > 0 => return (Some(Tag::Override), false),
            None => {}
        }
        let hint = if self.limits.aliases > 0 { "only `!reset` and `!override` have a meaning here" } else { "remove it" };
        self.sink.push(span.error("yaml_tag", format!("the tag `{}` is not allowed", tag.original())).hint(hint));
        (None, false)
    }

    fn spend(&mut self, nodes: usize, bytes: usize, span: &Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > self.limits.nodes {
            return Err(Stop::from(span.error("too_many_nodes", format!("more than {} values in one file", self.limits.nodes))));
        }
        if self.bytes > self.limits.text_bytes {
            return Err(Stop::from(span.error("too_much_text", format!("more than {} bytes of text in one file", self.limits.text_bytes))));
        }
        Ok(())
    }

    fn anchored(&mut self, anchor: usize, node: &Node, cost: (usize, usize, usize)) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        if self.limits.aliases == 0 {
            return Err(Stop::from(node.span.error("yaml_anchor", "anchors and aliases are not allowed in this file")));
        }
        let (nodes, bytes, depth) = cost;
        self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, bytes, depth });
        Ok(())
    }

    fn scalar(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        let Value::Scalar(text, _) = &node.value else { return Ok(()) };
        let bytes = text.len();
        self.spend(1, bytes, &node.span)?;
        if let Some(c) = text.chars().find(|&c| !is_harmless(c)) {
            self.complain(strange_character(node.span.place(), c))?;
        }
        self.anchored(anchor, &node, (1, bytes, 0))?;
        self.place(node)
    }

    /// Adds a finding that lets the reading go on, up to the limit.
    fn complain(&mut self, finding: Finding) -> Result<(), Stop> {
        if self.sink.len() + 1 >= FINDINGS_MAX {
            return Err(Stop::from(finding));
        }
        self.sink.push(finding);
        Ok(())
    }

    /// Where the text starts on its line, if it stands there exactly as it reads.
    fn verbatim_column(&self, text: &str, at: &granit_parser::Span) -> Option<u32> {
        let rest = self.source.get(at.start.byte_offset()?..)?;
        let quoted = rest.starts_with(['"', '\'']);
        let skip = usize::from(quoted);
        (!text.is_empty() && rest[skip..].starts_with(text)).then(|| number(at.start.col() + 1 + skip))
    }

    fn open(&mut self, span: Span, tag: Option<Tag>, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.stack.len() >= self.limits.depth {
            return Err(Stop::from(self.too_deep(&span)));
        }
        let (start_nodes, start_bytes) = (self.nodes, self.bytes);
        self.spend(1, 0, &span)?;
        if matches!(self.stack.last(), Some(Open { content: Content::Mapping { key: None, .. }, .. })) {
            return Err(Stop::from(span.error("yaml_key", "a key must be plain text")));
        }
        self.stack.push(Open { span, tag, anchor, start_nodes, start_bytes, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { mut entries, mut seen, merged, .. } => {
                for source in &merged {
                    self.merge_key(source, &mut entries, &mut seen)?;
                }
                Value::Mapping(entries)
            }
        };
        let node = Node { span: open.span, value, tag: open.tag, verbatim_column: None };
        let cost = (self.nodes - open.start_nodes, self.bytes - open.start_bytes, if open.anchor > 0 { depth_of(&node) } else { 0 });
        self.anchored(open.anchor, &node, cost)?;
        self.place(node)
    }

    /// `<<`: keys that the mapping does not have itself; the first of several sources wins.
    fn merge_key(&mut self, source: &Node, entries: &mut Vec<(Key, Node)>, seen: &mut HashSet<String>) -> Result<(), Stop> {
        let sources: &[Node] = match &source.value {
            Value::Sequence(sources) => sources,
            _ => std::slice::from_ref(source),
        };
        for source in sources {
            let Value::Mapping(from) = &source.value else {
                return Err(Stop::from(source.span.error("yaml_merge", format!("`<<` takes mappings, found {}", source.kind()))));
            };
            for (key, node) in from {
                if seen.insert(key.text.clone()) {
                    entries.push((key.clone(), node.clone()));
                }
            }
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<(), Stop> {
        self.aliases += 1;
        if self.aliases > self.limits.aliases {
            let message = match self.limits.aliases {
                0 => "anchors and aliases are not allowed in this file".to_owned(),
                most => format!("more than {most} aliases in one file"),
            };
            return Err(Stop::from(span.error("yaml_alias", message)));
        }
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Stop::from(span.error("yaml_alias", "this alias stands inside what it names")));
        };
        let (nodes, bytes, depth) = (anchored.nodes, anchored.bytes, anchored.depth);
        if self.stack.len() + depth > self.limits.depth {
            return Err(Stop::from(self.too_deep(span)));
        }
        self.spend(nodes, bytes, span)?;
        let node = match self.anchors.get(&id) {
            Some(anchored) => anchored.node.clone(),
            None => return Ok(()),
        };
        self.place(node)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) -> Result<(), Stop> {
        let aliases_allowed = self.limits.aliases > 0;
        let Some(open) = self.stack.last_mut() else {
            self.root = (!node.is_null()).then_some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, seen, key, merged } => match key.take() {
                None => {
                    let Value::Scalar(text, _) = node.value else {
                        return Err(Stop::from(node.span.error("yaml_key", "a key must be plain text")));
                    };
                    *key = Some(Key { text, span: node.span });
                }
                Some(name) if name.text == "<<" && aliases_allowed => merged.push(node),
                Some(name) if seen.insert(name.text.clone()) => entries.push((name, node)),
                Some(name) => {
                    let first = entries.iter().find(|(earlier, _)| earlier.text == name.text).map_or(0, |(earlier, _)| earlier.span.line);
                    let message = format!("the key `{}` stands here a second time", name.text.chars().take(60).collect::<String>());
                    let finding = name.span.error("duplicate_key", message).hint(format!("the first is on line {first}: keep one"));
                    self.complain(finding)?;
                }
            },
        }
        Ok(())
    }
}

/// Levels of lists and mappings in a node; bounded, because the reader bounds depth.
fn depth_of(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(..) => 0,
        Value::Sequence(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Mapping(entries) => 1 + entries.iter().map(|(_, node)| depth_of(node)).max().unwrap_or(0),
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
