//! Builders shared by the tests of the reading half of the core.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses its part; a broken fixture is a failing test")]

use std::path::{Path, PathBuf};
use tidegate_core::files::{File, RepoFiles};
use tidegate_core::findings::Severity;
use tidegate_core::repo::load;

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
