//! The same evaluation on a map with one bit for each minute, for calendars of so many tiny stretches that walking from boundary to
//! boundary would take seconds. Its cost depends on the number of rules and on the horizon, not on how often they change; what does
//! not depend on the stretch that is looked at (days, changes of the clock, what a day looks like) is worked out once.
//!
//! Every boundary is a whole minute: cron fires on minutes, durations and freezes are written in minutes, and no zone has had an
//! offset with odd seconds since 1972.

use super::cron::Fields;
use super::duration::DURATION_MINUTES_MAX;
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
    let whole = Range::covering(search.from_secs, search.until_secs).longer(CHUNK_MINUTES + needed);
    let rules = Rules::of(calendar, Gated::Release, whole);
    let found = chunks(search.from_secs, search.until_secs).find_map(|chunk| {
        let mut open = rules.open(chunk.longer(needed));
        open.keep_runs(needed);
        open.first_set()
    });
    found.map(|minute| minute * SECS_PER_MINUTE).filter(|start| *start < search.until_secs)
}

/// The first instant from `at_secs` on at which no freeze stops this class; none: after the horizon.
pub(super) fn thaw(calendar: &Calendar, class: Gated, at_secs: i64) -> Option<i64> {
    let rules = Rules::of(calendar, class, Range::covering(at_secs, at_secs + HORIZON_SECS).longer(CHUNK_MINUTES));
    let found = chunks(at_secs, at_secs + HORIZON_SECS).find_map(|chunk| {
        let mut thawed = rules.frozen(chunk);
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

    fn longer(self, minutes: i64) -> Range {
        Range { count: self.count + minutes, ..self }
    }
}

fn chunks(from_secs: i64, until_secs: i64) -> impl Iterator<Item = Range> {
    let first = from_secs.div_euclid(SECS_PER_MINUTE);
    let starts = std::iter::successors(Some(first), |first| Some(first + CHUNK_MINUTES));
    starts.take_while(move |first| first * SECS_PER_MINUTE <= until_secs).map(|first| Range { first, count: CHUNK_MINUTES })
}

/// The minutes of the effective intervals.
pub(super) fn open_minutes(calendar: &Calendar, range: Range) -> Bits {
    Rules::of(calendar, Gated::Release, range).open(range)
}

/// The minutes in which one recurring rule is in force.
pub(super) fn recurring_minutes(recurring: &Recurring, range: Range) -> Bits {
    let mut table = Table::new(range);
    let rule = table.rule(recurring);
    let mut bits = Bits::new(range);
    bits.mark_recurring(&rule, &table);
    bits
}

/// The rules of a calendar, ready to be marked on maps within a range.
struct Rules<'a> {
    /// None: always open.
    windows: Option<Vec<Rule<'a>>>,
    recurring: Vec<Rule<'a>>,
    once: Vec<&'a Once>,
    table: Table,
}

impl<'a> Rules<'a> {
    /// Of the windows and of the freezes that stop a class.
    fn of(calendar: &'a Calendar, class: Gated, range: Range) -> Rules<'a> {
        let mut table = Table::new(range);
        let windows = match &calendar.windows {
            Windows::None | Windows::Always => None,
            Windows::Listed(windows) => Some(windows.iter().map(|window| table.rule(&window.recurring)).collect()),
        };
        let (mut recurring, mut once) = (Vec::new(), Vec::new());
        for freeze in calendar.freezes.iter().filter(|freeze| freeze.stops(class)) {
            match &freeze.when {
                When::Once(one) => once.push(one),
                When::Recurring(rule) => recurring.push(table.rule(rule)),
            }
        }
        Rules { windows, recurring, once, table }
    }

    fn open(&self, range: Range) -> Bits {
        let mut open = Bits::new(range);
        match &self.windows {
            None => open.invert(),
            Some(windows) => windows.iter().for_each(|rule| open.mark_recurring(rule, &self.table)),
        }
        if !self.recurring.is_empty() || !self.once.is_empty() {
            open.remove(&self.frozen(range));
        }
        open
    }

    fn frozen(&self, range: Range) -> Bits {
        let mut frozen = Bits::new(range);
        self.once.iter().for_each(|once| frozen.mark_once(once));
        self.recurring.iter().for_each(|rule| frozen.mark_recurring(rule, &self.table));
        frozen
    }
}

/// A recurring rule with what a day of it looks like.
struct Rule<'a> {
    pattern: DayPattern<'a>,
    duration: i64,
    /// Its zone's clock, by its place in the table.
    clock: usize,
}

/// What all rules share: the days of a range, and the clocks of their zones.
struct Table {
    range: Range,
    first_day: i64,
    days: Vec<Day>,
    clocks: Vec<(Zone, Clock)>,
}

/// A day of the civil calendar.
#[derive(Clone, Copy)]
struct Day {
    /// Counted from 1970-01-01.
    number: i64,
    weekday: u32,
    day_of_month: u32,
    month: u32,
}

/// A rule that began this many days before a range may still be in force in it: the longest duration, and a day for zones.
const DAYS_BEFORE: i64 = DURATION_MINUTES_MAX / MINUTES_PER_DAY + 3;
/// Civil days may lie this far after the range.
const DAYS_AFTER: i64 = 3;

impl Table {
    fn new(range: Range) -> Table {
        let first_day = range.first.div_euclid(MINUTES_PER_DAY) - DAYS_BEFORE;
        let last_day = (range.first + range.count).div_euclid(MINUTES_PER_DAY) + DAYS_AFTER;
        let first_date = Offset::UTC.to_datetime(timestamp(first_day * MINUTES_PER_DAY * SECS_PER_MINUTE)).date();
        let dates = std::iter::successors(Some(first_date), |date| date.tomorrow().ok());
        let days = (first_day..=last_day).zip(dates).map(|(number, date)| Day::new(number, date)).collect();
        Table { range, first_day, days, clocks: Vec::new() }
    }

    fn rule<'a>(&mut self, recurring: &'a Recurring) -> Rule<'a> {
        let duration = recurring.duration.get();
        let known = self.clocks.iter().position(|(zone, _)| *zone == recurring.zone);
        let clock = known.unwrap_or_else(|| {
            let first = self.range.first - DAYS_BEFORE * MINUTES_PER_DAY;
            let clock = Clock::new(&recurring.zone, first, self.range.first + self.range.count + DAYS_AFTER * MINUTES_PER_DAY);
            self.clocks.push((recurring.zone.clone(), clock));
            self.clocks.len() - 1
        });
        Rule { pattern: DayPattern::new(recurring.expression.fields(), duration), duration, clock }
    }

    /// The days from one to the other.
    fn days(&self, first: i64, last: i64) -> &[Day] {
        let place = |day: i64| index(day - self.first_day).min(self.days.len());
        self.days.get(place(first)..place(last + 1)).unwrap_or_default()
    }
}

