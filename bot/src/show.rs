//! The snapshot for the page: made from what the workers show, whenever something changed.

mod cards;

pub use cards::view_of as card_view;

use crate::answers::{self, is_silent};
use crate::chat::{Said, Tone};
use crate::moments;
use crate::platforms::local;
use crate::request::WaitLine;
use crate::room::Picture;
use crate::rooms::Doors;
use crate::store::{Activity, Store};
use crate::tips::{Seen, chain};
use crate::view::{
    self, ActivityLine, CalendarView, ChatLine, ChatPerson, CommitLine, ConsoleView, EnvironmentView, HoldView, HostView, SourceView,
    Speaker, Trouble, View, WaitView, WindowState, WindowView,
};
use crate::words;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::calendar::State;
use tidegate_core::lock::Hold;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Made anew this often without news: windows open and hosts fall silent by themselves.
const REFRESH: Duration = Duration::from_secs(10);
/// Changes within this time become one snapshot.
const GAP: Duration = Duration::from_millis(50);
/// Lines of chat on the page.
const CHAT_LINES_MAX: u32 = 200;
/// Lines of activity on the page.
const ACTIVITY_LINES_MAX: u32 = 50;

/// Makes snapshots.
#[derive(Debug)]
pub struct Publisher {
    /// The workers.
    pub doors: Doors,
    /// The branch.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Chat and activity.
    pub store: Store,
    /// The branch's name.
    pub branch: String,
    /// Is the local platform on?
    pub console: Console,
    /// Tells that something changed.
    pub changed: Arc<Notify>,
    /// Passed on: there may be news to deliver.
    pub outbox: Arc<Notify>,
}

/// Is there a chat console?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Yes.
    On,
    /// No.
    Off,
}

impl Publisher {
    /// Publishes until told to stop.
    pub async fn run(mut self, shown: watch::Sender<Arc<View>>, stop: CancellationToken) {
        loop {
            self.outbox.notify_one();
            let view = self.view(Timestamp::now()).await;
            shown.send_replace(Arc::new(view));
            tokio::time::sleep(GAP).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                changed = self.seen.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }

    async fn view(&self, now: Timestamp) -> View {
        let pictures = self.doors.pictures();
        let seen = self.seen.borrow().clone();
        let chat = self.store.chat(CHAT_LINES_MAX).await.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "the chat cannot be read");
            Vec::new()
        });
        let activity = self.store.activity(ACTIVITY_LINES_MAX).await.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "the activity cannot be read");
            Vec::new()
        });
        let mut waits: Vec<WaitView> = pictures.iter().flat_map(|picture| waits(picture, now)).collect();
        waits.sort_by_key(urgency);
        View {
            generated_at: now,
            source: source(&seen, &self.branch),
            waits,
            environments: pictures.iter().map(|picture| environment(picture, now)).collect(),
            cards: cards::cards(&pictures, now),
            activity: activity.into_iter().map(activity_line).collect(),
            console: (self.console == Console::On).then(|| console(&seen, chat)),
        }
    }
}

fn source(seen: &Seen, branch: &str) -> SourceView {
    let tip = seen.head.as_ref().map(|head| CommitLine {
        commit: head.id.clone(),
        author: head.author.name().to_owned(),
        subject: head.subject(),
        at: head.committed_at,
    });
    let broken = seen.broken.as_ref().map(|broken| Trouble {
        words: format!("The branch cannot be used at {}. Everything stays as it is.", broken.commit.short()),
        details: broken.findings.clone(),
    });
    let away =
        seen.trouble.as_ref().map(|words| Trouble { words: "The config repo cannot be followed.".into(), details: vec![words.clone()] });
    SourceView { branch: branch.to_owned(), tip, polled_at: seen.polled_at, trouble: away.or(broken) }
}

/// What needs a person comes first.
fn urgency(wait: &WaitView) -> u8 {
    match wait.code.as_str() {
        "not_releasable" | "broken_tip" => 0,
        "needs_approval" => 1,
        "rejected" | "held" | "silent" => 2,
        _ => 3,
    }
}

/// What waits in an environment; a broken tip is told once, at the top.
fn waits(picture: &Picture, now: Timestamp) -> Vec<WaitView> {
    let lines = answers::waits(picture, now).into_iter();
    lines.filter(|line| line.why.code() != "broken_tip").map(|line| wait(line, now)).collect()
}

