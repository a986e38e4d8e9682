//! The config repo after checks: the layer that cannot be wrong.

use super::chat::Chat;
use crate::calendar::Calendar;
use crate::compose::StackModel;
use crate::findings::Place;
use crate::ids::{EnvironmentName, HostName, PersonName, RoleName, StackName};
use crate::lock::{Hold, Lock, Override};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything at one commit.
#[derive(Debug, Clone)]
pub struct Repo {
    /// `tidegate.yaml`.
    pub settings: Settings,
    /// `environments/*.yaml`, in promotion order.
    pub environments: Vec<Environment>,
    /// `hosts/*.yaml`.
    pub hosts: BTreeMap<HostName, Host>,
    /// The stacks as each environment sees them; an environment only holds what it places.
    pub stacks: BTreeMap<(EnvironmentName, StackName), StackModel>,
    /// `releases/*.yaml`.
    pub locks: BTreeMap<EnvironmentName, Lock>,
}

impl Repo {
    /// The environment of that name.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == *name)
    }

    /// The hosts of an environment, in name order.
    pub fn hosts_of<'a>(&'a self, environment: &'a EnvironmentName) -> impl Iterator<Item = &'a Host> {
        self.hosts.values().filter(move |host| host.environment == *environment)
    }
}

/// `tidegate.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Environments in promotion order.
    pub environments: Vec<EnvironmentName>,
    /// People by name.
    pub people: BTreeMap<PersonName, Person>,
    /// The bot's identity in commits.
    pub bot: BotIdentity,
    /// Rooms on chat platforms.
    pub chat: Chat,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The key in `people`.
    pub name: PersonName,
    /// Name in commits.
    pub full_name: String,
    /// E-mail in commits.
    pub email: String,
    /// Roles.
    pub roles: BTreeSet<RoleName>,
    /// Identity on each chat platform: `discord: "1234"`, `local: alice`.
    pub chat: BTreeMap<String, String>,
}

/// The bot in commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotIdentity {
    /// Name in commits; `tidegate-bot` unless given.
    pub name: String,
    /// E-mail in commits.
    pub email: String,
    /// Public keys (`ssh-ed25519 …`) that sign its commits.
    pub keys: Vec<String>,
}

/// `environments/<name>.yaml`.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The file's name.
    pub name: EnvironmentName,
    /// Which stacks go where.
    pub stacks: BTreeMap<StackName, Placement>,
    /// Windows and freezes, checked.
    pub calendar: Calendar,
    /// Who must agree.
    pub approvals: ApprovalPolicy,
    /// Stops that were written by hand.
    pub holds: Vec<Hold>,
    /// Passes that were written by hand.
    pub overrides: Vec<Override>,
}

/// What gates an environment's releases: what stands in its file at the tip and what stands in its lock, together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Windows, freezes of the file and freezes of the lock.
    pub calendar: Calendar,
    /// Stops, of the lock first.
    pub holds: Vec<Hold>,
    /// Passes, of the lock first.
    pub overrides: Vec<Override>,
}

impl Environment {
    /// What gates the environment's releases with this lock. Agent and bot both ask here, so that they never disagree.
    pub fn standing(&self, lock: Option<&Lock>) -> Standing {
        let place = format!("releases/{}.yaml", self.name).parse().ok().map(Place::file);
        let freezes = lock.into_iter().flat_map(|lock| &lock.freezes).map(|freeze| freeze.added(place.clone()));
        let calendar = self.calendar.with_freezes(freezes);
        let holds = self.holds_with(lock).cloned().collect();
        let overrides = lock.into_iter().flat_map(|lock| &lock.overrides).chain(&self.overrides).cloned().collect();
        Standing { calendar, holds, overrides }
    }

    /// The stops of the lock and, after them, those that people wrote into the environment's file.
    pub fn holds_with<'a>(&'a self, lock: Option<&'a Lock>) -> impl Iterator<Item = &'a Hold> + Clone {
        lock.into_iter().flat_map(|lock| &lock.holds).chain(&self.holds)
    }
}

/// Where a stack goes inside its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Labels a host must have, all of them; none: every host of the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, String>,
}

impl Placement {
    /// Does a host with these labels get the stack?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.hosts.iter().all(|(label, value)| labels.get(label) == Some(value))
    }
}

/// `hosts/<name>.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The file's name.
    pub name: HostName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Labels that placements and constraints ask for.
    pub labels: BTreeMap<String, String>,
    /// Public key (`ssh-ed25519 …`) that signs its events; without one the bot refuses its news.
    pub events_key: Option<String>,
}

/// `approvals:` of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalPolicy {
    /// The key is absent: agents follow the tip until a lock exists.
    FollowTip,
    /// `approvals: none`: the bot locks every candidate without asking.
    None,
    /// People must agree.
    Required(ApprovalsRequired),
}

/// The rule for approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalsRequired {
    /// How many distinct people; at least 1.
    pub count: u32,
    /// Each must have one of these roles; empty: anyone in `people`.
    pub roles: BTreeSet<RoleName>,
    /// May authors of the released commits approve?
    pub authors_may_approve: bool,
    /// How long an approval holds, in seconds; none: until the candidate changes.
    pub expires_after_secs: Option<u64>,
}
