//! The config repo that a test starts from.

use crate::world::Plan;
use std::collections::BTreeMap;
use tidegate_core::files::{File, RepoFiles};
use tidegate_git::keys::SigningKey;

pub fn compose(version: &str) -> String {
    format!("services:\n  web:\n    image: web:{version}\n    pull_policy: never\n")
}

pub fn first_files(plan: &Plan, keys: &BTreeMap<String, SigningKey>, bot: &SigningKey) -> RepoFiles {
    let mut files: Vec<(String, String)> = vec![
        ("tidegate.yaml".into(), settings(bot)),
        ("environments/staging.yaml".into(), "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\napprovals: none\n".into()),
        (
            "environments/production.yaml".into(),
            format!("schema: 1\nstacks:\n  shop: {{ hosts: {{}} }}\nwindows: {}\napprovals: {}\n", plan.windows, plan.approvals),
        ),
        ("stacks/shop/compose.yaml".into(), compose("1")),
    ];
    for (host, key) in keys {
        let environment = if host.starts_with("stage") { "staging" } else { "production" };
        let text = format!("schema: 1\nenvironment: {environment}\nlabels: {{}}\nkeys: {{ events: \"{}\" }}\n", key.public_openssh());
        files.push((format!("hosts/{host}.yaml"), text));
    }
    let file = |text: String| File { bytes: text.into_bytes().into(), executable: false };
    files.into_iter().map(|(path, text)| (path.parse().unwrap(), file(text))).collect()
}

pub fn settings(bot: &SigningKey) -> String {
    let person = |name: &str, full: &str, roles: &str| {
        format!("  {name}: {{ name: {full}, email: {name}@example.org, roles: [{roles}], chat: {{ local: {name} }} }}\n")
    };
    let people = [
        person("alice", "Alice Example", "engineer"),
        person("bob", "Bob Example", "engineer"),
        person("carol", "Carol Example", "engineer"),
        person("greta", "Greta Guest", "guest"),
    ];
    format!(
        "schema: 1\nenvironments: [staging, production]\npeople:\n{}bot: {{ name: tidegate-bot, email: bot@example.org, keys: [\"{}\"] }}\n",
        people.concat(),
        bot.public_openssh()
    )
}
