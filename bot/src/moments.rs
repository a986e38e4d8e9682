//! From what a clock on a wall shows to an instant: in the zone of an environment's windows, or in the one that was said.
//!
//! The same rules as the calendar's: a beginning that comes twice means the first time, an end that comes twice the second,
//! and either one in a gap is the first moment after it.

use crate::command::when::{CivilMoment, End, Moment};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Serialize;
use std::collections::BTreeSet;
use tidegate_core::calendar::{Calendar, Windows};

/// Beyond this nothing is frozen or held in one go, in days.
pub const AHEAD_DAYS_MAX: i64 = 366;

/// Why a moment is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum NoMoment {
    /// The windows have several zones, and none was said.
    WhichZone {
        /// Those of the windows.
        zones: Vec<String>,
        /// What was said.
        said: String,
    },
    /// There is no such zone.
    UnknownZone {
        /// As it was said.
        zone: String,
    },
    /// It is over.
    Past {
        /// The instant that was meant.
        at: Timestamp,
    },
    /// It is further ahead than anything is planned for.
    TooFar {
        /// How far one may go, in days.
        days_max: i64,
    },
    /// It ends before it begins.
    EndsFirst,
}

/// Which end of a stretch a moment is: it decides what a time means that a clock shows twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// It begins then.
    From,
    /// It ends then.
    Until,
}

/// The zones of a calendar's windows.
pub fn zones(calendar: &Calendar) -> BTreeSet<String> {
    match calendar.windows() {
        Windows::None | Windows::Always => BTreeSet::new(),
        Windows::Listed(windows) => windows.iter().map(|window| window.zone_name().to_owned()).collect(),
    }
}

/// The zone in which an environment is spoken of: that of its windows; UTC where they have none or several.
pub fn zone(calendar: &Calendar) -> String {
    let zones = zones(calendar);
    match (zones.len(), zones.into_iter().next()) {
        (1, Some(zone)) => zone,
        _ => "UTC".to_owned(),
    }
}

