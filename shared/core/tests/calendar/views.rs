//! Decisions with their rules, ranges, explanations, warnings, the feed.

use crate::checks::parse;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate_core::calendar::{
    AddedFreeze, Calendar, Decision, FEED_EVENTS_MAX, FeedInputs, Gated, Item, Lint, LintInputs, MERGE_DAYS, RawCalendar, RawWindow,
    RawWindows, RuleKind, Shift, State, Zones,
};
use tidegate_core::findings::Place;
use tidegate_core::ids::RepoPath;

fn calendar(policy: Value) -> Calendar {
    parse(policy).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn berlin(name: &str, cron: &str, duration: &str) -> Value {
    json!({ "name": name, "cron": cron, "duration": duration, "tz": "Europe/Berlin" })
}

fn winter() -> Value {
    json!({ "name": "winter", "from": "2026-12-20T00:00", "until": "2027-01-03T00:00", "tz": "Europe/Berlin", "reason": "nobody is there" })
}

fn rule(decision: &Decision) -> (RuleKind, &str, Option<Item>) {
    (decision.rule.kind, decision.rule.name.as_str(), decision.rule.item)
}

#[test]
fn the_rule_that_decided_is_named() {
    let windows = json!([berlin("short", "0 10 * * *", "2h"), berlin("long", "0 11 * * *", "3h")]);
    let calendar = calendar(json!({ "windows": windows, "freezes": [winter()], "cutoff": "30m" }));
    let decide = |text: &str| calendar.decide(at(text));
    assert_eq!(rule(&decide("2026-12-01T09:30:00Z")), (RuleKind::Window, "short", Some(Item::Window(0))));
    assert_eq!(rule(&decide("2026-12-01T10:30:00Z")), (RuleKind::Window, "long", Some(Item::Window(1))));
    assert_eq!(rule(&decide("2026-12-01T12:30:00Z")), (RuleKind::Cutoff, "cutoff 30m (long)", Some(Item::Cutoff)));
    assert_eq!(rule(&decide("2026-12-01T13:00:00Z")), (RuleKind::None, "no window is open", None));
    let frozen = decide("2026-12-24T18:00:00Z");
    assert_eq!(rule(&frozen), (RuleKind::Freeze, "winter", Some(Item::Freeze(0))));
    assert_eq!(frozen.rule.reason.as_deref(), Some("nobody is there"));
    assert_eq!(frozen.next_start, Some(at("2027-01-03T09:00:00Z")));
}

#[test]
fn a_rule_carries_the_place_that_the_reader_knew() {
    let place = Place { file: "environments/production.yaml".parse::<RepoPath>().unwrap(), line: 7, column: 5, length: 4 };
    let window = RawWindow {
        cron: Some("0 10 * * *".into()),
        duration: Some("1h".into()),
        tz: Some("UTC".into()),
        place: Some(place.clone()),
        ..RawWindow::default()
    };
    let raw = RawCalendar { windows: RawWindows::List(vec![window]), ..RawCalendar::default() };
    let calendar = Calendar::new(&raw, &Zones::bundled()).unwrap();
    assert_eq!(calendar.decide(at("2027-01-01T10:00:00Z")).rule.place, Some(place));
}

#[test]
fn a_freeze_stops_rollbacks_only_if_it_says_so() {
    let mut hard = winter();
    hard["blocks"] = json!(["release", "rollback"]);
    let soft = json!({ "name": "soft", "from": "2026-12-01T00:00", "until": "2027-02-01T00:00", "tz": "Europe/Berlin" });
    let calendar = calendar(json!({ "freezes": [soft, hard] }));
    let before = calendar.decide(at("2026-12-10T00:00:00Z"));
    assert_eq!((before.state, before.rollback), (State::Frozen, None));
    let during = calendar.decide(at("2026-12-24T00:00:00Z"));
    let blocked = during.rollback.unwrap();
    assert_eq!((during.rule.name.as_str(), blocked.rule.name.as_str()), ("soft", "winter"));
    assert_eq!((during.next_start, blocked.until), (Some(at("2027-01-31T23:00:00Z")), Some(at("2027-01-02T23:00:00Z"))));
    assert!(calendar.freezes()[1].blocks().contains(&Gated::Rollback));
}

#[test]
fn rollbacks_thaw_also_after_very_many_small_freezes() {
    let odd = |first: i64| json!({ "cron": format!("{first}-59/2 * * * SAT,SUN"), "duration": "1m", "tz": "UTC", "blocks": ["release", "rollback"] });
    let decision = calendar(json!({ "freezes": [odd(0), odd(1)] })).decide(at("2027-01-02T12:00:30Z"));
    assert_eq!(decision.rollback.unwrap().until, Some(at("2027-01-04T00:00:00Z")));
    assert_eq!(decision.next_start, Some(at("2027-01-04T00:00:00Z")));
}

#[test]
fn freezes_of_elsewhere_count_like_those_of_the_calendar() {
    let windows = json!({ "windows": [berlin("day", "0 10 * * *", "2h")], "freezes": [winter()] });
    let added = |from: &str, until: Option<&str>, blocks: &[Gated]| AddedFreeze {
        name: "freeze by alice".into(),
        reason: Some("annual report".into()),
        at: at(from),
        from: None,
        until: until.map(at),
        blocks: blocks.iter().copied().collect(),
        place: None,
    };
    // To whole minutes, outwards.
    let short = added("2026-12-01T09:10:59.5Z", Some("2026-12-01T09:20:00.5Z"), &[Gated::Release]);
    let one = calendar(windows.clone()).with_freezes([short]);
    let frozen = one.decide(at("2026-12-01T09:10:00Z"));
    assert_eq!((frozen.state, frozen.next_start), (State::Frozen, Some(at("2026-12-01T09:21:00Z"))));
    assert_eq!(rule(&frozen), (RuleKind::Freeze, "freeze by alice", Some(Item::Freeze(1))));
    assert_eq!(frozen.rule.reason.as_deref(), Some("annual report"));
    assert_eq!(one.decide(at("2026-12-01T09:09:59Z")).open_until, Some(at("2026-12-01T09:10:00Z")));
    assert_eq!(one.decide(at("2026-12-01T09:21:00Z")).state, State::Open);
    assert_eq!(one.freezes().len(), 2, "its own first");
    // Without an end.
    let endless = calendar(windows).with_freezes([added("2026-12-01T09:10:00Z", None, &[Gated::Release, Gated::Rollback])]);
    let frozen = endless.decide(at("2027-06-01T09:10:00Z"));
    assert_eq!((frozen.state, frozen.next_start, frozen.rollback.unwrap().until), (State::Frozen, None, None));
    let stretches: Vec<_> = endless.frozen_stretches(at("2027-06-01T00:00:00Z"), at("2027-06-02T00:00:00Z")).collect();
    assert_eq!((stretches.len(), stretches[0].until, stretches[0].blocks_rollback), (1, None, true));
    assert_eq!(endless.openings(at("2026-12-01T00:00:00Z"), at("2027-12-01T00:00:00Z")).count(), 1);
    let feed = endless.feed(&FeedInputs { environment: "production", now: at("2027-06-01T00:00:00Z") });
    assert_eq!(feed.matches("BEGIN:VEVENT").count(), 1, "{feed}");
}

#[test]
fn an_opening_is_known_for_as_long_as_is_asked() {
    let calendar = calendar(json!({ "windows": [berlin("day", "0 10 * * *", "2h")], "freezes": [berlin("lunch", "30 10 * * *", "15m")] }));
    let opened = |text: &str, minutes: i64| calendar.opened_within(at(text), SignedDuration::from_mins(minutes));
    assert_eq!(opened("2026-12-01T09:00:00Z", 1), Some(at("2026-12-01T09:00:00Z")));
    assert_eq!(opened("2026-12-01T09:10:30Z", 30), Some(at("2026-12-01T09:00:00Z")));
    assert_eq!(opened("2026-12-01T09:10:30Z", 10), None, "longer ago");
    assert_eq!(opened("2026-12-01T09:30:00Z", 60), None, "frozen");
    assert_eq!(opened("2026-12-01T09:50:00Z", 60), Some(at("2026-12-01T09:45:00Z")), "a thaw is an opening");
    assert_eq!(opened("2026-12-01T12:00:00Z", 600), None, "closed");
    let last = |text: &str| calendar.last_opening(at(text)).map(|opening| (opening.opens.unwrap(), opening.closes.unwrap()));
    assert_eq!(last("2026-12-01T09:40:00Z"), Some((at("2026-12-01T09:00:00Z"), at("2026-12-01T09:30:00Z"))));
    assert_eq!(last("2026-12-01T11:00:00Z"), Some((at("2026-12-01T09:45:00Z"), at("2026-12-01T11:00:00Z"))));
    assert_eq!(last("2026-12-01T10:59:59Z"), Some((at("2026-12-01T09:00:00Z"), at("2026-12-01T09:30:00Z"))));
    assert_eq!(Calendar::default().opened_within(at("2026-12-01T09:00:00Z"), SignedDuration::from_hours(1)), None);
}

#[test]
fn windows_that_never_end_are_open_until_further_notice() {
    let calendar = calendar(json!({ "windows": [berlin("all", "* * * * *", "31d")], "freezes": [winter()], "cutoff": "1h" }));
    let notice = at("2026-12-19T23:00:00Z");
    let far = calendar.decide(notice - SignedDuration::from_hours(24 * MERGE_DAYS) - SignedDuration::from_secs(1));
    assert_eq!((far.state, far.open_until), (State::Open, None));
    let near = calendar.decide(notice - SignedDuration::from_hours(24 * MERGE_DAYS));
    assert_eq!((near.state, near.open_until), (State::Open, Some(notice)));
}

#[test]
fn fractions_of_a_second_belong_to_the_second_they_are_in() {
    let calendar = calendar(json!({ "windows": [berlin("a", "0 10 * * *", "1h")] }));
    let almost = at("2027-01-04T08:59:59.999999999Z");
    assert_eq!(calendar.decide(almost).state, State::Closed);
    assert_eq!(calendar.decide(almost).next_start, Some(at("2027-01-04T09:00:00Z")));
    let just = at("2027-01-04T09:00:00.5Z");
    assert_eq!(calendar.decide(just).next_start, Some(just));
    assert_eq!(calendar.decide(at("2027-01-04T09:59:59.9Z")).state, State::Open);
    assert_eq!(calendar.decide(at("2027-01-04T10:00:00Z")).state, State::Closed);
}

#[test]
fn no_instant_is_too_far_away() {
    let windows = json!([berlin("a", "*/2 * * * *", "1m"), berlin("b", "0 10 * * MON", "31d")]);
    let calendar = calendar(json!({ "windows": windows, "freezes": [winter(), berlin("f", "0 0 1 * *", "1d")], "cutoff": "20d" }));
    let century = |text: &str| at(text);
    for instant in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH, century("1900-01-01T00:00:00Z"), century("2100-12-31T23:59:59Z")]
    {
        calendar.decide(instant);
        calendar.openings(instant, Timestamp::MAX).count();
        calendar.explain(0, instant, 3);
        calendar.feed(&FeedInputs { environment: "x", now: instant });
    }
}

