//! Builders shared by the tests of the reading half of the core.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses its part; a broken fixture is a failing test")]

use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_core::files::{File, RepoFiles};
use tidegate_core::findings::Severity;
use tidegate_core::repo::load;

/// What any single input may cost on the processor: a second. An unoptimised build, as tests are, is allowed four times
/// that; only with `--release` is the second itself the limit.
pub const SOON: Duration = Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 1 });

/// How long this thread has been on a processor: a busy or paused machine must not fail the test.
pub fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

/// A repo of these files.
pub fn files(listed: &[(&str, &str)]) -> RepoFiles {
    let mut files = RepoFiles::default();
    for (path, text) in listed {
        files.insert_text(path.parse().unwrap(), text);
    }
    files
}

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An example below `deploy/examples`.
pub fn example(name: &str) -> RepoFiles {
    folder(&root().join("deploy/examples").join(name))
}

/// A folder of the disk as a repo.
pub fn folder(root: &Path) -> RepoFiles {
    let mut files = RepoFiles::default();
    let mut left = vec![root.to_path_buf()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().parse().unwrap();
                files.insert(name, File { bytes: std::fs::read(&path).unwrap().into(), executable: false });
            }
        }
    }
    files
}

/// `file:line:column: code` of every error that `load` finds.
pub fn errors(files: &RepoFiles) -> Vec<String> {
    let findings = load(files).findings;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors
        .map(|finding| match finding.place.line {
            0 => format!("{}: {}", finding.place.file, finding.code),
            line => format!("{}:{line}:{}: {}", finding.place.file, finding.place.column, finding.code),
        })
        .collect()
}

/// A case of `golden/*.txt`: a title, files over the base, and what is said of them.
#[derive(Debug, Clone)]
pub struct Case {
    pub title: String,
    pub files: Vec<(String, String)>,
    pub expected: String,
}

/// The small good repo that cases change.
pub fn base() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("shared/core/tests/golden/base.txt")).unwrap();
    parse(&text).remove(0).files
}

/// The cases of a file.
pub fn parse(text: &str) -> Vec<Case> {
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
pub fn repo(case: &Case) -> RepoFiles {
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
