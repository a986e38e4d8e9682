//! `${VARIABLES}` with all of Compose's operators, nested, and `$$`. The only sources are `.env` and
//! `.env.<environment>` of the stack; there is no shell whose state could leak in.

use crate::yaml::{Node, Sink, Style, Value};
use std::collections::BTreeMap;

/// Deepest nesting of `${A:-${B:-…}}`.
const NESTING_MAX: usize = 16;
/// Largest sum of all interpolated texts of a stack, in bytes.
pub(super) const TOTAL_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Largest text after interpolation, in bytes.
const RESULT_MAX_BYTES: usize = 256 * 1024;

/// The variables, and what to tell a person who forgot one.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub(super) values: BTreeMap<String, String>,
    /// The files where a missing one could be set, most general first.
    pub(super) files: Vec<String>,
}

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// How to mend a missing variable.
    pub(super) fn where_to_set(&self, name: &str) -> String {
        format!("set it in {}, or write a default: `${{{name}:-value}}`", self.files.join(" or "))
    }
}

/// What is wrong with a text, and which of its characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) start: usize,
    pub(super) length: usize,
}

/// Interpolates every scalar below a node, keys excepted. Places stay; a changed scalar counts as quoted text.
/// `budget` is how many bytes the results may have altogether; what is beyond it is an error.
pub(super) fn interpolate_tree(node: &mut Node, variables: &Variables, budget: &mut usize, sink: &mut Sink) {
    let written = match &mut node.value {
        Value::Sequence(items) => return items.iter_mut().for_each(|item| interpolate_tree(item, variables, budget, sink)),
        Value::Mapping(entries) => return entries.iter_mut().for_each(|(_, value)| interpolate_tree(value, variables, budget, sink)),
        Value::Scalar(text, _) if !text.contains('$') => return,
        Value::Scalar(text, _) => std::mem::take(text),
    };
    if *budget == 0 {
        sink.push(too_much(node));
        node.value = Value::Scalar(written, Style::Broken);
        return;
    }
    match interpolate(&written, variables) {
        Ok(changed) => {
            *budget = budget.saturating_sub(changed.len());
            node.value = Value::Scalar(changed, Style::Text);
            node.verbatim_column = None;
        }
        Err(fault) => {
            let span = node.span_within(fault.start, fault.length);
            sink.push(span.error(fault.code, fault.message).hint_if(fault.hint));
            node.value = Value::Scalar(written, Style::Broken);
        }
    }
}

fn too_much(node: &Node) -> crate::findings::Finding {
    node.span.error("interpolation", format!("variables make this stack larger than {TOTAL_MAX_BYTES} bytes"))
}

