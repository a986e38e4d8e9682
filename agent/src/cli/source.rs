//! Where `validate`, `plan` and `render` read a config repo: a folder with files, or a git repository at a commit.

use super::exit::UsageError;
use anyhow::{Context, anyhow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_core::files::{FILE_MAX_BYTES, FILES_MAX, File, RepoFiles, TOTAL_MAX_BYTES};
use tidegate_core::ids::{CommitId, RepoPath};
use tidegate_git::{GitError, Mirror, Reader, RemoteSettings};

/// What belongs to a config repo; other folders beside them are not read.
const PARTS: [&str; 6] = ["tidegate.yaml", "trust.yaml", "environments", "hosts", "stacks", "releases"];

/// A config repo that was read.
pub(super) struct Source {
    /// Its files.
    pub(super) files: Arc<RepoFiles>,
    /// The commit, if they come from git.
    pub(super) commit: Option<CommitId>,
    /// What other commits are read from.
    pub(super) history: History,
}

/// The history beside the files.
pub(super) enum History {
    /// There is none.
    Nothing,
    /// A repository on this machine.
    Here(Box<Reader>),
    /// A remote one, by our copy of it.
    Remote(Copy),
}

/// A mirror in a folder that goes with it.
pub(super) struct Copy {
    mirror: Mirror,
    _temporary: Temporary,
}

impl History {
    /// The commit of that name, and its files.
    pub(super) async fn named(&mut self, name: &str) -> anyhow::Result<(CommitId, Arc<RepoFiles>)> {
        let commit = match self {
            History::Nothing => return Err(UsageError(format!("there is no git repository here that could hold `{name}`")).into()),
            History::Here(reader) => reader.resolve(name).map_err(|error| UsageError(error.to_string()))?,
            History::Remote(..) => CommitId::try_from(name).map_err(|_| {
                UsageError(format!("`{name}`: of a repository behind a URL only whole commit ids are known; in a clone any name works"))
            })?,
        };
        let files = self.files(&commit).await?;
        Ok((commit, files))
    }

    /// What a file said at the tip and before, newest first, each wording once. Of a remote only the tip is at hand.
    pub(super) fn versions(&self, path: &RepoPath, most: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        match self {
            History::Here(reader) => Ok(reader.versions(path, most)?),
            History::Nothing | History::Remote(..) => Ok(Vec::new()),
        }
    }

    /// The files at a commit.
    pub(super) async fn files(&mut self, commit: &CommitId) -> anyhow::Result<Arc<RepoFiles>> {
        let read = match self {
            History::Nothing => return Err(anyhow!("there is no git history here that could hold commit {}", commit.short())),
            History::Here(reader) => reader.files(commit),
            History::Remote(copy) => match copy.mirror.ensure(commit).await {
                Ok(()) => copy.mirror.files(commit).await,
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| match error {
            GitError::MissingCommit { .. } => UsageError(format!(
                "commit {} is not in this clone: bring its history with `git fetch --unshallow` (in a pipeline: `fetch-depth: 0`)",
                commit.short()
            ))
            .into(),
            other => other.into(),
        })
    }
}

/// Reads `PATH`, `PATH@COMMIT` or `URL[@COMMIT]`.
pub(super) async fn read(text: &str, branch: &str) -> anyhow::Result<Source> {
    let (place, name) = match text.rsplit_once('@') {
        Some((place, name)) if !Path::new(text).exists() && (Path::new(place).is_dir() || CommitId::try_from(name).is_ok()) => {
            (place, Some(name))
        }
        _ => (text, None),
    };
    let path = Path::new(place);
    if path.is_dir() {
        return on_this_machine(path, branch, name).await;
    }
    if !place.contains("://") {
        return Err(UsageError(format!("{place} is not there; name a folder, a git repository or its URL")).into());
    }
    from_remote(place, branch, name).await
}

async fn on_this_machine(path: &Path, branch: &str, name: Option<&str>) -> anyhow::Result<Source> {
    let is_bare = path.join("HEAD").is_file() && path.join("objects").is_dir();
    let mut history = match Reader::open(path) {
        Ok(Some(reader)) => History::Here(Box::new(reader)),
        Ok(None) => History::Nothing,
        // A folder is a config repo also when the `.git` in it is broken; whoever needs the history is told.
        Err(error) if name.is_some() || is_bare => return Err(error.into()),
        Err(_) => History::Nothing,
    };
    let name = name.or(is_bare.then_some(branch));
    let Some(name) = name else { return Ok(Source { files: Arc::new(walk(path)?), commit: None, history }) };
    let (commit, files) = history.named(name).await?;
    Ok(Source { files, commit: Some(commit), history })
}

async fn from_remote(url: &str, branch: &str, name: Option<&str>) -> anyhow::Result<Source> {
    let temporary = Temporary::new()?;
    let mirror = Mirror::open(&temporary.0.join("mirror.git"), RemoteSettings::new(url, branch)).await?;
    let tip = mirror.fetch().await?;
    let mut history = History::Remote(Copy { mirror, _temporary: temporary });
    let (commit, files) = history.named(name.unwrap_or(tip.as_str())).await?;
    Ok(Source { files, commit: Some(commit), history })
}

/// Regular files below the known parts; links are not followed.
pub(super) fn walk(root: &Path) -> anyhow::Result<RepoFiles> {
    let mut files = RepoFiles::default();
    let mut total = 0_u64;
    let mut open: Vec<PathBuf> = PARTS.iter().map(|part| root.join(part)).filter(|path| path.exists()).collect();
    while let Some(path) = open.pop() {
        let about = std::fs::symlink_metadata(&path).with_context(|| format!("could not look at {}", path.display()))?;
        if about.is_dir() {
            let entries = std::fs::read_dir(&path).with_context(|| format!("could not list {}", path.display()))?;
            open.extend(entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()));
            continue;
        }
        if !about.is_file() {
            return Err(anyhow!("{} is not a regular file; a config repo holds only files and folders", path.display()));
        }
        total = total.saturating_add(about.len());
        if about.len() > FILE_MAX_BYTES || total > TOTAL_MAX_BYTES || files.len() >= FILES_MAX {
            return Err(anyhow!(
                "{}: too much: at most {FILE_MAX_BYTES} bytes per file, {TOTAL_MAX_BYTES} in all, {FILES_MAX} files",
                path.display()
            ));
        }
        let bytes = std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        files.insert(repo_path(root, &path)?, File { bytes: bytes.into(), executable: is_executable(&about) });
    }
    Ok(files)
}

fn repo_path(root: &Path, path: &Path) -> anyhow::Result<RepoPath> {
    let relative = path.strip_prefix(root)?.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", path.display()))?;
    Ok(relative.parse()?)
}

fn is_executable(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & 0o100 != 0
}

/// A folder that goes with its value.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn new() -> anyhow::Result<Temporary> {
        let random: [u8; 8] = rand::random();
        let path = std::env::temp_dir().join(format!("tidegate-{}", hex::encode(random)));
        std::fs::create_dir(&path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Temporary(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It lies in the temporary folder: whoever cleans that takes the rest.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
