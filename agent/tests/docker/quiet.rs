//! More loops of other tools, each on the real engine: values that YAML 1.1 reads as something else, tags that move under
//! every pull policy, what somebody makes anew by hand, and services that have no place on this host.

use crate::harness::World;
use crate::loops::{forced, ids, ready, settles};
use crate::private::Registry;
use bollard::query_parameters::{PushImageOptions, RemoveImageOptions, TagImageOptions};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use tidegate_core::plan::{Action, Reason};

/// What the engine says that a container has in its environment.
async fn environment(world: &World, container: &str) -> BTreeMap<String, String> {
    let found = world.raw.inspect_container(container, None).await.unwrap().config.unwrap();
    found.env.unwrap().iter().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Values that a reader of YAML 1.1 takes for a truth value, an octal, a base-60 or a decimal number.
const WORDS: [(&str, &str); 12] = [
    ("NO", "no"),
    ("ON", "on"),
    ("YES", "Yes"),
    ("TRUE", "true"),
    ("VERSION", "1.10"),
    ("OCTAL", "0o17"),
    ("OLD_OCTAL", "012"),
    ("TIME", "22:30:15"),
    ("EXPONENT", "1e3"),
    ("HEX", "0x1F"),
    ("THOUSAND", "1_000"),
    ("DATE", "2026-11-21"),
];

/// moghtech/komodo#1205, portainer/portainer#8069: a value that is read as one thing and written as another always differs.
#[tokio::test]
async fn what_yaml_1_1_reads_as_something_else_arrives_as_it_is_written_and_once() {
    let mut world = World::new().await;
    let compose = |quote: &str| {
        let entries: Vec<String> = WORDS.iter().map(|(key, value)| format!("{key}: {quote}{value}{quote}")).collect();
        format!(
            "services: {{ web: {{ image: '${{IMAGE}}', environment: {{ {0} }}, labels: {{ {0} }}, restart: {quote}no{quote}, \
             x-tidegate: {{ bake: 200ms }} }} }}",
            entries.join(", ")
        )
    };
    let plain = ready(&world, &compose(""), &[], 1).await;
    settles(&mut world, &plain).await;
    let name = world.only("web").await;
    let found = environment(&world, &name).await;
    let labels = world.raw.inspect_container(&name, None).await.unwrap().config.unwrap().labels.unwrap();
    for (key, value) in WORDS {
        assert_eq!((found[key].as_str(), labels[key].as_str()), (value, value), "{key}");
    }
    for quote in ["'", "\""] {
        let quoted = ready(&world, &compose(quote), &[], 2).await;
        assert_eq!(world.plan_to(&quoted).await, None, "with {quote}");
    }
}

/// Has an image of the demo in the registry, under a tag that moves.
async fn push_as(world: &World, version: u32, repository: &str) {
    let tag = TagImageOptions { repo: Some(repository.to_owned()), tag: Some("moving".into()) };
    world.raw.tag_image(&world.image(version).for_engine(), Some(tag)).await.unwrap();
    let options = PushImageOptions { tag: Some("moving".into()), ..Default::default() };
    let mut progress = std::pin::pin!(world.raw.push_image(repository, Some(options), None));
    while let Some(line) = progress.next().await {
        line.unwrap();
    }
    forget(world, repository).await;
}

async fn forget(world: &World, repository: &str) {
    let options = RemoveImageOptions { noprune: true, force: true, ..Default::default() };
    world.raw.remove_image(&format!("{repository}:moving"), Some(options), None).await.unwrap();
}

/// docker/compose#9897, and what `pull_policy: always` does at each poll elsewhere: pull, and then deploy what was pulled.
#[tokio::test]
async fn a_tag_that_moves_at_the_registry_is_no_deployment_under_any_pull_policy() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path()).await;
    for policy in ["always", "daily", "every_12h", "missing"] {
        let mut world = World::new().await;
        let repository = format!("{}/{policy}/web", registry.address);
        push_as(&world, 1, &repository).await;
        let compose =
            format!("services: {{ web: {{ image: '{repository}:moving', pull_policy: {policy}, x-tidegate: {{ bake: 200ms }} }} }}");
        let desired = ready(&world, &compose, &[], 1).await;
        settles(&mut world, &desired).await;
        let (before, name) = (ids(&world).await, world.only("web").await);
        assert_eq!(environment(&world, &name).await["VERSION"], "1");

        forget(&world, &repository).await;
        push_as(&world, 2, &repository).await;
        world.docker.audit().await.unwrap();
        let again = ready(&world, &compose, &[], 2).await;
        assert_eq!(world.plan_to(&again).await, None, "{policy}: the tag moved at the registry");
        // Somebody pulls by hand: now the host's own tag has moved.
        let tag = TagImageOptions { repo: Some(repository.clone()), tag: Some("moving".into()) };
        world.raw.tag_image(&world.image(2).for_engine(), Some(tag)).await.unwrap();
        world.docker.audit().await.unwrap();
        let plan = world.plan_to(&again).await;
        forget(&world, &repository).await;
        assert_eq!(plan, None, "{policy}: the tag moved on the host");
        assert_eq!(ids(&world).await, before);
    }
}

