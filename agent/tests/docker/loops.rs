//! The loops in which other tools deploy the same thing again and again, each on the real engine: what is deployed once
//! leaves nothing to do. The reports that each test comes from are named with it.

use crate::harness::{World, run_id};
use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, RemoveImageOptions, TagImageOptions};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tidegate_agent::apply::ApplyOutcome;
use tidegate_agent::engine::Engine;
use tidegate_agent::materialise::Materialised;
use tidegate_core::compose::{StackModel, resolve_stack};
use tidegate_core::desired::DesiredStack;
use tidegate_core::files::RepoFiles;
use tidegate_core::plan::{Action, External, ExternalKind, Reason};

/// The stack `shop` out of a Compose file, in which `IMAGE` and `OTHER` are the demo's versions.
fn read(world: &World, compose: &str, more: &[(&str, &str)]) -> (StackModel, RepoFiles) {
    let mut files = RepoFiles::default();
    let mut put = |name: &str, text: &str| files.insert_text(format!("stacks/shop/{name}").parse().unwrap(), text);
    put("compose.yaml", compose);
    let images = (world.image(1).for_engine(), world.image(2).for_engine());
    put(".env", &format!("IMAGE={}\nOTHER={}\nID={}\n", images.0, images.1, world.id));
    more.iter().for_each(|(name, text)| put(name, text));
    let model = resolve_stack(&files, &"production".parse().unwrap(), &"shop".parse().unwrap());
    (model.unwrap_or_else(|found| panic!("{found:#?}")), files)
}

pub(crate) async fn ready(world: &World, compose: &str, more: &[(&str, &str)], release: u64) -> DesiredStack {
    let (model, files) = read(world, compose, more);
    let desired = world.desired(&model, release);
    Materialised::new(world.state.path()).ensure(Arc::new(files), desired.repo_mounts()).await.unwrap();
    desired
}

/// Deploys it; afterwards nothing may be left to do, whether known or looked at anew.
pub(crate) async fn settles(world: &mut World, desired: &DesiredStack) {
    let outcome = world.deploy(desired).await;
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    assert_eq!(world.plan_to(desired).await, None, "as it is remembered");
    world.docker.audit().await.unwrap();
    assert_eq!(world.plan_to(desired).await, None, "as the engine lists it");
}

pub(crate) async fn ids(world: &World) -> BTreeSet<String> {
    world.observe().await.containers.into_values().map(|container| container.id).collect()
}

const EVERYTHING: &str = r#"
services:
  web:
    image: ${IMAGE}
    command: serve "a b"
    environment: [LOG_LEVEL=info, PORT=8080]
    labels: { org.example.team: web }
    init: true
    read_only: true
    stop_grace_period: 1m30s
    stop_signal: term
    healthcheck: { test: ["CMD", "/app", "healthcheck"], interval: 200ms, start_interval: 100ms }
    ports: ["127.0.0.1::8080"]
    expose: ["9000"]
    networks: { front: { aliases: [www] }, back: }
    extra_hosts: ["db:10.0.0.5"]
    dns: 9.9.9.9
    volumes: [data:/data, /anonymous, "./conf:/conf:ro", /etc/ssl:/ssl:ro]
    tmpfs: ["/run", "/tmp:size=1m,exec"]
    secrets: [password]
    ulimits: { nofile: 1000 }
    cap_add: [net_admin]
    cap_drop: [CAP_CHOWN]
    security_opt: ["no-new-privileges:true"]
    devices: [/dev/null]
    shm_size: 8m
    sysctls: { net.core.somaxconn: 512 }
    logging: { driver: json-file, options: { max-size: 1m } }
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 50
    restart: on-failure:3
    x-tidegate: { bake: 200ms }
networks: { front: , back: { internal: true } }
volumes: { data: }
secrets: { password: { file: ./password } }
"#;
const FILES: [(&str, &str); 2] = [("conf/a.txt", "alpha"), ("password", "example")];

/// kimdre/doco-cd#788, #1275, #1055: the whole deployed again at each poll.
#[tokio::test]
async fn a_stack_with_every_attribute_is_deployed_once() {
    let mut world = World::new().await;
    let desired = ready(&world, EVERYTHING, &FILES, 1).await;
    settles(&mut world, &desired).await;
}

/// kimdre/doco-cd#954, moghtech/komodo#773: any commit deploys every stack.
#[tokio::test]
async fn another_commit_and_another_release_number_of_the_same_content_touch_nothing() {
    let mut world = World::new().await;
    let first = ready(&world, EVERYTHING, &FILES, 1).await;
    settles(&mut world, &first).await;
    let before = ids(&world).await;
    let mut later = ready(&world, &format!("# a comment\n{EVERYTHING}"), &FILES, 2).await;
    later.commit = "d".repeat(40).parse().unwrap();
    assert_eq!(world.plan_to(&later).await, None);
    assert_eq!(ids(&world).await, before);
}

