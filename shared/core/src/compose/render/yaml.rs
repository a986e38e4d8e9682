//! Writes YAML that every reader takes for the same: whatever could mean something else to some version of YAML (`on`,
//! `22:22`, `2026-11-21`, `1_000`) stands in double quotes.

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// Text; `$` is doubled, because Compose would take it for a variable.
    Text(String),
    /// A number or a boolean, as it is.
    Plain(String),
    /// Nothing.
    Nothing,
    /// A list.
    List(Vec<Out>),
    /// A mapping.
    Map(Vec<(String, Out)>),
}

impl Out {
    pub(super) fn text(text: impl Into<String>) -> Out {
        Out::Text(text.into())
    }

    pub(super) fn plain(value: impl ToString) -> Out {
        Out::Plain(value.to_string())
    }

    pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Out {
        Out::List(texts.into_iter().map(Out::text).collect())
    }

    fn is_block(&self) -> bool {
        match self {
            Out::List(items) => !items.is_empty(),
            Out::Map(entries) => !entries.is_empty(),
            Out::Text(_) | Out::Plain(_) | Out::Nothing => false,
        }
    }
}

/// The document.
pub(super) fn document(root: &Out) -> String {
    let mut text = String::new();
    block(&mut text, root, 0);
    text
}

/// A list or mapping over lines; every line begins with the margin.
fn block(text: &mut String, value: &Out, depth: usize) {
    let margin = "  ".repeat(depth);
    match value {
        Out::Map(entries) => {
            for (key, value) in entries {
                text.push_str(&format!("{margin}{}:", scalar(key)));
                after(text, value, depth + 1);
            }
        }
        Out::List(items) => {
            for item in items {
                text.push_str(&format!("{margin}-"));
                if let Out::Map(_) | Out::List(_) = item
                    && item.is_block()
                {
                    let mut inner = String::new();
                    block(&mut inner, item, depth + 1);
                    // The first entry stands on the line of the dash.
                    text.push(' ');
                    text.push_str(&inner[2 * (depth + 1)..]);
                } else {
                    after(text, item, depth + 1);
                }
            }
        }
        Out::Text(_) | Out::Plain(_) | Out::Nothing => after(text, value, depth),
    }
}

fn after(text: &mut String, value: &Out, depth: usize) {
    match value {
        Out::Text(written) => text.push_str(&format!(" {}\n", scalar(&written.replace('$', "$$")))),
        Out::Plain(written) => text.push_str(&format!(" {written}\n")),
        Out::Nothing => text.push_str(" {}\n"),
        Out::List(items) if items.is_empty() => text.push_str(" []\n"),
        Out::Map(entries) if entries.is_empty() => text.push_str(" {}\n"),
        Out::List(_) | Out::Map(_) => {
            text.push('\n');
            block(text, value, depth);
        }
    }
}

/// Without quotes only what is a word in every version of YAML.
fn scalar(text: &str) -> String {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'));
    const MEANT: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if starts && plain && !MEANT.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if (' '..='~').contains(&c) || c.is_alphanumeric() => quoted.push(c),
            c if u32::from(c) <= 0xFFFF => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_else_is_quoted() {
        for (text, written) in [
            ("web", "web"),
            ("/run/x.sock", "/run/x.sock"),
            ("no", "\"no\""),
            ("On", "\"On\""),
            ("22:22", "\"22:22\""),
            ("1.10", "\"1.10\""),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("~", "\"~\""),
            ("a\"\\\n\u{7}é\u{202e}\u{1f600}", "\"a\\\"\\\\\\n\\u0007é\\u202E\\U0001F600\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }

    #[test]
    fn blocks_nest() {
        let map = |entries: Vec<(&str, Out)>| Out::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        let inner = map(vec![("a", Out::text("$x")), ("b", Out::List(vec![Out::plain(1)]))]);
        let root = map(vec![("l", Out::List(vec![inner.clone(), Out::text("t")])), ("m", inner), ("e", Out::List(Vec::new()))]);
        assert_eq!(document(&root), "l:\n  - a: \"$$x\"\n    b:\n      - 1\n  - t\nm:\n  a: \"$$x\"\n  b:\n    - 1\ne: []\n");
    }
}
