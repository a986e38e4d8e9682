//! A lock that was written is read back as it was, whatever words people put into it.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failing test")]

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::calendar::Gated;
use tidegate_core::findings::is_harmless;
use tidegate_core::ids::{ContentId, Digest, ReleaseNumber, RepoPath};
use tidegate_core::lock::{
    Approval, Hold, Lock, LockedFreeze, LockedStack, OVERRIDE_MAX_SECS, Override, REASON_MAX_CHARS, ReleaseKind, SCHEMA, STANDING_MAX,
    read, releases_only,
};

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

fn freeze() -> impl Strategy<Value = LockedFreeze> {
    let blocks = prop::sample::select(vec![releases_only(), BTreeSet::from([Gated::Release, Gated::Rollback])]);
    let after = (moment(), prop::option::of(1_i64..1_000_000_000));
    (prop::option::of(name()), words(), after, prop::option::of(moment()), blocks).prop_map(|(by, reason, (at, lasts), from, blocks)| {
        let until = lasts.map(|secs| from.unwrap_or(at) + SignedDuration::from_secs(secs));
        LockedFreeze { by: by.map(|name| name.parse().unwrap()), reason, at, from, until, blocks }
    })
}

fn an_override() -> impl Strategy<Value = Override> {
    let lasts = prop_oneof![1_i64..=OVERRIDE_MAX_SECS, Just(OVERRIDE_MAX_SECS)];
    (1_u64..1000, prop::option::of(name()), name(), words(), (moment(), lasts)).prop_map(|(release, stack, by, reason, (at, lasts))| {
        let stack = stack.map(|name| name.parse().unwrap());
        let until = at + SignedDuration::from_secs(lasts);
        Override { release: ReleaseNumber(release), stack, by: by.parse().unwrap(), reason, at, until }
    })
}

fn lock() -> impl Strategy<Value = Lock> {
    let kind = prop::sample::select(vec![
        ReleaseKind::Release,
        ReleaseKind::Rollback,
        ReleaseKind::AutomaticRollback,
        ReleaseKind::Hold,
        ReleaseKind::Freeze,
        ReleaseKind::Override,
    ]);
    let stacks = prop::collection::btree_map(name(), stack(), 0..4);
    let approvals = prop::collection::vec((name(), moment()), 0..3);
    let people = (prop::option::of(name()), prop::option::of(words()));
    let standing = (prop::collection::vec(hold(), 0..3), prop::collection::vec(freeze(), 0..3), prop::collection::vec(an_override(), 0..3));
    (1_u64..1_000_000, kind, (commit(), content(), moment()), people, stacks, approvals, standing).prop_map(
        |(release, kind, (commit, plan, created_at), (requested_by, reason), stacks, approvals, (holds, freezes, overrides))| Lock {
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
            freezes,
            overrides,
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
        for freeze in &mut expected.freezes {
            freeze.reason = readable(&freeze.reason);
        }
        for given in &mut expected.overrides {
            given.reason = readable(&given.reason);
        }
        let again = read(&path(), text.as_bytes());
        prop_assert_eq!(again.as_ref(), Ok(&expected), "{}", text);
        prop_assert_eq!(again.unwrap().to_yaml(), text, "written again, nothing changes");
    }
}

fn a_full_lock() -> Lock {
    let stack = LockedStack {
        release: ReleaseNumber(4),
        commit: "c".repeat(40).parse().unwrap(),
        content: "a".repeat(64).parse().unwrap(),
        images: BTreeMap::from([("docker.io/library/nginx:1.27".into(), format!("sha256:{}", "d".repeat(64)).parse().unwrap())]),
    };
    let at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    Lock {
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
        freezes: vec![LockedFreeze {
            by: Some("alice".parse().unwrap()),
            reason: "the annual report".into(),
            at,
            from: None,
            until: Some(at + SignedDuration::from_hours(2)),
            blocks: BTreeSet::from([Gated::Release, Gated::Rollback]),
        }],
        overrides: vec![Override {
            release: ReleaseNumber(4),
            stack: Some("shop".parse().unwrap()),
            by: "bob".parse().unwrap(),
            reason: "the report needs it".into(),
            at,
            until: at + SignedDuration::from_hours(1),
        }],
    }
}

#[test]
fn a_lock_is_readable_by_people() {
    let lock = a_full_lock();
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
freezes:
- by: alice
  reason: the annual report
  at: 2026-11-21T10:00:00Z
  until: 2026-11-21T12:00:00Z
  blocks:
  - release
  - rollback
overrides:
- release: 4
  stack: shop
  by: bob
  reason: the report needs it
  at: 2026-11-21T10:00:00Z
  until: 2026-11-21T11:00:00Z
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

/// What is wrong with a lock of which a part was replaced: `line:column: code`.
fn wrong(part: &str) -> Vec<String> {
    let head = format!(
        "schema: 1\nenvironment: production\nrelease: 5\nkind: override\ncommit: {}\nplan: {}\ncreated_at: 2026-11-21T10:00:00Z\nstacks: {{}}\n",
        "b".repeat(40),
        "e".repeat(64)
    );
    let findings = match read(&path(), format!("{head}{part}").as_bytes()) {
        Ok(_) => Vec::new(),
        Err(findings) => findings,
    };
    assert!(findings.iter().all(|finding| finding.excerpt.is_some()), "{findings:?}");
    findings.iter().map(|finding| format!("{}:{}: {}", finding.place.line - 8, finding.place.column, finding.code)).collect()
}

#[test]
fn wrong_freezes_and_overrides_are_found_where_they_stand() {
    let good = "overrides:\n- release: 4\n  by: bob\n  reason: r\n  at: 2026-11-21T10:00:00Z\n  until: 2026-11-22T10:00:00Z\n";
    assert_eq!(wrong(good), [""; 0]);
    let table: [(&str, &[&str]); 9] = [
        (&good.replace("22T10:00:00Z", "22T10:00:01Z"), &["6:10: override_long"]),
        (&good.replace("22T10:00:00Z", "22T10:00:00.1Z"), &["6:10: override_long"]),
        (&good.replace("22T10:00:00Z", "21T10:00:00Z"), &["6:10: override_empty"]),
        (&good.replace("release: 4", "release: 0"), &["2:12: out_of_range"]),
        (&good.replace("  by: bob\n", ""), &["2:3: missing_key"]),
        (&good.replace("reason", "because"), &["2:3: missing_key", "4:3: unknown_key"]),
        ("freezes:\n- reason: r\n  at: soon\n", &["3:7: bad_value"]),
        ("freezes:\n- { reason: r, at: 2026-11-21T10:00:00Z, until: 2026-11-21T10:00:00Z }\n", &["2:49: freeze_empty"]),
        ("freezes:\n- { reason: r, at: 2026-11-21T10:00:00Z, blocks: [repair] }\n", &["2:51: freeze_blocks"]),
    ];
    for (text, expected) in table {
        assert_eq!(wrong(text), expected, "{text}");
    }
    assert_eq!(wrong("freezes:\n- { reason: r, at: 2026-11-21T10:00:00Z, blocks: [rollback] }\n"), ["2:50: freeze_blocks"]);
    let many = "- { reason: r, at: 2026-11-21T10:00:00Z }\n".repeat(STANDING_MAX + 1);
    assert_eq!(wrong(&format!("freezes:\n{many}")), ["2:3: too_many"]);
}
