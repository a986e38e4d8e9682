//! What is allowed but probably not meant: warnings for validation, the page and the bot.

use super::error::Item;
use super::model::{Calendar, When, Window, Windows};
use super::view::Opening;
use super::zone::{floor_secs, timestamp};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Less open time than this in a month is hardly meant, in minutes.
pub const OPEN_MINUTES_PER_MONTH_MIN: i64 = 4 * 60;
/// How far ahead the warnings look, in days: three months, so that a rare opening counts.
pub const LINT_DAYS: i64 = 90;

const DAYS_PER_MONTH: i64 = 30;
const SECS_PER_DAY: i64 = 24 * 60 * 60;
/// How many starts of a window are tried before it is called too short.
const STARTS_TRIED_MAX: usize = 200;
/// How many intervals are looked at.
const OPENINGS_MAX: usize = 20_000;

/// What the warnings are measured against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintInputs {
    /// The moment of looking.
    pub now: Timestamp,
    /// Is this an environment in which releasing at any time is worth a warning?
    pub production: bool,
    /// How long the slowest rollout may take, with the way back, in seconds; none: not known.
    pub slowest_budget_secs: Option<u64>,
    /// How long an approval holds, in seconds; none: it does not expire.
    pub approval_expires_secs: Option<u64>,
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// What it is about.
    pub item: Item,
    /// Which key of the item; empty when the item as a whole is meant.
    pub field: &'static str,
    /// A stable code in snake case.
    pub code: &'static str,
    /// What is odd, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl Calendar {
    /// Every warning about this calendar.
    pub fn lint(&self, inputs: &LintInputs) -> Vec<Lint> {
        let openings = self.openings(inputs.now, timestamp(floor_secs(inputs.now) + LINT_DAYS * SECS_PER_DAY));
        let openings: Vec<Opening> = openings.take(OPENINGS_MAX).collect();
        let mut lints = Vec::new();
        lints.extend(self.without_windows(inputs));
        lints.extend(self.short_windows(inputs, &openings));
        lints.extend(self.open_time(inputs, &openings));
        lints.extend(self.expiring_approvals(inputs, &openings));
        lints.extend(self.doubled_names());
        lints.extend(self.freezes_that_are_over(inputs.now));
        lints
    }

    fn without_windows(&self, inputs: &LintInputs) -> Option<Lint> {
        (inputs.production && self.windows == Windows::None).then(|| Lint {
            item: Item::AllWindows,
            field: "",
            code: "production_without_windows",
            message: "no windows: releases may start at any time".to_owned(),
            hint: "if this is meant, say so with `windows: always`",
        })
    }

    fn short_windows(&self, inputs: &LintInputs, openings: &[Opening]) -> Vec<Lint> {
        let budget_secs = inputs.slowest_budget_secs.map_or(0, |secs| i64::try_from(secs).unwrap_or(i64::MAX));
        let needs_secs = budget_secs.max(self.cutoff_secs() + 1);
        let windows = self.listed().iter().enumerate();
        let short = windows.filter(|(_, window)| self.is_too_short(window, (needs_secs, inputs.now), openings));
        short.map(|(index, window)| too_short(index, window, (budget_secs, self.cutoff_secs()))).collect()
    }

    /// Never part of an interval that is long enough, alone or united with others.
    fn is_too_short(&self, window: &Window, (needs_secs, now): (i64, Timestamp), openings: &[Opening]) -> bool {
        if window.duration().as_secs() >= needs_secs {
            return false;
        }
        let until = timestamp(floor_secs(now) + LINT_DAYS * SECS_PER_DAY);
        let fits = |opening: &Opening| length_secs(opening).is_none_or(|length| length >= needs_secs);
        let in_a_long_one = |start: Timestamp| {
            let place = openings.partition_point(|opening| opening.opens.is_none_or(|opens| opens <= start));
            place
                .checked_sub(1)
                .and_then(|place| openings.get(place))
                .is_some_and(|opening| opening.closes.is_none_or(|closes| start < closes) && fits(opening))
        };
        !window.starts(now, until).take(STARTS_TRIED_MAX).any(in_a_long_one)
    }

    fn open_time(&self, inputs: &LintInputs, openings: &[Opening]) -> Option<Lint> {
        let item = if self.listed().is_empty() { Item::AllFreezes } else { Item::AllWindows };
        if openings.len() == OPENINGS_MAX {
            return None;
        }
        if self.next_opening_at_all(inputs.now).is_none() {
            let message = "nothing may ever start within the next five years".to_owned();
            let hint = "look at cutoff, freezes and the days of the windows together: what is left of each interval is too short";
            return Some(Lint { item, field: "", code: "never_opens", message, hint });
        }
        let (from, until) = (floor_secs(inputs.now), floor_secs(inputs.now) + LINT_DAYS * SECS_PER_DAY);
        let minutes = openings.iter().map(|opening| startable_secs(opening, (from, until))).sum::<i64>() / 60;
        let per_month = minutes * DAYS_PER_MONTH / LINT_DAYS;
        (per_month < OPEN_MINUTES_PER_MONTH_MIN).then(|| Lint {
            item,
            field: "",
            code: "little_open_time",
            message: format!("releases may start for only {} a month, counted over the next {LINT_DAYS} days", hours(per_month)),
            hint: "longer or more windows, or fewer freezes; changes that pile up make big releases",
        })
    }

    fn next_opening_at_all(&self, now: Timestamp) -> Option<Timestamp> {
        self.decide(now).next_start
    }

    /// An approval must live longer than the longest time in which nothing may start.
    fn expiring_approvals(&self, inputs: &LintInputs, openings: &[Opening]) -> Option<Lint> {
        let expires_secs = i64::try_from(inputs.approval_expires_secs?).unwrap_or(i64::MAX);
        let closed_secs = longest_closed_secs(inputs.now, openings.iter().filter(|opening| opening.is_startable()));
        (expires_secs < closed_secs).then(|| Lint {
            item: Item::AllWindows,
            field: "",
            code: "approval_expires_while_closed",
            message: format!(
                "an approval expires after {}, but nothing may start for {}",
                hours(expires_secs / 60),
                hours(closed_secs / 60)
            ),
            hint: "let approvals hold longer than the longest closed time",
        })
    }

    fn doubled_names(&self) -> Vec<Lint> {
        let windows = self.listed().iter().enumerate().map(|(index, window)| (Item::Window(index), window.name.as_deref()));
        let freezes = self.freezes.iter().enumerate().map(|(index, freeze)| (Item::Freeze(index), freeze.name.as_deref()));
        let mut seen: BTreeMap<String, Item> = BTreeMap::new();
        let mut lints = Vec::new();
        for (item, name) in windows.chain(freezes) {
            let Some(name) = name else { continue };
            if let Some(first) = seen.get(&name.to_lowercase()) {
                let message = format!("the name `{name}` is also that of {first}");
                let hint = "give each its own name: reasons and commands name them";
                lints.push(Lint { item, field: "name", code: "doubled_name", message, hint });
            } else {
                seen.insert(name.to_lowercase(), item);
            }
        }
        lints
    }

    fn freezes_that_are_over(&self, now: Timestamp) -> impl Iterator<Item = Lint> {
        let over = move |when: &When| matches!(when, When::Once(once) if once.until_secs <= floor_secs(now));
        let freezes = self.freezes.iter().enumerate().filter(move |(_, freeze)| over(&freeze.when));
        freezes.map(|(index, freeze)| Lint {
            item: Item::Freeze(index),
            field: "until",
            code: "freeze_over",
            message: format!("the freeze `{}` is over", freeze.label()),
            hint: "remove it; git remembers it",
        })
    }
}

