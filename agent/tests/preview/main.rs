//! `tidegate plan` from outside: a change in a git repository, in every form, word by word (`golden/plan/*`).
//! `UPDATE_GOLDEN=1 cargo test -p tidegate-agent --test preview` writes the answers anew; read the difference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

mod gated;
mod observed;
mod project;

use project::{NOW, proposed, released};
use std::path::PathBuf;
use std::process::Command;

fn golden(name: &str, said: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, said).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == said, "{} differs.\n--- expected\n{expected}\n--- said\n{said}", path.display());
}

#[test]
fn a_range_is_planned_in_every_form() {
    let project = proposed();
    for (form, file) in [("human", "change.txt"), ("markdown", "change.md"), ("github", "change.github"), ("json", "change.json")] {
        let (code, out, err) = project.plan(&["--from", "main", "--to", "HEAD", "--output", form, "--detailed-exitcode"]);
        assert_eq!((code, err.as_str()), (2, ""), "{form}");
        assert!(!out.contains("secret"), "{form} shows a secret: {out}");
        golden(file, &out);
    }
}

#[test]
fn foreign_text_forges_nothing_in_a_comment_or_an_annotation() {
    let project = proposed();
    let (_, comment, _) = project.plan(&["--from", "main", "--output", "markdown"]);
    let outside: String = comment.lines().map(outside_code).collect::<Vec<_>>().join("\n");
    assert!(!outside.contains('@') && !outside.contains("http://evil"), "{outside}");
    assert_eq!(outside.matches("<details>").count(), outside.matches("</details>").count());
    let (_, annotations, _) = project.plan(&["--from", "main", "--output", "github"]);
    assert!(annotations.lines().all(|line| line.starts_with("::notice file=") || line.starts_with("::warning file=")), "{annotations}");
}

/// A line without its code spans, by CommonMark's rule: a span ends at a run of as many backticks as it began with.
fn outside_code(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(start) = rest.find('`') {
        out.push_str(&rest[..start]);
        let length = rest[start..].chars().take_while(|c| *c == '`').count();
        let (fence, body) = rest[start..].split_at(length);
        let mut at = 0;
        let end = loop {
            let Some(found) = body[at..].find('`') else { break None };
            let run = body[at + found..].chars().take_while(|c| *c == '`').count();
            if run == fence.len() {
                break Some(at + found + run);
            }
            at += found + run;
        };
        rest = match end {
            Some(end) => &body[end..],
            None => break,
        };
    }
    out + rest
}

#[test]
fn what_is_released_already_is_no_change() {
    let project = released();
    let (code, out, _) = project.plan(&["--from", "main", "--to", "HEAD", "--environment", "production", "--detailed-exitcode"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(out, "production stays at release 7\n  4 hosts: nothing changes\n\nPlan: nothing changes.\n");
    // Without `--from` the lock beside the files says the same; staging follows the branch, of which nothing is known here.
    let (_, out, _) = project.plan(&["--environment", "production"]);
    assert!(out.contains("stays at release 7"), "{out}");
}

#[test]
fn a_commit_is_planned_by_any_of_its_names() {
    let project = proposed();
    let id = project.git(&["rev-parse", "change"]);
    let root = project.root().to_str().unwrap().to_owned();
    let by = |text: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["plan", text, "--now", NOW]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, whole) = by(&format!("{root}@change"));
    assert_eq!(code, 0);
    assert_eq!(by(&format!("{root}@{}", &id[..10])), (0, whole.clone()));
    assert_eq!(by(&format!("{root}@{id}")), (0, whole));
    let (code, _, err) = project.plan(&["--from", "no-such-branch"]);
    assert!(code == 64 && err.contains("`no-such-branch` names no commit here"), "{err}");
}

#[test]
fn a_clone_without_the_released_commit_says_how_to_bring_it() {
    let project = proposed();
    let shallow = tempfile::tempdir().unwrap();
    let (from, to) = (format!("file://{}", project.root().display()), shallow.path().join("clone"));
    project.git(&["clone", "--quiet", "--depth", "1", "--branch", "change", &from, to.to_str().unwrap()]);
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["plan", to.to_str().unwrap()]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{err}");
    assert!(err.contains("fetch-depth: 0"), "{err}");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["plan", to.to_str().unwrap(), "--empty"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_refused_config_is_refused_in_every_form() {
    let project = released();
    project.write("stacks/shop/compose.yaml", "services:\n  web:\n    imagee: \"x`@all\"\n");
    for (form, begin) in
        [("markdown", "<!-- tidegate plan -->\n### Tidegate plan: refused, "), ("github", "::error file=stacks/shop/compose.yaml,line=")]
    {
        let (code, out, _) = project.plan(&["--output", form]);
        assert!(code == 3 && out.starts_with(begin), "{form}: {out}");
    }
    let (code, out, _) = project.plan(&["--output", "json"]);
    assert!(code == 3 && out.contains("\"valid\": false"), "{out}");
    let (code, out, err) = project.plan(&[]);
    assert!(code == 3 && out.is_empty() && err.contains("stacks/shop/compose.yaml:3:5"), "{err}");
}
