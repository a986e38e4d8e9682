//! What the page shows: a plain snapshot, made by the bot's one writer and published through a
//! `tokio::sync::watch` channel as `Arc<View>`. The page reads it and decides nothing.
//!
//! Texts are as people wrote them (names, subjects, reasons): whoever renders a view escapes them.
//! Lists come in the order in which they are shown.

pub use crate::chat::Tone;
use crate::request::Planned;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use tidegate_core::calendar::Calendar;
use tidegate_core::events::{HostStatus, ServiceStatus};
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, ReleaseNumber, ServiceName, StackName};
use tidegate_core::lock::{Override, ReleaseKind};

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

/// A release or a candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Where.
    pub environment: EnvironmentName,
    /// Its number; for a candidate the number it will get.
    pub release: ReleaseNumber,
    /// What made it.
    pub kind: ReleaseKind,
    /// Where it stands.
    pub stage: Stage,
    /// One sentence on where it stands, e.g. `Waits for one approval by an engineer.`
    pub words: String,
    /// What a button press says that it means; the bot refuses when it is not this any more.
    pub expected: Expected,
    /// The commit the candidate is at.
    pub commit: CommitId,
    /// Who asked for it, as shown to people; none: automation.
    pub requested_by: Option<String>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// What changes, per stack.
    pub changes: Vec<StackChange>,
    /// Authors of the commits, as shown to people.
    pub authors: Vec<String>,
    /// Commits since the last released state, newest first.
    pub commits: Vec<CommitLine>,
    /// How many more commits there are than are listed.
    pub commits_not_listed: usize,
    /// Consent.
    pub approvals: ApprovalsView,
    /// What the calendar says about it.
    pub window: Option<WindowView>,
    /// What it waits for.
    pub waits: Vec<WaitView>,
    /// How it goes on the hosts.
    pub rollout: Vec<HostProgress>,
    /// How it ended; none: it has not.
    pub result: Option<ResultView>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// What a person may do now.
    pub actions: Actions,
}

/// Where a card stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// People must agree.
    NeedsApproval,
    /// Released in git; hosts wait for a window, a freeze or the like.
    Waiting,
    /// Hosts are at it.
    RollingOut,
    /// Verified on every host.
    Live,
    /// A check said no and the release before serves again.
    FailedRolledBack,
    /// A check said no, and a person must look.
    Failed,
    /// It could not be checked; not a verdict on the release.
    Error,
    /// Stopped by a person or the bot.
    Held,
    /// A person said no.
    Rejected,
    /// A newer one took its place.
    Superseded,
}

/// What a button press means: exactly this commit and this desired state of the environment.
pub type Expected = tidegate_core::policy::Subject;

/// What changes in a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackChange {
    /// The stack.
    pub stack: StackName,
    /// The release it has now; none: it is new.
    pub from_release: Option<ReleaseNumber>,
    /// Services that change.
    pub services: Vec<ServiceChange>,
}

/// What changes in a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceChange {
    /// The service.
    pub service: ServiceName,
    /// Version for people, now; none: it is new.
    pub from: Option<String>,
    /// Version for people, then; none: it goes.
    pub to: Option<String>,
    /// Field by field, in words (`tidegate_core::plan::changes`).
    pub details: Vec<String>,
}

/// A commit in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitLine {
    /// Its id.
    pub commit: CommitId,
    /// Who wrote it.
    pub author: String,
    /// Its first line.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// Consent to a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApprovalsView {
    /// How many are needed; 0: none.
    pub needed: u32,
    /// Who agreed, as shown to people, and when.
    pub given: Vec<(String, Timestamp)>,
    /// Who may still agree, one sentence; none: nobody needs to.
    pub missing: Option<String>,
}

/// How a release goes on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostProgress {
    /// The host.
    pub host: HostName,
    /// The stack.
    pub stack: StackName,
    /// Where it stands.
    pub state: ProgressState,
    /// Steps done.
    pub done: u32,
    /// Steps in all; 0: not known.
    pub steps: u32,
    /// What is being done, or why it waits, or how it ended: one sentence.
    pub words: String,
    /// When that was said.
    pub at: Option<Timestamp>,
}

/// Where a host stands with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// It runs and was verified.
    Verified,
    /// A check said no.
    Failed,
    /// It could not be done.
    Error,
}

/// How a release ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResultView {
    /// Good or bad.
    pub tone: Tone,
    /// One sentence, e.g. `failed on web-1, rolled back to release 6`.
    pub words: String,
    /// The last log lines, where it failed.
    pub log: Vec<String>,
}

/// Something that happened to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// Who or what did it, as shown to people.
    pub who: String,
    /// What, one sentence.
    pub what: String,
    /// How to take it.
    pub tone: Tone,
}

/// What a person may do with a card. The bot decides again when it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Actions {
    /// May it be approved or rejected?
    pub decide: Decide,
    /// Stacks that can go back, and to what.
    pub rollbacks: Vec<RollbackChoice>,
}

/// Is a decision asked for?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// Yes: approve or reject.
    Asked,
    /// No.
    #[default]
    NotAsked,
}

/// A stack that can go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackChoice {
    /// The stack.
    pub stack: StackName,
    /// Where it can go, the last good one first.
    pub targets: Vec<RollbackTarget>,
}

/// A release to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackTarget {
    /// Its number.
    pub release: ReleaseNumber,
    /// For people: versions and age, e.g. `web:1.8.1, api:2.0 · verified 2 days ago`.
    pub label: String,
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
