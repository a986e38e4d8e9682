//! Random calendars around clock changes, against brute force.

use crate::brute::{Answer, Bound, Brute, Span, Table, zone_of};
use crate::policies::{Policy, Shape, policy};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::collections::HashMap;
use tidegate_core::calendar::{Calendar, Decision, HORIZON_DAYS, Opening, State, Windows, Zones};

/// Zones whose clocks change between 2015 and 2035: by an hour, by half of one, by two, at midnight, with Ramadan, for good.
const ZONES: &[&str] = &[
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Chisinau",
    "Europe/Istanbul",
    "Europe/Volgograd",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Asuncion",
    "America/Havana",
    "America/Nuuk",
    "America/Vancouver",
    "America/Winnipeg",
    "America/Mexico_City",
    "America/Caracas",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Africa/Juba",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Amman",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Norfolk",
    "Pacific/Easter",
    "Antarctica/Troll",
    "Atlantic/Azores",
];

const DAY: i64 = 24 * 60;
/// How long a failing case may be made smaller, in milliseconds.
const SHRINK_MS_MAX: u32 = 20_000;

/// The minutes at which a zone's clock changes, 2015 to 2035.
fn changes(zone: &str) -> Vec<i64> {
    let (from, until): (Timestamp, Timestamp) = ("2015-01-01T00:00:00Z".parse().unwrap(), "2036-01-01T00:00:00Z".parse().unwrap());
    let timezone = zone_of(zone);
    let found = timezone.following(from).map(|change| change.timestamp()).take_while(|at| *at < until);
    let moved = |at: &Timestamp| timezone.to_offset(*at) != timezone.to_offset(*at - SignedDuration::from_secs(1));
    found.filter(moved).map(|at| at.as_second() / 60).collect()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

/// Does the decision agree, as far as brute force can see?
fn agrees(decision: &Decision, answer: &Answer) -> bool {
    let fits = |got: Option<Timestamp>, expected: Bound| match expected {
        Bound::Never => got.is_none(),
        Bound::At(secs) => got == Some(at(secs)),
        Bound::After(secs) => got.is_none_or(|got| got.as_second() >= secs),
    };
    decision.state == answer.state && fits(decision.open_until, answer.open_until) && fits(decision.next_start, answer.next_start)
}

fn check_instant(calendar: &Calendar, brute: &Brute, secs: i64) -> Result<(), TestCaseError> {
    let (decision, answer) = (calendar.decide(at(secs)), brute.answer(secs));
    prop_assert!(agrees(&decision, &answer), "at {}: {decision:?}\nbrute force: {answer:?}", at(secs));
    prop_assert!(decision.next_start.is_none_or(|start| start >= at(secs)), "a start in the past: {decision:?}");
    Ok(())
}

/// Around some of the boundaries, and in between. Fewer where the next start is far away: looking for it takes its time.
fn check_instants(calendar: &Calendar, brute: &Brute, inner: Span) -> Result<(), TestCaseError> {
    let boundaries = brute.boundaries(inner);
    let far = matches!(brute.answer((inner.first + inner.count) * 60).next_start, Bound::After(_));
    let stride = boundaries.len().div_ceil(if far { 1 } else { 5 }).max(1);
    for secs in boundaries.iter().step_by(stride).flat_map(|at| [at - 1, *at, at + 30]) {
        check_instant(calendar, brute, secs)?;
    }
    let steps = if far { 1 } else { 3 };
    for step in 0..steps {
        check_instant(calendar, brute, (inner.first + inner.count * step / steps) * 60 + 7 * step)?;
    }
    Ok(())
}

/// The intervals of the inner part are exactly the open minutes, apart from each other, and what is cut off says so.
fn check_openings(calendar: &Calendar, brute: &Brute, (outer, inner): (Span, Span)) -> Result<(), TestCaseError> {
    let (from, until) = (at(inner.first * 60), at((inner.first + inner.count) * 60));
    let openings: Vec<Opening> = calendar.openings(from, until).collect();
    for pair in openings.windows(2) {
        prop_assert!(pair[0].closes.unwrap() < pair[1].opens.unwrap(), "intervals touch or overlap: {pair:?}");
    }
    let mut open = vec![false; inner.count as usize];
    for opening in &openings {
        let place = |at: Option<Timestamp>, cut: i64| at.map_or(cut, |at| at.as_second() / 60 - inner.first).clamp(0, inner.count) as usize;
        open[place(opening.opens, 0)..place(opening.closes, inner.count)].fill(true);
    }
    let skip = (inner.first - outer.first) as usize;
    prop_assert_eq!(&open[..], &brute.open[skip..skip + open.len()]);
    Ok(())
}

/// A civil start opens a window at most once: the starts are those of brute force, in order, without a double. Only the hours around
/// the change, since dense expressions have very many.
fn check_starts(calendar: &Calendar, brute: &Brute, inner: Span) -> Result<(), TestCaseError> {
    let change = inner.first + inner.count / 2;
    let (from, until) = ((change - DAY / 6) * 60, (change + DAY / 6) * 60);
    let Windows::Listed(windows) = calendar.windows() else { return Ok(()) };
    for (window, expected) in windows.iter().zip(&brute.starts) {
        let got: Vec<i64> = window.starts(at(from), at(until)).map(|start| start.as_second()).collect();
        let expected: Vec<i64> = expected.iter().map(|start| start * 60).filter(|start| (from..until).contains(start)).collect();
        prop_assert_eq!(got, expected);
    }
    Ok(())
}

fn check(policy: &Policy, brute: &Brute, (outer, inner): (Span, Span)) -> Result<(), TestCaseError> {
    let calendar = policy.calendar();
    check_instants(&calendar, brute, inner)?;
    check_openings(&calendar, brute, (outer, inner))?;
    check_starts(&calendar, brute, inner)
}

/// Every change of the clock in every zone above, each with a calendar of its own.
#[test]
fn calendars_around_every_clock_change_from_2015_to_2035_equal_brute_force() {
    let mut runner = TestRunner::deterministic();
    let mut count = 0;
    for zone in ZONES {
        let zones: &'static [&'static str] = vec![*zone].leak();
        for change in changes(zone) {
            let (outer, inner) = (Span { first: change - 4 * DAY, count: 8 * DAY }, Span { first: change - DAY, count: 2 * DAY });
            let tables = HashMap::from([(*zone, Table::new(zone, outer))]);
            let policy = policy(&Shape { zones, duration_max: 2 * DAY, around: change }).new_tree(&mut runner).unwrap().current();
            let brute = Brute::with(&policy, outer, &tables);
            if let Err(failure) = check(&policy, &brute, (outer, inner)) {
                panic!("{zone} at {}: {failure}\n{policy:#?}", at(change * 60));
            }
            count += 1;
        }
    }
    println!("{count} clock changes in {} zones", ZONES.len());
    assert!(ZONES.len() >= 30 && count > 1000);
}

