//! Moments and spans as people type them. Nothing is resolved here: a civil time without a zone means the environment's,
//! and only its worker knows that one.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// Longest span, in minutes: a year.
const SPAN_MINUTES_MAX: u64 = 366 * 24 * 60;
/// The units of a span with their minutes.
const UNITS: [(char, u64); 4] = [('w', 7 * 24 * 60), ('d', 24 * 60), ('h', 60), ('m', 1)];

/// A moment as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// An instant: it came with an offset.
    Exact(Timestamp),
    /// What a clock on a wall shows.
    Civil(CivilMoment),
}

/// What a clock on a wall shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CivilMoment {
    /// The day; none: the next day on which the clock shows the time.
    pub date: Option<Date>,
    /// The time; midnight unless it was said.
    pub time: Time,
    /// The IANA zone; none: that of the environment.
    pub zone: Option<String>,
}

/// When something ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At a moment.
    At(Moment),
    /// After a time, from now.
    After(Minutes),
}

/// A time in whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minutes(pub u64);

impl Minutes {
    /// Reads `2h`, `1d2h30m`, `90m`; none: it is no such thing, nothing, or longer than a year.
    pub fn parse(text: &str) -> Option<Minutes> {
        let mut units = UNITS.iter();
        let (mut number, mut minutes) = (None::<u64>, 0_u64);
        for letter in text.chars() {
            if let Some(digit) = letter.to_digit(10) {
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
                continue;
            }
            let (_, each) = units.find(|(unit, _)| *unit == letter)?;
            minutes = minutes.checked_add(number.take()?.checked_mul(*each)?)?;
        }
        (number.is_none() && (1..=SPAN_MINUTES_MAX).contains(&minutes)).then_some(Minutes(minutes))
    }

    /// In seconds.
    pub fn as_secs(self) -> i64 {
        i64::try_from(self.0.saturating_mul(60)).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        for (unit, minutes) in UNITS.into_iter().skip(1) {
            if left >= minutes {
                write!(f, "{}{unit}", left / minutes)?;
                left %= minutes;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Exact(at) => write!(f, "{at}"),
            Moment::Civil(civil) => {
                if let Some(date) = civil.date {
                    write!(f, "{date} ")?;
                }
                write!(f, "{}", civil.time.strftime("%H:%M"))?;
                civil.zone.iter().try_for_each(|zone| write!(f, " {zone}"))
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::At(moment) => write!(f, "until {moment}"),
            End::After(minutes) => write!(f, "for {minutes}"),
        }
    }
}

/// Takes a moment from the front of the words; none: they begin with none, and nothing is taken.
///
/// `2027-01-02`, `2027-01-02 09:00`, `2027-01-02T09:00+01:00`, `09:00`, each with a zone or an offset after it.
pub fn take(words: &mut VecDeque<&str>) -> Option<Moment> {
    let mut ahead = words.iter().map(|word| word.trim_end_matches([',', ';', '.'])).peekable();
    let first = ahead.next()?;
    if let Ok(at) = first.parse::<Timestamp>() {
        words.pop_front();
        return Some(Moment::Exact(at));
    }
    let (date, mut time, mut used) = day(first)?;
    if time.is_none()
        && let Some(said) = ahead.peek().and_then(|word| clock(word))
    {
        ahead.next();
        used += 1;
        time = Some(said);
    }
    let time = time.unwrap_or(Time::midnight());
    let zone = ahead.next().filter(|word| is_zone(word)).map(str::to_owned);
    let offset = ahead_offset(zone.as_deref(), date, time);
    used += usize::from(zone.is_some());
    words.drain(..used);
    Some(offset.map_or(Moment::Civil(CivilMoment { date, time, zone }), Moment::Exact))
}

/// The day and the time that a word says, and that it is one word.
fn day(word: &str) -> Option<(Option<Date>, Option<Time>, usize)> {
    if let Some(time) = clock(word) {
        return Some((None, Some(time), 1));
    }
    if word.contains(['T', 't']) {
        let both: DateTime = word.parse().ok()?;
        return Some((Some(both.date()), Some(both.time()), 1));
    }
    let date = word.parse::<Date>().ok().filter(|_| word.len() == "2027-01-02".len())?;
    Some((Some(date), None, 1))
}

/// `09:00`, `9:00`, `18:30:00`.
fn clock(word: &str) -> Option<Time> {
    let parts: Vec<&str> = word.split(':').collect();
    let number = |text: &str| text.parse::<i8>().ok().filter(|_| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()));
    match parts.as_slice() {
        [hour, minute] => Time::new(number(hour)?, number(minute)?, 0, 0).ok(),
        [hour, minute, second] => Time::new(number(hour)?, number(minute)?, number(second)?, 0).ok(),
        _ => None,
    }
}

/// `Europe/Berlin`, `UTC`, `Z`, `+01:00`.
fn is_zone(word: &str) -> bool {
    let names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    matches!(word, "UTC" | "GMT" | "Z") || is_offset(word) || (word.contains('/') && word.chars().all(names))
}

fn is_offset(word: &str) -> bool {
    word.strip_prefix(['+', '-']).is_some_and(|rest| rest.len() == 5 && clock(rest).is_some())
}

/// An offset makes an instant of a day and a time. Without a day it cannot.
fn ahead_offset(zone: Option<&str>, date: Option<Date>, time: Time) -> Option<Timestamp> {
    let zone = match zone? {
        "Z" => "+00:00",
        offset if is_offset(offset) => offset,
        _ => return None,
    };
    format!("{}T{}{zone}", date?, time.strftime("%H:%M:%S")).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, usize)> {
        let mut words: VecDeque<&str> = text.split_whitespace().collect();
        take(&mut words).map(|moment| (moment.to_string(), words.len()))
    }

