//! Random policies: the text that the product reads, beside the values that brute force uses.

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, tz::Offset};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tidegate_core::calendar::{Calendar, RawCalendar, RawFreeze, RawWindow, RawWindows, Zones};

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) windows: Vec<RecurringRule>,
    pub(crate) recurring_freezes: Vec<RecurringRule>,
    pub(crate) once_freezes: Vec<OnceRule>,
    pub(crate) cutoff: Option<i64>,
}

/// A field: as written, and its values.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    text: String,
    values: BTreeSet<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct RecurringRule {
    pub(crate) fields: [Field; 5],
    pub(crate) zone: &'static str,
    pub(crate) duration: i64,
}

/// Civil minutes since 1970.
#[derive(Clone, Debug)]
pub(crate) struct OnceRule {
    pub(crate) zone: &'static str,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl RecurringRule {
    pub(crate) fn fires(&self, civil: i64) -> bool {
        let [minutes, hours, days, months, weekdays] = &self.fields;
        if !minutes.values.contains(&civil.rem_euclid(60)) || !hours.values.contains(&(civil.div_euclid(60).rem_euclid(24))) {
            return false;
        }
        let date: Date = datetime(civil).date();
        days.values.contains(&date.day().into())
            && months.values.contains(&date.month().into())
            && weekdays.values.contains(&date.weekday().to_sunday_zero_offset().into())
    }

    fn cron(&self) -> String {
        self.fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

impl Policy {
    pub(crate) fn zones(&self) -> impl Iterator<Item = &'static str> {
        let recurring = self.windows.iter().chain(&self.recurring_freezes).map(|rule| rule.zone);
        recurring.chain(self.once_freezes.iter().map(|once| once.zone)).collect::<Vec<_>>().into_iter()
    }

    pub(crate) fn calendar(&self) -> Calendar {
        Calendar::new(&self.raw(), &Zones::bundled()).unwrap_or_else(|errors| panic!("{self:?}: {errors:?}"))
    }

    fn raw(&self) -> RawCalendar {
        let windows = self.windows.iter().map(|rule| RawWindow {
            cron: Some(rule.cron()),
            duration: Some(duration(rule.duration)),
            tz: Some(rule.zone.into()),
            day_match: Some("all".into()),
            ..RawWindow::default()
        });
        let recurring = self.recurring_freezes.iter().map(|rule| RawFreeze {
            cron: Some(rule.cron()),
            duration: Some(duration(rule.duration)),
            tz: Some(rule.zone.into()),
            day_match: Some("all".into()),
            ..RawFreeze::default()
        });
        let once = self.once_freezes.iter().map(|once| RawFreeze {
            from: Some(civil_text(once.from)),
            until: Some(civil_text(once.until)),
            tz: Some(once.zone.into()),
            ..RawFreeze::default()
        });
        RawCalendar {
            windows: RawWindows::List(windows.collect()),
            freezes: recurring.chain(once).collect(),
            cutoff: self.cutoff.map(duration),
        }
    }
}

fn datetime(civil: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_second(civil * 60).unwrap())
}

fn civil_text(civil: i64) -> String {
    datetime(civil).strftime("%Y-%m-%dT%H:%M").to_string()
}

fn duration(minutes: i64) -> String {
    format!("{}h{}m", minutes / 60, minutes % 60)
}

fn field(low: i64, high: i64) -> BoxedStrategy<Field> {
    let all = Just(Field { text: "*".into(), values: (low..=high).collect() });
    let one = (low..=high).prop_map(|value| Field { text: value.to_string(), values: [value].into() });
    let list = prop::collection::btree_set(low..=high, 1..4)
        .prop_map(|values| Field { text: values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), values });
    let step = (1..=high - low).prop_map(move |step| Field {
        text: format!("*/{step}"),
        values: (low..=high).filter(|value| (value - low) % step == 0).collect(),
    });
    let range = (low..=high, low..=high, 1..=high - low).prop_map(move |(a, b, step)| {
        let (from, to) = (a.min(b), a.max(b));
        Field { text: format!("{from}-{to}/{step}"), values: (from..=to).filter(|value| (value - from) % step == 0).collect() }
    });
    prop_oneof![2 => all, 4 => one, 2 => list, 2 => step, 1 => range].boxed()
}

/// Mostly every day, as calendars are.
fn days(low: i64, high: i64) -> BoxedStrategy<Field> {
    prop_oneof![5 => Just(Field { text: "*".into(), values: (low..=high).collect() }), 1 => field(low, high)].boxed()
}

/// Hours near midnight, where clocks change.
fn hours() -> BoxedStrategy<Field> {
    let night = prop_oneof![0i64..=4, 22i64..=23].prop_map(|hour| Field { text: hour.to_string(), values: [hour].into() });
    prop_oneof![2 => night, 1 => field(0, 23)].boxed()
}

fn recurring(zones: &'static [&'static str], duration_max: i64) -> impl Strategy<Value = RecurringRule> {
    let duration = prop_oneof![3 => 1i64..=180, 2 => Just(60), 1 => 1i64..=duration_max];
    let fields = (field(0, 59), hours(), days(1, 31), Just(Field { text: "*".into(), values: (1..=12).collect() }), days(0, 6));
    (fields, prop::sample::select(zones), duration).prop_map(|((minute, hour, day, month, weekday), zone, duration)| RecurringRule {
        fields: [minute, hour, day, month, weekday],
        zone,
        duration,
    })
}

/// What random policies are made of.
pub(crate) struct Shape {
    pub(crate) zones: &'static [&'static str],
    pub(crate) duration_max: i64,
    /// A civil minute; one-off freezes lie around it.
    pub(crate) around: i64,
}

pub(crate) fn policy(shape: &Shape) -> impl Strategy<Value = Policy> + use<> {
    let windows = prop::collection::vec(recurring(shape.zones, shape.duration_max), 0..4);
    let recurring_freezes = prop::collection::vec(recurring(shape.zones, shape.duration_max), 0..2);
    let around = shape.around;
    let once = (prop::sample::select(shape.zones), -2000i64..2000, 300i64..3000).prop_map(move |(zone, from, length)| OnceRule {
        zone,
        from: around + from,
        until: around + from + length,
    });
    let once_freezes = prop::collection::vec(once, 0..2);
    let cutoff = prop_oneof![4 => Just(None), 4 => (1i64..=60).prop_map(Some), 1 => Just(Some(60)), 1 => (1i64..=1440).prop_map(Some)];
    (windows, recurring_freezes, once_freezes, cutoff).prop_map(|(windows, recurring_freezes, once_freezes, cutoff)| Policy {
        windows,
        recurring_freezes,
        once_freezes,
        cutoff,
    })
}
