//! The schemas in the documentation are the generated ones, and the table of our own files is the reader's, key by key.
//! `UPDATE_DOCS=1 cargo test -p tidegate-core --test schema` writes them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use std::collections::BTreeSet;
use support::{base, files, root};
use tidegate_core::repo::load;
use tidegate_core::schema::{Key, Kind, Need, Object, objects, schemas};

#[test]
fn the_schemas_in_the_documentation_are_these() {
    for (name, text) in schemas() {
        let path = root().join(format!("docs/schema/{name}.json"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        similar_asserts::assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "{}", path.display());
    }
}

/// Where an object of the table stands: the file, and the text around it.
fn place(object: &Object) -> (&'static str, &'static str) {
    match object.about {
        "tidegate.yaml" => ("tidegate.yaml", "%"),
        "a person" => ("tidegate.yaml", "{ people: { alice: % } }"),
        "the bot" => ("tidegate.yaml", "{ bot: % }"),
        "`chat`" => ("tidegate.yaml", "{ chat: % }"),
        "`chat.discord`" => ("tidegate.yaml", "{ chat: { discord: % } }"),
        "`digest`" => ("tidegate.yaml", "{ chat: { discord: { digest: % } } }"),
        "environments/<name>.yaml" => ("environments/production.yaml", "%"),
        "a placement" => ("environments/production.yaml", "{ stacks: { shop: % } }"),
        "a window" => ("environments/production.yaml", "{ windows: [%] }"),
        "`approvals`" => ("environments/production.yaml", "{ approvals: % }"),
        "hosts/<name>.yaml" => ("hosts/web-1.yaml", "%"),
        "`keys`" => ("hosts/web-1.yaml", "{ keys: % }"),
        "a stack of a lock" => ("releases/production.yaml", "{ stacks: { shop: % } }"),
        "an approval" => ("releases/production.yaml", "{ approvals: [%] }"),
        "a hold" => ("releases/production.yaml", "{ holds: [%] }"),
        "a freeze of a lock" => ("releases/production.yaml", "{ freezes: [%] }"),
        "trust.yaml" => ("trust.yaml", "%"),
        "a signer" => ("trust.yaml", "{ signers: { alice: % } }"),
        "a role of the signer policy" => ("trust.yaml", "{ roles: { owner: % } }"),
        "an override" => ("releases/production.yaml", "{ overrides: [%] }"),
        about if about.starts_with("a freeze") => ("environments/production.yaml", "{ freezes: [%] }"),
        about if about.starts_with("releases/") => ("releases/production.yaml", "%"),
        other => panic!("say where {other} stands"),
    }
}

/// What the reader says of an object with these entries: the codes and words of all findings.
fn said(object: &Object, entries: &str) -> Vec<(String, String, Option<String>)> {
    let (path, around) = place(object);
    let text = around.replace('%', &format!("{{ {entries} }}"));
    let mut listed = base();
    listed.retain(|(other, _)| other != path);
    listed.push((path.to_owned(), text));
    let listed: Vec<(&str, &str)> = listed.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    load(&files(&listed)).findings.into_iter().map(|finding| (finding.code, finding.message, finding.hint)).collect()
}

fn named(key: &Key) -> String {
    format!("`{}`", key.name)
}

/// Does a finding say that the key is missing?
fn misses(key: &Key, code: &str, text: &str) -> bool {
    code.starts_with("missing") && text.contains(&named(key))
}

#[test]
fn every_key_of_the_table_is_read_and_what_is_required_is_missed() {
    for object in objects() {
        let all: Vec<String> = object.keys.iter().map(|key| format!("{}: [[certainly, [not, right]]]", key.name)).collect();
        let unknown: Vec<_> = said(object, &all.join(", ")).into_iter().filter(|(code, ..)| code == "unknown_key").collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", object.about);
        let missed = said(object, "");
        let required: Vec<&Key> = object.keys.iter().filter(|key| key.need == Need::Required).collect();
        for key in &required {
            assert!(
                missed.iter().any(|(code, text, hint)| misses(key, code, text)
                    || hint.as_ref().is_some_and(|hint| code == "freeze_form" && hint.contains(&named(key)))),
                "{}: `{}` is not missed: {missed:?}",
                object.about,
                key.name
            );
        }
        // Around an object inside a file, the file itself misses keys of the same name.
        let alone = place(object).1 == "%";
        for key in object.keys.iter().filter(|key| alone && key.need == Need::Optional) {
            assert!(
                !missed.iter().any(|(code, text, _)| code == "missing_key" && text.starts_with(&format!("`{}` is missing", key.name))),
                "{}: `{}` is missed",
                object.about,
                key.name
            );
        }
    }
}

#[test]
fn the_reader_reads_no_key_that_is_not_in_the_table() {
    for object in objects() {
        let found = said(object, "zzzzzzzzzzzz: 1");
        let hint = found
            .iter()
            .find_map(|(code, text, hint)| (code == "unknown_key" && text.contains("zzzzzzzzzzzz")).then_some(hint.clone()).flatten());
        let hint = hint.unwrap_or_else(|| panic!("{}: {found:?}", object.about));
        let (listed, whole) = match hint.strip_suffix(", …") {
            Some(cut) => (cut, false),
            None => (hint.as_str(), true),
        };
        let read: BTreeSet<&str> = listed.trim_start_matches("known: ").split(", ").map(|key| key.trim_matches('`')).collect();
        let table: BTreeSet<&str> = object.keys.iter().map(|key| key.name).collect();
        match whole {
            true => assert_eq!(read, table, "{}", object.about),
            // The hint names twelve keys; the lock has more, and all that it can write is in the table.
            false => assert!(read.is_subset(&table) && object.about.starts_with("releases/"), "{}: {read:?}", object.about),
        }
    }
}

#[test]
fn everything_that_a_lock_writes_is_in_the_table() {
    let text = std::fs::read_to_string(root().join("shared/core/src/lock/mod.rs")).unwrap();
    let body = text.split("pub struct Lock {").nth(1).unwrap().split("\n}").next().unwrap();
    let fields: BTreeSet<&str> = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next()).collect();
    let lock = objects().into_iter().find(|object| object.about.starts_with("releases/")).unwrap();
    assert_eq!(fields, lock.keys.iter().map(|key| key.name).collect());
}

#[test]
fn every_object_that_the_files_lead_to_is_compared() {
    fn walk(kind: &'static Kind, found: &mut BTreeSet<&'static str>) {
        match kind {
            Kind::Object(object) => {
                found.insert(object.about);
                object.keys.iter().for_each(|key| walk(&key.kind, found));
            }
            Kind::List(kind) | Kind::Map(_, kind) => walk(kind, found),
            Kind::Either(kinds) => kinds.iter().for_each(|kind| walk(kind, found)),
            Kind::Text | Kind::Form(_) | Kind::Word(_) | Kind::Number(..) | Kind::Boolean | Kind::Nothing => {}
        }
    }
    let listed: BTreeSet<&str> = objects().iter().map(|object| object.about).collect();
    let mut reached = BTreeSet::new();
    objects().iter().for_each(|object| object.keys.iter().for_each(|key| walk(&key.kind, &mut reached)));
    assert!(reached.is_subset(&listed), "{reached:?} {listed:?}");
    assert_eq!(listed.len(), objects().len(), "each has its own name");
}
