//! The same evaluation on a map with one bit for each minute, for calendars of so many tiny stretches that walking from boundary to
//! boundary would take seconds. Its cost depends on the number of rules and on the horizon, not on how often they change.
//!
//! Every boundary is a whole minute: cron fires on minutes, durations and freezes are written in minutes, and no zone has had an
//! offset with odd seconds since 1972.

use super::cron::Fields;
use super::evaluate::{HORIZON_SECS, MERGE_SECS};
use super::model::{Calendar, Gated, Once, Recurring, When, Windows};
use super::zone::{Change, Zone};
use jiff::civil::Date;

const SECS_PER_MINUTE: i64 = 60;
const MINUTES_PER_DAY: i64 = 24 * 60;
/// How many minutes are looked at in one go.
const CHUNK_MINUTES: i64 = 128 * MINUTES_PER_DAY;

/// The end of the effective interval around an instant that is open, inside listed windows; none: after the merge limit.
pub(super) fn effective_end(calendar: &Calendar, at_secs: i64) -> Option<i64> {
    let first = at_secs.div_euclid(SECS_PER_MINUTE);
    let last = (at_secs + MERGE_SECS).div_euclid(SECS_PER_MINUTE);
    let mut closed = open_minutes(calendar, Range { first, count: last - first + 1 });
    closed.invert();
    closed.first_set().map(|minute| minute * SECS_PER_MINUTE)
}

/// The first instant in `[from, until)` at which a rollout may start, and that is not inside an interval that began before `from`.
pub(super) fn next_start(calendar: &Calendar, from_secs: i64, until_secs: i64) -> Option<i64> {
    let needed = calendar.cutoff_secs() / SECS_PER_MINUTE + 1;
    let found = chunks(from_secs, until_secs).find_map(|chunk| {
        let mut open = open_minutes(calendar, Range { count: chunk.count + needed, ..chunk });
        open.keep_runs(needed);
        open.first_set()
    });
    found.map(|minute| minute * SECS_PER_MINUTE).filter(|start| *start < until_secs)
}

/// The first instant from `at_secs` on at which no freeze stops this class; none: after the horizon.
pub(super) fn thaw(calendar: &Calendar, class: Gated, at_secs: i64) -> Option<i64> {
    let found = chunks(at_secs, at_secs + HORIZON_SECS).find_map(|chunk| {
        let mut thawed = frozen_minutes(calendar, class, chunk);
        thawed.invert();
        thawed.first_set()
    });
    found.map(|minute| minute * SECS_PER_MINUTE).filter(|end| *end <= at_secs + HORIZON_SECS)
}

/// Minutes that are looked at, counted from 1970.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: i64,
    count: i64,
}

fn chunks(from_secs: i64, until_secs: i64) -> impl Iterator<Item = Range> {
    let first = from_secs.div_euclid(SECS_PER_MINUTE);
    let starts = std::iter::successors(Some(first), |first| Some(first + CHUNK_MINUTES));
    starts.take_while(move |first| first * SECS_PER_MINUTE <= until_secs).map(|first| Range { first, count: CHUNK_MINUTES })
}

fn open_minutes(calendar: &Calendar, range: Range) -> Bits {
    let mut open = Bits::new(range);
    match &calendar.windows {
        Windows::None | Windows::Always => open.invert(),
        Windows::Listed(windows) => windows.iter().for_each(|window| open.mark_recurring(&window.recurring)),
    }
    if !calendar.freezes.is_empty() {
        open.remove(&frozen_minutes(calendar, Gated::Release, range));
    }
    open
}

fn frozen_minutes(calendar: &Calendar, class: Gated, range: Range) -> Bits {
    let mut frozen = Bits::new(range);
    for freeze in calendar.freezes.iter().filter(|freeze| freeze.stops(class)) {
        match &freeze.when {
            When::Once(once) => frozen.mark_once(once),
            When::Recurring(recurring) => frozen.mark_recurring(recurring),
        }
    }
    frozen
}

/// One bit for each minute of a range, the first in the lowest bit of the first word. Bits after the range stay 0.
struct Bits {
    range: Range,
    words: Vec<u64>,
}

const WORD_BITS: i64 = 64;

impl Bits {
    fn new(range: Range) -> Bits {
        Bits { range, words: vec![0; index((range.count + WORD_BITS - 1) / WORD_BITS)] }
    }

    fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        let spare = self.words.len() as i64 * WORD_BITS - self.range.count;
        if let Some(last) = self.words.last_mut() {
            *last &= u64::MAX >> spare;
        }
    }

    fn remove(&mut self, other: &Bits) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// The first minute that is set.
    fn first_set(&self) -> Option<i64> {
        let (position, word) = (0..).zip(&self.words).find(|(_, word)| **word != 0)?;
        Some(self.range.first + position * WORD_BITS + i64::from(word.trailing_zeros()))
    }

    /// Sets `[from, until)`, as far as it lies in the range.
    fn set(&mut self, from: i64, until: i64) {
        let from = (from - self.range.first).clamp(0, self.range.count);
        let until = (until - self.range.first).clamp(0, self.range.count);
        if from >= until {
            return;
        }
        let (first, last) = (index(from / WORD_BITS), index((until - 1) / WORD_BITS));
        let (low, high) = (u64::MAX << (from % WORD_BITS), u64::MAX >> (WORD_BITS - 1 - (until - 1) % WORD_BITS));
        if first == last {
            self.words[first] |= low & high;
        } else {
            self.words[first] |= low;
            self.words[first + 1..last].fill(u64::MAX);
            self.words[last] |= high;
        }
    }

    /// Keeps a minute only if it and the ones after it, `count` in all, are set.
    fn keep_runs(&mut self, count: i64) {
        let mut width = 1;
        while width < count {
            let shift = width.min(count - width);
            self.and_shifted(shift);
            width += shift;
        }
    }

    /// Each bit becomes itself and the one `shift` places later. Reads only words that are not yet changed.
    fn and_shifted(&mut self, shift: i64) {
        let (whole, part) = (index(shift / WORD_BITS), shift % WORD_BITS);
        let word = |words: &[u64], position: usize| words.get(position).copied().unwrap_or(0);
        for position in 0..self.words.len() {
            let low = word(&self.words, position + whole) >> part;
            let high = if part == 0 { 0 } else { word(&self.words, position + whole + 1) << (WORD_BITS - part) };
            self.words[position] &= low | high;
        }
    }

    fn mark_once(&mut self, once: &Once) {
        self.set(once.from_secs.div_euclid(SECS_PER_MINUTE), once.until_secs.div_euclid(SECS_PER_MINUTE));
    }

    fn mark_recurring(&mut self, recurring: &Recurring) {
        let duration = recurring.duration.get();
        let pattern = DayPattern::new(recurring.expression.fields(), duration);
        let clock = Clock::new(&recurring.zone, self.range.first - duration - MINUTES_PER_DAY, self.range.first + self.range.count);
        let first_day = clock.civil_day(self.range.first - duration) - 1;
        let last_day = clock.civil_day(self.range.first + self.range.count) + 1;
        for day in (first_day..=last_day).filter(|day| pattern.matches(*day)) {
            match clock.steady(day) {
                Some(midnight) => pattern.runs.iter().for_each(|(from, until)| self.set(midnight + from, midnight + until)),
                None => {
                    for start in pattern.starts.iter().map(|start| clock.start(day * MINUTES_PER_DAY + start)) {
                        self.set(start, start + duration);
                    }
                }
            }
        }
    }
}

/// The days on which an expression fires, and what a day without a change of the clock looks like.
struct DayPattern<'a> {
    fields: &'a Fields,
    /// Minutes after midnight.
    starts: Vec<i64>,
    /// The starts with their durations, united; minutes after midnight.
    runs: Vec<(i64, i64)>,
}

impl DayPattern<'_> {
    fn new(fields: &Fields, duration: i64) -> DayPattern<'_> {
        let starts: Vec<i64> =
            fields.hours.iter().flat_map(|hour| fields.minutes.iter().map(move |minute| i64::from(hour * 60 + minute))).collect();
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for start in &starts {
            match runs.last_mut() {
                Some((_, until)) if *start <= *until => *until = start + duration,
                _ => runs.push((*start, start + duration)),
            }
        }
        DayPattern { fields, starts, runs }
    }

    /// Does it fire on this day, counted from 1970-01-01?
    fn matches(&self, day: i64) -> bool {
        let Some(date) = civil_date(day) else { return false };
        let number = |value: i8| u32::try_from(value).unwrap_or(0);
        self.fields.weekdays.contains(&number(date.weekday().to_sunday_zero_offset()))
            && self.fields.days_of_month.contains(&number(date.day()))
            && self.fields.months.contains(&number(date.month()))
    }
}

fn civil_date(day: i64) -> Option<Date> {
    let span = jiff::Span::new().try_days(day).ok()?;
    Date::constant(1970, 1, 1).checked_add(span).ok()
}

/// A zone's offsets over a range, in minutes.
struct Clock {
    /// Minutes east of UTC before the first change.
    offset: i64,
    changes: Vec<Change>,
}

impl Clock {
    fn new(zone: &Zone, first: i64, last: i64) -> Clock {
        let (from, until) = (first * SECS_PER_MINUTE, (last + MINUTES_PER_DAY) * SECS_PER_MINUTE);
        Clock { offset: zone.offset_secs(from).div_euclid(SECS_PER_MINUTE), changes: zone.changes(from, until).collect() }
    }

    /// The minute that a civil minute begins: in a gap the first after it, in a fold the earlier one.
    fn start(&self, civil: i64) -> i64 {
        let mut offset = self.offset;
        for change in &self.changes {
            if civil < change.minute() + change.before() {
                break;
            }
            if civil < change.minute() + change.after() {
                return change.minute();
            }
            offset = change.after();
        }
        civil - offset
    }

    fn civil_day(&self, minute: i64) -> i64 {
        let offset = self.changes.iter().take_while(|change| change.minute() <= minute).last().map_or(self.offset, Change::after);
        (minute + offset).div_euclid(MINUTES_PER_DAY)
    }

    /// The minute of a day's midnight, if no change of the clock touches the day.
    fn steady(&self, day: i64) -> Option<i64> {
        let (first, last) = (day * MINUTES_PER_DAY, (day + 1) * MINUTES_PER_DAY);
        let touches = |change: &Change| {
            let (before, after) = (change.minute() + change.before(), change.minute() + change.after());
            before.min(after) < last && before.max(after) >= first
        };
        (!self.changes.iter().any(touches)).then(|| self.start(first))
    }
}

impl Change {
    fn minute(&self) -> i64 {
        self.at_secs.div_euclid(SECS_PER_MINUTE)
    }

    fn before(&self) -> i64 {
        self.before_secs.div_euclid(SECS_PER_MINUTE)
    }

    fn after(&self) -> i64 {
        self.after_secs.div_euclid(SECS_PER_MINUTE)
    }
}

/// Never negative where it is used.
fn index(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}
