//! The checked calendar: what cannot be wrong any more.

use super::cron::CronExpression;
use super::duration::Minutes;
use super::error::Item;
use super::zone::{Zone, ZoneSource, ceil_secs, floor_secs, timestamp};
use crate::findings::Place;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Checked windows, freezes and cutoff of an environment. The default has none: always open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    pub(super) windows: Windows,
    pub(super) freezes: Vec<Freeze>,
    pub(super) cutoff: Option<Minutes>,
    pub(super) zones: Option<ZoneSource>,
}

/// When a release may start, before freezes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Windows {
    /// No windows are written: always open.
    #[default]
    None,
    /// `windows: always`.
    Always,
    /// Within any of these; never empty.
    Listed(Vec<Window>),
}

/// A window: it opens again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub(super) name: Option<String>,
    pub(super) recurring: Recurring,
    pub(super) place: Option<Place>,
}

/// A freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub(super) name: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) when: When,
    pub(super) blocks: BTreeSet<Gated>,
    pub(super) place: Option<Place>,
    /// When somebody asked for it; none: nobody wrote that down.
    pub(super) asked_at: Option<Timestamp>,
}

/// When a freeze is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    Once(Once),
    Recurring(Box<Recurring>),
}

/// A stretch of time that happens once, in seconds, half-open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Once {
    pub(super) from_secs: i64,
    pub(super) until_secs: i64,
    pub(super) text: String,
}

/// A stretch of time that begins whenever its expression fires in its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recurring {
    pub(super) expression: CronExpression,
    pub(super) zone: Zone,
    pub(super) duration: Minutes,
}

/// What a freeze can stop. Repair and abort are never stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gated {
    /// Adopting a release.
    Release,
    /// Going back to a release that was verified here.
    Rollback,
}

/// A freeze that stands elsewhere than in the calendar's own file: the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedFreeze {
    /// What people call it.
    pub name: String,
    /// Why.
    pub reason: Option<String>,
    /// When somebody asked for it.
    pub at: Timestamp,
    /// Begins in the minute that this lies in; none: when it was asked for.
    pub from: Option<Timestamp>,
    /// Ends then, rounded up to the minute; none: somebody lifts it.
    pub until: Option<Timestamp>,
    /// What it stops.
    pub blocks: BTreeSet<Gated>,
    /// Where it is written.
    pub place: Option<Place>,
}

/// A freeze without an end lasts until here, in seconds: as far as instants reach (9999-12-30T22:00Z), a whole minute.
pub(super) const ENDLESS_SECS: i64 = 253_402_207_200;
const SECS_PER_MINUTE: i64 = 60;

impl From<AddedFreeze> for Freeze {
    /// Boundaries are whole minutes everywhere in the calendar, so the freeze grows to them.
    fn from(added: AddedFreeze) -> Freeze {
        let from_secs = floor_secs(added.from.unwrap_or(added.at)).div_euclid(SECS_PER_MINUTE) * SECS_PER_MINUTE;
        let up = |until| (ceil_secs(until) + SECS_PER_MINUTE - 1).div_euclid(SECS_PER_MINUTE) * SECS_PER_MINUTE;
        let until_secs = added.until.map_or(ENDLESS_SECS, up).min(ENDLESS_SECS);
        let when = When::Once(Once { from_secs, until_secs, text: added.name.clone() });
        let (blocks, place, asked_at) = (added.blocks, added.place, Some(added.at));
        Freeze { name: Some(added.name), reason: added.reason, when, blocks, place, asked_at }
    }
}

impl Calendar {
    /// The same calendar with more freezes, after its own.
    #[must_use]
    pub fn with_freezes(&self, freezes: impl IntoIterator<Item = AddedFreeze>) -> Calendar {
        let mut calendar = self.clone();
        calendar.freezes.extend(freezes.into_iter().map(Freeze::from));
        calendar
    }