#[test]
fn the_next_openings_begin_with_the_one_that_is_open() {
    let calendar = calendar(json!({ "windows": [berlin("a", "0 10 * * MON", "2h")], "freezes": [winter()], "cutoff": "30m" }));
    let openings = calendar.next_openings(at("2026-12-14T09:30:00Z"), 3);
    let opens: Vec<_> = openings.iter().map(|opening| opening.opens.unwrap()).collect();
    assert_eq!(opens, [at("2026-12-14T09:00:00Z"), at("2027-01-04T09:00:00Z"), at("2027-01-11T09:00:00Z")]);
    assert_eq!(openings[0].starts_until, Some(at("2026-12-14T10:30:00Z")));
    let rare = self::calendar(json!({ "windows": [berlin("leap", "0 10 29 2 *", "2h")] })).next_openings(at("2026-01-01T00:00:00Z"), 3);
    assert_eq!(rare.iter().map(|opening| opening.opens.unwrap()).collect::<Vec<_>>(), [at("2028-02-29T09:00:00Z")]);
}

#[test]
fn the_first_start_with_time_enough_is_found() {
    let windows = json!([berlin("short", "0 10 * * *", "1h"), berlin("long", "0 22 * * SAT", "6h")]);
    let calendar = calendar(json!({ "windows": windows, "cutoff": "30m" }));
    let fit = |text: &str, needs: i64| calendar.next_fit(at(text), SignedDuration::from_mins(needs));
    assert_eq!(fit("2027-01-04T09:10:00Z", 20), Some(at("2027-01-04T09:10:00Z")));
    assert_eq!(fit("2027-01-04T09:10:00Z", 50), Some(at("2027-01-04T09:10:00Z")));
    assert_eq!(fit("2027-01-04T09:10:00Z", 51), Some(at("2027-01-05T09:00:00Z")));
    assert_eq!(fit("2027-01-04T09:10:00Z", 61), Some(at("2027-01-09T21:00:00Z")));
    assert_eq!(fit("2027-01-04T09:10:00Z", 361), None);
}

