//! Whatever bytes stand in a config repo: an answer, no panic, and soon.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use proptest::prelude::*;
use std::time::Duration;
use support::files;
use tidegate_core::compose::resolve_stack;
use tidegate_core::files::{File, RepoFiles};
use tidegate_core::findings::{Finding, Style, annotations, render};
use tidegate_core::lock;
use tidegate_core::repo::load;

/// What any single repo may cost on the processor: a second, and in an unoptimised build some more.
const SOON: Duration = if cfg!(debug_assertions) { Duration::from_secs(4) } else { Duration::from_secs(1) };

/// How long this thread has been on a processor: a busy or paused machine must not fail the test.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

/// A repo in which every file that is read has these bytes, one at a time.
fn each_file(bytes: &[u8]) -> Vec<RepoFiles> {
    let good = [
        ("tidegate.yaml", "schema: 1\nenvironments: [production]\n"),
        ("environments/production.yaml", "schema: 1\nstacks: { shop: {} }\nwindows: always\n"),
        ("hosts/web-1.yaml", "schema: 1\nenvironment: production\n"),
        ("stacks/shop/compose.yaml", "services: { web: { image: 'x:${A:-1}', env_file: [{ path: web.env, required: false }] } }\n"),
        ("stacks/shop/compose.production.yaml", "services: { web: { restart: always } }\n"),
        ("stacks/shop/.env", "A=1\n"),
        ("stacks/shop/web.env", "B=${A}\n"),
        ("releases/production.yaml", ""),
    ];
    good.iter()
        .map(|(path, _)| {
            let mut repo = files(&good[..7]);
            repo.insert(path.parse().unwrap(), File { bytes: bytes.into(), executable: false });
            repo
        })
        .collect()
}

/// Loads it every way there is, within the time.
fn survives(repo: &RepoFiles) -> Vec<Finding> {
    let start = spent();
    let loaded = load(repo);
    let _ = resolve_stack(repo, &"production".parse().unwrap(), &"shop".parse().unwrap());
    let text = render(&loaded.findings, repo, Style::Plain);
    let harmless = |c: char| c == '\n' || tidegate_core::findings::is_harmless(c) || c == '\u{feff}';
    assert!(text.chars().all(harmless), "what is shown can be shown: {text:?}");
    assert_eq!(annotations(&loaded.findings).lines().count(), loaded.findings.len());
    let cost = spent() - start;
    assert!(cost < SOON, "{cost:?}");
    loaded.findings
}

fn every_file_survives(bytes: &[u8]) {
    for repo in each_file(bytes) {
        survives(&repo);
    }
}

#[test]
fn hostile_files_are_refused_and_soon() {
    let mut bombs = vec![
        "[".repeat(300_000),
        "{a: ".repeat(200_000),
        "- ".repeat(300_000),
        "? ".repeat(300_000),
        format!("a: {}", "&x ".repeat(100_000)),
        format!("services: {{ web: {{ image: x, labels: {{ {} }} }} }}", (0..60_000).map(|n| format!("k{n}: v, ")).collect::<String>()),
        format!("services:\n{}", (0..40_000).map(|n| format!("  s{n}: {{ image: x }}\n")).collect::<String>()),
        format!("a: \"{}\"", "x".repeat(900_000)),
        format!("{}: 1", "k".repeat(900_000)),
        (0..50_000).map(|n| format!("k{n}: 1\n")).collect(),
        "k: 1\n".repeat(100_000),
        "\u{202e}".repeat(100_000),
        "a: \"\\u0000\\u202e\"\n".to_owned(),
        "a\0b: c".to_owned(),
        "---\n".repeat(100_000),
        "# c\n".repeat(200_000),
        "#".repeat(1_000_000),
        "a: |\n".to_owned() + &"  x\n".repeat(200_000),
        "*a ".repeat(100_000),
        "%YAML 1.2\n".repeat(1000),
        "a: 'x\n".to_owned() + &"\n".repeat(500_000),
        "A=${A}${A}\n".repeat(50_000),
        "A='\n".repeat(100_000),
        format!("A={}", "${B:-".repeat(100_000)),
        "x".repeat(2_000_000),
    ];
    let mut lol = String::from("x0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        lol.push_str(&format!("x{level}: &a{level} [{uses}]\n"));
    }
    bombs.push(lol);
    let mut merges = String::from("x-0: &a0 { k: v }\n");
    for level in 1..500 {
        merges.push_str(&format!("x-{level}: &a{level} {{ <<: [*a{0}, *a{0}], k{level}: v }}\n", level - 1));
    }
    bombs.push(merges);
    let grow: String = (0..60).map(|n| format!("V{}=${{V{n}}}${{V{n}}}\n", n + 1)).collect();
    bombs.push(format!("V0=xxxxxxxxxxxxxxxx\n{grow}"));
    for bomb in &bombs {
        every_file_survives(bomb.as_bytes());
    }
}

