//! What the page shows: a plain snapshot, made by the bot's one writer and published through a
//! `tokio::sync::watch` channel as `Arc<View>`. The page reads it and decides nothing.
//!
//! Texts are as people wrote them (names, subjects, reasons): whoever renders a view escapes them.
//! Lists come in the order in which they are shown.

mod card;

pub use crate::chat::Tone;
use crate::request::Planned;
pub use card::{
    Actions, ApprovalsView, Card, CommitLine, Decide, Expected, HostProgress, ProgressState, ResultView, RollbackChoice, RollbackTarget,
    ServiceChange, StackChange, Stage, TimelineEntry,
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use tidegate_core::calendar::Calendar;
use tidegate_core::events::{HostStatus, ServiceStatus};
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, ReleaseNumber, ServiceName, StackName};
use tidegate_core::lock::Override;

/// Everything the page shows at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// When the snapshot was made.
    pub generated_at: Timestamp,
    /// The config repo as the bot sees it.
    pub source: SourceView,
    /// What waits and why, the most urgent first.
    pub waits: Vec<WaitView>,
    /// The fleet, in promotion order.
    pub environments: Vec<EnvironmentView>,
    /// Candidates and the newest releases, what needs a person first.
    pub cards: Vec<Card>,
    /// Who did what, newest first.
    pub activity: Vec<ActivityLine>,
    /// The chat console; none: the local platform is off.
    pub console: Option<ConsoleView>,
}

impl View {
    /// A snapshot of which nothing is known yet: what is shown before the first poll.
    pub fn empty(generated_at: Timestamp) -> View {
        View {
            generated_at,
            source: SourceView { branch: "main".into(), tip: None, polled_at: None, trouble: None },
            waits: Vec::new(),
            environments: Vec::new(),
            cards: Vec::new(),
            activity: Vec::new(),
            console: None,
        }
    }
}

/// The config repo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// The branch that is followed.
    pub branch: String,
    /// Its newest commit that the bot has.
    pub tip: Option<CommitLine>,
    /// When the remote answered last.
    pub polled_at: Option<Timestamp>,
    /// What is wrong with it, if something is (unreachable, rewritten, findings): one line each.
    pub trouble: Option<Trouble>,
}

/// Something that is wrong, and its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// One sentence.
    pub words: String,
    /// One line each, e.g. findings with file and line.
    pub details: Vec<String>,
}

/// Something that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitView {
    /// Where.
    pub environment: EnvironmentName,
    /// Which stack; none: the whole environment.
    pub stack: Option<StackName>,
    /// On which hosts, when they said so; empty: wherever the environment places it.
    pub hosts: Vec<HostName>,
    /// The stable code: that of `tidegate_core::plan::Waiting`, or one of the bot's own (`needs_approval`, …).
    pub code: String,
    /// Why, one sentence.
    pub words: String,
    /// Who or what can clear it, one sentence; none: time alone.
    pub cleared_by: Option<String>,
    /// The next moment at which it may be different by itself.
    pub next: Option<Timestamp>,
}

/// An environment of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentView {
    /// Its name.
    pub name: EnvironmentName,
    /// Its current release; none: nothing was released yet.
    pub release: Option<ReleaseNumber>,
    /// What its calendar says now.
    pub window: WindowView,
    /// Its calendar; none: not read yet.
    pub calendar: Option<CalendarView>,
    /// Its holds.
    pub holds: Vec<HoldView>,
    /// Its hosts, by name.
    pub hosts: Vec<HostView>,
}

/// A calendar, with what is planned by it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalendarView {
    /// Windows and freezes, of the file and of the lock: months and the feed are made from them when they are asked for.
    #[serde(skip)]
    pub rules: Calendar,
    /// The zone in which the environment is spoken of.
    pub zone: String,
    /// What waits to start.
    pub planned: Vec<Planned>,
    /// Overrides in force.
    pub overrides: Vec<Override>,
}