/// The instant at which something ends.
pub fn end(end: &End, calendar: &Calendar, now: Timestamp) -> Result<Timestamp, NoMoment> {
    let at = match end {
        End::At(moment) => instant(moment, Edge::Until, calendar, now)?,
        End::After(minutes) => {
            let too_far = NoMoment::TooFar { days_max: AHEAD_DAYS_MAX };
            now.checked_add(SignedDuration::from_secs(minutes.as_secs())).map_err(|_| too_far)?
        }
    };
    if at <= now {
        return Err(NoMoment::Past { at });
    }
    // Locks hold whole seconds: what is echoed is what is written.
    Ok(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The instant that a moment means.
pub fn instant(moment: &Moment, edge: Edge, calendar: &Calendar, now: Timestamp) -> Result<Timestamp, NoMoment> {
    let at = match moment {
        Moment::Exact(at) => *at,
        Moment::Civil(civil) => civil_instant(civil, edge, (calendar, now))?,
    };
    if at.as_second() - now.as_second() > AHEAD_DAYS_MAX * 24 * 3_600 {
        return Err(NoMoment::TooFar { days_max: AHEAD_DAYS_MAX });
    }
    Ok(at)
}

fn civil_instant(civil: &CivilMoment, edge: Edge, (calendar, now): (&Calendar, Timestamp)) -> Result<Timestamp, NoMoment> {
    let zone = match &civil.zone {
        Some(zone) => named(zone)?,
        None if zones(calendar).len() > 1 => {
            let said = Moment::Civil(civil.clone()).to_string();
            return Err(NoMoment::WhichZone { zones: zones(calendar).into_iter().collect(), said });
        }
        None => named(&self::zone(calendar))?,
    };
    if let Some(date) = civil.date {
        return Ok(at(&zone, date.to_datetime(civil.time), edge));
    }
    let today = zone.to_datetime(now).date();
    let found = at(&zone, today.to_datetime(civil.time), edge);
    let tomorrow = || today.checked_add(1.day()).map(|day| at(&zone, day.to_datetime(civil.time), edge));
    Ok(if found > now { found } else { tomorrow().unwrap_or(found) })
}

fn at(zone: &TimeZone, civil: DateTime, edge: Edge) -> Timestamp {
    let shown = zone.to_ambiguous_timestamp(civil);
    let is_gap = matches!(shown.offset(), AmbiguousOffset::Gap { .. });
    let found = match edge {
        Edge::From if !is_gap => shown.earlier(),
        Edge::From | Edge::Until => shown.later(),
    };
    let found = found.unwrap_or(Timestamp::MAX);
    // The change lies just before what is shown when the clock goes on as if there were no gap.
    let around = found.checked_add(1.second()).unwrap_or(found);
    if is_gap { zone.preceding(around).next().map_or(found, |change| change.timestamp()) } else { found }
}

/// A zone by its exact name.
pub fn named(name: &str) -> Result<TimeZone, NoMoment> {
    let unknown = || NoMoment::UnknownZone { zone: name.chars().take(60).collect() };
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    match zone.iana_name() {
        Some(known) if known != name => Err(unknown()),
        _ => Ok(zone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tidegate_core::calendar::{RawCalendar, RawWindow, RawWindows, Zones};

    fn calendar(zones: &[&str]) -> Calendar {
        let window = |tz: &&str| RawWindow {
            cron: Some("0 9 * * *".into()),
            duration: Some("8h".into()),
            tz: Some((*tz).to_owned()),
            ..RawWindow::default()
        };
        let windows = if zones.is_empty() { RawWindows::Absent } else { RawWindows::List(zones.iter().map(window).collect()) };
        Calendar::new(&RawCalendar { windows, ..RawCalendar::default() }, &Zones::bundled()).unwrap()
    }

    fn read(text: &str, edge: Edge, zones: &[&str], now: &str) -> Result<String, NoMoment> {
        let mut words: VecDeque<&str> = text.split_whitespace().collect();
        let moment = crate::command::when::take(&mut words).unwrap();
        instant(&moment, edge, &calendar(zones), now.parse().unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn a_civil_time_is_of_the_windows_zone_or_of_the_one_that_is_said() {
        let now = "2026-12-01T00:00:00Z";
        let until = |text: &str, zones: &[&str]| read(text, Edge::Until, zones, now);
        assert_eq!(until("2027-01-02 09:00", &["Europe/Berlin"]).unwrap(), "2027-01-02T08:00:00Z");
        assert_eq!(until("2027-01-02 09:00", &[]).unwrap(), "2027-01-02T09:00:00Z");
        assert_eq!(until("2027-01-02 09:00 Asia/Tokyo", &["Europe/Berlin"]).unwrap(), "2027-01-02T00:00:00Z");
        assert_eq!(until("2027-01-02 09:00 +02:00", &["Europe/Berlin"]).unwrap(), "2027-01-02T07:00:00Z");
        let two = until("2027-01-02 09:00", &["Europe/Berlin", "Asia/Tokyo"]).unwrap_err();
        assert!(matches!(two, NoMoment::WhichZone { zones, .. } if zones == ["Asia/Tokyo", "Europe/Berlin"]));
        assert!(matches!(until("2027-01-02 09:00 europe/berlin", &[]), Err(NoMoment::UnknownZone { .. })));
        assert!(matches!(until("2028-01-02 09:00", &[]), Err(NoMoment::TooFar { .. })));
    }

    #[test]
    fn a_time_alone_is_the_next_one_and_clock_changes_follow_the_calendars_rules() {
        let now = "2027-03-27T20:00:00Z"; // 21:00 in Berlin; the clock goes from 02:00 to 03:00 in the night
        let berlin = ["Europe/Berlin"];
        assert_eq!(read("22:00", Edge::Until, &berlin, now).unwrap(), "2027-03-27T21:00:00Z");
        assert_eq!(read("20:00", Edge::Until, &berlin, now).unwrap(), "2027-03-28T18:00:00Z");
        assert_eq!(read("2027-03-28 02:30", Edge::Until, &berlin, now).unwrap(), "2027-03-28T01:00:00Z");
        assert_eq!(read("2027-03-28 02:00", Edge::Until, &berlin, now).unwrap(), "2027-03-28T01:00:00Z");
        assert_eq!(read("2027-03-28 02:30", Edge::From, &berlin, now).unwrap(), "2027-03-28T01:00:00Z");
        assert_eq!(read("2027-10-31 02:30", Edge::From, &berlin, now).unwrap(), "2027-10-31T00:30:00Z");
        assert_eq!(read("2027-10-31 02:30", Edge::Until, &berlin, now).unwrap(), "2027-10-31T01:30:00Z");
    }
}