#[test]
fn explain_shows_what_a_clock_change_does() {
    let windows = json!([berlin("early", "30 2 * * *", "1h"), berlin("night", "0 22 * * *", "8h"), berlin("day", "0 12 * * *", "1h")]);
    let calendar = calendar(json!({ "windows": windows, "freezes": [winter()] }));
    let spring = calendar.explain(0, at("2027-03-27T12:00:00Z"), 2).unwrap();
    let skipped = &spring.occurrences[0];
    assert_eq!((skipped.written.to_string(), skipped.opens), ("2027-03-28T02:30:00".into(), at("2027-03-28T01:00:00Z")));
    assert_eq!((skipped.opens_civil.to_string(), skipped.shift), ("2027-03-28T03:00:00".into(), Some(Shift::Skipped)));
    assert_eq!(spring.occurrences[1].shift, None);
    let autumn = calendar.explain(0, at("2027-10-30T12:00:00Z"), 1).unwrap();
    assert_eq!(autumn.occurrences[0].shift, Some(Shift::Repeated));
    let night = calendar.explain(1, at("2027-03-27T12:00:00Z"), 1).unwrap();
    assert_eq!(night.occurrences[0].closes_civil.to_string(), "2027-03-28T07:00:00");
    assert_eq!(night.occurrences[0].shift, Some(Shift::Across { moved_secs: 3600 }));
    let frozen = calendar.explain(2, at("2026-12-18T20:00:00Z"), 2).unwrap();
    assert_eq!(frozen.occurrences.iter().map(|found| found.frozen_by.clone()).collect::<Vec<_>>(), [vec![], vec![Item::Freeze(0)]]);
    assert_eq!(calendar.explain(3, at("2027-01-01T00:00:00Z"), 1), None);
}

