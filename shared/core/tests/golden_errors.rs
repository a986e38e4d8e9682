//! What people are told about wrong files, word by word: `golden/*.txt`, each a list of cases.
//!
//! A case is `=== title`, files as `--- path` over a small good repo (`golden/base.txt` lists it), and `>>>` with
//! what `render` says. `UPDATE_GOLDEN=1 cargo test -p tidegate-core --test golden_errors` writes the answers anew;
//! read the difference before you commit it.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failing test")]

mod support;

use std::collections::BTreeSet;
use support::{Case, parse, repo, root};
use tidegate_core::findings::{Severity, Style, render};
use tidegate_core::repo::load;

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
