//! A month of several calendars as data: days, and in each day the stretches in which releases may start or may not.
//!
//! A day is what the clock of one zone calls a day: 23 hours long when the clock goes forward. Everything is bounded, so
//! that no calendar makes a page that no browser shows.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use tidegate_core::calendar::{Calendar, FrozenStretch, Opening};

/// Stretches drawn in one day of one environment.
const STRETCHES_PER_DAY_MAX: usize = 24;
/// Openings, and frozen stretches, that are listed of one environment in a month.
pub const LISTED_MAX: usize = 62;
/// How far one may page, in months.
const MONTHS_MAX: i64 = 24;

/// A month of a zone's clock.
#[derive(Debug, Clone)]
pub struct Month {
    /// Its first day.
    pub first: Date,
    /// Whose days they are.
    pub zone: TimeZone,
}

/// A part of a day, in thousandths of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Begin.
    pub from: i64,
    /// End, exclusive.
    pub until: i64,
}

/// What an environment does in a month.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When it is open.
    pub openings: Vec<Opening>,
    /// When it is frozen.
    pub freezes: Vec<FrozenStretch>,
}

impl Month {
    /// The month that `2026-12` names, if it is near; else the one that is now.
    pub fn asked(text: Option<&str>, zone: TimeZone, now: Timestamp) -> Month {
        let this = zone.to_datetime(now).date().first_of_month();
        let asked = text.filter(|text| text.len() == "2026-12".len()).and_then(|text| format!("{text}-01").parse::<Date>().ok());
        let is_near = |date: &Date| {
            i64::from((i32::from(date.year()) - i32::from(this.year())) * 12 + i32::from(date.month()) - i32::from(this.month())).abs()
                <= MONTHS_MAX
        };
        Month { first: asked.filter(is_near).unwrap_or(this), zone }
    }

    /// The month before or after.
    pub fn neighbour(&self, months: i64) -> Option<Date> {
        self.first.checked_add(months.months()).ok()
    }

    /// Its weeks, from Monday to Sunday; none: a day of another month.
    pub fn weeks(&self) -> Vec<[Option<Date>; 7]> {
        let mut weeks = vec![[None; 7]];
        for day in self.days() {
            if day.weekday() == Weekday::Monday && day.day() > 1 {
                weeks.push([None; 7]);
            }
            let place = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
            if let Some(cell) = weeks.last_mut().and_then(|week| week.get_mut(place)) {
                *cell = Some(day);
            }
        }
        weeks
    }

    /// Its days.
    pub fn days(&self) -> impl Iterator<Item = Date> {
        let month = self.first.month();
        std::iter::successors(Some(self.first), |day| day.tomorrow().ok()).take_while(move |day| day.month() == month)
    }

    /// When a day begins.
    pub fn begins(&self, day: Date) -> Timestamp {
        self.zone
            .to_ambiguous_zoned(day.to_datetime(jiff::civil::Time::midnight()))
            .compatible()
            .map_or(Timestamp::MAX, |begin| begin.timestamp())
    }

    fn ends(&self, day: Date) -> Timestamp {
        day.tomorrow().map_or(Timestamp::MAX, |next| self.begins(next))
    }

    /// What a calendar does in it.
    pub fn plan(&self, calendar: &Calendar) -> Plan {
        let (from, until) = (self.begins(self.first), self.neighbour(1).map_or(Timestamp::MAX, |next| self.begins(next)));
        let most = STRETCHES_PER_DAY_MAX * 31;
        let mut freezes: Vec<FrozenStretch> = calendar.frozen_stretches(from, until).take(most).collect();
        freezes.sort_by_key(|stretch| stretch.from);
        Plan { openings: calendar.openings(from, until).take(most).collect(), freezes }
    }

    /// The parts of a day that stretches cover.
    pub fn parts(&self, day: Date, stretches: impl Iterator<Item = (Option<Timestamp>, Option<Timestamp>)>) -> Vec<Part> {
        let (begins, ends) = (self.begins(day).as_second(), self.ends(day).as_second());
        let length = (ends - begins).max(1);
        let share = |secs: i64| (secs - begins).clamp(0, length) * 1_000 / length;
        let cover = stretches.filter_map(|(from, until)| {
            let from = from.map_or(begins, |at| at.as_second());
            let until = until.map_or(ends, |at| at.as_second());
            (from < ends && until > begins).then(|| Part { from: share(from), until: share(until).max(share(from) + 1) })
        });
        cover.take(STRETCHES_PER_DAY_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str, zone: &str) -> Month {
        Month::asked(Some(text), TimeZone::get(zone).unwrap(), "2026-11-21T12:00:00Z".parse().unwrap())
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_month_has_its_days_in_weeks_and_a_far_or_broken_one_is_this_one() {
        let december = month("2026-12", "UTC");
        let weeks = december.weeks();
        assert_eq!((weeks.len(), weeks[0][0], weeks[0][1].map(|day| day.day())), (5, None, Some(1)));
        assert_eq!(december.days().count(), 31);
        for text in ["2036-01", "2026-13", "next", "2026-1-", "2026-12-01"] {
            assert_eq!(month(text, "UTC").first.to_string(), "2026-11-01", "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_day_are_shares_of_what_its_clock_shows() {
        let march = month("2027-03", "Europe/Berlin");
        let day: Date = "2027-03-28".parse().unwrap(); // 23 hours
        let parts = |from: &str, until: &str| march.parts(day, std::iter::once((at(from), at(until))));
        assert_eq!(parts("2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"), [Part { from: 0, until: 1_000 }]);
        assert_eq!(parts("2027-03-28T10:30:00Z", "2027-03-29T10:00:00Z"), [Part { from: 500, until: 1_000 }]);
        assert_eq!(parts("2027-03-28T22:00:00Z", "2027-03-29T10:00:00Z"), []);
        assert_eq!(march.parts(day, std::iter::once((None, None))), [Part { from: 0, until: 1_000 }]);
        assert_eq!(parts("2027-03-28T10:00:00Z", "2027-03-28T10:00:01Z").len(), 1, "the shortest is still seen");
    }
}
