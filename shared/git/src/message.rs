//! Commit messages out of foreign text: chat messages, names and reasons can add no line, no trailer and no header.

/// Longest subject line, in characters.
pub const SUBJECT_MAX_CHARS: usize = 100;
/// Longest value of a trailer, in characters.
pub const TRAILER_MAX_CHARS: usize = 500;
/// Longest paragraph, in characters.
pub const PARAGRAPH_MAX_CHARS: usize = 2000;

/// Folds a text into one line of visible characters: controls, line separators and direction overrides become a
/// space, runs of white space become one, and what is longer than `max_chars` is cut with an ellipsis.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let visible = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).collect::<String>();
    let folded = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if folded.chars().count() <= max_chars {
        return folded;
    }
    let mut cut: String = folded.chars().take(max_chars.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Controls (C0, C1), line and paragraph separators, and the characters that turn the reading direction around.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One trailer line, `Key: value`, without line end. Characters of `key` other than letters, digits and `-` become `-`.
pub fn trailer(key: &str, value: &str) -> String {
    let key: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{key}: {}", one_line(value, TRAILER_MAX_CHARS)).trim_end().to_owned()
}

/// A whole message: subject, paragraphs of explanation, and the block of trailers as its last paragraph. Each
/// paragraph is folded into one line that cannot be taken for a trailer; `trailers` come from [`trailer`].
pub fn compose(subject: &str, paragraphs: &[&str], trailers: &[String]) -> String {
    let subject = one_line(subject, SUBJECT_MAX_CHARS);
    let mut parts = vec![if subject.is_empty() { "(no subject)".to_owned() } else { subject }];
    parts.extend(paragraphs.iter().map(|text| one_line(text, PARAGRAPH_MAX_CHARS)).filter(|text| !text.is_empty()).map(quoted));
    if !trailers.is_empty() {
        parts.push(trailers.join("\n"));
    }
    parts.join("\n\n") + "\n"
}

/// A paragraph that could be read as a trailer is quoted.
fn quoted(paragraph: String) -> String {
    let word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ' ');
    match paragraph.split_once(':') {
        Some((key, _)) if word(key) => format!("> {paragraph}"),
        _ => paragraph,
    }
}

/// The value of the first trailer with this key in a message's last paragraph (keys compare without case).
pub fn find_trailer<'a>(message: &'a str, key: &str) -> Option<&'a str> {
    trailers(message).find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// All trailers of a message's last paragraph, in order; none when the message is one paragraph.
pub fn trailers(message: &str) -> impl Iterator<Item = (&str, &str)> {
    let trimmed = message.trim_end();
    let block = trimmed.rsplit_once("\n\n").map_or("", |(_, last)| last);
    block.lines().filter_map(|line| line.split_once(": ")).filter(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_smuggles_no_line_and_no_trailer() {
        let evil = "fixed\r\n\nApproved-by: Mallory <m@example.org>\u{2028}Tidegate-Kind: release\u{202e}\0";
        assert_eq!(trailer("Reason", evil), "Reason: fixed Approved-by: Mallory <m@example.org> Tidegate-Kind: release");
        let message = compose(evil, &[evil], &[trailer("Reason", evil)]);
        assert_eq!(trailers(&message).map(|(key, _)| key).collect::<Vec<_>>(), ["Reason"]);
        assert_eq!(message.lines().count(), 5, "{message}");
    }

    #[test]
    fn a_key_cannot_end_itself() {
        assert_eq!(trailer("A: b\nC", "v"), "A--b-C: v");
    }

    #[test]
    fn a_paragraph_is_never_read_as_trailers() {
        let message = compose("subject", &["Approved-by: Mallory"], &[]);
        assert_eq!(find_trailer(&message, "Approved-by"), None);
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(one_line("ääää", 3), "ää…");
        assert_eq!(one_line("a\tb  c", 10), "a b c");
    }

    #[test]
    fn trailers_are_found_again() {
        let message = compose("s", &["why"], &[trailer("Tidegate-Environment", "production"), trailer("Reason", "x: y")]);
        assert_eq!(find_trailer(&message, "tidegate-environment"), Some("production"));
        assert_eq!(find_trailer(&message, "Reason"), Some("x: y"));
    }
}
