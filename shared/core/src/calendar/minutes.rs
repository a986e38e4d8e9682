//! The same evaluation on a map with one bit for each minute, for calendars of so many tiny stretches that walking from boundary to
//! boundary would take seconds. Its cost depends on the number of rules and on the horizon, not on how often they change.
//!
//! Every boundary is a whole minute: cron fires on minutes, durations and freezes are written in minutes, and no zone has had an
//! offset with odd seconds since 1972.

use super::cron::Fields;
use super::evaluate::{HORIZON_SECS, MERGE_SECS, Search};
use super::model::{Calendar, Gated, Once, Recurring, When, Windows};
use super::zone::{Change, Zone, timestamp};
use jiff::civil::Date;
use jiff::tz::Offset;

const SECS_PER_MINUTE: i64 = 60;
const MINUTES_PER_HOUR: u32 = 60;
const MINUTES_PER_DAY: i64 = 24 * 60;
/// How many minutes are looked at in one go.
const CHUNK_MINUTES: i64 = 128 * MINUTES_PER_DAY;

/// The end of the effective interval around an instant that is open, inside listed windows; none: after the merge limit.
pub(super) fn effective_end(calendar: &Calendar, at_secs: i64) -> Option<i64> {
    let mut closed = open_minutes(calendar, Range::covering(at_secs, at_secs + MERGE_SECS));
    closed.invert();
    closed.first_set().map(|minute| minute * SECS_PER_MINUTE)
}

/// The first instant that a search asks for; `from` must not be inside an interval that began before it.
pub(super) fn next_start(calendar: &Calendar, search: &Search) -> Option<i64> {
    let needed = (calendar.cutoff_secs() / SECS_PER_MINUTE + 1).max((search.needs_secs + SECS_PER_MINUTE - 1) / SECS_PER_MINUTE);
    // More than the merge limit is "until further notice", which is time enough.
    let needed = needed.min(MERGE_SECS / SECS_PER_MINUTE + 1);
    let found = chunks(search.from_secs, search.until_secs).find_map(|chunk| {
        let mut open = open_minutes(calendar, Range { count: chunk.count + needed, ..chunk });
        open.keep_runs(needed);
        open.first_set()
    });
    found.map(|minute| minute * SECS_PER_MINUTE).filter(|start| *start < search.until_secs)
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

/// When the effective interval around an instant began; none: before the other instant, or it is not open.
pub(super) fn opened_at(calendar: &Calendar, since_secs: i64, at_secs: i64) -> Option<i64> {
    let minute = at_secs.div_euclid(SECS_PER_MINUTE);
    let runs = open_minutes(calendar, Range::covering(since_secs - SECS_PER_MINUTE, at_secs)).into_runs();
    let around = runs.last().filter(|run| run.until.is_none_or(|until| minute < until))?;
    around.from.map(|from| from * SECS_PER_MINUTE)
}

/// Minutes that are looked at, counted from 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    first: i64,
    count: i64,
}

impl Range {
    /// All minutes from the one to the other instant, with both.
    pub(super) fn covering(from_secs: i64, until_secs: i64) -> Range {
        let first = from_secs.div_euclid(SECS_PER_MINUTE);
        Range { first, count: until_secs.div_euclid(SECS_PER_MINUTE) - first + 1 }
    }
}

fn chunks(from_secs: i64, until_secs: i64) -> impl Iterator<Item = Range> {
    let first = from_secs.div_euclid(SECS_PER_MINUTE);
    let starts = std::iter::successors(Some(first), |first| Some(first + CHUNK_MINUTES));
    starts.take_while(move |first| first * SECS_PER_MINUTE <= until_secs).map(|first| Range { first, count: CHUNK_MINUTES })
}