impl Day {
    fn new(number: i64, date: Date) -> Day {
        let small = |value: i8| u32::try_from(value).unwrap_or(0);
        let weekday = small(date.weekday().to_sunday_zero_offset());
        Day { number, weekday, day_of_month: small(date.day()), month: small(date.month()) }
    }
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

    fn mark_recurring(&mut self, rule: &Rule<'_>, table: &Table) {
        let Some((_, clock)) = table.clocks.get(rule.clock) else { return };
        let (first, last) = (self.range.first - rule.duration, self.range.first + self.range.count);
        let clock = clock.part(first - 2 * MINUTES_PER_DAY, last + 2 * MINUTES_PER_DAY);
        let days = table.days(clock.civil_day(first) - 1, clock.civil_day(last) + 1);
        let mut covered = i64::MIN;
        for day in days.iter().filter(|day| rule.pattern.matches(day)) {
            match (clock.steady(day.number), &rule.pattern.bits) {
                (Some(midnight), Some(bits)) => self.or_at(bits, midnight),
                (Some(midnight), None) => {
                    rule.pattern.runs.iter().for_each(|(from, until)| self.cover(midnight + from, midnight + until, &mut covered));
                }
                (None, _) => {
                    for start in rule.pattern.starts.iter().map(|start| clock.start(day.number * MINUTES_PER_DAY + start)) {
                        self.cover(start, start + rule.duration, &mut covered);
                    }
                }
            }
        }
        self.clear_spare();
    }

    /// Sets `[from, until)`, without what was covered before: starts never run backwards, so long stretches cost their length once.
    fn cover(&mut self, from: i64, until: i64, covered: &mut i64) {
        self.set(from.max(*covered), until);
        *covered = until.max(*covered);
    }

    /// Adds other bits, with their first at a minute. May touch the spare ones.
    fn or_at(&mut self, other: &Bits, minute: i64) {
        let place = minute - self.range.first;
        let (first, shift) = (place.div_euclid(WORD_BITS), place.rem_euclid(WORD_BITS));
        let inside = usize::try_from(first).ok().and_then(|first| self.words.get_mut(first..first + other.words.len() + 1));
        let Some(words) = inside else { return self.or_at_the_edge(other, (first, shift)) };
        let mut carry = 0;
        for (word, bits) in words.iter_mut().zip(&other.words) {
            *word |= bits << shift | carry;
            carry = bits >> 1 >> (WORD_BITS - 1 - shift);
        }
        if let Some(last) = words.last_mut() {
            *last |= carry;
        }
    }

    fn or_at_the_edge(&mut self, other: &Bits, (first, shift): (i64, i64)) {
        for (position, bits) in (first..).zip(&other.words) {
            self.or_word(position, bits << shift);
            self.or_word(position + 1, bits >> 1 >> (WORD_BITS - 1 - shift));
        }
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

    fn matches(&self, day: &Day) -> bool {
        self.fields.weekdays.contains(day.weekday)
            && self.fields.days_of_month.contains(day.day_of_month)
            && self.fields.months.contains(day.month)
    }
}

/// A zone's offsets over a range, in minutes.
struct Clock {
    /// Minutes east of UTC before the first change.
    offset: i64,
    changes: Vec<Change>,
}

/// The same over a part of the range.
struct ClockPart<'a> {
    offset: i64,
    changes: &'a [Change],
}

impl Clock {
    fn new(zone: &Zone, first: i64, last: i64) -> Clock {
        let (from, until) = (first * SECS_PER_MINUTE, (last + MINUTES_PER_DAY) * SECS_PER_MINUTE);
        Clock { offset: zone.offset_secs(from).div_euclid(SECS_PER_MINUTE), changes: zone.changes(from, until).collect() }
    }

    fn part(&self, first: i64, last: i64) -> ClockPart<'_> {
        let from = self.changes.partition_point(|change| change.minute() < first);
        let until = self.changes.partition_point(|change| change.minute() <= last);
        let before = from.checked_sub(1).and_then(|place| self.changes.get(place));
        ClockPart { offset: before.map_or(self.offset, Change::after), changes: self.changes.get(from..until).unwrap_or_default() }
    }
}

impl ClockPart<'_> {
    /// The minute that a civil minute begins: in a gap the first after it, in a fold the earlier one.
    fn start(&self, civil: i64) -> i64 {
        let mut offset = self.offset;
        for change in self.changes {
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
