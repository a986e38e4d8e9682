//! The checked calendar: what cannot be wrong any more.

use super::cron::CronExpression;
use super::duration::Minutes;
use super::error::Item;
use super::zone::{Zone, ZoneSource, ceil_secs, timestamp};
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

impl Calendar {
    /// The windows.
    pub fn windows(&self) -> &Windows {
        &self.windows
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
