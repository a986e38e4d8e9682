//! `plan --observed`: a host as it is, instead of as it was released.

use crate::project::{Project, released};
use tidegate_core::compose::resolve_stack;
use tidegate_core::desired::{DesiredStack, Naming, Source, desired_stack};
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::ReleaseNumber;
use tidegate_core::observed::{ContainerState, ObservedHost};
use tidegate_core::preview::as_released;

/// What release 7 is on a host, as its agent makes it.
fn desired(project: &Project) -> DesiredStack {
    let path = "releases/production.yaml".parse().unwrap();
    let lock = tidegate_core::lock::read(&path, &std::fs::read(project.root().join("releases/production.yaml")).unwrap()).unwrap();
    let mut files = RepoFiles::default();
    let compose = std::fs::read_to_string(project.root().join("stacks/shop/compose.yaml")).unwrap();
    files.insert_text("stacks/shop/compose.yaml".parse().unwrap(), &compose);
    let model = resolve_stack(&files, &"production".parse().unwrap(), &"shop".parse().unwrap()).unwrap();
    let locked = lock.stacks.values().next().unwrap();
    let source = Source { commit: locked.commit.clone(), release: Some(ReleaseNumber(7)) };
    desired_stack(
        &model.pinned(&locked.images),
        &source,
        &Naming { prefix: String::new() },
        &[("role".to_owned(), "web".to_owned())].into(),
    )
}

fn planned(project: &Project, host: &ObservedHost) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_vec(host).unwrap()).unwrap();
    let (code, out, err) = project.plan(&["--host", "web-1", "--observed", file.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    out
}

#[test]
fn a_host_that_has_what_is_released_changes_nothing() {
    let project = released();
    let host = as_released(&[("shop".parse().unwrap(), desired(&project))].into());
    let out = planned(&project, &host);
    assert!(out.contains("nothing changes"), "{out}");
}

#[test]
fn what_does_not_run_is_started_again_and_what_is_missing_is_made() {
    let project = released();
    let mut host = as_released(&[("shop".parse().unwrap(), desired(&project))].into());
    let of = |service: &str, host: &ObservedHost| host.containers.iter().find(|(_, c)| c.service.as_str() == service).unwrap().0.clone();
    let (web, old) = (of("web", &host), of("old", &host));
    host.containers.get_mut(&web).unwrap().state = ContainerState::Exited(1);
    host.containers.remove(&old);
    let out = planned(&project, &host);
    assert!(out.contains("~ web  start again") || out.contains("~ web    start again"), "{out}");
    assert!(out.contains("+ old") && out.contains("1 to create, 1 to start again on 1 host"), "{out}");
    assert!(!out.contains("api") && !out.contains("quiet"), "what runs is left alone: {out}");
}