/// Interpolates one text.
pub(super) fn interpolate(text: &str, variables: &Variables) -> Result<String, Fault> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0, variables, spent: 0 };
    reader.text(0, true)
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    variables: &'a Variables,
    spent: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn fault(&self, code: &'static str, start: usize, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into(), hint: None, start, length: self.at.saturating_sub(start).max(1) }
    }

    /// Text up to the end, or, inside braces, up to the `}` that closes them (left unread). A branch that is not
    /// `live` is read for its syntax only.
    fn text(&mut self, depth: usize, live: bool) -> Result<String, Fault> {
        if depth > NESTING_MAX {
            return Err(self.fault("interpolation", self.at, format!("variables are nested deeper than {NESTING_MAX} levels")));
        }
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if depth > 0 && c == '}' {
                break;
            }
            if c == '$' {
                let value = self.variable(depth, live)?;
                self.spent = self.spent.saturating_add(value.len());
                out.push_str(&value);
            } else {
                self.spent += c.len_utf8();
                out.push(c);
                self.at += 1;
            }
            if self.spent > RESULT_MAX_BYTES {
                return Err(self.fault("interpolation", 0, format!("the text grows beyond {RESULT_MAX_BYTES} bytes")));
            }
        }
        Ok(out)
    }

    /// `$$`, `$NAME`, `${…}`.
    fn variable(&mut self, depth: usize, live: bool) -> Result<String, Fault> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some('$') => {
                self.at += 1;
                Ok("$".to_owned())
            }
            Some('{') => {
                self.at += 1;
                self.braced(start, depth, live)
            }
            Some(c) if is_name_start(c) => {
                let name = self.name();
                if live { self.required(&name, start) } else { Ok(String::new()) }
            }
            _ => Err(self.stray(start)),
        }
    }

    fn stray(&self, start: usize) -> Fault {
        let mut fault = self.fault("interpolation", start, "a lone `$` starts no variable");
        fault.hint = Some("write `$$` for a dollar sign".into());
        fault
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| is_name_start(c) || (self.at > start && c.is_ascii_digit())) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// A variable without a default.
    fn required(&self, name: &str, start: usize) -> Result<String, Fault> {
        match self.variables.get(name) {
            Some(value) => Ok(value.to_owned()),
            None => {
                let mut fault = self.fault("unset_variable", start, format!("the variable `{name}` is not set"));
                fault.hint = Some(self.variables.where_to_set(name));
                Err(fault)
            }
        }
    }

    /// After `${`: a name, an operator and its word, `}`.
    fn braced(&mut self, start: usize, depth: usize, live: bool) -> Result<String, Fault> {
        let name = self.name();
        if name.is_empty() {
            let mut fault = self.fault("interpolation", start, "`${` is not followed by a variable name");
            fault.hint = Some("names are letters, digits and `_`; write `$${` for the characters themselves".into());
            return Err(fault);
        }
        let colon = self.peek() == Some(':');
        if colon {
            self.at += 1;
        }
        let operator = self.peek();
        if !colon && operator == Some('}') {
            self.at += 1;
            return if live { self.required(&name, start) } else { Ok(String::new()) };
        }
        let Some(operator @ ('-' | '?' | '+')) = operator else {
            let end = if operator.is_none() { "`}` is missing" } else { "expected `}`, `:-`, `-`, `:?`, `?`, `:+` or `+`" };
            return Err(self.fault("interpolation", start, format!("after `${{{name}`: {end}")));
        };
        self.at += 1;
        let value = self.variables.get(&name).filter(|value| !(colon && value.is_empty()));
        let word_counts = live && if operator == '+' { value.is_some() } else { value.is_none() };
        let value = value.map(str::to_owned);
        let word = self.text(depth + 1, word_counts)?;
        if self.peek() != Some('}') {
            return Err(self.fault("interpolation", start, format!("`${{{name}…` is not closed: `}}` is missing")));
        }
        self.at += 1;
        match (operator, value) {
            _ if !live => Ok(String::new()),
            ('-', Some(value)) | ('?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('?', None) => Err(self.demanded(&name, &word, start)),
            _ => Ok(String::new()),
        }
    }

    /// `${NAME:?message}` with nothing to show for it.
    fn demanded(&self, name: &str, message: &str, start: usize) -> Fault {
        let reason = if message.is_empty() { "it is required".to_owned() } else { message.to_owned() };
        let mut fault = self.fault("unset_variable", start, format!("the variable `{name}` is not set: {reason}"));
        fault.hint = Some(format!("set it in {}", self.variables.files.join(" or ")));
        fault
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let pairs = [("A", "1"), ("EMPTY", ""), ("B", "two words")];
        Variables {
            values: pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            files: vec!["stacks/shop/.env".into(), "stacks/shop/.env.production".into()],
        }
    }

    #[test]
    fn every_operator_answers_as_compose_does() {
        for (written, expected) in [
            ("plain", "plain"),
            ("$A-${A}", "1-1"),
            ("$$A $${A}", "$A ${A}"),
            ("${X:-d}", "d"),
            ("${X-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${A:-d}", "1"),
            ("${A:?no}", "1"),
            ("${EMPTY?no}", ""),
            ("${A:+alt}", "alt"),
            ("${EMPTY:+alt}", ""),
            ("${EMPTY+alt}", "alt"),
            ("${X:+alt}", ""),
            ("${X+alt}", ""),
            ("${X:-${Y:-${A}}}", "1"),
            ("${X:-a${Y:-b}c}d", "abcd"),
            ("${A:-${NOT_NEEDED}}", "1"),
            ("${A:-${NOT_NEEDED:?never asked}}", "1"),
            ("${X:-}", ""),
            ("${X:-a:b-c?d+e}", "a:b-c?d+e"),
            ("${B}", "two words"),
            ("${X:-$$}", "$"),
            ("$A.$A/$A", "1.1/1"),
        ] {
            assert_eq!(interpolate(written, &variables()), Ok(expected.to_owned()), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_an_error_with_its_place() {
        for (written, start, length, message) in [
            ("x $MISSING y", 2, 8, "the variable `MISSING` is not set"),
            ("${MISSING}", 0, 10, "the variable `MISSING` is not set"),
            ("${EMPTY:?say why}", 0, 17, "the variable `EMPTY` is not set: say why"),
            ("${X?}", 0, 5, "the variable `X` is not set: it is required"),
            ("5$", 1, 1, "a lone `$` starts no variable"),
            ("$1", 0, 1, "a lone `$` starts no variable"),
            ("${A", 0, 3, "after `${A`: `}` is missing"),
            ("${A:-x", 0, 6, "`${A…` is not closed: `}` is missing"),
            ("${-x}", 0, 2, "`${` is not followed by a variable name"),
            ("${A!x}", 0, 3, "after `${A`: expected `}`, `:-`, `-`, `:?`, `?`, `:+` or `+`"),
        ] {
            let fault = interpolate(written, &variables()).unwrap_err();
            assert_eq!((fault.start, fault.length, fault.message.as_str()), (start, length, message), "{written}");
        }
        let fault = interpolate("${X}", &variables()).unwrap_err();
        assert_eq!(fault.hint.unwrap(), "set it in stacks/shop/.env or stacks/shop/.env.production, or write a default: `${X:-value}`");
    }

    #[test]
    fn nesting_and_growth_have_limits() {
        let deep = format!("{}x{}", "${X:-".repeat(40), "}".repeat(40));
        assert!(interpolate(&deep, &variables()).unwrap_err().message.contains("nested deeper"));
        let mut wide = variables();
        wide.values.insert("L".into(), "y".repeat(100_000));
        assert!(interpolate("$L$L$L", &wide).unwrap_err().message.contains("grows beyond"));
    }
}
