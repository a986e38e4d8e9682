//! The iCalendar feed of an environment, for mail and phone calendars: `GET /calendar/production.ics`.
//!
//! It is made at most once an hour, or when the calendar changes. What readers compare, the tag and the moment of the last
//! change, speaks of the events alone, so that asking again costs them nothing while nothing has changed.

use super::state::Page;
use crate::view::EnvironmentView;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::calendar::{Calendar, FeedInputs};
use tidegate_core::ids::{ContentId, EnvironmentName};

const HOUR_SECS: i64 = 3_600;
/// A reader may show what it has for this long without asking, in seconds.
const MAX_AGE_SECS: i64 = 300;

/// The feeds that were made last.
#[derive(Debug, Default)]
pub struct Feeds {
    kept: Mutex<BTreeMap<EnvironmentName, Arc<Feed>>>,
}

/// A feed.
#[derive(Debug)]
struct Feed {
    rules: Calendar,
    hour: i64,
    text: String,
    tag: String,
    modified: Timestamp,
}

impl Feeds {
    fn of(&self, environment: &EnvironmentView, rules: &Calendar, now: Timestamp) -> Arc<Feed> {
        let hour = now.as_second().div_euclid(HOUR_SECS);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.get(&environment.name).cloned();
        if let Some(feed) = before.as_ref().filter(|feed| feed.hour == hour && feed.rules == *rules) {
            return feed.clone();
        }
        let made = Timestamp::from_second(hour * HOUR_SECS).unwrap_or(now);
        let text = rules.feed(&FeedInputs { environment: environment.name.as_str(), now: made });
        let tag = format!("\"{}\"", ContentId::of_bytes(events(&text).as_bytes()).short());
        let modified = before.filter(|feed| feed.tag == tag).map_or(now, |feed| feed.modified);
        let feed = Arc::new(Feed { rules: rules.clone(), hour, text, tag, modified });
        kept.insert(environment.name.clone(), feed.clone());
        feed
    }
}

/// The text without the moment at which it was made.
fn events(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("DTSTAMP")).collect::<Vec<_>>().join("\n")
}

pub(super) async fn serve(State(page): State<Arc<Page>>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let view = page.view.borrow().clone();
    let name = file.strip_suffix(".ics");
    let environment = view.environments.iter().find(|environment| Some(environment.name.as_str()) == name);
    let Some((environment, calendar)) = environment.and_then(|environment| Some((environment, environment.calendar.as_ref()?))) else {
        return (StatusCode::NOT_FOUND, "there is no such calendar: /calendar/ENVIRONMENT.ics\n").into_response();
    };
    let feed = page.feeds.of(environment, &calendar.rules, Timestamp::now());
    let told =
        [(ETAG, feed.tag.clone()), (LAST_MODIFIED, http_date(feed.modified)), (CACHE_CONTROL, format!("private, max-age={MAX_AGE_SECS}"))];
    if is_known(&headers, &feed) {
        return (StatusCode::NOT_MODIFIED, told).into_response();
    }
    let kind: [(HeaderName, String); 2] = [
        (CONTENT_TYPE, "text/calendar; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("inline; filename=\"{}.ics\"", environment.name)),
    ];
    (told, kind, feed.text.clone()).into_response()
}

/// Has the reader this very feed? The tag decides where it is sent.
fn is_known(headers: &HeaderMap, feed: &Feed) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tags) = text(IF_NONE_MATCH) {
        return tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == feed.tag || tag == "*");
    }
    let since = text(IF_MODIFIED_SINCE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    since.is_some_and(|since| feed.modified.as_second() <= since.timestamp().as_second())
}

/// `Sat, 21 Nov 2026 15:00:00 GMT` (RFC 9110).
fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
