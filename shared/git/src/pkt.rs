//! git's packet lines and the one protocol v2 exchange we speak ourselves: `ls-refs` for a single branch.
//!
//! libgit2 speaks protocol v0 only, where a server lists every reference on each connection. Version 2 takes a prefix,
//! so an answer is one line however many branches there are. Source: git's `protocol-v2` and `protocol-common` documents.

/// Longest packet line, in bytes.
const LINE_MAX_BYTES: usize = 65_520;
/// Digits of a packet line's length.
const LENGTH_DIGITS: usize = 4;

/// One packet line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Line(&'a [u8]),
    Flush,
    Delimiter,
}

/// Takes one packet off the front; `None` when the bytes are not well formed or not complete.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Option<Packet<'a>> {
    let digits = bytes.get(..LENGTH_DIGITS).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    let length = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let (packet, used) = match length {
        0 => (Packet::Flush, LENGTH_DIGITS),
        1 => (Packet::Delimiter, LENGTH_DIGITS),
        LENGTH_DIGITS..=LINE_MAX_BYTES => (Packet::Line(bytes.get(LENGTH_DIGITS..length)?), length),
        _ => return None,
    };
    *bytes = &bytes[used..];
    Some(packet)
}

/// A packet line.
pub(crate) fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + LENGTH_DIGITS)
}

/// The request for one reference.
pub(crate) fn ls_refs_request(reference: &str) -> String {
    let capabilities =
        [line("command=ls-refs\n"), line(concat!("agent=tidegate/", env!("CARGO_PKG_VERSION"), "\n")), line("object-format=sha1\n")];
    format!("{}0001{}0000", capabilities.concat(), line(&format!("ref-prefix {reference}\n")))
}

/// What an answer to [`ls_refs_request`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    /// The reference is there.
    At(tidegate_core::ids::CommitId),
    /// The server knows no such reference.
    Nowhere,
    /// Not a well-formed answer to what was asked.
    Malformed,
}

/// Reads an answer: lines of `id SP name`, each with the prefix that was asked for, then a flush, then nothing.
pub(crate) fn read_ls_refs(mut answer: &[u8], reference: &str) -> Listed {
    let mut found = Listed::Nowhere;
    loop {
        match take(&mut answer) {
            Some(Packet::Flush) if answer.is_empty() => return found,
            Some(Packet::Line(line)) => match read_reference(line) {
                Some((id, name)) if name == reference && found == Listed::Nowhere => found = Listed::At(id),
                Some((_, name)) if name != reference && name.starts_with(reference) => {}
                _ => return Listed::Malformed,
            },
            _ => return Listed::Malformed,
        }
    }
}

fn read_reference(line: &[u8]) -> Option<(tidegate_core::ids::CommitId, &str)> {
    let text = std::str::from_utf8(line).ok()?;
    let (id, rest) = text.strip_suffix('\n').unwrap_or(text).split_once(' ')?;
    let name = rest.split(' ').next().filter(|name| !name.is_empty())?;
    Some((id.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const MAIN: &str = "refs/heads/main";

    fn answer(lines: &[String]) -> Listed {
        let text: String = lines.iter().map(|text| line(text)).collect();
        read_ls_refs(format!("{text}0000").as_bytes(), MAIN)
    }

    #[test]
    fn the_exact_reference_is_taken_among_those_with_its_prefix() {
        let others = format!("{} refs/heads/main2\n", "f".repeat(40));
        assert_eq!(answer(&[others.clone(), format!("{ID} {MAIN}\n")]), Listed::At(ID.parse().unwrap()));
        assert_eq!(answer(&[others]), Listed::Nowhere);
        assert_eq!(answer(&[]), Listed::Nowhere);
    }

    #[test]
    fn anything_else_is_malformed() {
        let good = format!("{ID} {MAIN}\n");
        for lines in [
            vec![good.clone(), good.clone()],
            vec![format!("{ID} refs/heads/other\n")],
            vec![format!("{} {MAIN}\n", &ID[1..])],
            vec![format!("{} {MAIN}\n", ID.to_uppercase())],
            vec!["ERR no such repository\n".to_owned()],
            vec![ID.to_owned()],
        ] {
            assert_eq!(answer(&lines), Listed::Malformed, "{lines:?}");
        }
        for bytes in ["", "000", "0000x", "0001", "00", "zzzz", "0003", "ffff", "+000", "<html>not git</html>"] {
            assert_eq!(read_ls_refs(bytes.as_bytes(), MAIN), Listed::Malformed, "{bytes}");
        }
        let whole = format!("{}0000", line(&good));
        for cut in 0..whole.len() {
            assert_eq!(read_ls_refs(&whole.as_bytes()[..cut], MAIN), Listed::Malformed, "{cut}");
        }
    }

    #[test]
    fn the_request_is_what_git_documents() {
        let request = ls_refs_request(MAIN);
        assert!(request.starts_with("0014command=ls-refs\n") && request.ends_with("0001001fref-prefix refs/heads/main\n0000"), "{request}");
    }
}
