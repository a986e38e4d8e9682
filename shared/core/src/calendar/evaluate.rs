//! The evaluation: windows united, freezes subtracted, the cutoff counted back from the effective end.
//!
//! It walks from boundary to boundary. A calendar of many tiny stretches could make that walk long, so its steps are counted, and
//! beyond the allowance the question goes to `minutes`, which costs the same for every calendar.

use super::decision::{Blocked, Decision, Rule, RuleKind, State};
use super::error::Item;
use super::minutes;
use super::model::{Calendar, Freeze, Gated, Window, Windows};
use super::periods::{Period, Stretch};
use super::zone::{ceil_secs, floor_secs, timestamp};
use jiff::{SignedDuration, Timestamp};

/// How far ahead answers look, in days.
pub const HORIZON_DAYS: i64 = 1830;
/// How far ahead overlapping windows are merged, in days; beyond it they are open until further notice.
pub const MERGE_DAYS: i64 = 35;

const SECS_PER_DAY: i64 = 24 * 60 * 60;
pub(super) const HORIZON_SECS: i64 = HORIZON_DAYS * SECS_PER_DAY;
pub(super) const MERGE_SECS: i64 = MERGE_DAYS * SECS_PER_DAY;

/// How often a rule is asked for its next or last stretch before the walk is given up; each costs a few microseconds.
const STEPS_MAX: u32 = 128;

impl Calendar {
    /// The decision for an instant.
    pub fn decide(&self, at: Timestamp) -> Decision {
        let now = Now { at, secs: floor_secs(at) };
        let rollback = self.rollback_blocked(now.secs);
        if let Some((index, _)) = last_covering(&self.freezes, now.secs) {
            let next_start = self.next_start(now.secs, now.secs, NO_NEEDS);
            return Decision { state: State::Frozen, open_until: None, next_start, rule: self.freeze_rule(index), rollback };
        }
        match self.open_rule(now.secs) {
            Some(rule) => Decision { rollback, ..self.inside(&now, rule) },
            None => {
                let next_start = self.next_start(now.secs, now.secs, NO_NEEDS);
                Decision { state: State::Closed, open_until: None, next_start, rule: closed_rule(), rollback }
            }
        }
    }

    /// The first instant from `at` on at which a rollout may start and has this much time until the interval ends; none: none within the
    /// horizon.
    pub fn next_fit(&self, at: Timestamp, needs: SignedDuration) -> Option<Timestamp> {
        let decision = self.decide(at);
        let needs_secs = needs.as_secs() + i64::from(needs.subsec_nanos() > 0);
        match (decision.state, decision.open_until) {
            (State::Open, None) => Some(at),
            (State::Open, Some(end)) if end.duration_since(at) >= needs => Some(at),
            (State::Open | State::Closing, Some(end)) => self.next_start(ceil_secs(end), floor_secs(at), needs_secs),
            _ => self.next_start(floor_secs(at), floor_secs(at), needs_secs),
        }
    }

    /// Inside a window and not frozen: open or closing.
    fn inside(&self, now: &Now, rule: Rule) -> Decision {
        let end = self.effective_end(now.secs);
        let open_until = end.map(timestamp);
        if end.is_none_or(|end| now.secs < end - self.cutoff_secs()) {
            return Decision { state: State::Open, open_until, next_start: Some(now.at), rule, rollback: None };
        }
        let next_start = end.and_then(|end| self.next_start(end, now.secs, NO_NEEDS));
        Decision { state: State::Closing, open_until, next_start, rule: self.cutoff_rule(&rule), rollback: None }
    }

    /// The end of the effective interval around an instant that is open; none: beyond what is looked at.
    fn effective_end(&self, at_secs: i64) -> Option<i64> {
        Walk::new(self).effective_end(at_secs).unwrap_or_else(|GaveUp| minutes::effective_end(self, at_secs))
    }

