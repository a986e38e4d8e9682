//! What the page's handlers share: the snapshot, the desk, the rendered regions, the outcomes of forms.

use super::desk::{Answer, Desk};
use super::feed::Feeds;
use super::layout;
use crate::http::guard::AllowedHosts;
use crate::http::sse::Pace;
use crate::view::View;
use jiff::Timestamp;
use rand::Rng as _;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Event streams open at once.
const STREAMS_MAX: usize = 1_024;
/// Outcomes remembered until their browser asks for them.
const OUTCOMES_MAX: usize = 256;
/// A rendering is shared by everybody who asks within this time, in seconds.
const SHARED_SECS: i64 = 5;

/// How the page is served.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Names that a browser may reach it under.
    pub allowed_hosts: AllowedHosts,
    /// How often event streams speak.
    pub pace: Pace,
    /// Ends the event streams.
    pub stop: CancellationToken,
}

/// The page.
#[derive(Debug)]
pub struct Page {
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) desk: Desk,
    pub(super) settings: Settings,
    pub(super) streams: Arc<Semaphore>,
    pub(super) outcomes: Outcomes,
    pub(super) feeds: Feeds,
    rendered: Mutex<Option<Rendered>>,
}

/// The common regions of a snapshot, rendered once for all event streams.
#[derive(Debug)]
struct Rendered {
    view: Arc<View>,
    moment: i64,
    html: Arc<str>,
}

impl Page {
    /// A page that shows the snapshot and hands what people ask for to the desk.
    pub fn new(view: watch::Receiver<Arc<View>>, desk: Desk, settings: Settings) -> Arc<Page> {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Arc::new(Page { view, desk, settings, streams, outcomes: Outcomes::default(), feeds: Feeds::default(), rendered: Mutex::new(None) })
    }

    pub(super) fn regions(&self, view: &Arc<View>, now: Timestamp) -> Arc<str> {
        let moment = now.as_second() / SHARED_SECS;
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        match &*rendered {
            Some(have) if Arc::ptr_eq(&have.view, view) && have.moment == moment => have.html.clone(),
            _ => {
                let html: Arc<str> = layout::regions(view, now).into_string().into();
                *rendered = Some(Rendered { view: view.clone(), moment, html: html.clone() });
                html
            }
        }
    }
}

/// What came of the newest forms, by an id that nobody can guess: a link cannot put words into the page.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    kept: Mutex<VecDeque<(String, Answer)>>,
}

impl Outcomes {
    pub(super) fn keep(&self, answer: Answer) -> String {
        let id = hex::encode(rand::rng().random::<[u8; 16]>());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == OUTCOMES_MAX {
            kept.pop_front();
        }
        kept.push_back((id.clone(), answer));
        id
    }

    pub(super) fn get(&self, id: &str) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == id).map(|(_, answer)| answer.clone())
    }
}
