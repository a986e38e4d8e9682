//! What people are told about wrong files, word by word: `golden/*.txt`, each a list of cases.
//!
//! A case is `=== title`, files as `--- path` over a small good repo (`golden/base.txt` lists it), and `>>>` with
//! what `render` says. `UPDATE_GOLDEN=1 cargo test -p tidegate-core --test golden_errors` writes the answers anew;
//! read the difference before you commit it.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failing test")]

mod support;

use std::collections::BTreeSet;
use support::{files, root};
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Severity, Style, render};
use tidegate_core::repo::load;

struct Case {
    title: String,
    files: Vec<(String, String)>,
    expected: String,
}

fn base() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("shared/core/tests/golden/base.txt")).unwrap();
    parse(&text).remove(0).files
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_answer = false;
    for line in text.split_inclusive('\n') {
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case { title: title.trim().to_owned(), files: Vec::new(), expected: String::new() });
            in_answer = false;
        } else if let Some(path) = line.strip_prefix("--- ") {
            let path = path.trim();
            let known = ["tidegate.yaml", "environments/", "hosts/", "releases/", "stacks/"];
            let path = if known.iter().any(|start| path.starts_with(start)) { path.to_owned() } else { format!("stacks/shop/{path}") };
            cases.last_mut().unwrap().files.push((path, String::new()));
        } else if line.trim_end() == ">>>" {
            in_answer = true;
        } else if in_answer {
            cases.last_mut().unwrap().expected.push_str(line);
        } else if let Some((_, content)) = cases.last_mut().and_then(|case| case.files.last_mut()) {
            content.push_str(line);
        }
    }
    for case in &mut cases {
        case.expected = format!("{}\n", case.expected.trim_end());
    }
    cases
}

/// The base with the case's files over it; a file of one line `(none)` is taken away.
fn repo(case: &Case) -> RepoFiles {
    let mut listed = base();
    for (path, content) in &case.files {
        listed.retain(|(other, _)| other != path);
        if content.trim() != "(none)" {
            // `\u{..}` in a case stands for a character that an editor would hide.
            let content = content.replace("\\u{202e}", "\u{202e}").replace("\\u{7}", "\u{7}");
            listed.push((path.clone(), content));
        }
    }
    let listed: Vec<(&str, &str)> = listed.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
    files(&listed)
}

fn answer(case: &Case) -> String {
    let files = repo(case);
    let loaded = load(&files);
    let has_errors = loaded.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(loaded.repo.is_none(), has_errors, "{}: a repo exactly when there is no error", case.title);
    let text = render(&loaded.findings, &files, Style::Plain);
    if text.is_empty() { "no findings\n".to_owned() } else { text }
}

#[test]
fn every_wrong_file_gets_its_words() {
    let folder = root().join("shared/core/tests/golden");
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "txt") && !path.ends_with("base.txt"));
    names.sort();
    let mut wrong = Vec::new();
    let (mut count, mut codes) = (0, BTreeSet::new());
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let cases = parse(&text);
        let mut fresh = String::new();
        for case in &cases {
            let said = answer(case);
            count += usize::from(said.contains("error["));
            codes.extend(load(&repo(case)).findings.into_iter().map(|finding| finding.code));
            if said != case.expected {
                wrong.push(format!(
                    "{}: {}\n{}",
                    path.display(),
                    case.title,
                    similar_asserts::SimpleDiff::from_str(&case.expected, &said, "expected", "said")
                ));
            }
            fresh.push_str(&written(case, &said));
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, fresh).unwrap();
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_none() {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    assert!(count >= 100, "only {count} wrong files");
    assert!(codes.len() >= 40, "only {} kinds of findings: {codes:?}", codes.len());
}

fn written(case: &Case, said: &str) -> String {
    let mut out = format!("=== {}\n", case.title);
    for (path, content) in &case.files {
        let path = path.strip_prefix("stacks/shop/").unwrap_or(path);
        out.push_str(&format!("--- {path}\n{content}"));
        if !content.is_empty() && !content.ends_with('\n') {
            out.push('\n');
        }
    }
    out.push_str(&format!(">>>\n{said}\n"));
    out
}