    #[test]
    fn moments_are_read_in_every_usual_form_and_what_follows_is_left() {
        let good = [
            ("2027-01-02 09:00", "2027-01-02 09:00", 0),
            ("2027-01-02 09:00 Europe/Berlin holidays", "2027-01-02 09:00 Europe/Berlin", 1),
            ("2027-01-02 9:00, holidays", "2027-01-02 09:00", 1),
            ("2027-01-02 holidays", "2027-01-02 00:00", 1),
            ("2027-01-02T09:00 UTC", "2027-01-02 09:00 UTC", 0),
            ("2027-01-02T09:00+01:00 x", "2027-01-02T08:00:00Z", 1),
            ("2027-01-02 09:00 +01:00 x", "2027-01-02T08:00:00Z", 1),
            ("2027-01-02 09:00 Z", "2027-01-02T09:00:00Z", 0),
            ("2027-01-02T09:00:00Z", "2027-01-02T09:00:00Z", 0),
            ("18:00 tonight", "18:00", 1),
        ];
        for (text, moment, left) in good {
            assert_eq!(read(text), Some((moment.to_owned(), left)), "{text}");
        }
        for bad in ["tomorrow", "2027-13-02", "25:00", "20270102", "", "2027-01", "-1:00", "+1:00"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn spans_are_days_hours_and_minutes_up_to_a_year() {
        let read = |text: &str| Minutes::parse(text).map(|minutes| minutes.to_string());
        assert_eq!(read("2h").as_deref(), Some("2h"));
        assert_eq!(read("90m").as_deref(), Some("1h30m"));
        assert_eq!(read("1w").as_deref(), Some("7d"));
        assert_eq!(read("1d2h30m").as_deref(), Some("1d2h30m"));
        for bad in ["", "2", "h", "0m", "2h3", "30m2h", "367d", "99999999999999999999h", "2 h", "ten"] {
            assert_eq!(Minutes::parse(bad), None, "{bad}");
        }
    }
}