    /// The first instant from `from_secs` on at which a rollout may start that needs some time, within the horizon of `now_secs`.
    fn next_start(&self, from_secs: i64, now_secs: i64, needs_secs: i64) -> Option<Timestamp> {
        let search = Search { from_secs, until_secs: now_secs + HORIZON_SECS, needs_secs };
        let start = Walk::new(self).next_start(&search).unwrap_or_else(|GaveUp| minutes::next_start(self, &search));
        start.map(timestamp)
    }

    fn rollback_blocked(&self, at_secs: i64) -> Option<Blocked> {
        let stops = |freeze: &Freeze| freeze.stops(Gated::Rollback);
        let covers = |(_, freeze): &(usize, &Freeze)| stops(freeze) && freeze.covering(at_secs).is_some();
        let (index, _) = self.freezes.iter().enumerate().filter(covers).max_by_key(|(_, freeze)| freeze.covering(at_secs))?;
        let end = Walk::new(self).merged_end(self.freezes.iter().filter(|freeze| stops(freeze)), at_secs, at_secs + HORIZON_SECS);
        let until = match end {
            Ok(Some(End::At(end))) => Some(end),
            Ok(_) => None,
            Err(GaveUp) => minutes::thaw(self, Gated::Rollback, at_secs),
        };
        Some(Blocked { until: until.map(timestamp), rule: self.freeze_rule(index) })
    }

    /// The window that keeps an instant open, or the rule that all instants are.
    fn open_rule(&self, at_secs: i64) -> Option<Rule> {
        match &self.windows {
            Windows::None => Some(Rule::named(RuleKind::Always, "no windows")),
            Windows::Always => Some(Rule::named(RuleKind::Always, "always")),
            Windows::Listed(windows) => last_covering(windows, at_secs).map(|(index, window)| self.window_rule(index, window)),
        }
    }

    fn window_rule(&self, index: usize, window: &Window) -> Rule {
        let item = Item::Window(index);
        Rule { item: Some(item), place: self.place(item).cloned(), ..Rule::named(RuleKind::Window, window.label()) }
    }

    fn freeze_rule(&self, index: usize) -> Rule {
        let (item, freeze) = (Item::Freeze(index), self.freezes.get(index));
        let name = freeze.map_or_else(String::new, Freeze::label);
        let reason = freeze.and_then(|freeze| freeze.reason.clone());
        Rule { item: Some(item), place: self.place(item).cloned(), reason, ..Rule::named(RuleKind::Freeze, name) }
    }

    fn cutoff_rule(&self, window: &Rule) -> Rule {
        let cutoff = self.cutoff.map(|cutoff| cutoff.to_string()).unwrap_or_default();
        Rule { item: Some(Item::Cutoff), ..Rule::named(RuleKind::Cutoff, format!("cutoff {cutoff} ({})", window.name)) }
    }
}

fn closed_rule() -> Rule {
    Rule::named(RuleKind::None, "no window is open")
}

/// The instant that is asked for, and its whole seconds; all boundaries are whole seconds.
struct Now {
    at: Timestamp,
    secs: i64,
}

/// The item that covers an instant and ends last.
fn last_covering<P: Period>(periods: &[P], at_secs: i64) -> Option<(usize, &P)> {
    let covering = periods.iter().enumerate().filter_map(|(index, period)| Some((period.covering(at_secs)?.until_secs, index)));
    let (_, index) = covering.max_by_key(|(until, index)| (*until, std::cmp::Reverse(*index)))?;
    Some((index, periods.get(index)?))
}

/// Where stretches that touch or overlap end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At this instant.
    At(i64),
    /// After the limit.
    Beyond,
}

/// A search for the first instant in `[from, until)` at which a rollout may start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) from_secs: i64,
    pub(super) until_secs: i64,
    /// How much time must be left until the interval ends.
    pub(super) needs_secs: i64,
}

/// Any time before the cutoff will do.
const NO_NEEDS: i64 = 0;

/// The walk took too many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveUp;

