//! A fuzzer for the reader: good and bad config repos (`golden/`, `corpus/`, the example), changed by structured mutations
//! for as long as `TIDEGATE_FUZZ_SECS` says (`tests/run.sh` gives it a minute), and judged by what must always hold.
//!
//! It is not guided by coverage: that needs a second, instrumented build of everything, which costs more minutes than it
//! is given to look. In its place the mutations know what they change (lines, indentation, tokens, whole values of other
//! files), and there are several judges beside "no panic". `proptest` draws, and shrinks what it finds.
//!
//! A finding is written to `target/fuzz/` in the form of a case; put it into `corpus/` with its mend, and every run begins
//! with it from then on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a finding is a failing test")]

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use support::{Case, SOON, base, parse, root, spent};
use tidegate_core::compose::{MountSource, StackModel, render, resolve_stack};
use tidegate_core::desired::Naming;
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Style, annotations, render as told};
use tidegate_core::preview::{Input, preview};
use tidegate_core::repo::{Loaded, Repo, load};

/// How long, where nobody says.
const DEFAULT_SECS: u64 = 2;
/// Inputs drawn in one go; the clock is looked at in between.
const ROUND: u32 = 100;

/// Text files by path.
type Files = Vec<(String, String)>;

/// One change. Numbers are taken modulo what there is, so that every draw is a change of something.
#[derive(Debug, Clone)]
enum Mutation {
    RemoveLine(usize, usize),
    RepeatLine(usize, usize, usize),
    SwapLines(usize, usize, usize),
    Indent(usize, usize, i8),
    InsertToken(usize, usize, usize),
    ReplaceToken(usize, usize, usize),
    /// A line of another seed in place of one.
    Graft(usize, usize, usize, usize),
    /// The value after a colon becomes that of another line.
    SwapValues(usize, usize, usize),
    CutAt(usize, usize),
    SetByte(usize, usize, u8),
    RepeatMany(usize, usize, u16),
    /// Everything below a file of another seed under this file's name.
    Replace(usize, usize, usize),
    Rename(usize, usize),
    Remove(usize),
}

const TOKENS: [&str; 72] = [
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "'",
    "\"",
    "&a ",
    "*a",
    "<<: *a",
    "!reset ",
    "!override ",
    "!!int ",
    "? ",
    "|\n",
    ">-\n",
    "#",
    "~",
    "null",
    "\t",
    "\u{202e}",
    "\u{0}",
    "\u{feff}",
    "é",
    "\\",
    "$",
    "$$",
    "${A}",
    "${A:-",
    "${A:?x}",
    "${A:+${B-c}}",
    "}",
    "%",
    "@",
    "`",
    "---\n",
    "...\n",
    "\r\n",
    "0",
    "-1",
    "1",
    "9999999999999999999999",
    "0x1f",
    "1e9",
    "1.10",
    "yes",
    "true",
    "false",
    "x-a: 1",
    "x-tidegate: {bake: 1s}",
    "image: x",
    "extends: web",
    "extends: {file: compose.yaml, service: web}",
    "include: [compose.yaml]",
    "profiles: [a]",
    "build: .",
    "network_mode: host",
    "env_file: .env",
    "../",
    "./",
    "/",
    "sha256:",
    "0s",
    "100000h",
    "1tb",
    "80:80",
    "1-65535",
    "* * * * *",
    "Europe/Berlin",
];

