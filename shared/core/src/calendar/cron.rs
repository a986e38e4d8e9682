//! Five Unix cron fields, checked strictly and translated for the `cron` crate, which is only ever asked in civil time.
//!
//! The crate wants seconds and years, counts weekdays from 1 = Sunday and, in zones with daylight saving, answers in the past.
//! So every field is read here into the set of its values, the sets are written out again in the crate's own numbering, and the
//! civil times handed over are labelled UTC; `zone` maps them to instants.

use super::error::Problem;
use super::zone::Civil;
use chrono::{DateTime, Utc};
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

/// Longest accepted expression, in characters.
const EXPRESSION_CHARS_MAX: usize = 256;

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CronExpression {
    text: String,
    schedule: cron::Schedule,
    fields: Fields,
}

/// The values of each field, in Unix numbering (Sunday is 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) days_of_month: Values,
    pub(super) months: Values,
    pub(super) weekdays: Values,
}

/// A set of numbers below 64, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Values(u64);

impl Values {
    fn insert(&mut self, value: u32) {
        self.0 |= 1u64.checked_shl(value).unwrap_or(0);
    }

    pub(super) fn contains(self, value: u32) -> bool {
        self.0.checked_shr(value).is_some_and(|bits| bits & 1 == 1)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |value| self.contains(*value))
    }

    fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// How the two day fields work together when both are restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayMatch {
    /// Nothing was said: both restricted is refused.
    Unsaid,
    /// A day must match both.
    All,
}

impl CronExpression {
    /// Reads and checks five fields.
    pub(super) fn parse(text: &str, day_match: DayMatch) -> Result<CronExpression, Problem> {
        let words = five_words(text)?;
        let fields = Fields {
            minutes: MINUTE.read(&words[0])?,
            hours: HOUR.read(&words[1])?,
            days_of_month: DAY_OF_MONTH.read(&words[2])?,
            months: MONTH.read(&words[3])?,
            weekdays: WEEKDAY.read(&words[4])?,
        };
        check_days(&fields, &words, day_match)?;
        let translated = fields.translate();
        let schedule = cron::Schedule::from_str(&translated)
            .map_err(|error| Problem::new("cron_refused", format!("the expression cannot be used: {error}")))?;
        Ok(CronExpression { text: words.map(|word| word.text).join(" "), schedule, fields })
    }

    /// As written, with single spaces.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The values of each field.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The first start after this civil time, without it.
    pub(super) fn after(&self, civil: Civil) -> Option<Civil> {
        let start = self.schedule.after(&labelled_utc(civil)?).next()?;
        Some(Civil(start.timestamp()))
    }

    /// The last start at or before this civil time.
    pub(super) fn at_or_before(&self, civil: Civil) -> Option<Civil> {
        let start = self.schedule.after(&labelled_utc(Civil(civil.0.checked_add(1)?))?).next_back()?;
        Some(Civil(start.timestamp()))
    }
}

fn labelled_utc(civil: Civil) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(civil.0, 0)
}

impl Fields {
    /// In the crate's seven fields and its numbering of weekdays.
    fn translate(&self) -> String {
        let list =
            |values: Values, shift: u32| -> String { values.iter().map(|value| (value + shift).to_string()).collect::<Vec<_>>().join(",") };
        let weekdays = if self.weekdays.count() == WEEKDAY.count() { "*".to_owned() } else { list(self.weekdays, 1) };
        format!("0 {} {} {} {} {weekdays} *", list(self.minutes, 0), list(self.hours, 0), list(self.days_of_month, 0), list(self.months, 0))
    }
}

/// A field's text and where it stands in the expression.
#[derive(Debug, Clone)]
struct Word {
    text: String,
    span: Range<usize>,
}

fn five_words(text: &str) -> Result<[Word; 5], Problem> {
    if text.chars().count() > EXPRESSION_CHARS_MAX {
        return Err(Problem::new("cron_long", format!("the expression is longer than {EXPRESSION_CHARS_MAX} characters")));
    }
    let words = split(text);
    if text.trim_start().starts_with('@') {
        return Err(Problem::new("cron_macro", format!("`{}` is not supported", text.trim()))
            .hint("write the five fields: minute, hour, day of month, month, day of week, e.g. `0 10 * * MON-THU`"));
    }
    let count = words.len();
    <[Word; 5]>::try_from(words).map_err(|_| {
        Problem::new("cron_fields", format!("the expression has {count} {}, not 5", if count == 1 { "field" } else { "fields" }))
            .hint("minute, hour, day of month, month, day of week, e.g. `0 10 * * MON-THU`; there are no seconds and no years")
    })
}

/// Splits at blanks; spans count characters.
fn split(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut inside = false;
    for (index, letter) in text.chars().enumerate() {
        let blank = letter == ' ' || letter == '\t';
        match words.last_mut() {
            Some(word) if inside && !blank => {
                word.text.push(letter);
                word.span.end = index + 1;
            }
            _ if !blank => words.push(Word { text: letter.to_string(), span: index..index + 1 }),
            _ => {}
        }
        inside = !blank;
    }
    words
}

/// What a field may hold.
struct FieldKind {
    name: &'static str,
    /// Numbers that may be written.
    written: RangeInclusive<u32>,
    /// The last distinct value: weekday 7 is weekday 0 again.
    last: u32,
    /// Names of the values from `written.start()` on, in capitals.
    names: &'static [&'static str],
}