/// kimdre/doco-cd#1275: made anew by force, at each poll again. By hand it happens once, and is mended once.
#[tokio::test]
async fn what_somebody_makes_anew_by_force_is_made_once_and_then_left_alone() {
    let mut world = World::new().await;
    let compose =
        "services: { web: { image: '${IMAGE}', x-tidegate: { bake: 200ms } }, api: { image: '${IMAGE}', x-tidegate: { bake: 200ms } } }";
    let desired = ready(&world, compose, &[], 1).await;
    settles(&mut world, &desired).await;
    let (api, web) = (world.only("api").await, world.only("web").await);
    let kept = world.observe().await.containers[&api].id.clone();
    world.raw.remove_container(&web, Some(forced())).await.unwrap();
    world.docker.audit().await.unwrap();
    let plan = world.plan_to(&desired).await.unwrap();
    let made: Vec<_> = plan.steps.iter().filter(|step| matches!(step.action, Action::Create { .. })).collect();
    assert!(made.len() == 1 && made[0].reason == Reason::Missing, "{:#?}", plan.steps);
    settles(&mut world, &desired).await;
    assert_eq!(world.observe().await.containers[&api].id, kept, "its neighbour serves as before");
    let all = ids(&world).await;
    settles(&mut world, &desired).await;
    assert_eq!(ids(&world).await, all, "a second time there is nothing to do");
}

/// kimdre/doco-cd#1217: a service that waits for a host with a label counts as missing for ever.
#[tokio::test]
async fn a_service_without_a_place_on_this_host_is_not_missing() {
    let mut world = World::new().await;
    let compose = |rule: &str| {
        format!(
            "services: {{ elsewhere: {{ image: '${{IMAGE}}', deploy: {{ placement: {{ constraints: ['{rule}'] }} }} }}, \
             web: {{ image: '${{IMAGE}}', x-tidegate: {{ bake: 200ms }} }} }}"
        )
    };
    let desired = ready(&world, &compose("node.labels.zone == a"), &[], 1).await;
    settles(&mut world, &desired).await;
    assert_eq!(world.containers().await, ["web-1 Running"]);
    // The other way round it has a place: the host has no such label.
    let placed = ready(&world, &compose("node.labels.zone != a"), &[], 2).await;
    settles(&mut world, &placed).await;
    assert_eq!(world.containers().await, ["elsewhere-1 Running", "web-1 Running"]);
    let before = ids(&world).await;
    let back = ready(&world, &compose("node.labels.zone == a"), &[], 3).await;
    settles(&mut world, &back).await;
    assert_eq!(world.containers().await, ["web-1 Running"]);
    assert!(ids(&world).await.is_subset(&before), "what stays is not touched");
}