/// Names that mean something.
const PATHS: [&str; 9] = [
    "tidegate.yaml",
    "environments/production.yaml",
    "hosts/web-1.yaml",
    "stacks/shop/compose.yaml",
    "stacks/shop/compose.production.yaml",
    "stacks/shop/.env",
    "stacks/shop/.env.production",
    "releases/production.yaml",
    "stacks/other/compose.yaml",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let n = any::<usize>;
    prop_oneof![
        2 => (n(), n()).prop_map(|(a, b)| Mutation::RemoveLine(a, b)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Mutation::RepeatLine(a, b, c)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Mutation::SwapLines(a, b, c)),
        3 => (n(), n(), -4_i8..5).prop_map(|(a, b, c)| Mutation::Indent(a, b, c)),
        4 => (n(), n(), n()).prop_map(|(a, b, c)| Mutation::InsertToken(a, b, c)),
        4 => (n(), n(), n()).prop_map(|(a, b, c)| Mutation::ReplaceToken(a, b, c)),
        4 => (n(), n(), n(), n()).prop_map(|(a, b, c, d)| Mutation::Graft(a, b, c, d)),
        3 => (n(), n(), n()).prop_map(|(a, b, c)| Mutation::SwapValues(a, b, c)),
        1 => (n(), n()).prop_map(|(a, b)| Mutation::CutAt(a, b)),
        2 => (n(), n(), any::<u8>()).prop_map(|(a, b, c)| Mutation::SetByte(a, b, c)),
        1 => (n(), n(), any::<u16>()).prop_map(|(a, b, c)| Mutation::RepeatMany(a, b, c)),
        2 => (n(), n(), n()).prop_map(|(a, b, c)| Mutation::Replace(a, b, c)),
        1 => (n(), n()).prop_map(|(a, b)| Mutation::Rename(a, b)),
        1 => n().prop_map(Mutation::Remove),
    ]
}

/// Every case over the base, the example, and what the corpus holds.
fn seeds() -> Vec<Files> {
    let mut seeds = vec![base()];
    for folder in ["golden", "corpus"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(root().join("shared/core/tests").join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "txt")) {
            seeds.extend(parse(&std::fs::read_to_string(path).unwrap()).iter().map(over_base));
        }
    }
    let example = support::example("shop");
    seeds.push(example.iter().map(|(path, file)| (path.to_string(), String::from_utf8_lossy(&file.bytes).into_owned())).collect());
    seeds
}

fn over_base(case: &Case) -> Files {
    let mut files = base();
    for (path, content) in &case.files {
        files.retain(|(other, _)| other != path);
        files.push((path.clone(), content.clone()));
    }
    files
}

fn token(number: usize) -> &'static str {
    TOKENS[number % TOKENS.len()]
}

/// The nearest place at or before `at` where the text may be cut.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at % (text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn apply(files: &mut Files, seeds: &[Files], mutation: &Mutation) {
    let other = |seed: usize, file: usize| {
        let seed = &seeds[seed % seeds.len()];
        &seed[file % seed.len()].1
    };
    let (Mutation::RemoveLine(file, _)
    | Mutation::RepeatLine(file, ..)
    | Mutation::SwapLines(file, ..)
    | Mutation::Indent(file, ..)
    | Mutation::InsertToken(file, ..)
    | Mutation::ReplaceToken(file, ..)
    | Mutation::Graft(file, ..)
    | Mutation::SwapValues(file, ..)
    | Mutation::CutAt(file, _)
    | Mutation::SetByte(file, ..)
    | Mutation::RepeatMany(file, ..)
    | Mutation::Replace(file, ..)
    | Mutation::Rename(file, _)
    | Mutation::Remove(file)) = *mutation;
    if files.is_empty() {
        return;
    }
    let at = file % files.len();
    match *mutation {
        Mutation::Remove(_) => drop(files.remove(at)),
        Mutation::Rename(_, to) => PATHS[to % PATHS.len()].clone_into(&mut files[at].0),
        Mutation::Replace(_, seed, file) => files[at].1.clone_from(other(seed, file)),
        Mutation::Graft(_, line, seed, from) => {
            let text = other(seed, from);
            let lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                let grafted = lines[from % lines.len()].to_owned();
                in_lines(&mut files[at].1, |lines| {
                    let at = line % lines.len();
                    lines[at] = grafted;
                });
            }
        }
        _ => within(&mut files[at].1, mutation),
    }
}