/// A walk along a calendar, with the steps it may still take.
pub(super) struct Walk<'a> {
    calendar: &'a Calendar,
    steps_left: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(calendar: &'a Calendar) -> Walk<'a> {
        Walk { calendar, steps_left: STEPS_MAX }
    }

    fn step(&mut self) -> Result<(), GaveUp> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(GaveUp)?;
        Ok(())
    }

    /// If an instant is covered: where the stretches end that cover it, overlap or touch. Ends after the limit are not looked for.
    pub(super) fn merged_end<'p, P: Period + 'p>(
        &mut self,
        periods: impl Iterator<Item = &'p P> + Clone,
        at_secs: i64,
        limit_secs: i64,
    ) -> Result<Option<End>, GaveUp> {
        let mut end = at_secs;
        while end <= limit_secs {
            let mut furthest = end;
            for period in periods.clone() {
                self.step()?;
                furthest = furthest.max(period.last_from(end).map_or(end, |stretch| stretch.until_secs));
            }
            if furthest == end {
                return Ok((end > at_secs).then_some(End::At(end)));
            }
            end = furthest;
        }
        Ok(Some(End::Beyond))
    }

    /// The first start of any of these from an instant on.
    fn first_from<'p, P: Period + 'p>(&mut self, periods: impl Iterator<Item = &'p P>, from_secs: i64) -> Result<Option<Stretch>, GaveUp> {
        let mut first: Option<Stretch> = None;
        for period in periods {
            self.step()?;
            first = first.into_iter().chain(period.next_from(from_secs)).min();
        }
        Ok(first)
    }

    /// The end of the effective interval around an instant that is open.
    fn effective_end(&mut self, at_secs: i64) -> Result<Option<i64>, GaveUp> {
        let freeze = self.first_from(self.calendar.freezes.iter(), at_secs)?.map(|stretch| stretch.from_secs);
        let (window, limit_secs) = match &self.calendar.windows {
            Windows::None | Windows::Always => (None, at_secs + HORIZON_SECS),
            Windows::Listed(windows) => match self.merged_end(windows.iter(), at_secs, at_secs + MERGE_SECS)? {
                Some(End::At(end)) => (Some(end), end),
                _ => (None, at_secs + MERGE_SECS),
            },
        };
        let freeze = freeze.filter(|start| *start <= limit_secs);
        Ok(freeze.into_iter().chain(window).min())
    }

    /// The first instant that a search asks for.
    fn next_start(&mut self, search: &Search) -> Result<Option<i64>, GaveUp> {
        let mut from = search.from_secs;
        while let Some(open) = self.next_open(from, search.until_secs)? {
            match self.effective_end(open)? {
                Some(end) if end - open < search.needs_secs.max(self.calendar.cutoff_secs() + 1) => from = end,
                _ => return Ok(Some(open)),
            }
        }
        Ok(None)
    }

    /// The first instant in `[from, until)` that is open.
    pub(super) fn next_open(&mut self, from_secs: i64, until_secs: i64) -> Result<Option<i64>, GaveUp> {
        let mut from = from_secs;
        loop {
            let Some(inside) = self.next_inside(from)?.filter(|inside| *inside < until_secs) else { return Ok(None) };
            match self.merged_end(self.calendar.freezes.iter(), inside, until_secs)? {
                None => return Ok(Some(inside)),
                Some(End::Beyond) => return Ok(None),
                Some(End::At(end)) => from = end,
            }
        }
    }

    /// The first instant from here on that is inside a window.
    fn next_inside(&mut self, from_secs: i64) -> Result<Option<i64>, GaveUp> {
        let Windows::Listed(windows) = &self.calendar.windows else { return Ok(Some(from_secs)) };
        for window in windows {
            self.step()?;
            if window.covering(from_secs).is_some() {
                return Ok(Some(from_secs));
            }
        }
        Ok(self.first_from(windows.iter(), from_secs)?.map(|stretch| stretch.from_secs))
    }
}