#[test]
fn clock_changes_name_the_windows_they_shift() {
    let tokyo = json!({ "cron": "0 3 * * *", "duration": "1h", "tz": "Asia/Tokyo" });
    let windows =
        json!([berlin("early", "30 2 * * *", "1h"), berlin("day", "0 12 * * *", "1h"), tokyo, berlin("night", "0 22 * * *", "8h")]);
    let changes = calendar(json!({ "windows": windows })).clock_changes(at("2027-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"));
    let found: Vec<_> = changes.iter().map(|change| (change.at, change.after_secs - change.before_secs, change.windows.clone())).collect();
    let shifted = vec![Item::Window(0), Item::Window(3)];
    assert_eq!(found, [(at("2027-03-28T01:00:00Z"), 3600, shifted.clone()), (at("2027-10-31T01:00:00Z"), -3600, shifted)]);
}

fn lint(policy: Value, change: impl FnOnce(&mut LintInputs)) -> Vec<Lint> {
    let mut inputs =
        LintInputs { now: at("2026-12-01T00:00:00Z"), production: true, slowest_budget_secs: Some(30 * 60), approval_expires_secs: None };
    change(&mut inputs);
    calendar(policy).lint(&inputs)
}

fn codes(lints: &[Lint]) -> Vec<(Item, &str)> {
    lints.iter().map(|lint| (lint.item, lint.code)).collect()
}

#[test]
fn a_sensible_calendar_brings_no_warning() {
    let policy = json!({ "windows": [berlin("days", "0 10 * * MON-THU", "6h")], "freezes": [winter()], "cutoff": "30m" });
    assert_eq!(lint(policy, |inputs| inputs.approval_expires_secs = Some(20 * 86_400)), []);
    assert_eq!(lint(json!({ "windows": "always" }), |_| {}), []);
    assert_eq!(lint(json!({}), |inputs| inputs.production = false), []);
}

