//! The page: what waits and why, the fleet, the cards with their buttons, the activity, the chat console.
//!
//! Plain HTML forms that work without a script; a few lines of our own keep it live. The page shows a [`View`] and
//! hands what people ask for to the [`desk`]; it decides nothing. Everything foreign is escaped by maud.

mod activity;
mod assets;
mod calendar;
mod cards;
mod console;
pub mod desk;
mod feed;
mod fleet;
mod layout;
mod lines;
mod month;
mod parts;
mod state;
mod time;
mod waits;
mod words;

pub use lines::{Lines, router as lines};
pub use state::{Page, Settings};

use crate::http::guard;
use crate::http::sse::snapshots;
use crate::people::Actor;
use crate::platforms::local;
use crate::request::{Ask, Request};
use crate::view::{ChatPerson, Tone, View};
use axum::extract::{DefaultBodyLimit, Form, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use desk::{Answer, Pressed};
use futures_util::StreamExt;
use jiff::Timestamp;
use maud::Markup;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::ids::PersonName;
use tower_http::timeout::TimeoutLayer;

/// Largest form, in bytes.
const FORM_MAX_BYTES: usize = 16 * 1024;
/// A form, its command and the commit that comes of it get this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);
/// The page waits this long for what comes of a command, then says that the bot is still at it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// An idle event stream says something this often, so that proxies keep it and dead ones are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A browser that found no place in the event streams comes back after this many seconds.
const RETRY_SECS: u64 = 5;
/// The cookie that remembers who somebody is.
const PERSON_COOKIE: &str = "tidegate-person";
/// How long it remembers, in seconds.
const PERSON_COOKIE_SECS: u64 = 365 * 24 * 3_600;
/// The script sends this with a form, to get the outcome alone in place of a redirect.
const LIVE_HEADER: &str = "tidegate-live";

/// The page's routes: `/`, `/live`, `/calendar` with `/calendar/ENVIRONMENT.ics`, `/assets/*`, the forms `/person`, `/say`, `/act`, and `/api/view` for machines.
pub fn router(page: Arc<Page>) -> Router {
    let allowed = Arc::new(page.settings.allowed_hosts.clone());
    let forms = Router::new()
        .route("/person", post(choose_person))
        .route("/say", post(say))
        .route("/act", post(act))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(DefaultBodyLimit::max(FORM_MAX_BYTES));
    Router::new()
        .route("/", get(show))
        .route("/live", get(live))
        .route("/calendar", get(show_calendar))
        .route("/calendar/{file}", get(feed::serve))
        .route("/api/view", get(api_view))
        .route(&assets::style().path, get(|| asset(assets::style())))
        .route(&assets::script().path, get(|| asset(assets::script())))
        .merge(forms)
        .with_state(page)
        .layer(axum::middleware::from_fn_with_state(allowed, guard::guard))
}

async fn asset(asset: &'static assets::Asset) -> impl IntoResponse {
    ([(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")], asset.text)
}

/// The outcome that a redirect leads to.
#[derive(Debug, Deserialize)]
struct Shown {
    outcome: Option<String>,
}

async fn show(State(page): State<Arc<Page>>, headers: HeaderMap, query: Query<Shown>) -> Response {
    let view = page.view.borrow().clone();
    let outcome = query.0.outcome.as_deref().and_then(|id| page.outcomes.get(id)).map(|answer| outcome(&answer));
    let document = layout::Document { view: &view, speaker: speaker(&view, &headers), outcome, now: Timestamp::now() };
    let html = layout::document(&document).into_string();
    ([(CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

async fn show_calendar(State(page): State<Arc<Page>>, query: Query<calendar::Asked>) -> Response {
    let view = page.view.borrow().clone();
    ([(CACHE_CONTROL, "no-store")], Html(calendar::document(&view, &query.0, Timestamp::now()).into_string())).into_response()
}

/// The event stream: all regions as HTML in one JSON string, newest state only.
async fn live(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let Ok(place) = page.streams.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_SECS)]).into_response();
    };
    let person = chosen(&headers);
    let (view, pace, stop) = (page.view.clone(), page.settings.pace, page.settings.stop.clone());
    let show = move |view: Arc<View>| {
        let _held_while_streaming = &place;
        let now = Timestamp::now();
        let transcript = view.console.as_ref().map(|console| console::transcript(console, person.as_ref()).into_string());
        (page.regions(&view, now), transcript.unwrap_or_default())
    };
    let events = snapshots(view, pace, stop, show).map(|(regions, transcript)| {
        // As JSON it is one line, whatever line ends people put into their texts.
        let data = serde_json::Value::String(format!("{regions}{transcript}")).to_string();
        Ok::<_, Infallible>(Event::default().event("view").data(data))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The snapshot as JSON; of the console only what this person, or everybody, sees.
async fn api_view(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let mut view = View::clone(&page.view.borrow());
    let person = chosen(&headers);
    if let Some(console) = &mut view.console {
        console.lines.retain(|line| console::is_seen(line, person.as_ref()));
    }
    ([(CACHE_CONTROL, "no-store")], Json(view)).into_response()
}

#[derive(Debug, Deserialize)]
struct PersonForm {
    person: String,
}

async fn choose_person(State(page): State<Arc<Page>>, Form(form): Form<PersonForm>) -> Response {
    let view = page.view.borrow().clone();
    let Some(person) = form.person.parse().ok().and_then(|name| known(&view, &name)) else {
        return back(&page, Answer::nothing_done(words::CHOOSE_YOURSELF));
    };
    let cookie = format!("{PERSON_COOKIE}={}; Path=/; Max-Age={PERSON_COOKIE_SECS}; HttpOnly; SameSite=Strict", person.person);
    let mut answer = Redirect::to("/").into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

#[derive(Debug, Deserialize)]
struct SayForm {
    text: String,
}

async fn say(State(page): State<Arc<Page>>, headers: HeaderMap, Form(form): Form<SayForm>) -> Response {
    submit(&page, &headers, desk::typed(&form.text).ok_or(words::NOTHING_SAID)).await
}

async fn act(State(page): State<Arc<Page>>, headers: HeaderMap, Form(form): Form<Pressed>) -> Response {
    submit(&page, &headers, Ask::try_from(form).map_err(|_| words::FORM_BROKEN)).await
}

/// Hands a request over and shows what came of it: as a fragment for the script, else by a redirect to the page.
async fn submit(page: &Page, headers: &HeaderMap, ask: Result<Ask, &'static str>) -> Response {
    let view = page.view.borrow().clone();
    let answer = match (speaker(&view, headers), ask) {
        (None, _) => Answer::nothing_done(words::CHOOSE_YOURSELF),
        (_, Err(words)) => Answer::nothing_done(words),
        (Some(speaker), Ok(ask)) => {
            let actor = Actor { platform: local::NAME.to_owned(), user: speaker.identity.clone() };
            answered(page, Request { actor, ask }).await
        }
    };
    if headers.contains_key(LIVE_HEADER) { Html(outcome(&answer).into_string()).into_response() } else { back(page, answer) }
}

async fn answered(page: &Page, request: Request) -> Answer {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    if page.desk.try_send((request, sender)).is_err() {
        return Answer::nothing_done(words::NOT_LISTENING);
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(Ok(reply)) => reply.into(),
        Ok(Err(_)) => Answer::nothing_done(words::NO_ANSWER),
        Err(_) => Answer { words: words::STILL_AT_IT.into(), tone: Tone::Plain },
    }
}

/// To the page, where the outcome is shown: a reload then repeats nothing.
fn back(page: &Page, answer: Answer) -> Response {
    let id = page.outcomes.keep(answer);
    Redirect::to(&format!("/?outcome={id}")).into_response()
}

fn outcome(answer: &Answer) -> Markup {
    layout::outcome(words::tone(answer.tone), &answer.words)
}

/// Who looks at the page: chosen by them, known to the console. Not a proof: the local platform is for trying things out.
fn speaker<'a>(view: &'a View, headers: &HeaderMap) -> Option<&'a ChatPerson> {
    known(view, &chosen(headers)?)
}

fn known<'a>(view: &'a View, person: &PersonName) -> Option<&'a ChatPerson> {
    view.console.as_ref()?.people.iter().find(|known| known.person == *person)
}

fn chosen(headers: &HeaderMap) -> Option<PersonName> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(';'));
    let mut values = cookies.filter_map(|cookie| cookie.trim().strip_prefix(PERSON_COOKIE)?.strip_prefix('='));
    values.next()?.parse().ok()
}
