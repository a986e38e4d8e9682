//! Where `validate` and `plan` read a config repo: a folder with files, or a git repository at a commit.

use super::exit::UsageError;
use anyhow::{Context, anyhow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_core::files::{FILE_MAX_BYTES, FILES_MAX, File, RepoFiles, TOTAL_MAX_BYTES};
use tidegate_core::ids::{CommitId, RepoPath};
use tidegate_git::{Mirror, RemoteSettings};

/// What belongs to a config repo; other folders beside them are not read.
const PARTS: [&str; 5] = ["tidegate.yaml", "environments", "hosts", "stacks", "releases"];

/// A config repo that was read.
pub(super) struct Source {
    /// Its files.
    pub(super) files: Arc<RepoFiles>,
    /// The commit, if they come from git.
    pub(super) commit: Option<CommitId>,
    /// The history, if there is one beside the files; in a folder that goes when this goes.
    pub(super) history: Option<Mirror>,
    _temporary: Option<Temporary>,
}

/// Reads `PATH`, `PATH@COMMIT` or `URL[@COMMIT]`.
pub(super) async fn read(text: &str, branch: &str) -> anyhow::Result<Source> {
    let (place, commit) = match text.rsplit_once('@') {
        Some((place, commit)) if commit.len() == 40 && !Path::new(text).exists() => {
            (place, Some(CommitId::try_from(commit).map_err(|error| UsageError(error.to_string()))?))
        }
        _ => (text, None),
    };
    let path = Path::new(place);
    let is_bare = path.join("HEAD").is_file() && path.join("objects").is_dir();
    if commit.is_none() && path.is_dir() && !is_bare {
        return folder(path, branch).await;
    }
    if !path.exists() && !place.contains("://") {
        return Err(UsageError(format!("{place} is not there; name a folder, a git repository or its URL")).into());
    }
    let is_work_tree = path.join(".git").exists();
    let url = if is_work_tree {
        absolute(&path.join(".git"))?
    } else if path.exists() {
        absolute(path)?
    } else {
        place.to_owned()
    };
    from_git(&url, branch, commit).await
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    let path = std::fs::canonicalize(path).with_context(|| format!("could not find {}", path.display()))?;
    path.into_os_string().into_string().map_err(|_| anyhow!("the path is not UTF-8"))
}

async fn from_git(url: &str, branch: &str, commit: Option<CommitId>) -> anyhow::Result<Source> {
    let temporary = Temporary::new()?;
    let mirror = Mirror::open(&temporary.0.join("mirror.git"), RemoteSettings::new(url, branch)).await?;
    let tip = mirror.fetch().await?;
    let commit = commit.unwrap_or(tip);
    mirror.ensure(&commit).await?;
    let files = mirror.files(&commit).await?;
    Ok(Source { files, commit: Some(commit), history: Some(mirror), _temporary: Some(temporary) })
}

/// The files as they are on disk; the history of a work tree beside them, if it can be had.
async fn folder(path: &Path, branch: &str) -> anyhow::Result<Source> {
    let files = Arc::new(walk(path)?);
    let git = path.join(".git");
    let history = match git.exists() {
        true => from_git(&absolute(&git)?, branch, None).await.ok(),
        false => None,
    };
    Ok(match history {
        Some(source) => Source { files, ..source },
        None => Source { files, commit: None, history: None, _temporary: None },
    })
}

/// Regular files below the known parts; links are not followed.
fn walk(root: &Path) -> anyhow::Result<RepoFiles> {
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
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> anyhow::Result<Temporary> {
        let random: [u8; 8] = rand::random();
        let path = std::env::temp_dir().join(format!("tidegate-{}", hex::encode(random)));
        std::fs::create_dir(&path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It lies in the temporary folder: whoever cleans that takes the rest.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
