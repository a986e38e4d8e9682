//! One Compose file, made by both sides.

use super::driver::{Driver, Project};
use super::normal::{Difference, Inspected, Words, differences};
use crate::harness::{World, run_id};
use bollard::models::{NetworkCreateRequest, VolumeCreateRequest};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_agent::apply::ApplyOutcome;
use tidegate_agent::docker::SCOPE_LABEL;
use tidegate_agent::materialise::Materialised;
use tidegate_core::compose::resolve_stack;
use tidegate_core::desired::DesiredStack;
use tidegate_core::files::{File, RepoFiles};
use tidegate_core::ids::{RepoPath, StackName};
use tidegate_core::plan::Action;

/// A folder below `cases`.
pub(super) struct Case {
    pub(super) name: String,
    folder: PathBuf,
}

impl Case {
    pub(super) fn all() -> Vec<Case> {
        let listed = std::fs::read_dir(super::folder().join("cases")).unwrap();
        let mut all: Vec<Case> = listed
            .map(|entry| entry.unwrap().path())
            .map(|folder| Case { name: folder.file_name().unwrap().to_str().unwrap().to_owned(), folder })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn is_started(&self) -> bool {
        self.name.ends_with("-started")
    }

    /// Makes it by both sides and says what differs.
    pub(super) async fn compare(&self, driver: &mut Driver) -> Vec<Difference> {
        let mut world = World::new().await;
        let outside = self.name.contains("external").then(|| format!("{}-outside", world.id));
        if let Some(name) = &outside {
            outsiders(&world, name).await;
        }
        let peer = self.by_docker_compose(&world, driver);
        let ours = self.by_us(&mut world, driver).await;
        drop_world(world, outside).await;
        match (peer, ours) {
            (Ok(peer), Ok(ours)) => differences(&self.name, &peer, &ours),
            (peer, ours) => vec![Difference::whole(&self.name, peer.err(), ours.err())],
        }
    }

    /// The `.env` of the case with what differs between runs and sides put before.
    fn dotenv(&self, world: &World, project: &str) -> String {
        let own = std::fs::read_to_string(self.folder.join(".env")).unwrap_or_default();
        format!("IMAGE={}\nPROJECT={project}\nEXTERNAL={}-outside\n{own}\n", world.image(1).for_engine(), world.id)
    }

    fn by_docker_compose(&self, world: &World, driver: &mut Driver) -> Result<Inspected, String> {
        let copy = tempfile::tempdir().unwrap();
        let folder = copy.path().join("stack");
        copy_folder(&self.folder, &folder);
        let project = format!("{}-peer-{}", world.id, run_id());
        let over = std::fs::read_to_string(self.folder.join(".env.production")).unwrap_or_default();
        std::fs::write(folder.join(".env"), self.dotenv(world, &project) + &over).unwrap();
        let files: &[&str] = match (folder.join("peer.yaml").exists(), folder.join("compose.production.yaml").exists()) {
            (true, _) => &["peer.yaml"],
            (false, true) => &["compose.yaml", "compose.production.yaml"],
            (false, false) => &["compose.yaml"],
        };
        let found = driver.up(&Project { folder: &folder, files, name: &project, start: self.is_started() })?;
        let names = [(project, "<project>"), (folder.display().to_string(), "<stack>"), (world.id.clone(), "<id>")];
        Ok(Words::new(names.map(|(name, stands)| (name, stands.to_owned()))).normal(&found))
    }

    async fn by_us(&self, world: &mut World, driver: &mut Driver) -> Result<Inspected, String> {
        let project = format!("{}-{}", world.id, self.name);
        let files = self.repo(world, &project);
        let stack = StackName::try_from(self.name.as_str()).unwrap();
        let model = resolve_stack(&files, &"production".parse().unwrap(), &stack).map_err(|found| format!("{found:#?}"))?;
        let desired = world.desired(&model, 1);
        Materialised::new(world.state.path()).ensure(Arc::new(files), desired.repo_mounts()).await.unwrap();
        self.create(world, &desired).await?;
        let found = driver.look(&format!("{SCOPE_LABEL}={}", world.scope))?;
        let folder = world.state.path().join("files").display().to_string();
        // What is mounted must be the right file, not only some file.
        let root = format!("stacks/{}", self.name);
        let copies = desired.repo_mounts().into_iter().map(|(path, content)| {
            let within = path.as_str().strip_prefix(&root).unwrap_or_default();
            (format!("{folder}/{content}"), format!("<files>{within}"))
        });
        let names = [(project, "<project>".to_owned()), (world.id.clone(), "<id>".to_owned())];
        Ok(Words::new(names.into_iter().chain(copies)).normal(&found))
    }

    /// Carries out the plan, without waiting for anything, and without starting anything unless the case is about that.
    async fn create(&self, world: &World, desired: &DesiredStack) -> Result<(), String> {
        let mut plan = world.plan_to(desired).await.unwrap();
        plan.steps.retain(|step| match step.action {
            Action::AwaitReady { .. } | Action::AwaitExit { .. } => false,
            Action::Start { .. } => self.is_started(),
            _ => true,
        });
        let kept: Vec<u32> = plan.steps.iter().map(|step| step.id).collect();
        plan.steps.iter_mut().for_each(|step| step.after.retain(|id| kept.contains(id)));
        match world.apply(&plan).await {
            ApplyOutcome::Done => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// The case as the stack of a config repo.
    fn repo(&self, world: &World, project: &str) -> RepoFiles {
        let mut files = RepoFiles::default();
        let root: RepoPath = format!("stacks/{}", self.name).parse().unwrap();
        read_folder(&self.folder, &root, &mut files);
        files.insert_text(root.join(".env").unwrap(), &self.dotenv(world, project));
        files
    }
}

fn read_folder(folder: &Path, at: &RepoPath, files: &mut RepoFiles) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let below = at.join(path.file_name().unwrap().to_str().unwrap()).unwrap();
        if path.is_dir() {
            read_folder(&path, &below, files);
        } else {
            files.insert(below, File { bytes: std::fs::read(&path).unwrap().into(), executable: false });
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A network and a volume that belong to neither side.
async fn outsiders(world: &World, name: &str) {
    let labels = HashMap::from([("tidegate.test".to_owned(), run_id())]);
    let network = NetworkCreateRequest { name: name.to_owned(), labels: Some(labels.clone()), ..Default::default() };
    world.raw.create_network(network).await.unwrap();
    let volume = VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() };
    world.raw.create_volume(volume).await.unwrap();
}

/// Our containers first: they use what is outside.
async fn drop_world(world: World, outside: Option<String>) {
    let raw = world.raw.clone();
    tokio::task::spawn_blocking(move || drop(world)).await.unwrap();
    if let Some(name) = outside {
        raw.remove_network(&name).await.unwrap();
        raw.remove_volume(&name, None::<bollard::query_parameters::RemoveVolumeOptions>).await.unwrap();
    }
}
