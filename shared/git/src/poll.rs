//! Asking an http(s) remote for its tip: one protocol v2 request on a kept-alive connection, under a kilobyte and the
//! same for ten branches or ten thousand. Anything but a well-formed answer is left to libgit2.

use crate::error::GitError;
use crate::pkt::{self, Listed};
use crate::remote::{Login, Remote};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tidegate_core::ids::CommitId;

const REQUEST_TYPE: &str = "application/x-git-upload-pack-request";
const RESULT_TYPE: &str = "application/x-git-upload-pack-result";
const PROTOCOL_HEADER: HeaderName = HeaderName::from_static("git-protocol");
/// Longest answer that is read, in bytes; a prefix such as `main` may match a few other branches too.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// How long an unused connection is kept; longer than any sensible poll interval.
const KEEP_IDLE: Duration = Duration::from_secs(600);
/// After an answer that was not well formed, this many polls go to libgit2 at once.
const SKIPPED_POLLS: u32 = 20;

/// What a poll brought.
pub(crate) enum Polled {
    At(CommitId),
    /// Ask in the old way.
    AskLibgit2,
}

/// The kept-alive connection.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    client: OnceLock<Client>,
    skip: AtomicU32,
}

impl Poller {
    /// Asks once. `login` is sent with the first request, so that a private repository needs no second one.
    pub async fn poll(&self, remote: &Remote, url: &str, login: Option<&Login>) -> Result<Polled, GitError> {
        let skip = self.skip.load(Ordering::Relaxed);
        if skip > 0 {
            self.skip.store(skip - 1, Ordering::Relaxed);
            return Ok(Polled::AskLibgit2);
        }
        let response = self.send(remote, url, login).await?;
        if response.status().is_redirection() {
            return Err(GitError::Redirected { url: remote.shown() });
        }
        match read(remote, response).await? {
            Listed::At(tip) => Ok(Polled::At(tip)),
            Listed::Nowhere => Err(remote.no_branch()),
            Listed::Malformed => {
                self.skip.store(SKIPPED_POLLS, Ordering::Relaxed);
                Ok(Polled::AskLibgit2)
            }
        }
    }

    async fn send(&self, remote: &Remote, url: &str, login: Option<&Login>) -> Result<Response, GitError> {
        let request = || -> Result<_, GitError> {
            let client = self.client(remote)?;
            let request = client.post(format!("{url}/git-upload-pack")).timeout(remote.limits.poll_deadline);
            let request = request.header(CONTENT_TYPE, REQUEST_TYPE).header(ACCEPT, RESULT_TYPE).header(PROTOCOL_HEADER, "version=2");
            let request = match login {
                Some(login) => request.header(AUTHORIZATION, authorization(remote, login)?),
                None => request,
            };
            Ok(request.body(pkt::ls_refs_request(&remote.branch_ref())))
        };
        match request()?.send().await {
            // The server closed the idle connection just as we used it: once more, on a new one.
            Err(failure) if !failure.is_connect() && !failure.is_timeout() => request()?.send().await,
            answer => answer,
        }
        .map_err(|failure| failed(remote, failure))
    }

    fn client(&self, remote: &Remote) -> Result<&Client, GitError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        crate::init();
        let made = Client::builder()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(KEEP_IDLE)
            .build()
            .map_err(|failure| failed(remote, failure))?;
        Ok(self.client.get_or_init(|| made))
    }
}

async fn read(remote: &Remote, mut response: Response) -> Result<Listed, GitError> {
    let right_type = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == RESULT_TYPE);
    if response.status() != reqwest::StatusCode::OK || !right_type {
        return Ok(Listed::Malformed);
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|failure| failed(remote, failure))? {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_MAX_BYTES {
            return Ok(Listed::Malformed);
        }
    }
    Ok(pkt::read_ls_refs(&answer, &remote.branch_ref()))
}

fn authorization(remote: &Remote, login: &Login) -> Result<HeaderValue, GitError> {
    let text = match login {
        Login::Basic { user, password } => format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))),
        Login::Bearer(token) => format!("Bearer {}", token.expose()),
    };
    let mut value =
        HeaderValue::try_from(text).map_err(|_| remote.away("sending the token", "it holds characters that a header cannot"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The whole chain of causes in one line; the outermost says little.
fn failed(remote: &Remote, failure: reqwest::Error) -> GitError {
    if failure.is_timeout() {
        return GitError::Deadline { doing: "asking for the tip", url: remote.shown(), limit_secs: remote.limits.poll_deadline.as_secs() };
    }
    let failure = failure.without_url();
    let mut reasons = vec![failure.to_string()];
    let mut cause = std::error::Error::source(&failure);
    while let Some(deeper) = cause {
        reasons.push(deeper.to_string());
        cause = deeper.source();
    }
    reasons.dedup();
    remote.away("asking for the tip", &reasons.join(": "))
}