/// What a calendar says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowView {
    /// May a release start now?
    pub state: WindowState,
    /// One short sentence, e.g. `open until 17:00` or `always open`.
    pub words: String,
    /// When it changes; none: not within the horizon.
    pub changes_at: Option<Timestamp>,
}

/// State of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowState {
    /// A release may start.
    Open,
    /// A release may finish, none may start.
    Closing,
    /// No window is open.
    Closed,
    /// A freeze is in force.
    Frozen,
}

impl WindowState {
    /// May nothing start?
    pub fn is_shut(self) -> bool {
        self != WindowState::Open
    }
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoldView {
    /// The stack; none: the environment.
    pub stack: Option<StackName>,
    /// The held release; none: every new one.
    pub release: Option<ReleaseNumber>,
    /// Owner, as shown to people; none: automation.
    pub by: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// Ends by itself then.
    pub until: Option<Timestamp>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostView {
    /// Its name.
    pub name: HostName,
    /// When it was heard last; none: never.
    pub heard_at: Option<Timestamp>,
    /// Silent for longer than the bot allows?
    pub silent: bool,
    /// Version of its agent.
    pub agent_version: Option<String>,
    /// The newest commit it has seen.
    pub observed_commit: Option<CommitId>,
    /// Its stacks.
    pub stacks: BTreeMap<StackName, StackView>,
    /// What it cannot do at present, one sentence each.
    pub troubles: Vec<String>,
}

impl HostView {
    /// A host that the config repo knows and nobody has heard of.
    pub fn unheard(name: HostName) -> HostView {
        HostView {
            name,
            heard_at: None,
            silent: false,
            agent_version: None,
            observed_commit: None,
            stacks: BTreeMap::new(),
            troubles: Vec::new(),
        }
    }

    /// A host as it described itself at `heard_at`.
    pub fn from_status(status: &HostStatus, heard_at: Timestamp) -> HostView {
        let stacks = status.stacks.iter().map(|(name, stack)| {
            let released = stack.released.as_ref();
            let view = StackView {
                release: released.and_then(|of| of.release),
                commit: released.map(|of| of.commit.clone()),
                since: stack.released_at,
                services: stack.services.clone(),
            };
            (name.clone(), view)
        });
        HostView {
            name: status.host.clone(),
            heard_at: Some(heard_at),
            silent: false,
            agent_version: Some(status.agent_version.clone()),
            observed_commit: status.observed_commit.clone(),
            stacks: stacks.collect(),
            troubles: Vec::new(),
        }
    }
}

/// A stack on a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StackView {
    /// The release that runs by right.
    pub release: Option<ReleaseNumber>,
    /// Its commit.
    pub commit: Option<CommitId>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Services.
    pub services: BTreeMap<ServiceName, ServiceStatus>,
}

/// Who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActivityLine {
    /// When.
    pub at: Timestamp,
    /// Who, as shown to people.
    pub who: String,
    /// What, one sentence.
    pub what: String,
    /// The commit that came of it.
    pub commit: Option<CommitId>,
    /// How to take it; a refused command is a warning.
    pub tone: Tone,
}

/// The chat console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsoleView {
    /// People with a `local` chat identity, by name.
    pub people: Vec<ChatPerson>,
    /// What was said, oldest first.
    pub lines: Vec<ChatLine>,
}

/// Somebody who can speak in the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatPerson {
    /// The key in `people`.
    pub person: PersonName,
    /// The identity on the `local` platform.
    pub identity: String,
    /// Name for people.
    pub full_name: String,
    /// Roles, for people.
    pub roles: Vec<String>,
}

/// Something said in the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatLine {
    /// Grows by one with each line.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who said it.
    pub speaker: Speaker,
    /// Only this person sees it; none: everybody.
    pub private_to: Option<PersonName>,
    /// What; may have several lines.
    pub text: String,
    /// How to take it.
    pub tone: Tone,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// A person, as shown to people.
    Person(String),
    /// The bot.
    Bot,
}
