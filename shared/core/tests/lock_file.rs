//! A lock that was written is read back as it was, whatever words people put into it.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failing test")]

use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate_core::findings::is_harmless;
use tidegate_core::ids::{ContentId, Digest, ReleaseNumber, RepoPath};
use tidegate_core::lock::{Approval, Hold, Lock, LockedStack, REASON_MAX_CHARS, ReleaseKind, SCHEMA, read};

fn path() -> RepoPath {
    "releases/production.yaml".parse().unwrap()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?",
        prop::sample::select(vec!["no", "yes", "on", "null", "true", "1", "1.0", "0x1f", "1e3", "y", "n", "0.0", "00"])
            .prop_map(str::to_owned),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000, 0_i32..1_000_000_000).prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap())
}

fn content() -> impl Strategy<Value = ContentId> {
    any::<u64>().prop_map(|seed| ContentId::of(&seed))
}

fn digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        content().prop_map(|id| format!("sha256:{id}").parse().unwrap()),
        Just(format!("sha256:{}", "0".repeat(64)).parse().unwrap())
    ]
}

fn commit() -> impl Strategy<Value = tidegate_core::ids::CommitId> {
    prop_oneof!["[0-9a-f]{40}", "[0-9]{40}", "[0-9]{20}e[0-9]{19}"].prop_map(|text| text.parse().unwrap())
}

/// Words as people write them, with everything that YAML has a meaning for.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,60}",
        "[ \t\n:#'\"|>&*!%@`{}\\[\\],?~-]{0,20}",
        prop::sample::select(vec![
            "",
            " ",
            "null",
            "~",
            "no",
            "1.10",
            "- a",
            "a: b",
            "# x",
            "'",
            "\"",
            "\n",
            "a\n\nb\n",
            "  lead",
            "trail  ",
            "|",
            ">-",
            "é\u{1f600}"
        ])
        .prop_map(str::to_owned),
    ]
}

fn stack() -> impl Strategy<Value = LockedStack> {
    let images = prop::collection::btree_map(
        name().prop_map(|n| format!("registry.example:5000/shop/a{}:1", n.replace(['.', '_'], ""))),
        digest(),
        0..3,
    );
    (1..u64::MAX / 4, commit(), content(), images).prop_map(|(release, commit, content, images)| LockedStack {
        release: ReleaseNumber(release),
        commit,
        content,
        images: images.into_iter().filter(|(name, _)| name.parse::<tidegate_core::compose::ImageRef>().is_ok()).collect(),
    })
}

fn hold() -> impl Strategy<Value = Hold> {
    let number = prop::option::of((1_u64..1000).prop_map(ReleaseNumber));
    (prop::option::of(name()), prop::option::of(content()), number, prop::option::of(name()), words(), moment(), prop::option::of(moment()))
        .prop_map(|(stack, content, release, by, reason, at, until)| Hold {
            stack: stack.map(|name| name.parse().unwrap()),
            content,
            release,
            by: by.map(|name| name.parse().unwrap()),
            reason,
            at,
            until,
        })
}

fn lock() -> impl Strategy<Value = Lock> {
    let kind = prop::sample::select(vec![ReleaseKind::Release, ReleaseKind::Rollback, ReleaseKind::AutomaticRollback, ReleaseKind::Hold]);
    let stacks = prop::collection::btree_map(name(), stack(), 0..4);
    let approvals = prop::collection::vec((name(), moment()), 0..3);
    let people = (prop::option::of(name()), prop::option::of(words()));
    (1_u64..1_000_000, kind, (commit(), content(), moment()), people, stacks, approvals, prop::collection::vec(hold(), 0..3)).prop_map(
        |(release, kind, (commit, plan, created_at), (requested_by, reason), stacks, approvals, holds)| Lock {
            schema: SCHEMA,
            environment: "production".parse().unwrap(),
            release: ReleaseNumber(release),
            kind,
            commit,
            plan,
            created_at,
            requested_by: requested_by.map(|name| name.parse().unwrap()),
            reason,
            stacks: stacks.into_iter().map(|(name, stack)| (name.parse().unwrap(), stack)).collect(),
            approvals: approvals.into_iter().map(|(by, at)| Approval { by: by.parse().unwrap(), at }).collect(),
            holds,
        },
    )
}

/// What the writer leaves out of people's words.
fn readable(text: &str) -> String {
    text.chars().filter(|&c| is_harmless(c) && c != '\r').take(REASON_MAX_CHARS).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(lock in lock()) {
        let text = lock.to_yaml();
        let mut expected = lock;
        expected.reason = expected.reason.map(|reason| readable(&reason));
        for hold in &mut expected.holds {
            hold.reason = readable(&hold.reason);
        }
        let again = read(&path(), text.as_bytes());
        prop_assert_eq!(again.as_ref(), Ok(&expected), "{}", text);
        prop_assert_eq!(again.unwrap().to_yaml(), text, "written again, nothing changes");
    }
}

#[test]
fn a_lock_is_readable_by_people() {
    let stack = LockedStack {
        release: ReleaseNumber(4),
        commit: "c".repeat(40).parse().unwrap(),
        content: "a".repeat(64).parse().unwrap(),
        images: BTreeMap::from([("docker.io/library/nginx:1.27".into(), format!("sha256:{}", "d".repeat(64)).parse().unwrap())]),
    };
    let at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let lock = Lock {
        schema: SCHEMA,
        environment: "production".parse().unwrap(),
        release: ReleaseNumber(5),
        kind: ReleaseKind::Rollback,
        commit: "b".repeat(40).parse().unwrap(),
        plan: "e".repeat(64).parse().unwrap(),
        created_at: at,
        requested_by: Some("alice".parse().unwrap()),
        reason: Some("errors: 500 since 9:58".into()),
        stacks: BTreeMap::from([("shop".parse().unwrap(), stack)]),
        approvals: vec![Approval { by: "bob".parse().unwrap(), at }],
        holds: Vec::new(),
    };
    let expected = format!(
        "# Written by tidegate-bot. Do not edit: use the chat commands, or `tidegate`.
schema: 1
environment: production
release: 5
kind: rollback
commit: {}
plan: {}
created_at: 2026-11-21T10:00:00Z
requested_by: alice
reason: 'errors: 500 since 9:58'
stacks:
  shop:
    release: 4
    commit: {}
    content: {}
    images:
      docker.io/library/nginx:1.27: sha256:{}
approvals:
- by: bob
  at: 2026-11-21T10:00:00Z
",
        "b".repeat(40),
        "e".repeat(64),
        "c".repeat(40),
        "a".repeat(64),
        "d".repeat(64)
    );
    assert_eq!(lock.to_yaml(), expected);
    assert_eq!(read(&path(), expected.as_bytes()), Ok(lock));
}
