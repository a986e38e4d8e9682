//! Loading a config repo: the example that people start from, and what `load` says about repos with mistakes.

mod support;

use support::{errors, example, files};
use tidegate_core::compose::{HealthTest, MountSource, Restart, resolve_stack};
use tidegate_core::findings::{Style, render};
use tidegate_core::ids::{EnvironmentName, StackName};
use tidegate_core::repo::{ApprovalPolicy, load};

#[test]
fn the_example_repo_is_valid_and_means_what_it_says() {
    let files = example("shop");
    let loaded = load(&files);
    assert_eq!(render(&loaded.findings, &files, Style::Plain), "");
    let repo = loaded.repo.unwrap();
    let production: EnvironmentName = "production".parse().unwrap();
    let staging: EnvironmentName = "staging".parse().unwrap();
    let shop: StackName = "shop".parse().unwrap();
    assert_eq!(repo.settings.environments, [staging.clone(), production.clone()]);
    assert_eq!(repo.environment(&staging).unwrap().approvals, ApprovalPolicy::None);

    let stack = &repo.stacks[&(production, shop.clone())];
    let web = &stack.services["web"].container;
    assert_eq!(web.image.to_string(), "registry.example.org/shop/web:1.4.2");
    assert_eq!(web.ports.iter().map(|port| (port.published, port.target)).collect::<Vec<_>>(), [(Some(80), 8080)]);
    assert_eq!(web.environment["LOG_LEVEL"], "warn");
    assert_eq!(web.restart, Restart::UnlessStopped);
    assert_eq!((web.nano_cpus, web.memory_bytes), (Some(1_500_000_000), Some(512 << 20)));
    assert!(matches!(&web.healthcheck.as_ref().unwrap().test, HealthTest::Cmd(words) if words[0] == "/shop"));
    assert!(matches!(&web.mounts[0].source, MountSource::Repo { path, .. } if path.as_str() == "stacks/shop/config/web.toml"));
    let api = &stack.services["api"].container;
    assert_eq!(api.command.as_deref().unwrap(), ["serve", "--listen", "0.0.0.0:9000"]);
    assert_eq!((api.environment["POOL_SIZE"].as_str(), api.environment.len()), ("20", 3));

    let stack = &repo.stacks[&(staging, shop)];
    let web = &stack.services["web"].container;
    assert_eq!(web.ports[0].published, Some(8080));
    assert_eq!(web.environment["LOG_LEVEL"], "info");
    assert_eq!(stack.volumes.keys().collect::<Vec<_>>(), ["data"]);
    assert!(stack.networks.contains_key("default"));
}

#[test]
fn an_empty_repo_says_what_is_missing() {
    assert_eq!(errors(&files(&[])), ["tidegate.yaml: missing_file"]);
}

#[test]
fn what_cannot_be_read_stops_what_could_use_it_and_nothing_else() {
    let mut files = example("shop");
    files.refuse("docs/link", "it is a symbolic link");
    let loaded = load(&files);
    assert!(loaded.repo.is_some());
    assert_eq!(loaded.findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), ["unreadable_file"]);
    for (path, says) in [
        ("stacks/shop/.env", "stacks/shop/.env: unreadable_file"),
        ("stacks/shop/big.bin", "stacks/shop/big.bin: unreadable_file"),
        ("environments", "environments: unreadable_file"),
        ("releases/production.yaml", "releases/production.yaml: unreadable_file"),
    ] {
        let mut files = example("shop");
        files.refuse(path, "it is a symbolic link");
        assert!(errors(&files).contains(&says.to_owned()), "{path}: {:?}", errors(&files));
    }
    // A stack at a commit of its own: the neighbour is not touched.
    let (production, shop): (EnvironmentName, StackName) = ("production".parse().unwrap(), "shop".parse().unwrap());
    let mut files = example("shop");
    files.refuse("stacks/blog/link", "it is a symbolic link");
    assert!(resolve_stack(&files, &production, &shop).is_ok());
    files.refuse("stacks/shop/config/link", "it is a symbolic link");
    assert!(resolve_stack(&files, &production, &shop).is_err(), "a mounted folder would be incomplete");
}

#[test]
fn an_override_by_hand_is_an_approvers_and_of_a_release_that_is_there() {
    let people = "people:\n  alice: { name: A, email: a@example.org, roles: [engineer] }\n  greta: { name: G, email: g@example.org }\n";
    let settings = format!("schema: 1\nenvironments: [production]\nbot: {{ name: bot, email: bot@example.org }}\n{people}");
    let lock = format!(
        "schema: 1\nenvironment: production\nrelease: 4\nkind: release\ncommit: {}\nplan: {}\ncreated_at: 2026-11-21T10:00:00Z\nstacks: {{}}\n",
        "c".repeat(40),
        "e".repeat(64)
    );
    let approvals = "approvals: { count: 1, roles: [engineer] }\n";
    let found = |release: u64, by: &str, approvals: &str| {
        let environment = format!(
            "schema: 1\nstacks: {{}}\nwindows: always\n{approvals}overrides:\n  - {{ release: {release}, by: {by}, reason: r, at: 2026-11-21T10:00:00Z, until: 2026-11-21T11:00:00Z }}\n"
        );
        let all = [
            ("tidegate.yaml", settings.as_str()),
            ("hosts/web-1.yaml", "schema: 1\nenvironment: production\n"),
            ("environments/production.yaml", environment.as_str()),
            ("releases/production.yaml", lock.as_str()),
        ];
        errors(&files(&all)).iter().map(|error| error.rsplit(": ").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(4, "alice", approvals), Vec::<String>::new());
    assert_eq!(found(4, "greta", "approvals: none\n"), Vec::<String>::new(), "nobody's consent is asked for");
    assert_eq!(found(5, "alice", approvals), ["override_of_the_future"]);
    assert_eq!(found(4, "greta", approvals), ["not_an_approver"]);
}
