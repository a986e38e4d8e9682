//! Orders to the transfer process, each with a deadline, and what their answers mean.

use crate::child::{self, Where};
use crate::error::{self, GitError};
use crate::hostkey::HostKey;
use crate::mirror::{Job, blocking};
use crate::remote::{Address, Credentials, Login, Remote};
use crate::store::{Incoming, Store};
use crate::transfer::{self, Access, Action, Answer, Failure, Order};
use std::time::Duration;

/// An answer, and the folder that holds what arrived until it is dropped.
pub(crate) struct Done {
    pub answer: Answer,
    pub incoming: Incoming,
}

/// What an action is called in errors, and how long it may take.
fn terms(action: &Action, remote: &Remote) -> (&'static str, Duration) {
    match action {
        Action::List => ("listing branches", remote.limits.poll_deadline),
        Action::Fetch(_) => ("fetching", remote.limits.transfer_deadline),
        Action::FetchCommit(_) => ("fetching a commit", remote.limits.transfer_deadline),
        Action::Push { .. } => ("pushing", remote.limits.transfer_deadline),
    }
}

/// Has the transfer process carry out an action. An answer is never [`Answer::Failed`].
pub(crate) async fn carry_out(remote: &Remote, store: &Store, action: Action) -> Result<Done, GitError> {
    let (doing, limit) = terms(&action, remote);
    let job = || Job { doing, url: remote.shown(), limit };
    let (order, incoming) = {
        let (remote, store) = (remote.clone(), store.clone());
        blocking(job(), move || prepare(&remote, &store, action)).await?
    };
    let answer = match child::place(&remote.program) {
        Where::Process(program) => match tokio::time::timeout(limit, child::run_process(&program, &order)).await {
            Ok(answer) => {
                answer.map_err(|failure| GitError::Transfer { url: remote.shown(), reason: format!("could not be run: {failure}") })?
            }
            Err(_) => return Err(GitError::Deadline { doing, url: remote.shown(), limit_secs: limit.as_secs() }),
        },
        Where::Here => {
            tracing::debug!("this program's main does not call run_if_asked: transferring in process");
            blocking(job(), move || Ok(transfer::perform(&order))).await?
        }
    };
    match answer {
        Answer::Failed(failure) => Err(explain(remote, doing, failure)),
        answer => Ok(Done { answer, incoming }),
    }
}

fn prepare(remote: &Remote, store: &Store, action: Action) -> Result<(Order, Incoming), GitError> {
    let incoming = store.incoming()?;
    let (url, access) = match (&remote.address, &remote.credentials) {
        (Address::Ssh { url, host, port }, Credentials::Ssh(ssh)) => {
            // libssh2 takes the host key algorithm that it likes best unless a known_hosts file names one.
            if let Some(line) = HostKey::parse(&ssh.host_key)?.known_hosts_line(host, *port) {
                let folder = incoming.dir.join(".ssh");
                let write = || std::fs::create_dir(&folder).and_then(|()| std::fs::write(folder.join("known_hosts"), line));
                write().map_err(error::disk("preparing a transfer", &store.dir))?;
            }
            (url.clone(), Access::Ssh { key_file: ssh.key_file.clone(), host_key: ssh.host_key.clone() })
        }
        _ => {
            let access = match remote.login()? {
                None => Access::Nothing,
                Some(Login::Basic { user, password }) => Access::Basic { user, password: password.expose().to_owned() },
                Some(Login::Bearer(token)) => Access::Bearer(token.expose().to_owned()),
            };
            (remote.shown(), access)
        }
    };
    let (mirror, folder) = (store.git_dir(), incoming.dir.clone());
    Ok((Order { action, url, branch_ref: remote.branch_ref(), access, mirror, incoming: folder, limits: remote.limits }, incoming))
}

fn explain(remote: &Remote, doing: &'static str, failure: Failure) -> GitError {
    let url = remote.shown();
    match failure {
        Failure::Away(reason) => GitError::Away { doing, url, reason },
        Failure::Denied(reason) => GitError::Denied { url, reason },
        Failure::HostKey { got, pinned } => GitError::HostKey { url, got, pinned },
        Failure::Redirected => GitError::Redirected { url },
        Failure::NoBranch => remote.no_branch(),
        Failure::TooBig { what, limit } => GitError::TooBig { what: format!("{what} from {url}"), limit },
    }
}

/// An answer of another kind than the action has: a transfer process of another version.
pub(crate) fn odd(remote: &Remote) -> GitError {
    GitError::Transfer { url: remote.shown(), reason: "gave an answer that does not fit; is it the same version as this program?".into() }
}
