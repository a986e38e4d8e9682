//! Text for Discord: foreign text that cannot mention, link, hide or break markup, cut between characters as people see
//! them, and moments that each reader sees in their own zone.

use jiff::Timestamp;
use unicode_segmentation::UnicodeSegmentation;

/// Ends a text that was cut.
const CUT: &str = "…";

/// Foreign text as it stands: markup, mentions and links are characters, tricks with direction and invisible characters
/// are gone. Line breaks stay; see [`line`].
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    let mut at_start = true;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => safe.push('\n'),
            // What is left out changes nothing about where a line begins.
            c if is_trick(c) => continue,
            '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '>' => {
                safe.push('\\');
                safe.push(c);
            }
            // A link needs both brackets; readers of the raw text need to see that neither is one.
            '(' if safe.ends_with(']') => safe.push_str("\\("),
            // An escaped `<` or `@` still makes a mention in some clients: a joiner of no width breaks it for sure.
            '<' | '@' => {
                safe.push(c);
                safe.push('\u{2060}');
            }
            // `https://…` would become a link with a preview.
            ':' if chars.peek() == Some(&'/') => safe.push_str(":\u{2060}"),
            '-' | '+' | '#' if at_start => {
                safe.push('\\');
                safe.push(c);
            }
            '.' if safe.ends_with(|last: char| last.is_ascii_digit()) && is_number_line(&safe) => safe.push_str("\\."),
            c => safe.push(c),
        }
        at_start = c == '\n' || (at_start && c.is_whitespace());
    }
    safe
}

/// Is the last line of this only a number so far? With a dot it would become a list.
fn is_number_line(safe: &str) -> bool {
    let line = safe.rsplit('\n').next().unwrap_or_default().trim_start();
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit())
}