fn too_short(index: usize, window: &Window, (budget_secs, cutoff_secs): (i64, i64)) -> Lint {
    let needed = if budget_secs > cutoff_secs {
        format!("the slowest rollout may take {} with the way back", hours((budget_secs + 59) / 60))
    } else {
        format!("the cutoff is {}", hours(cutoff_secs / 60))
    };
    Lint {
        item: Item::Window(index),
        field: "duration",
        code: "window_too_short",
        message: format!("the window `{}` is never long enough to start anything: {needed}", window.label()),
        hint: "make it longer, or shorten the deadlines of the slowest stack",
    }
}

fn length_secs(opening: &Opening) -> Option<i64> {
    Some(opening.closes?.as_second() - opening.opens?.as_second())
}

/// For how long something may start, inside a range.
fn startable_secs(opening: &Opening, (from, until): (i64, i64)) -> i64 {
    let begin = opening.opens.map_or(from, |opens| opens.as_second().max(from));
    let end = opening.starts_until.map_or(until, |end| end.as_second().min(until));
    (end - begin).max(0)
}

/// From the end of one interval to the begin of the next, the longest; also from now to the first.
fn longest_closed_secs<'a>(now: Timestamp, openings: impl Iterator<Item = &'a Opening>) -> i64 {
    let mut closed_since = floor_secs(now);
    let mut longest = 0;
    for opening in openings {
        longest = longest.max(opening.opens.map_or(0, |opens| opens.as_second() - closed_since));
        closed_since = opening.starts_until.map_or(i64::MAX, |until| until.as_second().max(closed_since));
    }
    longest.max((floor_secs(now) + LINT_DAYS * SECS_PER_DAY).saturating_sub(closed_since))
}

/// Minutes as people read them.
fn hours(minutes: i64) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, _) if hours >= 48 => format!("{} days", hours / 24),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