/// A change inside one file.
fn within(text: &mut String, mutation: &Mutation) {
    match *mutation {
        Mutation::RemoveLine(_, line) => in_lines(text, |lines| {
            let at = line % lines.len();
            lines.remove(at);
        }),
        Mutation::RepeatLine(_, line, to) => in_lines(text, |lines| {
            let repeated = lines[line % lines.len()].clone();
            lines.insert(to % lines.len(), repeated);
        }),
        Mutation::SwapLines(_, a, b) => in_lines(text, |lines| {
            let count = lines.len();
            lines.swap(a % count, b % count);
        }),
        Mutation::Indent(_, line, by) => in_lines(text, |lines| indent(lines, line, by)),
        Mutation::SwapValues(_, a, b) => in_lines(text, |lines| swap_values(lines, a, b)),
        Mutation::InsertToken(_, at, number) => text.insert_str(boundary(text, at), token(number)),
        Mutation::ReplaceToken(_, at, number) => {
            let words: Vec<(usize, &str)> = text.split_word_bounds_by_space();
            if let Some((start, word)) = words.get(at % words.len().max(1)).copied() {
                text.replace_range(start..start + word.len(), token(number));
            }
        }
        Mutation::CutAt(_, at) => text.truncate(boundary(text, at)),
        Mutation::SetByte(_, at, byte) => {
            let at = boundary(text, at);
            let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            text.replace_range(at..end, &char::from(byte).to_string());
        }
        Mutation::RepeatMany(_, line, times) => in_lines(text, |lines| {
            let repeated = lines[line % lines.len()].repeat(usize::from(times) % 600);
            lines.push(repeated);
        }),
        _ => {}
    }
}

fn in_lines(text: &mut String, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    change(&mut lines);
    *text = lines.join("\n");
}

fn indent(lines: &mut [String], line: usize, by: i8) {
    let line = &mut lines[line % lines.len()];
    match usize::try_from(by) {
        Ok(more) => line.insert_str(0, &" ".repeat(more)),
        Err(_) => *line = line.strip_prefix(&" ".repeat(usize::from(by.unsigned_abs()))).unwrap_or(line).to_owned(),
    }
}

fn swap_values(lines: &mut [String], a: usize, b: usize) {
    let (a, b) = (a % lines.len(), b % lines.len());
    let split = |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), value.to_owned()));
    if let (Some((key_a, value_a)), Some((key_b, value_b))) = (split(&lines[a]), split(&lines[b])) {
        lines[a] = format!("{key_a}: {value_b}");
        lines[b] = format!("{key_b}: {value_a}");
    }
}

/// Words with their places.
trait Words {
    fn split_word_bounds_by_space(&self) -> Vec<(usize, &str)>;
}

impl Words for String {
    fn split_word_bounds_by_space(&self) -> Vec<(usize, &str)> {
        let start = self.as_ptr() as usize;
        self.split([' ', '\n', ',', '[', ']', '{', '}'])
            .filter(|word| !word.is_empty())
            .map(|word| (word.as_ptr() as usize - start, word))
            .collect()
    }
}

/// What must hold for every input.
fn judge(files: &Files) -> Result<(), String> {
    let mut repo = RepoFiles::default();
    for (path, text) in files {
        if let Ok(path) = path.parse() {
            repo.insert_text(path, text);
        }
    }
    let began = spent();
    let loaded = load(&repo);
    let cost = spent() - began;
    if cost > SOON {
        return Err(format!("it took {cost:?}"));
    }
    let again = load(&repo);
    if loaded.findings != again.findings {
        return Err("read twice, it says different things".into());
    }
    places_are_there(&loaded, &repo)?;
    match &loaded.repo {
        Some(model) => good(model, &repo),
        None if loaded.findings.is_empty() => Err("it is refused without a word".into()),
        None => Ok(()),
    }
}

/// Every finding can be shown: its place is in its file, and its words are lines of their own.
fn places_are_there(loaded: &Loaded, repo: &RepoFiles) -> Result<(), String> {
    for finding in &loaded.findings {
        let place = &finding.place;
        let lines = repo.get(&place.file).map_or(0, |file| file.bytes.iter().filter(|&&b| b == b'\n').count() + 1);
        if usize::try_from(place.line).unwrap() > lines || (place.line > 0 && (place.column == 0 || place.length == 0)) {
            return Err(format!("{finding:?} is nowhere in a file of {lines} lines"));
        }
        if finding.message.is_empty() || finding.code.is_empty() {
            return Err(format!("{finding:?} says nothing"));
        }
    }
    let said = told(&loaded.findings, repo, Style::Plain);
    if said.chars().any(|c| c.is_control() && c != '\n') {
        return Err("what is shown holds control characters".into());
    }
    match annotations(&loaded.findings).lines().count() == loaded.findings.len() {
        true => Ok(()),
        false => Err("an annotation is not one line".into()),
    }
}

