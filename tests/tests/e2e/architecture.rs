//! The directions of imports, as the house rules state them: walked in the source, so that a wrong arrow fails here and
//! not in a review.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the core in layers: each may import only from layers before its own (and from itself).
const CORE_LAYERS: &[&[&str]] = &[
    &["ids"],
    &["files"],
    &["findings"],
    &["yaml"],
    &["keys", "logins"],
    &["calendar", "compose"],
    &["observed", "lock", "trust"],
    &["repo", "desired"],
    // What is required stands in the repo; whether it is met, with a lock's approvals, is decided after it.
    &["policy", "plan"],
    &["advice", "offers", "candidate", "rollout"],
    &["events", "preview", "schema"],
];

/// What the core must not touch: it neither looks at the clock nor at the outside, and does not log.
const IMPURE: &[&str] = &[
    "tokio",
    "git2",
    "bollard",
    "serenity",
    "axum",
    "hyper",
    "reqwest",
    "rusqlite",
    "tracing",
    "log",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "rand",
    "println!",
    "eprintln!",
];

/// Foreign crates and the only folders that may name them.
const ADAPTERS: &[(&str, &[&str])] = &[
    ("git2", &["shared/git/src/"]),
    ("bollard", &["agent/src/docker/", "agent/src/docker.rs", "tests/"]),
    ("serenity", &["bot/src/platforms/discord/", "tests/"]),
    ("reqwest_for_serenity", &["bot/src/platforms/discord/"]),
    ("axum", &["agent/src/http/", "bot/src/http/", "bot/src/intake/", "bot/src/page/", "tests/"]),
    ("rusqlite", &["agent/src/store/", "agent/src/store.rs", "bot/src/store/", "bot/src/store.rs", "tests/"]),
    ("chrono", &["shared/core/src/calendar/"]),
    ("oci_client", &["bot/src/registry/", "bot/src/registry.rs"]),
];

/// Which of our crates each crate may name.
const CRATES: &[(&str, &[&str])] = &[
    ("shared/core", &[]),
    ("shared/git", &["tidegate_core"]),
    ("agent", &["tidegate_core", "tidegate_git", "tidegate_agent"]),
    ("bot", &["tidegate_core", "tidegate_git", "tidegate_bot"]),
];