fn wait(line: WaitLine, now: Timestamp) -> WaitView {
    WaitView {
        code: line.why.code().to_owned(),
        words: words::wait_reason(&line.why, now),
        cleared_by: words::cleared_by(&line.why),
        next: line.why.next_moment(),
        environment: line.environment,
        stack: line.stack,
        hosts: line.hosts,
    }
}

fn environment(picture: &Picture, now: Timestamp) -> EnvironmentView {
    let holds = picture.holds().iter().map(|held| hold(picture, held)).collect();
    EnvironmentView {
        name: picture.name.clone(),
        release: picture.lock().map(|lock| lock.release),
        window: window(picture, now),
        calendar: calendar(picture, now),
        holds,
        hosts: hosts(picture, now),
    }
}

fn calendar(picture: &Picture, now: Timestamp) -> Option<CalendarView> {
    let standing = picture.standing()?;
    let next_start = standing.calendar.decide(now).next_start;
    Some(CalendarView {
        zone: moments::zone(&standing.calendar),
        planned: answers::planned(picture, next_start, now),
        overrides: standing.overrides.into_iter().filter(|given| given.is_in_force(now)).collect(),
        rules: standing.calendar,
    })
}

/// A hold as it is shown.
pub fn hold(picture: &Picture, hold: &Hold) -> HoldView {
    HoldView {
        stack: hold.stack.clone(),
        release: hold.release,
        by: hold.by.as_ref().map(|by| picture.full_name(by)),
        reason: hold.reason.clone(),
        at: hold.at,
        until: hold.until,
    }
}

fn hosts(picture: &Picture, now: Timestamp) -> Vec<HostView> {
    let Some(tip) = &picture.seen.tip else { return Vec::new() };
    let view = |host: &tidegate_core::repo::Host| {
        let Some(row) = picture.hosts.get(&host.name) else { return HostView::unheard(host.name.clone()) };
        let mut view = match &row.report.status {
            Some(status) => HostView::from_status(status, row.heard_at),
            None => HostView { heard_at: Some(row.heard_at), ..HostView::unheard(host.name.clone()) },
        };
        view.silent = is_silent(row.heard_at, now);
        view.troubles = row.report.troubles.values().cloned().collect();
        view
    };
    tip.repo.hosts_of(&picture.name).map(view).collect()
}

fn window(picture: &Picture, now: Timestamp) -> WindowView {
    let Some(standing) = picture.standing() else {
        return WindowView { state: WindowState::Closed, words: "not read yet".into(), changes_at: None };
    };
    let decision = standing.calendar.decide(now);
    let next = decision.next_start.filter(|at| *at > now);
    let (state, changes_at) = match decision.state {
        State::Open => (WindowState::Open, decision.open_until),
        State::Closing => (WindowState::Closing, decision.open_until),
        State::Closed => (WindowState::Closed, next),
        State::Frozen => (WindowState::Frozen, next),
    };
    WindowView { state, words: words::window(&decision, now), changes_at }
}

fn activity_line(activity: Activity) -> ActivityLine {
    let tone = if activity.refused { view::Tone::Warning } else { view::Tone::Plain };
    ActivityLine { at: activity.at, who: activity.who, what: activity.what, commit: activity.commit, tone }
}

fn console(seen: &Seen, chat: Vec<(u64, Said)>) -> ConsoleView {
    let people = seen.tip.iter().flat_map(|tip| tip.repo.settings.people.values());
    let people = people.filter_map(|person| {
        let identity = person.chat.get(local::NAME)?.clone();
        let roles = person.roles.iter().map(ToString::to_string).collect();
        Some(ChatPerson { person: person.name.clone(), identity, full_name: person.full_name.clone(), roles })
    });
    ConsoleView { people: people.collect(), lines: chat.into_iter().map(chat_line).collect() }
}

fn chat_line((number, said): (u64, Said)) -> ChatLine {
    let tone = match said.tone {
        Tone::Plain => view::Tone::Plain,
        Tone::Good => view::Tone::Good,
        Tone::Warning => view::Tone::Warning,
        Tone::Bad => view::Tone::Bad,
    };
    ChatLine {
        number,
        at: said.at,
        speaker: said.speaker.map_or(Speaker::Bot, Speaker::Person),
        private_to: said.private_to,
        text: said.text,
        tone,
    }
}
