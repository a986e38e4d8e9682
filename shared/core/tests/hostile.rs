//! Whatever bytes stand in a config repo: an answer, no panic, and soon.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use proptest::prelude::*;
use support::{SOON, files, spent};
use tidegate_core::compose::resolve_stack;
use tidegate_core::files::{File, RepoFiles};
use tidegate_core::findings::{Finding, Style, annotations, render};
use tidegate_core::lock;
use tidegate_core::repo::load;
use tidegate_core::yaml::{COMPOSE_LIMITS, OWN_LIMITS};

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
        ("trust.yaml", ""),
    ];
    good.iter()
        .map(|(path, _)| {
            let mut repo = files(&good[..7]);
            repo.insert(path.parse().unwrap(), File { bytes: bytes.into(), executable: false });
            repo
        })
        .collect()
}

/// A repo in which the file with this number has these bytes.
fn one_file(number: usize, bytes: &[u8]) -> RepoFiles {
    let mut repo = each_file(b"").swap_remove(number);
    let path = repo.iter().find(|(_, file)| file.bytes.is_empty()).map(|(path, _)| path.clone()).unwrap();
    repo.insert(path, File { bytes: bytes.into(), executable: false });
    repo
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

/// How many files a repo has whose bytes are read.
const FILES: usize = 9;

#[test]
fn a_scalar_of_64_mib_is_refused_by_its_size_in_every_file_and_form() {
    let forms: [(&str, &str, &str); 6] = [
        ("", "x", ""),
        ("a: \"", "x", "\"\n"),
        ("a: |\n  ", "x", "\n"),
        ("? ", "k", "\n: 1\n"),
        ("# ", "c", "\na: 1\n"),
        ("A='", "v\n", "'\n"),
    ];
    for (at, (before, unit, after)) in
        (0..FILES).cycle().zip(forms.iter().cycle()).take(FILES * 2).chain((0..6).map(|form| (3, &forms[form])))
    {
        let text = format!("{before}{}{after}", unit.repeat((64 << 20) / unit.len()));
        let repo = one_file(at, text.as_bytes());
        let findings = survives(&repo);
        assert!(findings.iter().any(|finding| finding.code == "too_large"), "file {at}, {before}…: {findings:?}");
    }
}

#[test]
fn a_value_that_grows_to_64_mib_is_refused_before_it_has() {
    // By variables that double, by variables used many times, and by aliases used many times.
    let doubling: String = (0..24).map(|n| format!("V{}=${{V{n}}}${{V{n}}}\n", n + 1)).collect();
    let dotenv = format!("V0=xxxx\n{doubling}");
    let uses = "${V10}".repeat(16 << 10);
    let aliases =
        format!("x-a: &a \"{}\"\nservices: {{ web: {{ image: x, command: [{}] }} }}", "y".repeat(1 << 17), vec!["*a"; 512].join(", "));
    for (compose, dotenv) in [
        ("services: { web: { image: 'x:${V24}' } }", dotenv.as_str()),
        (&format!("services: {{ web: {{ image: x, command: \"{uses}\" }} }}"), &dotenv),
        (&aliases, ""),
    ] {
        let mut repo = one_file(3, compose.as_bytes());
        repo.insert_text("stacks/shop/.env".parse().unwrap(), dotenv);
        let findings = survives(&repo);
        let refused = |f: &Finding| f.code.starts_with("too_") || f.message.contains("grows beyond");
        assert!(findings.iter().any(refused), "{findings:?}");
    }
}

/// NUL, other controls, and every mark that reorders or hides text (Unicode's `Bidi_Control`, and what is not seen).
const STRANGE: [char; 24] = [
    '\0', '\u{7}', '\u{8}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{61c}', '\u{200b}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2028}',
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2060}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{fff9}',
];

#[test]
fn controls_and_bidirectional_marks_are_refused_wherever_they_stand() {
    for c in STRANGE {
        for at in 0..FILES {
            let in_text = [
                format!("a: 'x{c}y'\n"),
                format!("x{c}y: 1\n"),
                format!("# x{c}y\na: 1\n"),
                format!("a: |\n  x{c}y\n"),
                format!("{c}a: 1\n"),
                format!("A=x{c}y\n"),
            ];
            for text in in_text {
                let findings = survives(&one_file(at, text.as_bytes()));
                let found =
                    findings.iter().any(|f| f.code == "strange_character" && f.message.contains(&format!("U+{:04X}", u32::from(c))));
                assert!(found, "U+{:04X} in file {at}, {text:?}: {findings:?}", u32::from(c));
            }
        }
    }
}

#[test]
fn controls_and_bidirectional_marks_are_refused_also_as_escapes() {
    for c in STRANGE {
        for at in [0, 1, 2, 3, 4, 7, 8] {
            for text in [format!("a: \"x\\u{:04x}y\"\n", u32::from(c)), format!("\"x\\u{:04x}y\": 1\n", u32::from(c))] {
                let findings = survives(&one_file(at, text.as_bytes()));
                assert!(findings.iter().any(|f| f.code == "strange_character"), "{text:?} in file {at}: {findings:?}");
            }
        }
    }
}

#[test]
fn depth_is_refused_just_above_its_limit_and_not_at_it() {
    for (at, limit) in [
        (0, OWN_LIMITS.depth),
        (1, OWN_LIMITS.depth),
        (2, OWN_LIMITS.depth),
        (3, COMPOSE_LIMITS.depth),
        (7, OWN_LIMITS.depth),
        (8, OWN_LIMITS.depth),
    ] {
        for (depth, refused) in [(limit, false), (limit + 1, true), (10_000, true), (100_000, true)] {
            let block: String = (0..depth.min(1_000)).map(|n| format!("{}- \n", " ".repeat(n))).collect();
            for text in [
                format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
                format!("{}{}", "{a: ".repeat(depth), "}".repeat(depth)),
                "- ".repeat(depth),
                block,
            ] {
                let findings = survives(&one_file(at, text.as_bytes()));
                let found = findings.iter().any(|finding| finding.code == "too_deep");
                assert_eq!(found, refused, "file {at}, depth {depth}, {:?}…: {findings:?}", text.chars().take(9).collect::<String>());
            }
        }
    }
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