#[test]
fn a_scalar_of_64_mib_is_refused_by_its_size() {
    let repo = &each_file(&vec![b'x'; 64 << 20])[3];
    let findings = survives(repo);
    assert!(findings.iter().any(|finding| finding.code == "too_large"), "{findings:?}");
}

#[test]
fn a_stack_of_many_extends_includes_and_variables_stays_within_its_budget() {
    let chain: String = (0..400).map(|n| format!("  s{}: {{ extends: s{n} }}\n", n + 1)).collect();
    let wide: String = (0..150).map(|n| format!("  w{n}: {{ extends: {{ service: big, file: big.yaml }} }}\n")).collect();
    let labels: String = (0..8_000).map(|n| format!("k{n}: v, ")).collect();
    let big = format!("services: {{ big: {{ image: x, labels: {{ {labels} }} }} }}");
    let value = "y".repeat(200_000);
    let uses: String = (0..3_000).map(|n| format!("        K{n}: ${{BIG}}\n")).collect();
    let envs: String = (0..190).map(|n| format!("  e{n}: {{ image: x, env_file: [big.env] }}\n")).collect();
    for compose in [
        format!("services:\n  s0: {{ image: x }}\n{chain}"),
        format!("services:\n{wide}"),
        format!("services:\n  web:\n      image: x\n      environment:\n{uses}"),
        format!("services:\n{envs}"),
        "include: [compose.yaml, compose.yaml]\nservices: {}".to_owned(),
        format!("include: [{}]", vec!["part.yaml"; 500].join(", ")),
    ] {
        let mut repo = each_file(compose.as_bytes()).remove(3);
        repo.insert_text("stacks/shop/big.yaml".parse().unwrap(), &big);
        repo.insert_text("stacks/shop/part.yaml".parse().unwrap(), &big);
        repo.insert_text("stacks/shop/.env".parse().unwrap(), &format!("BIG={value}\n"));
        let pairs: String = (0..1_900).map(|n| format!("E{n}={}\n", "z".repeat(100))).collect();
        repo.insert_text("stacks/shop/big.env".parse().unwrap(), &pairs);
        survives(&repo);
    }
}

/// Pieces of which wrong files are made more often than of random bytes.
#[expect(clippy::too_many_lines, reason = "one list")]
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "services",
        "web",
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
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
        "<<: ",
        "!reset ",
        "!override ",
        "!!str ",
        "image",
        "x:1",
        "ports",
        "80:80",
        "volumes",
        "./a:/b",
        "${A",
        "${A:-",
        "}",
        "$$",
        "$",
        "environment",
        "healthcheck",
        "test",
        "depends_on",
        "deploy",
        "extends",
        "include",
        "schema",
        "1",
        "environments",
        "production",
        "stacks",
        "hosts",
        "labels",
        "windows",
        "cron",
        "* * * * *",
        "tz",
        "Europe/Berlin",
        "duration",
        "freezes",
        "approvals",
        "none",
        "|\n",
        ">-\n",
        "#",
        "~",
        "null",
        "\t",
        "\u{202e}",
        "é",
        "\\",
        "A=",
        "'\n",
        "%",
        "?",
        "@",
        "`",
        "---",
        "...",
        "\r\n",
        "\u{feff}",
        "9999999999999999999999",
        "-1",
        "0x1f",
        "x-tidegate",
        "networks",
        "secrets",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

/// How many inputs of each kind; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        every_file_survives(&bytes);
    }

    #[test]
    fn arbitrary_text_gets_an_answer(text in "\\PC{0,400}") {
        every_file_survives(text.as_bytes());
    }

    #[test]
    fn broken_pieces_of_real_files_get_an_answer(text in pieces()) {
        every_file_survives(text.as_bytes());
    }

    #[test]
    fn a_good_file_cut_or_changed_anywhere_gets_an_answer(at in 0_usize..2_000, byte in any::<u8>(), cut in any::<bool>()) {
        let repo = support::example("shop");
        let paths: Vec<_> = repo.iter().map(|(path, _)| path.clone()).collect();
        for path in paths {
            let mut repo = repo.clone();
            let mut bytes = repo.get(&path).unwrap().bytes.to_vec();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            repo.insert(path, File { bytes: bytes.into(), executable: false });
            survives(&repo);
        }
    }

    #[test]
    fn a_lock_of_arbitrary_bytes_gets_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
        let _ = lock::read(&"releases/production.yaml".parse().unwrap(), &bytes);
    }
}