/// Foreign text on one line.
pub fn line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c }).collect();
    escape(&spaced.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Foreign text on one line where Discord shows it without markup: labels of buttons and choices, names of threads.
pub fn plain(text: &str) -> String {
    let spaced: String =
        text.chars().filter(|c| !is_trick(*c) || c.is_whitespace()).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A block in which nothing is markup.
pub fn block(text: &str) -> String {
    let safe: String = text.chars().filter(|c| *c == '\n' || !is_trick(*c)).map(|c| if c == '`' { 'ˋ' } else { c }).collect();
    format!("```\n{safe}\n```")
}

/// Control, direction and invisible characters.
fn is_trick(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}' | '\u{00ad}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The length as Discord counts it at the most: in UTF-16 units, which is never less than in characters.
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// At most so many units, cut between what people see as characters, with a sign that it was.
pub fn cut(text: &str, max: usize) -> String {
    if length(text) <= max {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = length(CUT);
    for grapheme in text.graphemes(true) {
        used += length(grapheme);
        if used > max {
            break;
        }
        kept.push_str(grapheme);
    }
    // A cut must not leave half an escape: the backslash would eat the sign after it.
    let slashes = kept.bytes().rev().take_while(|b| *b == b'\\').count();
    if slashes % 2 == 1 {
        kept.pop();
    }
    // Nor a sign that lost the joiner after it.
    while kept.ends_with(['<', '@']) {
        kept.pop();
    }
    if length(CUT) <= max {
        kept.push_str(CUT);
    }
    kept
}

/// Whole lines as far as they fit, then how many are left out.
pub fn cut_lines(lines: &[String], max: usize) -> String {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let rest = format!("and {} more", lines.len() - at);
        let line = cut(line, max.saturating_sub(rest.len() + 1));
        let needed = length(&text) + length(&line) + 1 + if at + 1 < lines.len() { rest.len() + 1 } else { 0 };
        if needed > max {
            text.push_str(&rest);
            return text;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// The moment, in each reader's zone.
pub fn moment(at: Timestamp) -> String {
    format!("<t:{}:F>", at.as_second())
}

/// How long until or since, counted by each reader's client.
pub fn relative(at: Timestamp) -> String {
    format!("<t:{}:R>", at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 14] = [
        "@everyone",
        "<@1234567890123456789>",
        "<@&1234567890123456789>",
        "<#1234567890123456789>",
        "[ok](http://evil.example)",
        "https://evil.example/x",
        "||hidden||",
        "# big\n## bigger\n- list\n> quote\n>>> all",
        "```\nblock\n```",
        "a\u{202e}txt.exe",
        "</approve:1234567890123456789>",
        "1. one\n2. two",
        "**bold** __under__ ~~gone~~ *i* _i_",
        "<t:0:R> <:emoji:1234567890123456789> \u{200b}@here",
    ];

    #[test]
    fn nothing_hostile_stays_markup() {
        for text in HOSTILE {
            let safe = escape(text);
            check(&safe);
        }
        assert_eq!(line("a\nReason: forged\r\nb"), "a Reason: forged b");
    }

    #[test]
    fn what_is_left_out_or_blank_before_a_sign_does_not_make_it_a_heading() {
        for text in [" \n\u{202e}#:|+", "\u{200d}# a", "\n \u{202e} - a", "\u{a0}# a", "a\n\u{3000}+ b"] {
            let safe = escape(text);
            (0..=length(&safe)).for_each(|max| check(cut(&safe, max).trim_end_matches(CUT)));
            assert!(safe.contains("\\#") || safe.contains("\\-") || safe.contains("\\+"), "{safe:?}");
        }
    }

    /// No character that Discord reads stands unescaped, and no mention or link can be read.
    fn check(safe: &str) {
        let mut escaped = false;
        let mut chars = safe.chars().peekable();
        while let Some(c) = chars.next() {
            if escaped {
                escaped = false;
                continue;
            }
            match c {
                '\\' => escaped = true,
                '*' | '_' | '~' | '`' | '|' | '[' | ']' | '>' => panic!("{c:?} stands bare in {safe:?}"),
                '<' | '@' => assert_eq!(chars.peek(), Some(&'\u{2060}'), "{safe:?}"),
                _ => assert!(c == '\u{2060}' || c == '\n' || !is_trick(c), "{c:?} in {safe:?}"),
            }
        }
        assert!(!safe.contains("://") && !safe.contains("@everyone") && !safe.contains("@here"), "{safe:?}");
        assert!(!safe.lines().any(|line| line.trim_start().starts_with(['-', '+', '#'])), "{safe:?}");
    }

    #[test]
    fn whatever_is_escaped_and_cut_stays_harmless_and_short() {
        let alphabet: Vec<char> = "ab1.-+# \n\\*_~`|[]()<>@:é👩\u{200d}\u{202e}\u{0301}".chars().collect();
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..(seed % 40) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(alphabet[usize::try_from(seed >> 33).unwrap() % alphabet.len()]);
            }
            seed = seed.wrapping_add(1);
            let max = usize::try_from(seed % 30).unwrap();
            let safe = cut(&escape(&text), max);
            assert!(length(&safe) <= max, "{text:?} {safe:?} {max}");
            check(safe.trim_end_matches(CUT));
            assert!(!line(&text).contains('\n'));
        }
    }

    #[test]
    fn a_cut_never_halves_what_is_seen_as_one_character() {
        let family = "👩‍👩‍👧‍👦";
        let text = format!("ab{family}cd");
        for max in 1..length(&text) {
            let cut = cut(&text, max);
            assert!(length(&cut) <= max);
            assert!(cut.contains(family) || !cut.contains('👩'), "{cut:?}");
        }
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }

    #[test]
    fn lines_are_cut_whole_and_counted() {
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        let text = cut_lines(&lines, 60);
        assert!(length(&text) <= 60 && text.ends_with("more"), "{text}");
        assert_eq!(cut_lines(&lines[..2], 60), "line 0\nline 1");
        assert_eq!(cut_lines(&[], 60), "");
    }
}
