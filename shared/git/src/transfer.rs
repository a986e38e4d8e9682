//! What talks to network remotes through libgit2: listing, fetching, pushing. Runs in the transfer process
//! ([`crate::child`]), because a hostile server can make libgit2 block, inflate or loop, and a process can be killed.
//!
//! A fetch goes into a repository of its own beside the mirror, which it may read but not write; only after the sizes
//! of all objects were checked does the parent take the packs in ([`adopt`]). All functions block.

use crate::error::{self, GitError};
use crate::hostkey::{self, HostKey};
use crate::local::{Amount, Pushed};
use crate::store::{self, Store};
use git2::{CertificateCheckStatus, Cred, Direction, ErrorClass, ErrorCode, FetchOptions, Oid, PushOptions, RemoteCallbacks, Repository};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_core::ids::CommitId;

/// libgit2's number for "all history".
const DEPTH_ALL: i32 = i32::MAX;
/// Where a fetch puts the branch's tip.
const INCOMING_TIP: &str = "refs/incoming/tip";
/// Where a fetch puts a commit that was asked for by id.
const INCOMING_COMMIT: &str = "refs/incoming/commit";

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Say where the branch is.
    List,
    /// Bring the branch's objects.
    Fetch(Amount),
    /// Bring one commit without its history.
    FetchCommit(CommitId),
    /// Move the branch from one commit to the next.
    Push { base: CommitId, commit: CommitId },
}

/// How to get in. No `Debug`: it holds secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Access {
    Nothing,
    Basic { user: String, password: String },
    Bearer(String),
    Ssh { key_file: PathBuf, host_key: String },
}

/// A whole order; travels to the transfer process over its standard input.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub action: Action,
    pub url: String,
    pub branch_ref: String,
    pub access: Access,
    /// The mirror's bare repository.
    pub mirror: PathBuf,
    /// An empty folder for what arrives.
    pub incoming: PathBuf,
    pub limits: crate::remote::Limits,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The branch is there; after a fetch, its objects are in the incoming folder.
    Tip(CommitId),
    /// The commit is in the incoming folder, or the remote does not hand it out.
    Commit {
        found: bool,
    },
    Pushed(Pushed),
    Failed(Failure),
}

/// Why an order failed, in the terms of [`GitError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    Away(String),
    Denied(String),
    HostKey { got: String, pinned: String },
    Redirected,
    NoBranch,
    TooBig { what: String, limit: String },
}

/// Why libgit2 was stopped from within a callback, which can only say "stop".
#[derive(Default)]
struct Stopped(RefCell<Option<Failure>>);

impl Stopped {
    fn stop(&self, why: Failure) -> git2::Error {
        *self.0.borrow_mut() = Some(why);
        git2::Error::from_str("stopped")
    }

    fn or(&self, failure: &git2::Error) -> Failure {
        self.0.borrow_mut().take().unwrap_or_else(|| classify(failure))
    }
}

/// Carries out an order.
pub(crate) fn perform(order: &Order) -> Answer {
    crate::init();
    let stopped = Stopped::default();
    let done = match &order.action {
        Action::List => list(order, &stopped).map(|tip| tip.map_or(Answer::Failed(Failure::NoBranch), Answer::Tip)),
        Action::Fetch(amount) => fetch(order, *amount, &stopped),
        Action::FetchCommit(commit) => fetch_commit(order, commit, &stopped),
        Action::Push { base, commit } => push(order, base, commit, &stopped).map(Answer::Pushed),
    };
    done.unwrap_or_else(|failure| Answer::Failed(stopped.or(&failure)))
}

fn classify(failure: &git2::Error) -> Failure {
    let text = error::foreign(failure.message());
    let status = |code: &str| text.ends_with(&format!("status code: {code}"));
    let lower = text.to_lowercase();
    if failure.class() == ErrorClass::Net && lower.contains("redirect") {
        Failure::Redirected
    } else if failure.code() == ErrorCode::Auth || ["401", "403", "404"].into_iter().any(status) || lower.contains("authentic") {
        Failure::Denied(text)
    } else {
        Failure::Away(text)
    }
}

/// Credentials are offered once: a server that asks again does not want them.
fn callbacks<'a>(order: &'a Order, stopped: &'a Stopped) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    let mut asked = 0;
    callbacks.credentials(move |_url, user, allowed| {
        if allowed.is_username() {
            return Cred::username(user.unwrap_or("git"));
        }
        asked += 1;
        match &order.access {
            _ if asked > 1 => Err(stopped.stop(Failure::Denied("it does not accept our credentials".into()))),
            Access::Basic { user, password } => Cred::userpass_plaintext(user, password),
            Access::Ssh { key_file, .. } => Cred::ssh_key(user.unwrap_or("git"), None, key_file, None),
            Access::Nothing | Access::Bearer(_) => Err(stopped.stop(Failure::Denied("it asks for credentials".into()))),
        }
    });
    callbacks.certificate_check(move |certificate, _host| check_certificate(order, stopped, certificate));
    let limits = order.limits;
    callbacks.transfer_progress(move |progress| {
        let over = |what: &str, limit: String| stopped.stop(Failure::TooBig { what: what.into(), limit });
        if progress.received_bytes() as u64 > limits.received_max_bytes {
            over("what the server sends", format!("{} bytes", limits.received_max_bytes));
            return false;
        }
        if progress.total_objects() as u64 > limits.received_max_objects {
            over("the number of objects that the server sends", format!("{} objects", limits.received_max_objects));
            return false;
        }
        true
    });
    callbacks
}

