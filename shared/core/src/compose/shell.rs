//! Splits a command written as one line, as Compose does (shell words: quotes and escapes, no variables, no globs).

/// The words, or what is wrong.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a single quote is never closed"),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a backslash at the end escapes nothing"),
            },
            // One version of Compose passes these on as text, another one cuts the command there.
            ';' | '&' | '|' | '<' | '>' => return Err("it has a shell operator without quotes, but no shell runs it"),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a double quote is never closed";
    loop {
        match chars.next().ok_or(OPEN)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(OPEN)? {
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                '\n' => {}
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_a_shell_would() {
        for (line, words) in [
            ("a b  c", vec!["a", "b", "c"]),
            ("sh -c 'echo \"x y\"'", vec!["sh", "-c", "echo \"x y\""]),
            ("a \"b \\\"c\\\" \\d\" e", vec!["a", "b \"c\" \\d", "e"]),
            ("a\\ b", vec!["a b"]),
            ("a'b'\"c\"d", vec!["abcd"]),
            ("''", vec![""]),
            ("", vec![]),
            ("a \\\n b", vec!["a", "b"]),
            ("é 'ü'", vec!["é", "ü"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for bad in ["'a", "\"a", "a\\", "\"a\\", "a && b", "a > b", "a;b", "a|b"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
