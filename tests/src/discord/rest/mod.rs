//! The REST interface, version 10: one place that knows every route, with what stands before all of them (faults,
//! authorization, rate limits) and after (writing down what was asked).

mod routes;

use super::buckets::{Route, Scope};
use super::faults::Fault;
use super::refusal::{Refusal, Rule};
use super::server::{Cut, Shared};
use super::state::{Call, State};
use axum::body::{Body, Bytes};
use axum::extract::State as Part;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What came.
pub(super) struct Asked {
    pub method: String,
    /// Without `/api/v10`.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Value,
    pub authorization: Option<String>,
}

/// What goes back.
pub(super) struct Answered {
    pub status: u16,
    pub body: Option<Value>,
}

/// Discord's version in paths.
pub(super) const PREFIX: &str = "/api/v10";
/// A 401 that crossed with other requests is forgiven for this long.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

impl Asked {
    fn new(method: &Method, uri: &Uri, headers: &HeaderMap, bytes: &[u8]) -> Result<Asked, Refusal> {
        let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(bytes) };
        let body =
            body.map_err(|error| Refusal::new(400, 50109, &format!("The request body contains invalid JSON: {error}")).breaks(Rule::Form))?;
        Ok(Asked {
            method: method.to_string(),
            path: uri.path().trim_start_matches(PREFIX).to_owned(),
            query: query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            body,
            authorization: headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned),
        })
    }

    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Answers everything below `/api`.