fn check_certificate(order: &Order, stopped: &Stopped, certificate: &git2::cert::Cert<'_>) -> Result<CertificateCheckStatus, git2::Error> {
    let Some(shown) = certificate.as_hostkey() else {
        // TLS: libgit2's own verdict stands.
        return Ok(CertificateCheckStatus::CertificatePassthrough);
    };
    let Access::Ssh { host_key, .. } = &order.access else { return Err(git2::Error::from_str("no host key is pinned")) };
    let pinned = HostKey::parse(host_key).map_err(|refused| git2::Error::from_str(&refused.to_string()))?;
    match shown.hostkey() {
        Some(key) if pinned.matches(key) => Ok(CertificateCheckStatus::CertificateOk),
        key => {
            let got = key.map_or_else(|| "unreadable".to_owned(), hostkey::fingerprint);
            Err(stopped.stop(Failure::HostKey { got, pinned: pinned.shown() }))
        }
    }
}

/// A repository for what arrives: borrows the mirror's objects, and tells the server what the mirror has.
fn incoming(order: &Order) -> Result<Repository, git2::Error> {
    let path = order.incoming.join("incoming.git");
    let repository = store::init_bare(&path)?;
    let disk = |failure: std::io::Error| git2::Error::from_str(&failure.to_string());
    fs::write(path.join("objects/info/alternates"), format!("{}\n", order.mirror.join("objects").display())).map_err(disk)?;
    if order.mirror.join("shallow").exists() {
        fs::copy(order.mirror.join("shallow"), path.join("shallow")).map_err(disk)?;
    }
    drop(repository);
    let repository = store::open_bare(&path)?;
    for reference in store::open_bare(&order.mirror)?.references()? {
        let reference = reference?;
        if let (Some(target), Ok(name)) = (reference.target(), reference.name()) {
            repository.reference(name, target, true, "borrowed")?;
        }
    }
    Ok(repository)
}

fn list(order: &Order, stopped: &Stopped) -> Result<Option<CommitId>, git2::Error> {
    let repository = incoming(order)?;
    let mut remote = repository.remote_anonymous(&order.url)?;
    let connection = remote.connect_auth(Direction::Fetch, Some(callbacks(order, stopped)), None)?;
    Ok(connection.list()?.iter().find(|head| head.name() == order.branch_ref).map(|head| store::commit_id(head.oid())))
}

fn fetch(order: &Order, amount: Amount, stopped: &Stopped) -> Result<Answer, git2::Error> {
    let repository = incoming(order)?;
    let first = repository.refname_to_id(store::TIP_REF).is_err();
    let depth = match amount {
        Amount::New if first => 1,
        Amount::Depth(commits) => commits,
        Amount::All if repository.is_shallow() => DEPTH_ALL,
        Amount::New | Amount::All => 0,
    };
    download(order, &repository, stopped, Wanted { refspec: format!("+{}:{INCOMING_TIP}", order.branch_ref), depth })?;
    let tip = match repository.refname_to_id(INCOMING_TIP) {
        Ok(tip) => tip,
        Err(failure) if failure.code() == ErrorCode::NotFound => return Ok(Answer::Failed(Failure::NoBranch)),
        Err(failure) => return Err(failure),
    };
    repository.find_commit(tip)?;
    check_sizes(order, stopped)?;
    Ok(Answer::Tip(store::commit_id(tip)))
}

fn fetch_commit(order: &Order, commit: &CommitId, stopped: &Stopped) -> Result<Answer, git2::Error> {
    let repository = incoming(order)?;
    match download(order, &repository, stopped, Wanted { refspec: format!("{commit}:{INCOMING_COMMIT}"), depth: 1 }) {
        Err(failure) if is_not_handed_out(&failure) => return Ok(Answer::Commit { found: false }),
        done => done?,
    }
    check_sizes(order, stopped)?;
    Ok(Answer::Commit { found: repository.find_commit(store::oid(commit)).is_ok() })
}

