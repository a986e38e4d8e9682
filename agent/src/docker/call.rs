//! One call to the engine: named, with a deadline, its failures sorted into verdicts and mere failures to ask.

use crate::engine::EngineError;
use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion};
use std::time::Duration;

/// What is tried, and for how long at most.
#[derive(Debug, Clone)]
pub(super) struct Call {
    tried: String,
    limit: Duration,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct Failed {
    call: Call,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The engine answered with this status and these words.
    Status(u16, String),
    /// No answer, or none that can be read.
    Lost(Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    Late,
    /// It did not come to the call.
    Before(EngineError),
}

/// Words in the engine's 5xx answers whose cause is the machine and not what was asked.
const NOT_A_VERDICT: [&str; 9] = [
    "no space left on device",
    "context deadline exceeded",
    "context canceled",
    "containerd.sock",
    "connection refused",
    "cannot allocate memory",
    "too many open files",
    "shutting down",
    "input/output error",
];

impl Call {
    pub(super) fn new(tried: impl Into<String>, limit: Duration) -> Call {
        Call { tried: tried.into(), limit }
    }

    pub(super) async fn run<T>(self, ask: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        match tokio::time::timeout(self.limit, ask).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failed { call: self, kind: Kind::of(error) }),
            Err(_) => Err(Failed { call: self, kind: Kind::Late }),
        }
    }
}

impl Kind {
    fn of(error: Error) -> Kind {
        match error {
            Error::DockerResponseServerError { status_code, message } => Kind::Status(status_code, message),
            Error::DockerStreamError { error } => Kind::Status(500, error),
            Error::RequestTimeoutError => Kind::Late,
            other => Kind::Lost(Box::new(other)),
        }
    }
}

impl Failed {
    pub(super) fn before(error: EngineError) -> Failed {
        Failed { call: Call::new("", Duration::ZERO), kind: Kind::Before(error) }
    }

    /// Did the engine answer with this status?
    pub(super) fn is(&self, status: u16) -> bool {
        matches!(&self.kind, Kind::Status(code, _) if *code == status)
    }

    /// The engine's words, if it answered.
    pub(super) fn words(&self) -> Option<&str> {
        match &self.kind {
            Kind::Status(_, words) => Some(words),
            _ => None,
        }
    }

    pub(super) fn asks_for_new_connection(&self) -> bool {
        match &self.kind {
            Kind::Lost(_) => true,
            Kind::Status(400, words) => words.contains("client version") || words.contains("API version"),
            _ => false,
        }
    }
}

impl From<Failed> for EngineError {
    fn from(failed: Failed) -> EngineError {
        let Call { tried, limit } = failed.call;
        match failed.kind {
            Kind::Before(error) => error,
            Kind::Late => EngineError::TimedOut { tried, limit_secs: limit.as_secs() },
            Kind::Lost(source) => EngineError::Unreachable { tried, source },
            Kind::Status(status, cause) if is_verdict(status, &cause) => EngineError::Refused { tried, cause },
            Kind::Status(_, cause) => EngineError::Unable { tried, cause },
        }
    }
}

/// An answer about what was asked, and not about the state of the machine?
fn is_verdict(status: u16, words: &str) -> bool {
    let about_version = status == 400 && (words.contains("client version") || words.contains("API version"));
    let about_machine = status >= 500 && NOT_A_VERDICT.iter().any(|mark| words.contains(mark));
    !about_version && !about_machine && status != 503 && status != 429
}

/// Puts the API version that was agreed on in front of a request's path.
pub(super) fn versioned(mut request: BollardRequest, version: ClientVersion) -> BollardRequest {
    let uri = request.uri();
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return request };
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let versioned = format!("{scheme}://{authority}/v{}.{}{path}", version.major_version, version.minor_version);
    if let Ok(uri) = versioned.parse() {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_or_a_stopping_engine_is_no_verdict_on_a_release() {
        assert!(!is_verdict(500, "write /var/lib/docker/x: no space left on device"));
        assert!(!is_verdict(503, "anything"));
        assert!(!is_verdict(400, "client version 1.41 is too old. Minimum supported API version is 1.44"));
        assert!(is_verdict(500, "driver failed programming external connectivity: port is already allocated"));
        assert!(is_verdict(404, "no such image"));
        assert!(is_verdict(400, "OCI runtime create failed: exec: \"nope\": executable file not found in $PATH"));
    }
}