pub(super) async fn answer(Part(shared): Part<Arc<Shared>>, method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response<Body> {
    let asked = match Asked::new(&method, &uri, &headers, &bytes) {
        Ok(asked) if uri.path().starts_with(PREFIX) => asked,
        Ok(_) => return shared.refuse(&format!("{method} {uri}"), &Refusal::new(400, 50041, "Invalid API version").breaks(Rule::Route)),
        Err(refusal) => return shared.refuse(&format!("{method} {uri}"), &refusal),
    };
    let fault = shared.with(|state| state.faults.at(&asked.method, &asked.path));
    match &fault {
        None => {}
        Some(Fault::Late(time)) => tokio::time::sleep(*time).await,
        Some(fault) => {
            shared.with(|state| state.excuse(&asked));
            if let Some(answer) = before(&shared, &asked, fault).await {
                return answer;
            }
        }
    }
    let mut answer = shared.changing(|state| state.serve(&asked));
    match fault {
        Some(Fault::AppliedThen(status)) => failing(status),
        Some(Fault::AppliedThenCut) => cut(),
        Some(Fault::Garbage) => {
            *answer.body_mut() = Body::from("<!doctype html><title>upstream</title>");
            answer.headers_mut().remove(header::CONTENT_LENGTH);
            answer
        }
        Some(Fault::BadHeaders) => {
            let headers = answer.headers_mut();
            headers.insert("x-ratelimit-limit", header::HeaderValue::from_static("5.0"));
            answer
        }
        _ => answer,
    }
}

/// Faults that come instead of the deed.
async fn before(shared: &Shared, asked: &Asked, fault: &Fault) -> Option<Response<Body>> {
    let limited = |scope, seconds| {
        let route = Route::of(&asked.method, &asked.segments());
        let refusal = shared.with(|state| {
            let now = state.now();
            if scope != Scope::Shared {
                state.buckets.count_invalid(now);
            }
            state.buckets.close(&route, scope, (now, Duration::from_secs(seconds)))
        });
        shared.with(|state| state.remember(asked, Some(429)));
        Some(written(429, Some(&refusal.body()), &refusal.headers))
    };
    match fault {
        Fault::Answer(status) => {
            shared.with(|state| state.remember(asked, Some(*status)));
            Some(failing(*status))
        }
        Fault::Cut => {
            shared.with(|state| state.remember(asked, None));
            Some(cut())
        }
        Fault::Hang => {
            shared.with(|state| state.remember(asked, None));
            std::future::pending().await
        }
        Fault::RouteLimited(seconds) => limited(Scope::Route, *seconds),
        Fault::GlobalLimited(seconds) => limited(Scope::Global, *seconds),
        Fault::SharedLimited(seconds) => limited(Scope::Shared, *seconds),
        _ => None,
    }
}

/// An error from something before Discord: no JSON.
fn failing(status: u16) -> Response<Body> {
    let mut answer = Response::new(Body::from("upstream connect error"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}

fn cut() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    answer.extensions_mut().insert(Cut);
    answer
}

fn written(status: u16, body: Option<&Value>, headers: &[(&'static str, String)]) -> Response<Body> {
    let mut answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        answer = answer.header(*name, value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    answer.body(body).unwrap_or_else(|_| failing(500))
}

impl Shared {
    fn refuse(&self, asked: &str, refusal: &Refusal) -> Response<Body> {
        self.with(|state| refusal.rule.inspect(|rule| state.breaks(*rule, format!("{asked}: {}", refusal.message))));
        written(refusal.status, Some(&refusal.body()), &refusal.headers)
    }
}

impl State {
    /// One request from the limits to the answer.
    fn serve(&mut self, asked: &Asked) -> Response<Body> {
        let route = Route::of(&asked.method, &asked.segments());
        let now = self.now();
        let mut headers = Vec::new();
        let result = match self.buckets.take(&route, now) {
            Ok(told) => {
                headers = told;
                self.authorized(asked, &route).and_then(|()| self.route(asked))
            }
            Err(refusal) => Err(*refusal),
        };
        let (status, body) = match &result {
            Ok(answered) => (answered.status, answered.body.clone()),
            Err(refusal) => {
                headers.extend(refusal.headers.clone());
                (refusal.status, Some(refusal.body()))
            }
        };
        if let Err(refusal) = &result {
            self.note_refusal(asked, refusal);
        }
        self.remember(asked, Some(status));
        written(status, body.as_ref(), &headers)
    }

    fn note_refusal(&mut self, asked: &Asked, refusal: &Refusal) {
        let now = self.now();
        if let Some(rule) = refusal.rule {
            let detail = refusal.more.iter().find(|(key, _)| *key == "errors").map(|(_, errors)| errors.to_string()).unwrap_or_default();
            self.breaks(rule, format!("{} {}: {} {} {detail}", asked.method, asked.path, refusal.status, refusal.message));
        }
        let shared = refusal.headers.iter().any(|(name, value)| *name == "x-ratelimit-scope" && value == "shared");
        if matches!(refusal.status, 401 | 403 | 429) && !shared && refusal.code != 30046 {
            let broken = self.buckets.count_invalid(now);
            self.broken.extend(broken);
        }
    }

    /// The bot's token; a webhook's and an interaction's routes carry theirs in the path.
    fn authorized(&mut self, asked: &Asked, route: &Route) -> Result<(), Refusal> {
        let carried = route.unlimited || route.template.contains("/webhooks/") || asked.path == "/gateway";
        if carried {
            return Ok(());
        }
        if self.token_good && asked.authorization.as_deref() == Some(&format!("Bot {}", self.token)) {
            return Ok(());
        }
        let now = self.now();
        let first = *self.refused_at.get_or_insert(now);
        // One request with a bad token is how one learns of it; going on is what is wrong.
        let refusal = Refusal::unauthorized();
        Err(if now > first + ON_ITS_WAY { refusal } else { Refusal { rule: None, ..refusal } })
    }

    /// What a fault does to an acknowledgement is not held against the bot.
    fn excuse(&mut self, asked: &Asked) {
        if let ["interactions", id, ..] = asked.segments()[..]
            && let Ok(id) = id.parse()
        {
            self.interactions.entry(id).and_modify(|interaction| interaction.excused = true);
        }
    }

    fn remember(&mut self, asked: &Asked, status: Option<u16>) {
        let at = self.now();
        self.calls.push(Call { method: asked.method.clone(), path: asked.path.clone(), body: asked.body.clone(), status, at });
    }
}