#[test]
fn what_is_hardly_meant_brings_a_warning() {
    let days = berlin("days", "0 10 * * MON-THU", "6h");
    assert_eq!(codes(&lint(json!({}), |_| {})), [(Item::AllWindows, "production_without_windows")]);
    let short = json!({ "windows": [days, berlin("short", "0 20 * * *", "20m")] });
    assert_eq!(codes(&lint(short.clone(), |_| {})), [(Item::Window(1), "window_too_short")]);
    assert_eq!(lint(short, |inputs| inputs.slowest_budget_secs = None), []);
    let joined = json!({ "windows": [days, berlin("just after", "0 16 * * MON-THU", "20m")] });
    assert_eq!(lint(joined, |_| {}), [], "united with another window it is long enough");
    let rare = json!({ "windows": [berlin("rare", "0 10 1 * *", "2h")] });
    assert_eq!(codes(&lint(rare, |_| {})), [(Item::AllWindows, "little_open_time")]);
    let never = json!({ "windows": [berlin("never", "0 10 * * *", "30m")], "cutoff": "30m" });
    let never = lint(never, |inputs| inputs.slowest_budget_secs = None);
    assert_eq!(codes(&never), [(Item::Window(0), "window_too_short"), (Item::AllWindows, "never_opens")]);
    let twice = json!({ "windows": [days, berlin("DAYS", "0 20 * * *", "1h")] });
    assert_eq!(codes(&lint(twice, |_| {})), [(Item::Window(1), "doubled_name")]);
    let over = json!({ "windows": [days], "freezes": [winter()] });
    let over = lint(over, |inputs| inputs.now = at("2027-01-02T23:00:00Z"));
    assert_eq!(codes(&over), [(Item::Freeze(0), "freeze_over")]);
    let expiring = json!({ "windows": [days], "freezes": [winter()] });
    let expiring = lint(expiring, |inputs| inputs.approval_expires_secs = Some(7 * 86_400));
    assert_eq!(codes(&expiring), [(Item::AllWindows, "approval_expires_while_closed")]);
}

#[test]
fn the_feed_has_one_event_for_each_interval_and_for_each_freeze() {
    let calendar =
        calendar(json!({ "windows": [berlin("days, and; more", "0 10 * * MON", "6h")], "freezes": [winter()], "cutoff": "30m" }));
    let feed = calendar.feed(&FeedInputs { environment: "production", now: at("2026-12-14T12:00:00Z") });
    assert_eq!(feed.matches("BEGIN:VEVENT").count(), 12, "{feed}");
    for line in [
        "BEGIN:VCALENDAR",
        "DTSTART:20261214T090000Z",
        "DTEND:20261214T150000Z",
        "UID:open-20261214T090000Z-production@tidegate",
        "DTSTART:20270104T090000Z",
        "UID:freeze-20261219T230000Z-winter-production@tidegate",
        "SUMMARY:production: frozen (winter)",
        "TRANSP:TRANSPARENT",
        "DTSTAMP:20261214T120000Z",
    ] {
        assert!(feed.contains(&format!("{line}\r\n")), "{line} is missing:\n{feed}");
    }
    assert!(!feed.contains("DTSTART:20261221"), "frozen:\n{feed}");
    assert!(feed.split("\r\n").all(|line| line.len() <= 75), "lines are folded:\n{feed}");
    let uids = |feed: &str| feed.lines().filter(|line| line.starts_with("UID:")).map(str::to_owned).collect::<Vec<_>>();
    let later = calendar.feed(&FeedInputs { environment: "production", now: at("2026-12-14T13:00:00Z") });
    assert_eq!(uids(&feed), uids(&later), "ids are stable");
}

#[test]
fn the_feed_of_a_restless_calendar_is_cut_and_says_so() {
    let calendar = calendar(json!({ "windows": [berlin("restless", "*/2 * * * *", "1m")] }));
    let feed = calendar.feed(&FeedInputs { environment: "production", now: at("2026-12-14T12:00:00Z") });
    assert_eq!(feed.matches("BEGIN:VEVENT").count(), FEED_EVENTS_MAX);
    assert!(feed.replace("\r\n ", "").contains("There is more than this feed shows."));
}

#[test]
fn no_two_events_have_one_id() {
    let feed = calendar(json!({ "freezes": [winter(), winter()] })).feed(&FeedInputs { environment: "x", now: at("2026-12-14T12:00:00Z") });
    assert_eq!(feed.matches("UID:freeze-20261219T230000Z-winter-x@tidegate").count(), 1);
}

#[test]
fn an_environment_that_is_always_open_has_a_feed_without_events() {
    let feed = calendar(json!({ "windows": "always" })).feed(&FeedInputs { environment: "staging", now: at("2026-12-14T12:00:00Z") });
    assert_eq!(feed.matches("BEGIN:VEVENT").count(), 0);
    assert!(feed.contains("Releases may start at any time"));
}