/// A good repo can be planned, and its stacks say the same when they are rendered and read again.
fn good(model: &Repo, repo: &RepoFiles) -> Result<(), String> {
    let (commit, naming, running) = ("1".repeat(40).parse().unwrap(), Naming { prefix: String::new() }, Default::default());
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    let input = Input { repo: model, commit: &commit, running: &running, hosts_before: None, observed: None, naming: &naming, now };
    let _ = preview(&input);
    for ((environment, name), stack) in &model.stacks {
        if mounts_its_own_file(stack) {
            continue;
        }
        let text = render(stack);
        let mut rendered = RepoFiles::default();
        for (path, file) in repo.iter().filter(|(path, _)| !path.file_name().starts_with("compose.")) {
            rendered.insert(path.clone(), file.clone());
        }
        rendered.insert_text(format!("stacks/{name}/compose.yaml").parse().unwrap(), &text);
        match resolve_stack(&rendered, environment, name) {
            Ok(again) if again == *stack => {}
            Ok(again) => return Err(format!("rendered, {name} is another stack:\n{text}\n{again:#?}\n{stack:#?}")),
            Err(findings) => return Err(format!("rendered, {name} is refused:\n{text}\n{findings:#?}")),
        }
    }
    Ok(())
}

/// A stack that mounts its Compose file, or a folder around it, mounts something else when that file is another one.
fn mounts_its_own_file(stack: &StackModel) -> bool {
    let mounts = || stack.services.values().flat_map(|service| &service.container.mounts);
    mounts().any(|mount| match &mount.source {
        MountSource::Repo { path, .. } => {
            let folder = format!("stacks/{}", stack.name);
            path.as_str() == folder || path.file_name().starts_with("compose.")
        }
        _ => false,
    })
}

/// The input as a case for `corpus/`.
fn as_case(files: &Files, why: &str) -> String {
    let mut text = format!("=== {}\n", why.lines().next().unwrap_or_default().chars().take(100).collect::<String>());
    for (path, content) in files {
        writeln!(text, "--- {path}\n{}", content.trim_end_matches('\n')).unwrap();
    }
    text
}

fn judged(files: &Files) -> Result<(), TestCaseError> {
    judge(files).map_err(TestCaseError::fail)
}

#[test]
fn every_seed_is_judged_well() {
    for files in seeds() {
        judge(&files).unwrap_or_else(|why| panic!("{why}\n{}", as_case(&files, &why)));
    }
}

#[test]
fn mutated_config_repos_are_judged_well_for_as_long_as_there_is_time() {
    let seeds = seeds();
    let secs = std::env::var("TIDEGATE_FUZZ_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SECS);
    let until = Instant::now() + Duration::from_secs(secs);
    let config = Config { cases: ROUND, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let strategy = (any::<prop::sample::Index>(), prop::collection::vec(mutation(), 1..10));
    let input = |(seed, mutations): &(prop::sample::Index, Vec<Mutation>)| {
        let mut files = seed.get(&seeds).clone();
        mutations.iter().for_each(|mutation| apply(&mut files, &seeds, mutation));
        files
    };
    let inputs = std::cell::Cell::new(0_u64);
    while Instant::now() < until {
        // A runner counts to its number of cases once; each round has its own.
        let round = TestRunner::new(config.clone()).run(&strategy, |drawn| {
            inputs.set(inputs.get() + 1);
            judged(&input(&drawn))
        });
        match round {
            Ok(()) => {}
            Err(TestError::Fail(why, drawn)) => found(&input(&drawn), &why.to_string()),
            Err(TestError::Abort(why)) => panic!("the fuzzer itself stopped: {why}"),
        }
    }
    assert!(inputs.get() >= u64::from(ROUND), "nothing was tried");
    println!("{} inputs in {secs} s", inputs.get());
}

fn found(files: &Files, why: &str) {
    let case = as_case(files, why);
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join("fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    let name = tidegate_core::ids::ContentId::of_bytes(case.as_bytes());
    let path = folder.join(format!("{}.txt", name.short()));
    std::fs::write(&path, &case).unwrap();
    panic!("{why}\nwritten to {}; put it into shared/core/tests/corpus/ with its mend\n{case}", path.display());
}