/// A moment near some change of some clock, and a random policy over all zones.
fn anywhere() -> impl Strategy<Value = (i64, Policy)> {
    prop::sample::select(ZONES).prop_flat_map(|zone| prop::sample::select(changes(zone))).prop_flat_map(|around| {
        let policy = policy(&Shape { zones: ZONES, duration_max: 20 * DAY, around });
        (Just(around), policy)
    })
}

proptest! {
    #![proptest_config(Config { cases: 16, max_shrink_time: SHRINK_MS_MAX, ..Config::default() })]

    #[test]
    fn random_calendars_over_many_zones_and_weeks_equal_brute_force((around, policy) in anywhere()) {
        let (outer, inner) = (Span { first: around - 22 * DAY, count: 26 * DAY }, Span { first: around - DAY, count: 2 * DAY });
        let brute = Brute::new(&policy, outer);
        check(&policy, &brute, (outer, inner))?;
    }

    /// Walking by what `decide` reports meets every change of the state, and a start that is promised is kept.
    #[test]
    fn the_state_changes_only_at_reported_boundaries((around, policy) in anywhere()) {
        let calendar = policy.calendar();
        let mut now = at(around * 60 - 86_400);
        for _ in 0..20 {
            let decision = calendar.decide(now);
            let promised = match decision.state {
                State::Open => decision.open_until.map(|end| end - SignedDuration::from_mins(policy.cutoff.unwrap_or(0))),
                State::Frozen | State::Closed | State::Closing => decision.next_start,
            };
            let Some(next) = promised.filter(|next| next.as_second() - now.as_second() < HORIZON_DAYS * 86_400) else { break };
            prop_assert!(next > now);
            let opened = decision.state == State::Open;
            for part in 0..6 {
                let between = at(now.as_second() + (next.as_second() - 1 - now.as_second()) * part / 5);
                prop_assert_eq!(calendar.decide(between).state == State::Open, opened, "between {} and {}: {}", now, next, between);
            }
            prop_assert_eq!(calendar.decide(next).state == State::Open, !opened);
            now = next;
        }
    }

    /// Expressions too dense to walk are answered from the map of minutes. Together these windows cover every minute but the ones that
    /// a fold repeats.
    #[test]
    fn interleaved_windows_are_one_until_the_clock_goes_back(step in 2i64..6, zone in prop::sample::select(ZONES), days in 1i64..30) {
        let list = (0..step).map(|first| serde_json::json!({ "cron": format!("{first}-59/{step} * * * *"), "duration": "1m", "tz": zone }));
        let raw = serde_json::from_value(serde_json::json!({ "windows": list.collect::<Vec<_>>(), "cutoff": "1h" })).unwrap();
        let calendar = Calendar::new(&raw, &Zones::bundled()).unwrap();
        let (clock, changes) = (zone_of(zone), changes(zone));
        let start = at((changes[changes.len() / 2] - days * DAY) * 60);
        let offset = |at: Timestamp| clock.to_offset(at).seconds();
        let folds = changes.iter().map(|minute| at(minute * 60)).filter(|at| offset(*at) < offset(*at - SignedDuration::from_secs(1)));
        let fold = folds.into_iter().find(|fold| *fold > start).filter(|fold| fold.as_second() - start.as_second() <= 35 * 86_400);
        let decision = calendar.decide(start);
        prop_assert_eq!(decision.state, State::Open);
        prop_assert_eq!(decision.open_until, fold);
    }
}
