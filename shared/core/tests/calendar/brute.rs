//! An evaluator that walks minutes. It shares nothing with the product but the zone database, of which it only asks for the civil
//! time of an instant: no gaps, no folds, no cron, no merging.

use crate::policies::{OnceRule, Policy, RecurringRule};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::collections::HashMap;
use tidegate_core::calendar::State;

/// Minutes from 1970 that are walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) count: i64,
}

/// No clock is put forward by more, in minutes: in 2011 Samoa skipped a day.
const CIVIL_GAP_MAX: i64 = 24 * 60;

/// The civil minute of every minute of a span, and the other way round.
pub(crate) struct Table {
    civil: Vec<i64>,
    /// The first and the last minute at which the clock shows a civil minute.
    shown: HashMap<i64, (i64, i64)>,
}

impl Table {
    pub(crate) fn new(zone: &str, span: Span) -> Table {
        let timezone = zone_of(zone);
        let civil: Vec<i64> = (span.first..span.first + span.count).map(|minute| minute + offset(&timezone, minute)).collect();
        let mut shown: HashMap<i64, (i64, i64)> = HashMap::new();
        for (minute, civil) in (span.first..).zip(&civil) {
            shown.entry(*civil).and_modify(|(_, last)| *last = minute).or_insert((minute, minute));
        }
        Table { civil, shown }
    }

    /// The first minute that shows this civil minute, or the next one that is shown at all.
    fn first(&self, civil: i64) -> Option<i64> {
        (civil..=civil + CIVIL_GAP_MAX).find_map(|civil| self.shown.get(&civil)).map(|(first, _)| *first)
    }

    fn last(&self, civil: i64) -> Option<i64> {
        self.shown.get(&civil).map(|(_, last)| *last).or_else(|| self.first(civil))
    }

    fn starts(&self, rule: &RecurringRule) -> Vec<i64> {
        let (low, high) = (self.civil.iter().min().unwrap(), self.civil.iter().max().unwrap());
        let mut starts: Vec<i64> = (*low..=*high).filter(|civil| rule.fires(*civil)).filter_map(|civil| self.first(civil)).collect();
        starts.dedup();
        starts
    }
}

pub(crate) fn zone_of(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn offset(timezone: &TimeZone, minute: i64) -> i64 {
    i64::from(timezone.to_offset(Timestamp::from_second(minute * 60).unwrap()).seconds()) / 60
}

/// What brute force says about an instant.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) state: State,
    pub(crate) open_until: Bound,
    pub(crate) next_start: Bound,
}

/// A moment in seconds, as far as the span shows it.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(crate) enum Bound {
    Never,
    At(i64),
    /// Not inside the span.
    After(i64),
}

/// Everything about a policy in a span, minute by minute.
pub(crate) struct Brute {
    span: Span,
    cutoff: i64,
    frozen: Vec<bool>,
    pub(crate) open: Vec<bool>,
    /// The end of the interval around a minute.
    end: Vec<i64>,
    /// The first minute from a minute on at which something may start.
    next: Vec<Option<i64>>,
    pub(crate) starts: Vec<Vec<i64>>,
}

impl Brute {
    pub(crate) fn new(policy: &Policy, span: Span) -> Brute {
        let mut tables: HashMap<&str, Table> = HashMap::new();
        for zone in policy.zones() {
            tables.entry(zone).or_insert_with(|| Table::new(zone, span));
        }
        Brute::with(policy, span, &tables)
    }

    pub(crate) fn with(policy: &Policy, span: Span, tables: &HashMap<&str, Table>) -> Brute {
        let mut inside = vec![policy.windows.is_empty(); span.count as usize];
        let mut frozen = vec![false; span.count as usize];
        let mut all_starts = Vec::new();
        for window in &policy.windows {
            let starts = tables[window.zone].starts(window);
            starts.iter().for_each(|start| mark(&mut inside, span, (*start, *start + window.duration)));
            all_starts.push(starts);
        }
        for freeze in &policy.recurring_freezes {
            for start in tables[freeze.zone].starts(freeze) {
                mark(&mut frozen, span, (start, start + freeze.duration));
            }
        }
        for OnceRule { zone, from, until } in &policy.once_freezes {
            let table = &tables[zone];
            mark(&mut frozen, span, (table.first(*from).unwrap(), table.last(*until).unwrap()));
        }
        let open: Vec<bool> = inside.iter().zip(&frozen).map(|(inside, frozen)| *inside && !frozen).collect();
        let mut end = vec![span.first + span.count; open.len() + 1];
        for index in (0..open.len()).rev() {
            end[index] = if open[index] { end[index + 1] } else { span.first + index as i64 };
        }
        let cutoff = policy.cutoff.unwrap_or(0);
        let mut next = vec![None; open.len() + 1];
        for index in (0..open.len()).rev() {
            let minute = span.first + index as i64;
            next[index] = if open[index] && minute < end[index] - cutoff { Some(minute) } else { next[index + 1] };
        }
        Brute { span, cutoff, frozen, open, end, next, starts: all_starts }
    }

    /// For an instant well inside the span.
    pub(crate) fn answer(&self, at_secs: i64) -> Answer {
        let index = (at_secs.div_euclid(60) - self.span.first) as usize;
        let last_start = (self.end[index] - self.cutoff) * 60;
        let state = match (self.frozen[index], self.open[index]) {
            (true, _) => State::Frozen,
            (false, false) => State::Closed,
            (false, true) if at_secs < last_start => State::Open,
            (false, true) => State::Closing,
        };
        let open_until = if self.open[index] { self.bound(self.end[index]) } else { Bound::Never };
        let next_start = if state == State::Open { Bound::At(at_secs) } else { self.next_start(index + 1) };
        Answer { state, open_until, next_start }
    }

    fn next_start(&self, from: usize) -> Bound {
        match self.next[from] {
            Some(minute) => Bound::At(minute * 60),
            // An interval that runs out of the span may be long enough after all.
            None => Bound::After((self.span.first + self.span.count - self.cutoff) * 60 - 60),
        }
    }

    fn bound(&self, minute: i64) -> Bound {
        let last = self.span.first + self.span.count;
        if minute >= last { Bound::After(last * 60) } else { Bound::At(minute * 60) }
    }

    /// Every minute of the inner part at which the state changes, in seconds.
    pub(crate) fn boundaries(&self, inner: Span) -> Vec<i64> {
        let seconds = (inner.first..inner.first + inner.count).map(|minute| minute * 60);
        let state = |at: i64| self.answer(at).state;
        let mut boundaries = Vec::new();
        let mut before = state(inner.first * 60);
        for at in seconds.skip(1) {
            let now = state(at);
            if now != before {
                boundaries.push(at);
            }
            before = now;
        }
        boundaries
    }
}

fn mark(minutes: &mut [bool], span: Span, (from, until): (i64, i64)) {
    let place = |minute: i64| (minute - span.first).clamp(0, span.count) as usize;
    if from < until {
        minutes[place(from)..place(until)].fill(true);
    }
}