/// Servers hand out commits by id only if they are told to; libgit2 sees it in the capabilities, or the server says so.
fn is_not_handed_out(failure: &git2::Error) -> bool {
    let text = failure.message();
    // "unexpected packet type" is what libgit2 makes of the server's complaint in the place of a shallow edge.
    text.contains("unexpected packet type")
        || text.contains("cannot fetch a specific object")
        || text.contains("not our ref")
        || text.contains("unadvertised object")
}

struct Wanted {
    refspec: String,
    depth: i32,
}

fn download(order: &Order, repository: &Repository, stopped: &Stopped, wanted: Wanted) -> Result<(), git2::Error> {
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks(order, stopped)).download_tags(git2::AutotagOption::None).update_fetchhead(false);
    options.follow_redirects(git2::RemoteRedirect::None).depth(wanted.depth);
    let header = bearer(order);
    if let Some(header) = &header {
        options.custom_headers(&[header]);
    }
    repository.remote_anonymous(&order.url)?.fetch(&[&wanted.refspec], Some(&mut options), None)
}

fn bearer(order: &Order) -> Option<String> {
    match &order.access {
        Access::Bearer(token) => Some(format!("Authorization: Bearer {token}")),
        _ => None,
    }
}

/// No object that arrived may be larger than the limit: reading a small one can mean inflating the large one that it is
/// stored as a difference to.
fn check_sizes(order: &Order, stopped: &Stopped) -> Result<(), git2::Error> {
    let odb = git2::Odb::new()?;
    let objects = order.incoming.join("incoming.git/objects");
    odb.add_disk_alternate(&objects.to_string_lossy())?;
    let mut sizes = Ok(());
    let limit = order.limits.object_max_bytes;
    odb.foreach(|id| {
        // The base of a difference may be in the mirror only; its sizes were checked when it came.
        let size = odb.read_header(*id).map_or(0, |(size, _)| size as u64);
        if size > limit {
            sizes = Err(stopped.stop(Failure::TooBig { what: format!("object {id} ({size} bytes)"), limit: format!("{limit} bytes") }));
        }
        size <= limit
    })
    .or_else(|failure| if sizes.is_err() { Ok(()) } else { Err(failure) })?;
    sizes
}

fn push(order: &Order, base: &CommitId, commit: &CommitId, stopped: &Stopped) -> Result<Pushed, git2::Error> {
    let repository = store::open_bare(&order.mirror)?;
    let (moved, refused) = (RefCell::new(false), RefCell::new(None));
    let mut callbacks = callbacks(order, stopped);
    let base = store::oid(base);
    callbacks.push_negotiation(|updates| {
        // Exactly from where we built on: a branch that was set back must not be filled up again by us.
        if updates.iter().all(|update| update.src() == base) {
            return Ok(());
        }
        *moved.borrow_mut() = true;
        Err(git2::Error::from_str("the branch moved"))
    });
    callbacks.push_update_reference(|_reference, status| {
        *refused.borrow_mut() = status.map(error::foreign);
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks).follow_redirects(git2::RemoteRedirect::None);
    let header = bearer(order);
    if let Some(header) = &header {
        options.custom_headers(&[header]);
    }
    let done = repository.remote_anonymous(&order.url)?.push(&[format!("{commit}:{}", order.branch_ref)], Some(&mut options));
    drop(options);
    match (done, refused.into_inner()) {
        (Ok(()), None) => Ok(Pushed::Yes),
        (Ok(()), Some(reason)) => Ok(Pushed::No { reason }),
        (Err(_), _) if moved.into_inner() => Ok(Pushed::No { reason: "the branch moved".into() }),
        (Err(failure), _) if failure.code() == ErrorCode::NotFastForward => Ok(Pushed::No { reason: error::foreign(failure.message()) }),
        (Err(failure), _) => Err(failure),
    }
}

/// Takes what a transfer brought into the mirror: packs first, then the shallow edge; the caller moves references last.
pub(crate) fn adopt(store: &Store, folder: &Path) -> Result<(), GitError> {
    let failed = error::disk("taking in what was fetched", &store.dir);
    let theirs = folder.join("incoming.git");
    let (from, to) = (theirs.join("objects/pack"), store.git_dir().join("objects/pack"));
    let mut files: Vec<PathBuf> = fs::read_dir(&from).map_err(&failed)?.flatten().map(|entry| entry.path()).collect();
    // The index last: a pack without one is not seen.
    files.sort_by_key(|path| path.extension().is_some_and(|extension| extension == "idx"));
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "pack" || extension == "idx")) {
        fs::File::open(path).and_then(|file| file.sync_all()).map_err(&failed)?;
        fs::rename(path, to.join(path.file_name().unwrap_or_default())).map_err(&failed)?;
    }
    store::sync_dir(&to).map_err(&failed)?;
    let edge: HashSet<Oid> = store::read_shallow(&theirs).map_err(&failed)?;
    if edge == store.shallow()? { Ok(()) } else { store.set_shallow(&edge) }
}