    /// The same calendar for a host's gates: a freeze that was to begin when it was asked for has begun, whatever the
    /// host's clock says. It may be behind the clock of whoever asked.
    #[must_use]
    pub fn with_asked_freezes_begun(mut self) -> Calendar {
        for freeze in &mut self.freezes {
            let asked_secs = freeze.asked_at.map(|at| floor_secs(at).div_euclid(SECS_PER_MINUTE) * SECS_PER_MINUTE);
            if let When::Once(once) = &mut freeze.when
                && asked_secs == Some(once.from_secs)
            {
                once.from_secs = 0;
            }
        }
        self
    }

    /// Only the freezes that somebody asked for after a moment, and no windows: what an override of that moment did not know.
    pub(crate) fn freezes_asked_after(&self, moment: Timestamp) -> Calendar {
        let is_later = |freeze: &&Freeze| freeze.asked_at.is_some_and(|at| at.as_second() > moment.as_second());
        let freezes = self.freezes.iter().filter(is_later).cloned().collect();
        Calendar { freezes, zones: self.zones.clone(), ..Calendar::default() }
    }

    /// The windows.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Does it ever say anything else at another time? Then it needs a clock that can be trusted.
    pub fn depends_on_time(&self) -> bool {
        !self.listed().is_empty() || !self.freezes.is_empty()
    }

    /// What its windows are called, in order; none: always open.
    pub fn window_labels(&self) -> Vec<String> {
        self.listed().iter().map(Window::label).collect()
    }

    /// The zones of its windows, each once, in the order in which they are written.
    pub fn zone_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.listed().iter().map(Window::zone_name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The freezes, in the order in which they are written.
    pub fn freezes(&self) -> &[Freeze] {
        &self.freezes
    }

    /// How long before the end of an interval nothing is started any more.
    pub fn cutoff(&self) -> Option<Minutes> {
        self.cutoff
    }

    /// The zone database that the calendar was checked with; none: it has no zones.
    pub fn zones(&self) -> Option<&ZoneSource> {
        self.zones.as_ref()
    }

    /// The windows in a list; empty when always open.
    pub(super) fn listed(&self) -> &[Window] {
        match &self.windows {
            Windows::None | Windows::Always => &[],
            Windows::Listed(windows) => windows,
        }
    }

    pub(super) fn cutoff_secs(&self) -> i64 {
        self.cutoff.map_or(0, Minutes::as_secs)
    }

    /// The place of an item, if the reader knew it.
    pub fn place(&self, item: Item) -> Option<&Place> {
        match item {
            Item::Window(index) => self.listed().get(index)?.place.as_ref(),
            Item::Freeze(index) => self.freezes.get(index)?.place.as_ref(),
            Item::AllWindows | Item::AllFreezes | Item::Cutoff => None,
        }
    }
}

impl Window {
    /// Its name, or how it is written.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.recurring.label())
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Every instant at which it opens in `[from, until)`, in order.
    pub fn starts(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let starts = self.recurring.starts(ceil_secs(from), ceil_secs(until));
        starts.map(timestamp)
    }

    /// The expression with single spaces.
    pub fn cron(&self) -> &str {
        self.recurring.expression.text()
    }

    /// How long it is open.
    pub fn duration(&self) -> Minutes {
        self.recurring.duration
    }

    /// The IANA name of its zone.
    pub fn zone_name(&self) -> &str {
        self.recurring.zone.name()
    }
}

impl Freeze {
    /// Its name, or how it is written.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| match &self.when {
            When::Once(once) => once.text.clone(),
            When::Recurring(recurring) => recurring.label(),
        })
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Why, if somebody said so.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What it stops.
    pub fn blocks(&self) -> &BTreeSet<Gated> {
        &self.blocks
    }

    pub(super) fn stops(&self, class: Gated) -> bool {
        self.blocks.contains(&class)
    }
}

impl Recurring {
    fn label(&self) -> String {
        format!("{} for {} {}", self.expression.text(), self.duration, self.zone.name())
    }
}