const MINUTE: FieldKind = FieldKind { name: "minute", written: 0..=59, last: 59, names: &[] };
const HOUR: FieldKind = FieldKind { name: "hour", written: 0..=23, last: 23, names: &[] };
const DAY_OF_MONTH: FieldKind = FieldKind { name: "day of month", written: 1..=31, last: 31, names: &[] };
const MONTH: FieldKind = FieldKind {
    name: "month",
    written: 1..=12,
    last: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
const WEEKDAY: FieldKind =
    FieldKind { name: "day of week", written: 0..=7, last: 6, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

impl FieldKind {
    fn first(&self) -> u32 {
        *self.written.start()
    }

    /// How many distinct values there are.
    fn count(&self) -> u32 {
        self.last - self.first() + 1
    }

    fn read(&self, word: &Word) -> Result<Values, Problem> {
        let mut values = Values::default();
        let mut offset = word.span.start;
        for part in word.text.split(',') {
            let length = part.chars().count();
            let span = offset..offset + length.max(1);
            let items = self.read_part(part).map_err(|problem| problem.span(span))?;
            items.for_each(|value| values.insert(if value > self.last { self.first() } else { value }));
            offset += length + 1;
        }
        Ok(values)
    }

    /// `*`, `*/n`, `a`, `a-b` or `a-b/n`.
    fn read_part(&self, part: &str) -> Result<impl Iterator<Item = u32> + use<>, Problem> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.read_step(part, step)?)),
            None => (part, None),
        };
        let values = match (range, range.split_once('-')) {
            ("*", _) => self.first()..=self.last,
            (_, Some((from, to))) => self.read_range(part, from, to)?,
            (_, None) if step.is_none() => {
                let value = self.read_value(range)?;
                value..=value
            }
            (_, None) => {
                let hint = format!("write where it ends: `{range}-{}/{}`", self.last, step.unwrap_or(1));
                return Err(Problem::new("cron_step", format!("`{part}`: a step needs a range or `*` before it")).hint(hint));
            }
        };
        Ok(values.step_by(step.unwrap_or(1) as usize))
    }

    fn read_step(&self, part: &str, step: &str) -> Result<u32, Problem> {
        let largest = self.last - self.first();
        match number(step) {
            Some(0) => Err(Problem::new("cron_step", format!("`{part}`: a step of 0 leads nowhere"))),
            Some(step) if step > largest => {
                Err(Problem::new("cron_step", format!("`{part}`: the step is larger than its field ({}: at most {largest})", self.name))
                    .hint("a step starts again with every field: write the values that are meant as a list"))
            }
            Some(step) => Ok(step),
            None => Err(Problem::new("cron_step", format!("`{part}`: the step is not a number"))),
        }
    }

    fn read_range(&self, part: &str, from: &str, to: &str) -> Result<RangeInclusive<u32>, Problem> {
        let (first, last) = (self.read_value(from)?, self.read_value(to)?);
        if first > last {
            let hint = format!("write the two halves: `{from}-{},{}-{to}`", self.last, self.first());
            return Err(Problem::new("cron_range", format!("`{part}` runs backwards")).hint(hint));
        }
        Ok(first..=last)
    }

    fn read_value(&self, text: &str) -> Result<u32, Problem> {
        let (first, last) = (self.first(), *self.written.end());
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(first + u32::try_from(index).unwrap_or(0));
        }
        match number(text) {
            Some(value) if self.written.contains(&value) => Ok(value),
            Some(value) => Err(Problem::new("cron_value", format!("{value} is no {} ({first} to {last})", self.name))),
            None => Err(self.not_a_value(text)),
        }
    }

    fn not_a_value(&self, text: &str) -> Problem {
        let problem = Problem::new("cron_value", format!("`{text}` is no {}", self.name));
        if text.contains(['L', 'W', '#', '?', 'l', 'w']) && !text.chars().all(char::is_alphabetic) || matches!(text, "L" | "W" | "?") {
            return problem.hint("`L`, `W`, `#` and `?` are not supported; the first Monday is `1-7 * MON` with `day_match: all`");
        }
        match self.names {
            [] => problem.hint(format!("a number from {} to {}", self.first(), self.written.end())),
            names => problem.hint(format!("a number from {} to {} or {}", self.first(), self.written.end(), names.join(", "))),
        }
    }
}

/// One or two plain digits; a sign or anything else is no number.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The most days each month can have.
const MONTH_DAYS_MAX: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

fn check_days(fields: &Fields, words: &[Word; 5], day_match: DayMatch) -> Result<(), Problem> {
    let restricted = |kind: &FieldKind, word: &Word, values: Values| !word.text.starts_with('*') || values.count() < kind.count();
    let both = restricted(&DAY_OF_MONTH, &words[2], fields.days_of_month) && restricted(&WEEKDAY, &words[4], fields.weekdays);
    if both && day_match == DayMatch::Unsaid {
        return Err(Problem::new("cron_both_days", "day of month and day of week are both restricted")
            .span(words[2].span.start..words[4].span.end)
            .hint("for days that match both write `day_match: all`; for days that match either write two windows"));
    }
    let earliest_day = fields.days_of_month.iter().next().unwrap_or(u32::MAX);
    let fires = MONTH_DAYS_MAX.iter().zip(1..).any(|(days, month)| fields.months.contains(month) && earliest_day <= *days);
    if !fires {
        return Err(Problem::new("cron_never", "the expression never fires: no such day in these months")
            .span(words[2].span.start..words[3].span.end)
            .hint("the last day of a month cannot be written in cron; take the first of the next, or `28-31` in its own window"));
    }
    Ok(())
}
