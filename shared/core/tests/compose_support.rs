//! The support table is true: each attribute that it says works is read, each that it refuses is refused, and the page in
//! the documentation is made from it. `UPDATE_DOCS=1 cargo test -p tidegate-core --test compose_support` writes the page.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failing test")]

mod support;

use support::{files, root};
use tidegate_core::compose::{Section, Support, attributes, resolve_with_warnings, support_page};
use tidegate_core::findings::Finding;

#[test]
fn the_page_is_made_from_the_table() {
    let path = root().join("docs/compose-support.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, support_page()).unwrap();
    }
    similar_asserts::assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), support_page());
}

/// A Compose file with an attribute in a section, its value a mapping that nothing takes as it is.
fn with(section: Section, name: &str, value: &str) -> String {
    let entry = format!("{{ {name}: {value} }}");
    let service = |attributes: &str| format!("services: {{ web: {{ image: x, {attributes} }} }}\n");
    match section {
        Section::Top => format!("{name}: {value}\n{}", if name == "services" { String::new() } else { service("") }),
        Section::Service if name == "image" => format!("services: {{ web: {entry} }}\n"),
        Section::Service => service(&format!("{name}: {value}")),
        Section::Healthcheck => service(&format!("healthcheck: {entry}")),
        Section::Deploy => service(&format!("deploy: {entry}")),
        Section::Limits => service(&format!("deploy: {{ resources: {{ limits: {entry} }} }}")),
        Section::Reservations => service(&format!("deploy: {{ resources: {{ reservations: {entry} }} }}")),
        Section::RestartPolicy => service(&format!("deploy: {{ restart_policy: {entry} }}")),
        Section::UpdateConfig => service(&format!("deploy: {{ update_config: {entry} }}")),
        Section::Port => service(&format!("ports: [{entry}]")),
        Section::Mount => service(&format!("volumes: [{entry}]")),
        Section::Attachment => format!("{}networks: {{ front: }}\n", service(&format!("networks: {{ front: {entry} }}"))),
        Section::FileMount => service(&format!("configs: [{entry}]")),
        Section::Network => format!("{}networks: {{ front: {entry} }}\n", service("")),
        Section::Volume => format!("{}volumes: {{ data: {entry} }}\n", service("")),
        Section::FileObject => format!("{}configs: {{ file: {entry} }}\n", service("")),
        Section::Knobs => service(&format!("x-tidegate: {entry}")),
    }
}

fn findings(compose: &str) -> Vec<Finding> {
    let listed = files(&[("stacks/shop/compose.yaml", compose)]);
    resolve_with_warnings(&listed, &"production".parse().unwrap(), &"shop".parse().unwrap()).1
}

#[test]
fn what_the_table_says_of_an_attribute_is_what_happens_to_it() {
    let mut checked = 0;
    for row in attributes() {
        let value = "{ certainly: { not: right } }";
        let compose = with(row.section, row.name, value);
        let found = findings(&compose);
        let begins = [format!("`{}` is refused", row.name), format!("unknown key `{}`", row.name)];
        let turned_away = found.iter().any(|finding| begins.iter().any(|begin| finding.message.starts_with(begin)));
        let what = format!("`{}` in {}: {compose}{found:#?}", row.name, row.section.title());
        match row.support {
            Support::Works | Support::Differs(_) => assert!(!turned_away, "{what}"),
            Support::Refused(reason, hint) | Support::OnlyAs(_, reason, hint) => {
                let told = found.iter().find(|finding| finding.code == "refused_attribute" && finding.message.contains(reason));
                assert_eq!(told.and_then(|finding| finding.hint.as_deref()), Some(hint), "{what}");
            }
        }
        if let Support::OnlyAs(allowed, ..) = row.support {
            let found = findings(&with(row.section, row.name, allowed));
            assert!(found.iter().all(|finding| finding.code != "refused_attribute"), "{found:#?}");
        }
        checked += 1;
    }
    assert!(checked > 150, "{checked}");
}