/// The minutes of the effective intervals.
pub(super) fn open_minutes(calendar: &Calendar, range: Range) -> Bits {
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

/// The minutes in which one recurring rule is in force.
pub(super) fn recurring_minutes(recurring: &Recurring, range: Range) -> Bits {
    let mut bits = Bits::new(range);
    bits.mark_recurring(recurring);
    bits
}

/// One bit for each minute of a range, the first in the lowest bit of the first word. Bits after the range stay 0.
pub(super) struct Bits {
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
        self.clear_spare();
    }

    fn clear_spare(&mut self) {
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

    /// The stretches of minutes that are set, in order.
    pub(super) fn into_runs(self) -> Runs {
        Runs { bits: self, position: 0 }
    }

    /// The first place from `from` on where a bit is `wanted`; the end of the range if there is none.
    fn find(&self, from: i64, wanted: bool) -> i64 {
        let flip = if wanted { 0 } else { u64::MAX };
        let mut position = from;
        while position < self.range.count {
            let word = (self.words[index(position / WORD_BITS)] ^ flip) >> (position % WORD_BITS);
            if word != 0 {
                return (position + i64::from(word.trailing_zeros())).min(self.range.count);
            }
            position = (position / WORD_BITS + 1) * WORD_BITS;
        }
        self.range.count
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
        for day in pattern.days(first_day, last_day) {
            match clock.steady(day) {
                Some(midnight) => self.mark_day(&pattern, midnight),
                None => {
                    for start in pattern.starts.iter().map(|start| clock.start(day * MINUTES_PER_DAY + start)) {
                        self.set(start, start + duration);
                    }
                }
            }
        }
    }
}

impl Bits {
    fn mark_day(&mut self, pattern: &DayPattern<'_>, midnight: i64) {
        match &pattern.bits {
            Some(bits) => self.or_at(bits, midnight),
            None => pattern.runs.iter().for_each(|(from, until)| self.set(midnight + from, midnight + until)),
        }
    }

    /// Adds other bits, with their first at a minute.
    fn or_at(&mut self, other: &Bits, minute: i64) {
        let place = minute - self.range.first;
        let (first, shift) = (place.div_euclid(WORD_BITS), place.rem_euclid(WORD_BITS));
        for (position, word) in (first..).zip(&other.words) {
            self.or_word(position, word << shift);
            self.or_word(position + 1, word.checked_shr(u32::try_from(WORD_BITS - shift).unwrap_or(u32::MAX)).unwrap_or(0));
        }
        self.clear_spare();
    }

    fn or_word(&mut self, position: i64, bits: u64) {
        if let Some(word) = usize::try_from(position).ok().and_then(|position| self.words.get_mut(position)) {
            *word |= bits;
        }
    }
}

/// Stretches of minutes that are set.
pub(super) struct Runs {
    bits: Bits,
    position: i64,
}

/// A stretch of minutes; none: it goes on beyond the range.
pub(super) struct Run {
    from: Option<i64>,
    until: Option<i64>,
}

impl Run {
    /// Both ends in seconds.
    pub(super) fn as_secs(&self) -> (Option<i64>, Option<i64>) {
        (self.from.map(|minute| minute * SECS_PER_MINUTE), self.until.map(|minute| minute * SECS_PER_MINUTE))
    }
}

impl Iterator for Runs {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let Range { first, count } = self.bits.range;
        let from = self.bits.find(self.position, true);
        let until = self.bits.find(from, false);
        self.position = until;
        let inner = |position: i64| (position > 0 && position < count).then_some(first + position);
        (from < count).then(|| Run { from: inner(from), until: inner(until) })
    }
}

/// The days on which an expression fires, and what a day without a change of the clock looks like.
struct DayPattern<'a> {
    fields: &'a Fields,
    /// Minutes after midnight.
    starts: Vec<i64>,
    /// The starts with their durations, united; minutes after midnight.
    runs: Vec<(i64, i64)>,
    /// The runs as bits, if they are too many to be set one by one.
    bits: Option<Bits>,
}

/// More runs in a day than this are added as bits.
const RUNS_MAX: usize = 8;

impl DayPattern<'_> {
    fn new(fields: &Fields, duration: i64) -> DayPattern<'_> {
        let starts: Vec<i64> = fields
            .hours
            .iter()
            .flat_map(|hour| fields.minutes.iter().map(move |minute| i64::from(hour * MINUTES_PER_HOUR + minute)))
            .collect();
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for start in &starts {
            match runs.last_mut() {
                Some((_, until)) if *start <= *until => *until = start + duration,
                _ => runs.push((*start, start + duration)),
            }
        }
        let bits = runs.last().filter(|_| runs.len() > RUNS_MAX).map(|(_, until)| {
            let mut bits = Bits::new(Range { first: 0, count: *until });
            runs.iter().for_each(|(from, until)| bits.set(*from, *until));
            bits
        });
        DayPattern { fields, starts, runs, bits }
    }

    fn matches(&self, date: Date) -> bool {
        let number = |value: i8| u32::try_from(value).unwrap_or(0);
        self.fields.weekdays.contains(number(date.weekday().to_sunday_zero_offset()))
            && self.fields.days_of_month.contains(number(date.day()))
            && self.fields.months.contains(number(date.month()))
    }

    /// The days from `first` to `last`, counted from 1970-01-01, on which it fires.
    fn days(&self, first: i64, last: i64) -> impl Iterator<Item = i64> {
        let first_date = Offset::UTC.to_datetime(timestamp(first * MINUTES_PER_DAY * SECS_PER_MINUTE)).date();
        let dates = std::iter::successors(Some(first_date), |date| date.tomorrow().ok());
        (first..=last).zip(dates).filter(|(_, date)| self.matches(*date)).map(|(day, _)| day)
    }
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