/// docker/compose#9600, kimdre/doco-cd#577: forms, order and units that mean the same.
#[tokio::test]
async fn the_same_meaning_written_differently_is_not_deployed_again() {
    let mut world = World::new().await;
    let short = "services: { web: { image: '${IMAGE}', environment: [A=1, B=2], stop_grace_period: 90s, mem_limit: 1g, expose: ['80'],
        ports: ['127.0.0.1::8080'], cap_add: [NET_ADMIN], x-tidegate: { bake: 200ms } } }";
    let long = "
services:
  web:
    x-tidegate: { bake: 0.2s }
    cap_add: [CAP_NET_ADMIN]
    ports: [{ target: 8080, host_ip: 127.0.0.1, protocol: tcp }]
    expose: [80/tcp]
    mem_limit: 1024mb
    stop_grace_period: 1m30s
    environment: { B: '2', A: 1 }
    image: docker.io/${IMAGE}
";
    let desired = ready(&world, short, &[], 1).await;
    settles(&mut world, &desired).await;
    let again = ready(&world, long, &[], 2).await;
    assert_eq!(world.plan_to(&again).await, None);
}

/// kimdre/doco-cd#762: another tool's labels and containers beside ours.
#[tokio::test]
async fn what_others_make_in_the_same_project_is_no_drift() {
    let mut world = World::new().await;
    let desired = ready(&world, "services: { web: { image: '${IMAGE}', x-tidegate: { bake: 200ms } } }", &[], 1).await;
    settles(&mut world, &desired).await;
    // As `docker compose run` leaves it behind.
    let labels = [
        ("com.docker.compose.project", desired.project.clone()),
        ("com.docker.compose.service", "web".to_owned()),
        ("com.docker.compose.oneoff", "True".to_owned()),
        ("tidegate.test", run_id()),
    ];
    let labels: HashMap<String, String> = labels.map(|(key, value)| (key.to_owned(), value)).into();
    let body = ContainerCreateBody { image: Some(world.image(1).for_engine()), labels: Some(labels), ..Default::default() };
    let name = format!("{}-run", world.id);
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    world.raw.create_container(Some(options), body).await.unwrap();
    world.docker.audit().await.unwrap();
    let plan = world.plan_to(&desired).await;
    world.raw.remove_container(&name, None).await.unwrap();
    assert_eq!(plan, None);
}

/// kimdre/doco-cd#1351, #1115: a job that has ended is taken for drift.
#[tokio::test]
async fn a_job_that_has_ended_is_no_drift_and_runs_once() {
    let mut world = World::new().await;
    let compose = "
services:
  migrate: { image: '${IMAGE}', command: [exit, '0'] }
  cleanup: { image: '${IMAGE}', command: [exit, '0'], entrypoint: [/app], expose: [], x-tidegate: { bake: 200ms } }
  web:
    image: ${IMAGE}
    depends_on: { migrate: { condition: service_completed_successfully } }
    x-tidegate: { bake: 200ms }
";
    let desired = ready(&world, compose, &[], 1).await;
    settles(&mut world, &desired).await;
    let job = world.only("migrate").await;
    let ended = world.docker.inspect(&job).await.unwrap().unwrap().started_at;
    // Somebody tidies up: the job is done all the same.
    world.raw.remove_container(&job, None).await.unwrap();
    world.docker.audit().await.unwrap();
    assert_eq!(world.plan_to(&desired).await, None, "it ran at {ended:?}");
}

/// kimdre/doco-cd#1217: the number of copies, none among them, and the mode by name.
#[tokio::test]
async fn replicas_none_among_them_are_no_mismatch() {
    let mut world = World::new().await;
    let compose = "
services:
  off: { image: '${IMAGE}', deploy: { replicas: 0 } }
  two: { image: '${IMAGE}', deploy: { mode: replicated, replicas: 2 }, x-tidegate: { bake: 200ms } }
";
    let desired = ready(&world, compose, &[], 1).await;
    settles(&mut world, &desired).await;
    assert_eq!(world.containers().await, ["two-1 Running", "two-2 Running"]);
}