#[test]
fn agent_and_bot_never_import_each_other_and_the_core_imports_nobody() {
    let mut wrong = Vec::new();
    for (folder, may) in CRATES {
        for source in sources(folder) {
            for name in ["tidegate_core", "tidegate_git", "tidegate_agent", "tidegate_bot", "tidegate_tests"] {
                // A crate's own tests and programs name it from outside.
                let itself = source.is_outside() && name == format!("tidegate_{}", folder.trim_start_matches("shared/"));
                if source.names(name) && !may.contains(&name) && !itself {
                    wrong.push(format!("{} names {name}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that must not be:\n{}", wrong.join("\n"));
}

#[test]
fn modules_of_the_core_import_only_from_layers_before_their_own() {
    let layer: BTreeMap<&str, usize> =
        CORE_LAYERS.iter().enumerate().flat_map(|(number, names)| names.iter().map(move |name| (*name, number))).collect();
    let mut wrong = Vec::new();
    for source in sources("shared/core/src") {
        let module = module_of(&source.path);
        if module == "lib" {
            continue;
        }
        let Some(own) = layer.get(module.as_str()) else {
            wrong.push(format!("{}: module `{module}` has no layer; give it one in CORE_LAYERS", source.path));
            continue;
        };
        for target in source.crate_modules() {
            match layer.get(target.as_str()) {
                Some(other) if other < own || target == module => {}
                _ => wrong.push(format!("{}: `{module}` imports from `{target}`", source.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that must not be:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for source in sources("shared/core/src") {
        for name in IMPURE {
            if source.names(name) {
                wrong.push(format!("{} names {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "the core must not touch:\n{}", wrong.join("\n"));
}

#[test]
fn foreign_crates_stay_in_the_folder_of_their_adapter() {
    let mut wrong = Vec::new();
    for source in ["shared", "agent", "bot", "tests"].iter().flat_map(|folder| sources(folder)) {
        for (name, homes) in ADAPTERS {
            let at_home = homes.iter().any(|home| source.path.starts_with(home));
            // Tests of an adapter may stand in its crate's tests folder.
            if source.names(name) && !at_home && !source.is_outside() {
                wrong.push(format!("{} names {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "adapters leak:\n{}", wrong.join("\n"));
}

#[test]
fn adapters_never_import_each_other() {
    let mut wrong = Vec::new();
    for (root, adapters) in [
        ("agent/src", &["docker", "gateway", "store", "http", "outbox", "cli"][..]),
        ("bot/src", &["platforms", "store", "http", "page", "registry", "intake"][..]),
    ] {
        for source in sources(root) {
            let module = module_of(&source.path);
            let may = |target: &str| {
                matches!(
                    (root, module.as_str(), target),
                    // What all that listens shares (time-outs, guards, event streams); it knows no route.
                    ("bot/src", _, "http")
                        // The page is the face of the local platform.
                        | ("bot/src", "page", "platforms")
                        // A store speaks in types of its own: whoever keeps something may name it; it names nobody.
                        | (_, _, "store")
                        // The command line is a composition root.
                        | ("agent/src", "cli", _)
                )
            };
            for target in source.crate_modules() {
                if adapters.contains(&module.as_str()) && adapters.contains(&target.as_str()) && target != module && !may(&target) {
                    wrong.push(format!("{}: `{module}` imports from `{target}`", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "adapters name each other:\n{}", wrong.join("\n"));
}

#[test]
fn the_walk_sees_arrows_of_every_form() {
    let text = "//! crate::comment\nuse crate::{alpha, beta::{Inner, Other}};\nuse crate::gamma::*;\n\
                fn f() { let s = \"crate::text\"; crate::delta::call(); git2::Oid::zero(); }\npub(crate) use super::eta;\n\
                /* crate::block */ use\n    crate :: epsilon;\n";
    let source = Source::new("x/src/lib.rs".into(), text);
    assert_eq!(source.crate_modules(), ["alpha", "beta", "delta", "epsilon", "gamma"]);
    assert!(source.names("git2") && !source.names("git") && !source.names("text") && !source.names("block"));
}

/// A source file without comments and string contents, and without white space.
struct Source {
    /// Path from the root of the repository.
    path: String,
    code: String,
}

impl Source {
    fn new(path: String, text: &str) -> Source {
        Source { path, code: without_words(text) }
    }

    /// Is it a test, a benchmark or a program beside its crate, which name the crate from outside?
    fn is_outside(&self) -> bool {
        ["/tests/", "/benches/", "/examples/", "/src/bin/"].iter().any(|folder| self.path.contains(folder))
    }

    /// Does the code name this path as a whole word?
    fn names(&self, name: &str) -> bool {
        self.code.match_indices(name).any(|(at, _)| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + name.len()..].chars().next();
            // `foo::name` is something else called `name`; `::name` at the start of a path is the crate.
            let in_path = self.code[..at].ends_with("::") && !name.contains("::");
            let as_path = name.contains("::") || name.ends_with('!') || self.code[at + name.len()..].starts_with("::");
            let imported = self.code[..at].ends_with("use ");
            !before.is_some_and(word) && !after.is_some_and(word) && !in_path && (as_path || imported)
        })
    }

    /// First parts of all `crate::…` paths.
    fn crate_modules(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .code
            .match_indices("crate::")
            .filter(|(at, _)| !self.code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$'))
            .flat_map(|(at, path)| first_parts(&self.code[at + path.len()..]))
            .filter(|part| part.starts_with(|c: char| c.is_lowercase()))
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// The first part of a path, or of each path in a `{…}` group.
fn first_parts(rest: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut parts, mut current) = (0_usize, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(std::mem::take(&mut current)),
            _ => {}
        }
        if depth == 0 && c != ',' {
            current.push(c);
        }
    }
    parts.push(current);
    parts.iter().map(|part| word(part.trim_start())).filter(|part| !part.is_empty()).collect()
}

/// Takes comments and the contents of strings out, and white space except one blank between words.
fn without_words(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while at < chars.len() {
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => rest.windows(2).position(|pair| pair == ['*', '/']).map_or(rest.len(), |end| end + 2),
            ['r', '#', '"', ..] => rest.windows(2).skip(3).position(|pair| pair == ['"', '#']).map_or(rest.len(), |end| end + 5),
            ['"', ..] => string_length(rest),
            ['\'', '"', '\'', ..] => 3,
            [c, ..] if c.is_whitespace() => {
                let next = rest.iter().find(|c| !c.is_whitespace());
                let word = |c: char| c.is_alphanumeric() || c == '_';
                if out.ends_with(word) && next.is_some_and(|c| word(*c)) || out.ends_with("use") {
                    out.push(' ');
                }
                rest.iter().take_while(|c| c.is_whitespace()).count()
            }
            [c, ..] => {
                out.push(*c);
                1
            }
            [] => 1,
        };
    }
    out
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The first folder or file name below `src`.
fn module_of(path: &str) -> String {
    let below = path.split("/src/").nth(1).unwrap_or_default();
    below.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository").to_owned();
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    assert!(!files.is_empty(), "{folder} has no sources");
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
            Source::new(path, &fs::read_to_string(&file).expect("a readable source"))
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            if !entry.ends_with("target") {
                collect(&entry, files);
            }
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
}
