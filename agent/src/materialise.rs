//! Repo files that containers mount, on disk by content: `<state>/files/<content id>` is a file or a folder.
//!
//! A bind mount of a file goes stale when the file is replaced; a path that names its content is never replaced.
//! Everything is written aside, synced and renamed, so that what has its name is complete, after any crash.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_core::files::{self, FILE_MAX_BYTES, RepoFiles, repo_content};
use tidegate_core::ids::{ContentId, RepoPath};

/// Folder below the state folder.
pub const FOLDER: &str = "files";
/// Start of the names of what is not complete yet.
const PART_PREFIX: &str = ".part-";

/// Why files could not be put on disk.
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError {
    /// The commit does not have it.
    #[error("`{path}` is mounted by a container and is not in the config repo at the commit of the release")]
    Missing {
        /// Where in the repo.
        path: RepoPath,
    },
    /// The commit has something else there.
    #[error("`{path}` in the config repo is not what the release was made from (wanted {wanted}, found {found})")]
    Differs {
        /// Where in the repo.
        path: RepoPath,
        /// The content that was planned with.
        wanted: ContentId,
        /// The content that is there.
        found: ContentId,
    },
    /// The disk said no.
    #[error("could not {tried} {}", at.display())]
    Disk {
        /// e.g. `write`.
        tried: &'static str,
        /// The path on the host.
        at: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The work was cut short by the agent's own stop.
    #[error("interrupted while writing files of the config repo: the agent stops")]
    Interrupted,
}

/// The folder of materialised files.
#[derive(Debug, Clone)]
pub struct Materialised {
    folder: PathBuf,
}

impl Materialised {
    /// Below this state folder.
    pub fn new(state_dir: &Path) -> Materialised {
        Materialised { folder: state_dir.join(FOLDER) }
    }

    /// Where a content lies once it has been ensured.
    pub fn path(&self, content: &ContentId) -> PathBuf {
        self.folder.join(content.as_str())
    }

    /// Has every wanted content on disk afterwards. What is there already is read and checked, and replaced if
    /// somebody changed it; then `files` (the repo at the release's commit) must have it.
    pub async fn ensure(&self, files: Arc<RepoFiles>, wanted: BTreeSet<(RepoPath, ContentId)>) -> Result<(), MaterialiseError> {
        let this = self.clone();
        let work = move || wanted.iter().try_for_each(|(path, content)| this.ensure_one(&files, path, content));
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(MaterialiseError::Interrupted))
    }

    /// Removes every content that is not named: neither released, nor kept for the way back, nor being rolled out.
    /// Returns how many went.
    pub async fn collect(&self, keep: BTreeSet<ContentId>) -> Result<usize, MaterialiseError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.collect_now(&keep)).await.unwrap_or(Err(MaterialiseError::Interrupted))
    }

    fn ensure_one(&self, files: &RepoFiles, path: &RepoPath, content: &ContentId) -> Result<(), MaterialiseError> {
        let target = self.path(content);
        if is_intact(&target, content) {
            return Ok(());
        }
        let found = repo_content(files, path).ok_or_else(|| MaterialiseError::Missing { path: path.clone() })?;
        if found != *content {
            return Err(MaterialiseError::Differs { path: path.clone(), wanted: content.clone(), found });
        }
        make_folder(&self.folder, 0o700).map_err(disk("create", &self.folder))?;
        let part = self.folder.join(format!("{PART_PREFIX}{content}"));
        remove_tree(&part).map_err(disk("remove", &part))?;
        write_tree(files, path, &part).map_err(disk("write", &part))?;
        remove_tree(&target).map_err(disk("remove", &target))?;
        fs::rename(&part, &target).map_err(disk("put in place", &target))?;
        sync(&self.folder).map_err(disk("sync", &self.folder))
    }

    fn collect_now(&self, keep: &BTreeSet<ContentId>) -> Result<usize, MaterialiseError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other.map_err(disk("list", &self.folder))?,
        };
        let mut gone = 0;
        for entry in entries {
            let path = entry.map_err(disk("list", &self.folder))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            // Only names that we give: a file that somebody else put here stays.
            let is_ours = name.starts_with(PART_PREFIX) || name.parse::<ContentId>().is_ok();
            if is_ours && !keep.contains(name) {
                remove_tree(&path).map_err(disk("remove", &path))?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

fn disk(tried: &'static str, at: &Path) -> impl FnOnce(io::Error) -> MaterialiseError {
    let at = at.to_owned();
    move |source| MaterialiseError::Disk { tried, at, source }
}

/// Is exactly this content there?
fn is_intact(target: &Path, content: &ContentId) -> bool {
    // The identity does not depend on the place, so any place does.
    let Ok(root) = "x".parse::<RepoPath>() else { return false };
    let mut found = RepoFiles::default();
    read_tree(target, &root, &mut found).is_ok() && repo_content(&found, &root).as_ref() == Some(content)
}

/// Reads what is on disk as repo files below `at`; anything that we never write (a link, a large file) is an error.
fn read_tree(disk: &Path, at: &RepoPath, into: &mut RepoFiles) -> io::Result<()> {
    let meta = fs::symlink_metadata(disk)?;
    if meta.is_file() && meta.len() <= FILE_MAX_BYTES {
        let mut bytes = Vec::new();
        File::open(disk)?.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        let executable = meta.permissions().mode() & 0o111 != 0;
        into.insert(at.clone(), files::File { bytes: bytes.into(), executable });
        Ok(())
    } else if meta.is_dir() {
        for entry in fs::read_dir(disk)? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidData)?;
            let below = at.join(&name).map_err(io::Error::other)?;
            read_tree(&entry.path(), &below, into)?;
        }
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn write_tree(files: &RepoFiles, root: &RepoPath, part: &Path) -> io::Result<()> {
    let mut folders = BTreeSet::new();
    for (path, file) in files.below(root) {
        let relative = path.as_str()[root.as_str().len()..].trim_start_matches('/');
        // A join with an empty path would end in a slash.
        let target = if relative.is_empty() { part.to_owned() } else { part.join(relative) };
        if !relative.is_empty() {
            let mut folder = target.parent();
            while let Some(inside) = folder.filter(|f| f.starts_with(part)) {
                folders.insert(inside.to_owned());
                folder = inside.parent();
            }
            make_folder(target.parent().unwrap_or(part), 0o755)?;
        }
        write_file(&target, file)?;
    }
    // Deepest first: closed to writing once nothing is written below.
    for folder in folders.iter().rev() {
        fs::set_permissions(folder, Permissions::from_mode(0o555))?;
        sync(folder)?;
    }
    Ok(())
}

fn write_file(target: &Path, file: &files::File) -> io::Result<()> {
    let mode = if file.executable { 0o555 } else { 0o444 };
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    out.write_all(&file.bytes)?;
    // The process's umask must not decide what a container may read.
    out.set_permissions(Permissions::from_mode(mode))?;
    out.sync_all()
}

fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file or folder, also one that is closed to writing; nothing there is fine.
fn remove_tree(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !meta.is_dir() {
        return fs::remove_file(path);
    }
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(path)? {
        remove_tree(&entry?.path())?;
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo() -> Arc<RepoFiles> {
        let mut files = RepoFiles::default();
        files.insert_text("s/conf/a.txt".parse().unwrap(), "alpha");
        files.insert_text("s/conf/deep/er/b.txt".parse().unwrap(), "beta");
        files.insert("s/conf/run".parse().unwrap(), files::File { bytes: b"#!".as_slice().into(), executable: true });
        Arc::new(files)
    }

    fn wanted(files: &RepoFiles, paths: &[&str]) -> BTreeSet<(RepoPath, ContentId)> {
        let one = |path: &&str| {
            let path: RepoPath = path.parse().unwrap();
            let content = repo_content(files, &path).unwrap();
            (path, content)
        };
        paths.iter().map(one).collect()
    }

    #[tokio::test]
    async fn files_and_folders_appear_by_content_read_only_and_with_their_modes() {
        let state = tempfile::tempdir().unwrap();
        let (store, files) = (Materialised::new(state.path()), repo());
        let all = wanted(&files, &["s/conf", "s/conf/a.txt"]);
        store.ensure(Arc::clone(&files), all.clone()).await.unwrap();
        let by_path = |path: &str| store.path(&all.iter().find(|(p, _)| p.as_str() == path).unwrap().1);
        assert_eq!(fs::read_to_string(by_path("s/conf/a.txt")).unwrap(), "alpha");
        let folder = by_path("s/conf");
        assert_eq!(fs::read_to_string(folder.join("deep/er/b.txt")).unwrap(), "beta");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.join("run")), 0o555);
        assert_eq!(mode(&folder.join("a.txt")), 0o444);
        assert_eq!(mode(&folder.join("deep")), 0o555);
    }

    #[tokio::test]
    async fn what_is_intact_is_kept_and_what_somebody_changed_is_replaced() {
        let state = tempfile::tempdir().unwrap();
        let (store, files) = (Materialised::new(state.path()), repo());
        let all = wanted(&files, &["s/conf"]);
        store.ensure(Arc::clone(&files), all.clone()).await.unwrap();
        // Intact: not even the repo is needed (git may be away).
        store.ensure(Arc::new(RepoFiles::default()), all.clone()).await.unwrap();
        let file = store.path(&all.first().unwrap().1).join("a.txt");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::write(&file, "tampered").unwrap();
        let missing = store.ensure(Arc::new(RepoFiles::default()), all.clone()).await;
        assert!(matches!(missing, Err(MaterialiseError::Missing { .. })), "{missing:?}");
        store.ensure(files, all).await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "alpha");
    }

    #[tokio::test]
    async fn another_content_than_planned_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let store = Materialised::new(state.path());
        let all = BTreeSet::from([("s/conf".parse().unwrap(), ContentId::of_bytes(b"other"))]);
        let refused = store.ensure(repo(), all).await;
        assert!(matches!(refused, Err(MaterialiseError::Differs { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn collecting_removes_only_our_names_that_nobody_needs() {
        let state = tempfile::tempdir().unwrap();
        let (store, files) = (Materialised::new(state.path()), repo());
        let all = wanted(&files, &["s/conf", "s/conf/a.txt"]);
        store.ensure(Arc::clone(&files), all.clone()).await.unwrap();
        fs::write(state.path().join("files/notes.txt"), "mine").unwrap();
        fs::create_dir(state.path().join("files/.part-half")).unwrap();
        let keep = all.first().unwrap().1.clone();
        assert_eq!(store.collect(BTreeSet::from([keep.clone()])).await.unwrap(), 2);
        let mut left: Vec<String> =
            fs::read_dir(state.path().join("files")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, vec![keep.to_string(), "notes.txt".to_owned()]);
    }
}