/// kimdre/doco-cd#1120: an external network as the default one.
#[tokio::test]
async fn an_external_network_is_no_reason_to_deploy_again_and_its_absence_is_told() {
    let mut world = World::new().await;
    let compose = "
services: { web: { image: '${IMAGE}', x-tidegate: { bake: 200ms } } }
networks: { default: { external: true, name: '${ID}-outside' } }
";
    let desired = ready(&world, compose, &[], 1).await;
    let outcome = world.deploy(&desired).await;
    let ApplyOutcome::Error { error, .. } = outcome else { panic!("no verdict on the release: {outcome:?}") };
    let name = format!("{}-outside", world.id);
    assert!(error.to_string().contains(&format!("docker network create {name}")), "{error}");
    let external = External { kind: ExternalKind::Network, name: name.clone() };
    assert!(!world.docker.has(&external).await.unwrap());
    assert!(!world.docker.has(&External { kind: ExternalKind::Volume, ..external.clone() }).await.unwrap());
    assert!(world.observe().await.containers.is_empty(), "nothing was made before it was known");

    let labels = HashMap::from([("tidegate.test".to_owned(), run_id())]);
    world.raw.create_network(NetworkCreateRequest { name: name.clone(), labels: Some(labels), ..Default::default() }).await.unwrap();
    assert!(world.docker.has(&external).await.unwrap());
    settles(&mut world, &desired).await;
    world.raw.remove_container(&world.only("web").await, Some(forced())).await.unwrap();
    world.raw.remove_network(&name).await.unwrap();
}

/// docker/compose#9897, and a quarter of all files: a tag that moves, with `pull_policy: always`.
#[tokio::test]
async fn a_tag_that_moves_changes_nothing_until_a_release_does() {
    let mut world = World::new().await;
    let tag = format!("{}:moving", world.image(1).for_engine().rsplit_once(':').unwrap().0);
    let (repo, name) = tag.rsplit_once(':').unwrap();
    let moved = TagImageOptions { repo: Some(repo.into()), tag: Some(name.into()) };
    world.raw.tag_image(&world.image(1).for_engine(), Some(moved.clone())).await.unwrap();
    let compose = format!("services: {{ web: {{ image: '{tag}', pull_policy: missing, x-tidegate: {{ bake: 200ms }} }} }}");
    let desired = ready(&world, &compose, &[], 1).await;
    settles(&mut world, &desired).await;
    world.raw.tag_image(&world.image(2).for_engine(), Some(moved)).await.unwrap();
    world.docker.audit().await.unwrap();
    let plan = world.plan_to(&desired).await;
    world.raw.remove_image(&tag, None::<RemoveImageOptions>, None).await.unwrap();
    assert_eq!(plan, None);
}

/// moghtech/komodo#1381, Dokploy/dokploy#4792, portainer/portainer#13046: a changed file that never arrives, or one that always seems changed.
#[tokio::test]
async fn a_mounted_file_is_deployed_again_when_its_content_changes_and_only_then() {
    let mut world = World::new().await;
    let compose = "services: { web: { image: '${IMAGE}', volumes: ['./conf:/conf:ro'], x-tidegate: { bake: 200ms } } }";
    let first = ready(&world, compose, &[("conf/a.txt", "alpha")], 1).await;
    settles(&mut world, &first).await;
    let unrelated = ready(&world, compose, &[("conf/a.txt", "alpha"), ("README.md", "words")], 2).await;
    assert_eq!(world.plan_to(&unrelated).await, None, "a file that nobody mounts");
    let changed = ready(&world, compose, &[("conf/a.txt", "beta")], 3).await;
    let plan = world.plan_to(&changed).await.unwrap();
    let fields: Vec<&String> = plan
        .steps
        .iter()
        .filter_map(|step| if let Reason::Changed { fields } = &step.reason { Some(fields) } else { None })
        .flatten()
        .collect();
    assert!(matches!(fields.as_slice(), [one] if one.starts_with("volumes./conf: conf (")), "{fields:?}");
    settles(&mut world, &changed).await;
}

#[tokio::test]
async fn scaling_touches_only_what_must_change() {
    let mut world = World::new().await;
    let with = |copies: u32| {
        format!(
            "services: {{ web: {{ image: '${{IMAGE}}', deploy: {{ replicas: {copies} }}, x-tidegate: {{ bake: 200ms }} }}, \
             db: {{ image: '${{IMAGE}}', volumes: [data:/data], x-tidegate: {{ bake: 200ms }} }} }}\nvolumes: {{ data: }}"
        )
    };
    let one = ready(&world, &with(1), &[], 1).await;
    settles(&mut world, &one).await;
    let first = ids(&world).await;

    let three = ready(&world, &with(3), &[], 2).await;
    let plan = world.plan_to(&three).await.unwrap();
    let touched = |action: &Action| matches!(action, Action::Stop { .. } | Action::Remove { .. } | Action::RemoveNetwork { .. });
    assert!(!plan.steps.iter().any(|step| touched(&step.action)), "{:#?}", plan.steps);
    settles(&mut world, &three).await;
    let all = ids(&world).await;
    assert!(all.len() == 4 && first.is_subset(&all));

    let two = ready(&world, &with(2), &[], 3).await;
    settles(&mut world, &two).await;
    let left = ids(&world).await;
    assert!(left.len() == 3 && left.is_subset(&all) && first.is_subset(&left));
    assert_eq!(world.containers().await, ["db-1 Running", "web-1 Running", "web-2 Running"]);
}

pub(crate) fn forced() -> bollard::query_parameters::RemoveContainerOptions {
    bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() }
}
